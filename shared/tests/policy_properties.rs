//! The policies at random: whatever the calls and their order, the promises of the module docs hold.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use proptest::prelude::*;
use shared::policy::{
    Backoff, BackoffSettings, Breaker, BreakerSettings, BreakerState, Outcome, Permit,
    RollingWindow,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Acquire,
    /// The result of one of the calls under way.
    Finish(usize, Outcome),
    /// One of the calls under way is never heard of again.
    Forget(usize),
    Reset,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Failure),
        2 => Just(Outcome::Timeout),
        4 => Just(Outcome::Success),
        1 => Just(Outcome::Ignored),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop_oneof![0..50_u64, 0..3_000_u64, 0..40_000_u64].prop_map(Step::Wait),
        8 => Just(Step::Acquire),
        8 => (any::<usize>(), outcome()).prop_map(|(which, outcome)| Step::Finish(which, outcome)),
        1 => any::<usize>().prop_map(Step::Forget),
        1 => Just(Step::Reset),
    ]
}

/// What an outsider can check without knowing the breaker's inside.
struct Watcher {
    breaker: Breaker,
    now: u64,
    /// Calls under way, with the life of the breaker they belong to.
    under_way: Vec<(Permit, u64)>,
    /// Counts the changes of state that were seen.
    life: u64,
    /// Results that count since the breaker last closed, newest last.
    counted: Vec<(u64, bool)>,
    /// Until when nobody else may probe.
    probe_until: Option<u64>,
    /// Whether a probe was seen since the last change.
    probing: bool,
}

impl Watcher {
    fn new() -> Self {
        Self {
            breaker: Breaker::try_new(BreakerSettings::default()).unwrap(),
            now: 0,
            under_way: Vec::new(),
            life: 0,
            counted: Vec::new(),
            probe_until: None,
            probing: false,
        }
    }

    fn after(steps: &[Step]) -> Self {
        let mut watcher = Self::new();
        for step in steps {
            watcher.run(step);
        }
        watcher
    }

    fn state(&self) -> BreakerState {
        self.breaker.snapshot(ms(self.now)).state
    }

    fn changed(&mut self) {
        self.life += 1;
        self.counted.clear();
        self.probe_until = None;
        self.probing = false;
    }

    /// The threshold in the words of the contract, over the results that count.
    fn threshold_met(&self) -> bool {
        let newest_first = self.counted.iter().rev();
        let in_a_row = newest_first.take_while(|(_, good)| !good).count();
        let oldest = (self.now / 1_000).saturating_sub(9) * 1_000;
        let live = self.counted.iter().filter(|(at, _)| *at >= oldest);
        let (bad, all) = live.fold((0, 0), |(bad, all), (_, good)| {
            (bad + usize::from(!good), all + 1)
        });
        in_a_row >= 5 || (all >= 5 && bad * 2 >= all)
    }

    fn acquire(&mut self) {
        let before = self.state();
        let Ok(permit) = self.breaker.try_acquire(ms(self.now)) else {
            assert_ne!(
                before,
                BreakerState::Closed,
                "a closed breaker refuses nothing"
            );
            return;
        };
        if permit.is_probe() {
            assert_eq!(before, BreakerState::HalfOpen);
            let earlier = self.probe_until.filter(|until| self.now < *until);
            assert_eq!(earlier, None, "two probes under way");
            self.probe_until = Some(self.now + 15_000);
            // The first probe begins a new life; the ones after it belong to the same.
            if !self.probing {
                self.probing = true;
                self.life += 1;
            }
        } else {
            assert_eq!(before, BreakerState::Closed);
        }
        self.under_way.push((permit, self.life));
    }

    fn finish(&mut self, which: usize, outcome: Outcome) {
        if self.under_way.is_empty() {
            return;
        }
        let (permit, life) = self.under_way.swap_remove(which % self.under_way.len());
        let before = self.state();
        let (current, probe) = (life == self.life, permit.is_probe());
        if before == BreakerState::Closed && current {
            match outcome {
                Outcome::Success => self.counted.push((self.now, true)),
                Outcome::Failure | Outcome::Timeout => self.counted.push((self.now, false)),
                Outcome::Ignored => {}
            }
        }
        self.breaker.record(permit, outcome, ms(self.now));
        match (before, self.state()) {
            (BreakerState::Closed, BreakerState::Closed) => {
                let counts = current && outcome != Outcome::Ignored;
                assert!(!counts || !self.threshold_met(), "stayed closed");
            }
            (BreakerState::Closed, _) => {
                assert!(
                    current && self.threshold_met(),
                    "opened without a threshold"
                );
                self.changed();
            }
            (BreakerState::HalfOpen, BreakerState::HalfOpen) => {
                let next = self.breaker.snapshot(ms(self.now)).next_probe_at;
                if next.is_some_and(|at| at <= ms(self.now)) {
                    self.probe_until = None;
                }
            }
            (BreakerState::HalfOpen, _) => {
                assert!(current && probe, "decided by a call from before");
                self.changed();
            }
            (BreakerState::Open, after) => assert_eq!(after, BreakerState::Open),
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Wait(millis) => self.now += millis,
            Step::Acquire => self.acquire(),
            Step::Finish(which, outcome) => self.finish(*which, *outcome),
            Step::Forget(which) => {
                if !self.under_way.is_empty() {
                    drop(self.under_way.swap_remove(which % self.under_way.len()));
                }
            }
            Step::Reset => {
                self.breaker.reset();
                assert_eq!(self.state(), BreakerState::Closed);
                self.changed();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_breaker_changes_only_by_its_rules(steps in prop::collection::vec(step(), 0..200)) {
        Watcher::after(&steps);
    }

    #[test]
    fn a_breaker_always_recovers(steps in prop::collection::vec(step(), 0..200)) {
        let mut watcher = Watcher::after(&steps);
        // Whatever was forgotten: once the other side is well, a bounded time is enough.
        watcher.now += 45_000;
        for _ in 0..2 {
            let permit = watcher.breaker.try_acquire(ms(watcher.now)).unwrap();
            watcher.breaker.record(permit, Outcome::Success, ms(watcher.now));
        }
        prop_assert_eq!(watcher.state(), BreakerState::Closed);
    }

    #[test]
    fn a_window_counts_exactly_what_its_buckets_cover(
        calls in prop::collection::vec((0..2_500_u64, any::<bool>()), 0..100),
    ) {
        let mut window = RollingWindow::new(ms(10_000), 10);
        let (mut now, mut seen) = (0, Vec::new());
        for (wait, good) in calls {
            now += wait;
            if good { window.success(ms(now)) } else { window.failure(ms(now)) }
            seen.push((now, good));
            let oldest = (now / 1_000_u64).saturating_sub(9) * 1_000;
            let live = seen.iter().filter(|(at, _)| *at >= oldest).count();
            let good = seen.iter().filter(|(at, good)| *at >= oldest && *good).count();
            let counts = window.counts(ms(now));
            prop_assert_eq!(counts.successes, good as u64);
            prop_assert_eq!(counts.failures, (live - good) as u64);
        }
    }

    #[test]
    fn a_wait_is_never_outside_its_bounds(
        base in 1..100_000_u64,
        more in 0..80_000_000_u64,
        retry: u32,
        random: u64,
        asked: Option<u64>,
    ) {
        let settings =
            BackoffSettings { base: ms(base), cap: ms(base + more), retry_after_cap: ms(60_000) };
        let backoff = Backoff::try_new(settings).unwrap();
        let asked = asked.map(ms);
        let wait = backoff.delay(retry, random, asked);
        let floor = asked.unwrap_or_default().min(ms(60_000));
        prop_assert!(wait >= floor);
        prop_assert!(wait < floor + backoff.ceiling(retry));
        prop_assert!(backoff.ceiling(retry) <= settings.cap);
    }
}
