use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn breaker() -> Breaker {
    Breaker::try_new(BreakerSettings::default()).unwrap()
}

fn state(breaker: &Breaker, at: u64) -> BreakerState {
    breaker.snapshot(ms(at)).state
}

/// Runs one call per letter, `gap` apart: `S`uccess, `F`ailure, `T`imeout, `I`gnored.
fn calls(breaker: &mut Breaker, outcomes: &str, from: u64, gap: u64) {
    for (number, letter) in outcomes.chars().enumerate() {
        let at = ms(from + gap * u64::try_from(number).unwrap());
        let outcome = match letter {
            'S' => Outcome::Success,
            'F' => Outcome::Failure,
            'T' => Outcome::Timeout,
            _ => Outcome::Ignored,
        };
        let permit = breaker.try_acquire(at).expect("the breaker is closed");
        breaker.record(permit, outcome, at);
    }
}

fn opened(at: u64) -> Breaker {
    let mut breaker = breaker();
    calls(&mut breaker, "FFFFF", at, 0);
    assert_eq!(state(&breaker, at), BreakerState::Open);
    breaker
}

#[test]
fn opens_on_a_threshold_and_not_before() {
    use BreakerState::{Closed, Open};
    for (outcomes, gap, expected) in [
        ("", 0, Closed),
        ("FFFF", 0, Closed),
        ("FFFFF", 0, Open),
        ("TTTTT", 0, Open),
        // Five in a row count even when the window has forgotten the first.
        ("FFFFF", 9_000, Open),
        ("FFFFSF", 9_000, Closed),
        // Half of at least five calls.
        ("SFSF", 0, Closed),
        ("SFSFF", 0, Open),
        ("FFSSS", 0, Closed),
        ("SSSFF", 0, Closed),
        ("SSSFFF", 0, Open),
        // The fifth call may be a success and still be what makes the window say something.
        ("FFFSS", 0, Open),
        // What says nothing about the other side neither opens nor breaks a row.
        ("IIIIIIII", 0, Closed),
        ("FFIFFIF", 9_000, Open),
    ] {
        let mut breaker = breaker();
        calls(&mut breaker, outcomes, 0, gap);
        let end = gap * u64::try_from(outcomes.len()).unwrap();
        assert_eq!(state(&breaker, end), expected, "{outcomes} {gap} ms apart");
    }
}

#[test]
fn refuses_while_open_and_says_until_when() {
    let mut breaker = opened(1_000);
    let refused = breaker.try_acquire(ms(30_999)).unwrap_err();
    assert_eq!(refused.at, ms(31_000));
    assert_eq!(refused.wait(ms(30_999)), ms(1));
    let snapshot = breaker.snapshot(ms(30_999));
    assert_eq!((snapshot.rejected, snapshot.failures), (1, 5));
    assert_eq!(snapshot.opened_at, Some(ms(1_000)));
    assert_eq!(snapshot.next_probe_at, Some(ms(31_000)));
}

#[test]
fn two_successful_probes_close_it_one_at_a_time() {
    let mut breaker = opened(0);
    for at in [30_000, 30_010] {
        assert_eq!(state(&breaker, at), BreakerState::HalfOpen);
        let probe = breaker.try_acquire(ms(at)).unwrap();
        assert!(probe.is_probe());
        assert_eq!(breaker.try_acquire(ms(at)).unwrap_err().at, ms(at + 1_000));
        breaker.record(probe, Outcome::Success, ms(at + 5));
    }
    assert_eq!(state(&breaker, 30_015), BreakerState::Closed);
    // With a clean sheet: the failures that opened it are not held against it again.
    calls(&mut breaker, "FFFF", 30_016, 0);
    assert_eq!(state(&breaker, 30_016), BreakerState::Closed);
}

#[test]
fn a_failed_probe_opens_it_for_the_whole_time_again() {
    let mut breaker = opened(0);
    let first = breaker.try_acquire(ms(30_000)).unwrap();
    breaker.record(first, Outcome::Success, ms(30_001));
    let second = breaker.try_acquire(ms(30_002)).unwrap();
    breaker.record(second, Outcome::Timeout, ms(35_000));
    assert_eq!(breaker.try_acquire(ms(64_999)).unwrap_err().at, ms(65_000));
    // The success before it does not count towards the next recovery.
    let probe = breaker.try_acquire(ms(65_000)).unwrap();
    breaker.record(probe, Outcome::Success, ms(65_001));
    assert_eq!(state(&breaker, 65_001), BreakerState::HalfOpen);
}

#[test]
fn every_change_of_state_is_counted_once() {
    let counted = |breaker: &Breaker| {
        let Transitions {
            closed,
            opened,
            half_opened,
        } = breaker.snapshot(ms(0)).transitions;
        (closed, opened, half_opened)
    };
    let mut breaker = breaker();
    // There is nothing to close.
    breaker.reset();
    assert_eq!(counted(&breaker), (0, 0, 0));
    calls(&mut breaker, "FFFFF", 0, 0);
    assert_eq!(counted(&breaker), (0, 1, 0));
    let mut probe = |at: u64, outcome: Outcome| {
        let probe = breaker.try_acquire(ms(at)).unwrap();
        breaker.record(probe, outcome, ms(at));
        counted(&breaker)
    };
    assert_eq!(probe(30_000, Outcome::Failure), (0, 2, 1));
    assert_eq!(probe(60_000, Outcome::Success), (0, 2, 2));
    // The second probe of one recovery.
    assert_eq!(probe(60_001, Outcome::Success), (1, 2, 2));
    let mut breaker = opened(0);
    breaker.reset();
    assert_eq!(counted(&breaker), (1, 1, 0));
}

#[test]
fn a_probe_that_says_nothing_makes_room_for_the_next() {
    let mut breaker = opened(0);
    let probe = breaker.try_acquire(ms(30_000)).unwrap();
    breaker.record(probe, Outcome::Ignored, ms(30_001));
    assert_eq!(state(&breaker, 30_001), BreakerState::HalfOpen);
    assert!(breaker.try_acquire(ms(30_001)).unwrap().is_probe());
}

#[test]
fn a_forgotten_probe_does_not_wedge_it() {
    let mut breaker = opened(0);
    let forgotten = breaker.try_acquire(ms(30_000)).unwrap();
    assert!(breaker.try_acquire(ms(44_999)).is_err());
    let second = breaker.try_acquire(ms(45_000)).unwrap();
    // The lost one turns up after all: it has been replaced and decides nothing.
    breaker.record(forgotten, Outcome::Failure, ms(45_001));
    assert!(
        breaker.try_acquire(ms(45_002)).is_err(),
        "the second probe is still under way"
    );
    breaker.record(second, Outcome::Success, ms(45_003));
    let third = breaker.try_acquire(ms(45_004)).unwrap();
    breaker.record(third, Outcome::Success, ms(45_005));
    assert_eq!(state(&breaker, 45_005), BreakerState::Closed);
}

#[test]
fn results_of_calls_from_before_decide_nothing() {
    let mut breaker = breaker();
    let mut early: Vec<_> = (0..20)
        .map(|_| breaker.try_acquire(ms(0)).unwrap())
        .collect();
    calls(&mut breaker, "FFFFF", 1, 0);
    // Late successes and failures while it is open, and while it probes.
    breaker.record(early.pop().unwrap(), Outcome::Success, ms(2));
    breaker.record(early.pop().unwrap(), Outcome::Failure, ms(2));
    assert_eq!(breaker.snapshot(ms(2)).next_probe_at, Some(ms(30_001)));
    let probe = breaker.try_acquire(ms(30_001)).unwrap();
    breaker.record(early.pop().unwrap(), Outcome::Success, ms(30_002));
    breaker.record(early.pop().unwrap(), Outcome::Failure, ms(30_002));
    assert_eq!(state(&breaker, 30_002), BreakerState::HalfOpen);
    breaker.record(probe, Outcome::Success, ms(30_003));
    let probe = breaker.try_acquire(ms(30_004)).unwrap();
    breaker.record(probe, Outcome::Success, ms(30_005));
    // And after it has closed again: sixteen old timeouts must not re-open it.
    for permit in early {
        breaker.record(permit, Outcome::Timeout, ms(30_006));
    }
    let snapshot = breaker.snapshot(ms(30_006));
    assert_eq!(snapshot.state, BreakerState::Closed);
    assert_eq!((snapshot.consecutive, snapshot.window.total()), (0, 0));
    assert_eq!(
        (snapshot.successes, snapshot.failures, snapshot.timeouts),
        (4, 23, 16)
    );
}

#[test]
fn reset_closes_at_once_and_disowns_what_is_under_way() {
    let mut breaker = opened(0);
    let probe = breaker.try_acquire(ms(30_000)).unwrap();
    breaker.reset();
    assert_eq!(state(&breaker, 30_000), BreakerState::Closed);
    breaker.record(probe, Outcome::Failure, ms(30_001));
    let snapshot = breaker.snapshot(ms(30_001));
    assert_eq!(
        (snapshot.state, snapshot.consecutive),
        (BreakerState::Closed, 0)
    );
    assert_eq!((snapshot.opened_at, snapshot.next_probe_at), (None, None));
}

#[test]
fn numbers_that_make_no_breaker_are_refused() {
    let good = BreakerSettings::default();
    assert_eq!(good.check(), Ok(()));
    for (settings, why) in [
        (
            BreakerSettings {
                window: Duration::ZERO,
                ..good
            },
            InvalidBreaker::EmptyWindow,
        ),
        (
            BreakerSettings { buckets: 0, ..good },
            InvalidBreaker::EmptyWindow,
        ),
        (
            BreakerSettings {
                failure_percent: 0,
                ..good
            },
            InvalidBreaker::Percent,
        ),
        (
            BreakerSettings {
                failure_percent: 101,
                ..good
            },
            InvalidBreaker::Percent,
        ),
        (
            BreakerSettings {
                calls_min: 0,
                ..good
            },
            InvalidBreaker::ZeroCount,
        ),
        (
            BreakerSettings {
                consecutive_failures: 0,
                ..good
            },
            InvalidBreaker::ZeroCount,
        ),
        (
            BreakerSettings {
                probe_successes: 0,
                ..good
            },
            InvalidBreaker::ZeroCount,
        ),
        (
            BreakerSettings {
                open_for: Duration::ZERO,
                ..good
            },
            InvalidBreaker::ZeroTime,
        ),
        (
            BreakerSettings {
                probe_timeout: Duration::ZERO,
                ..good
            },
            InvalidBreaker::ZeroTime,
        ),
    ] {
        assert_eq!(Breaker::try_new(settings).unwrap_err(), why);
    }
}
