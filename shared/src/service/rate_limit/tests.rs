//! The limits themselves: how many in any minute, how many callers, by which settings.

mod answers;

use std::collections::VecDeque;

use governor::clock::FakeRelativeClock;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::domain::ids::Principal;

const MINUTE: Duration = Duration::from_secs(60);

fn of_a_minute(requests: u32) -> (Limit<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    let requests = NonZeroU32::new(requests).unwrap();
    (Limit::new(requests, 1_000, clock.clone()), clock)
}

fn principal(name: &str) -> Subject {
    Subject::Principal(Principal::parse(name).unwrap())
}

fn address(number: u32) -> Subject {
    Subject::at(IpAddr::from(number.to_be_bytes()))
}

/// Requests of one caller that were let through, of those that came after the pauses.
fn admitted(requests: u32, pauses: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let (limit, clock) = of_a_minute(requests);
    let caller = principal("till");
    let (mut now, mut admitted) = (Duration::ZERO, Vec::new());
    for pause in pauses {
        clock.advance(pause);
        now += pause;
        if !limit.count(&caller).is_refused {
            admitted.push(now);
        }
    }
    admitted
}

/// Most of `times` within any minute whatever.
fn most_in_a_minute(times: &[Duration]) -> usize {
    let (mut within, mut most) = (VecDeque::new(), 0);
    for time in times {
        within.push_back(*time);
        while within.front().is_some_and(|first| *time - *first >= MINUTE) {
            within.pop_front();
        }
        most = most.max(within.len());
    }
    most
}

#[test]
fn no_minute_whatever_has_more_requests_than_the_limit() {
    let mut random = SmallRng::seed_from_u64(7);
    for requests in [1, 2, 3, 9, 10, 11, 19, 59, 60, 61, 600, 997, 6_000] {
        let most = usize::try_from(requests).unwrap();
        // As fast as it goes; evenly, a little too fast; in bursts, with rests of any length.
        let step = MINUTE / requests;
        let greedy = std::iter::repeat_n(step / 7, most * 30);
        let even = std::iter::repeat_n(step - step / 20, most * 5);
        let bursts: Vec<_> = (0..most * 30)
            .map(|_| match random.random_range(0..most * 2) {
                0 => MINUTE.mul_f64(random.random_range(0.0..1.5)),
                _ => step.mul_f64(random.random_range(0.0..0.3)),
            })
            .collect();
        // What a counter that begins anew every minute lets through twice: all at the window's end,
        // and all again at its beginning.
        let edge =
            std::iter::once(MINUTE - step).chain(std::iter::repeat_n(step / 1_000, most * 4));
        for (what, times) in [
            ("greedy", admitted(requests, greedy)),
            ("even", admitted(requests, even)),
            ("bursts", admitted(requests, bursts.into_iter())),
            ("edge", admitted(requests, edge)),
        ] {
            let found = most_in_a_minute(&times);
            assert!(found <= most, "{requests} {what}: {found}");
        }
    }
}

#[test]
fn who_asks_without_end_gets_nine_tenths_of_the_limit_and_who_asks_less_is_never_refused() {
    for requests in [10, 60, 600] {
        let most = usize::try_from(requests).unwrap();
        let tries = most * 10 * 50;
        let greedy = std::iter::repeat_n(MINUTE / requests / 50, tries);
        let times = admitted(requests, greedy);
        // Ten minutes of trying.
        assert!(times.len() >= most * 9, "{requests}: {}", times.len());
        let slow = MINUTE.mul_f64(1.0 / (f64::from(requests) * 0.9) + 1e-6);
        let tries = most * 3;
        assert_eq!(
            admitted(requests, std::iter::repeat_n(slow, tries)).len(),
            tries
        );
    }
}

#[test]
fn a_verdict_says_how_many_may_follow_and_how_long_to_wait() {
    let (limit, clock) = of_a_minute(60);
    let caller = principal("till");
    // Six at once, and one more every 60/55 s.
    let step = MINUTE.as_nanos().div_ceil(55);
    let step = Duration::from_nanos(u64::try_from(step).unwrap());
    assert_eq!(limit.standings(), []);
    for used in 1..=6 {
        assert_eq!(limit.would_refuse(&caller), None);
        let expected = Verdict {
            remaining: 6 - used,
            reset: step * used,
            is_refused: false,
        };
        assert_eq!(limit.count(&caller), expected);
        let standing = Standing {
            subject: caller.clone(),
            remaining: 6 - used,
        };
        assert_eq!(limit.standings(), [standing]);
    }
    let refused = limit.count(&caller);
    assert!(refused.is_refused && refused.remaining == 0);
    assert_eq!(refused.reset, step);
    // To be asked, or refused, costs nothing.
    assert_eq!(limit.would_refuse(&caller), Some(refused));
    assert_eq!(limit.count(&caller), refused);
    let almost = refused.reset - Duration::from_nanos(1);
    clock.advance(almost);
    assert!(limit.count(&caller).is_refused);
    clock.advance(Duration::from_nanos(1));
    assert!(!limit.count(&caller).is_refused);
    // Somebody else begins with nothing used; and so does everybody after a reset.
    assert_eq!(limit.count(&principal("other")).remaining, 5);
    assert!(limit.count(&caller).is_refused);
    limit.reset();
    assert_eq!(limit.standings(), []);
    assert_eq!(limit.count(&caller).remaining, 5);
    clock.advance(MINUTE);
    assert_eq!(limit.standings(), []);
}

#[test]
fn an_address_of_ipv6_is_its_network() {
    let at = |text: &str| Subject::at(text.parse().unwrap());
    assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
    assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
    assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    assert_eq!(at("192.0.2.1"), at("::ffff:192.0.2.1"));
}

#[test]
fn a_flood_of_addresses_is_remembered_within_a_bound_and_frees_nobody() {
    const ROOM: usize = 1_000;
    let (limit, clock) = of_a_minute(60);
    let heavy = address(0);
    while !limit.count(&heavy).is_refused {}
    let (mut admitted, mut most) = (0_usize, 0);
    for number in 1..=100_000 {
        admitted += usize::from(!limit.count(&address(number)).is_refused);
        most = most.max(limit.remembered());
    }
    // One place each, and as many more as there are parts of the table, of which each has a crowd
    // with six requests for all together.
    assert!((ROOM..=ROOM + 16).contains(&most), "{most}");
    assert!(admitted <= most + 16 * 6, "{admitted}");
    // Who was heavy before is so still; who has a place keeps its own, and the rest are the crowd.
    assert!(limit.count(&heavy).is_refused);
    assert!(limit.count(&address(100_000)).is_refused);
    assert!(limit.would_refuse(&address(100_001)).is_some());
    // When all are at rest they make way, and the crowd's state with them.
    clock.advance(Duration::from_secs(10));
    let late = principal("late");
    assert_eq!(limit.count(&late).remaining, 5);
    assert!(limit.standings().len() == 1 && limit.remembered() < ROOM + 16);
    for number in 0..100_000 {
        clock.advance(Duration::from_millis(1));
        limit.count(&address(number));
        assert!(limit.remembered() <= ROOM + 16);
    }
}

#[test]
fn who_was_counted_in_the_crowd_does_not_begin_anew_when_there_is_room() {
    let clock = FakeRelativeClock::default();
    // Each part has room for one; the others are its crowd.
    let limit = Limit::new(NonZeroU32::new(600).unwrap(), 16, clock.clone());
    for number in 0..1_000 {
        limit.count(&address(number));
    }
    let crowd = 1_000..2_000;
    let until_refused = |number| {
        let mut admitted = 0;
        while !limit.count(&address(number)).is_refused {
            admitted += 1;
        }
        admitted
    };
    for number in crowd.clone() {
        until_refused(number);
    }
    // Those who have a place are at rest by now. The crowd has thirteen of its sixty again.
    clock.advance(Duration::from_millis(1_500));
    let most = crowd.map(until_refused).max();
    assert_eq!(most, Some(13));
}

fn config(requests: u32, admin: u32, proxies: &str) -> RateLimitConfig {
    let args = RateLimitArgs {
        requests_per_minute: requests,
        admin_requests_per_minute: admin,
        trusted_proxies: proxies.to_owned(),
        ..RateLimitArgs::default()
    };
    let mut faults = Vec::new();
    let config = args.check(&mut faults);
    assert_eq!(faults, Vec::<String>::new());
    config
}

#[test]
fn every_fault_of_the_settings_is_named() {
    let args = RateLimitArgs {
        requests_per_minute: 0,
        admin_requests_per_minute: 1_000_000_001,
        trusted_proxies: "10.0.0.0/8,proxy".to_owned(),
        ..RateLimitArgs::default()
    };
    let mut faults = Vec::new();
    args.check(&mut faults);
    let named: Vec<_> = faults.iter().map(|fault| fault.split(':').next()).collect();
    let expected = [
        "RATE_LIMIT_REQUESTS_PER_MINUTE",
        "RATE_LIMIT_ADMIN_REQUESTS_PER_MINUTE",
        "TRUSTED_PROXIES[1]",
    ];
    assert_eq!(named, expected.map(Some));
}

#[test]
fn each_policy_has_its_part_of_the_settings() {
    let of = |requests, admin| {
        let config = config(requests, admin, "");
        Policy::ALL.map(|policy| policy.per_minute(&config).get())
    };
    assert_eq!(of(60_000, 600), [600, 60, 60_000, 60_000, 600, 600_000]);
    assert_eq!(of(200, 50), [60, 10, 200, 200, 50, 600_000]);
    assert_eq!(of(1, 1), [1, 1, 1, 1, 1, 600_000]);
    let most = 1_000_000_000;
    assert_eq!(
        of(most, most),
        [most / 100, most / 1_000, most, most, most, u32::MAX]
    );
}

#[test]
fn what_a_call_counts_as() {
    for (method, path, expected) in [
        ("GET", "/v1/inventory/A", Policy::Read),
        ("HEAD", "/v1/inventory", Policy::Read),
        ("POST", "/v1/inventory/check", Policy::Read),
        ("GET", "/v1/inventory/snapshot-1", Policy::Read),
        ("GET", "/v1/store/inventory", Policy::Read),
        ("GET", "/v1/info", Policy::Read),
        ("GET", "/nowhere", Policy::Read),
        ("POST", "/v1/inventory/updates", Policy::Write),
        ("POST", "/v1/store/inventory/updates", Policy::Write),
        ("POST", "/v1/orders", Policy::Write),
        ("DELETE", "/v1/products/A", Policy::Write),
        ("POST", "/v1/circuit-breakers/payments/reset", Policy::Write),
        ("GET", "/v1/admin/live", Policy::Admin),
        ("POST", "/v1/admin/products/create", Policy::Admin),
        ("GET", "/v1/inventory/events", Policy::JournalDrain),
        ("GET", "/v1/orders/events", Policy::JournalDrain),
        ("GET", "/v1/inventory/snapshot", Policy::JournalDrain),
        ("GET", "/v1/inventory/snapshots/ab-7", Policy::JournalDrain),
        ("PUT", "/v1/stores/store-s1/heartbeat", Policy::JournalDrain),
        ("POST", "/v1/stores/store-s1/journal", Policy::JournalDrain),
        ("GET", "/v1/orders/42/events", Policy::Read),
    ] {
        let method: Method = method.parse().unwrap();
        assert_eq!(Policy::of(&method, path), expected, "{method} {path}");
    }
}

#[test]
fn from_where_somebody_asks() {
    for (address, expected) in [
        ("127.0.0.1", "localhost"),
        ("::1", "localhost"),
        ("10.1.2.3", "internal"),
        ("192.168.0.1", "internal"),
        ("169.254.1.1", "internal"),
        ("fd00::1", "internal"),
        ("fe80::1", "internal"),
        ("8.8.8.8", "external"),
        ("2001:db8::1", "external"),
    ] {
        assert_eq!(client_kind(address.parse().unwrap()), expected, "{address}");
    }
}
