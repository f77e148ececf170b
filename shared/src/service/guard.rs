//! A breaker that calls can share: with its lock, its clock, and what calls have taken.
//!
//! The rules are [`policy::breaker`](crate::policy::Breaker), a plain value. Here is the shell that
//! every guarded caller needs around it: a store around its calls to central, central around its
//! payment provider. What a failure is remains the caller's judgement, and so do timeouts and
//! retries: a [`Guard`] only says whether a call may be made, and listens to how it ended.
//!
//! What must stay true: a permit comes back, also from a call that its caller has given up, so that
//! a probe which nobody waits for does not stand in the way of the next.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits;
use crate::policy::{Breaker, BreakerSnapshot, BreakerState, Outcome, Permit};

/// A breaker that calls share.
#[derive(Debug)]
pub struct Guard {
    breaker: Mutex<Breaker>,
    latencies: Mutex<VecDeque<Duration>>,
    /// The breaker's time begins here.
    started: Instant,
}

/// A guard as people see it.
#[derive(Clone, Debug)]
pub struct GuardView {
    /// The breaker's state and counts.
    pub breaker: BreakerSnapshot,
    /// Half of the recent calls took at most this long, and 99 of 100.
    pub latency: Option<(Duration, Duration)>,
    /// The present instant, in the breaker's time.
    pub now: Duration,
}

impl GuardView {
    /// The time after which a call may be let through, if none is now.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let at = self.breaker.next_probe_at?;
        Some(at.saturating_sub(self.now))
    }
}

impl Guard {
    /// A guard around calls that `breaker` judges.
    #[must_use]
    pub fn new(breaker: Breaker) -> Self {
        Self {
            breaker: Mutex::new(breaker),
            latencies: Mutex::new(VecDeque::new()),
            started: Instant::now(),
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Asks to make a call.
    ///
    /// # Errors
    /// The time after which asking again makes sense, when none may be made now.
    pub fn acquire(&self) -> Result<GuardedCall<'_>, Duration> {
        let now = self.now();
        let permit = self.breaker.lock().try_acquire(now);
        match permit {
            Ok(permit) => Ok(GuardedCall {
                guard: self,
                permit: Some(permit),
                began: Instant::now(),
            }),
            Err(open) => Err(open.wait(now)),
        }
    }

    /// Whether a call would be let through now. Takes nothing: between this and the call, another
    /// may take the probe.
    #[must_use]
    pub fn would_allow(&self) -> bool {
        let view = self.breaker.lock().snapshot(self.now());
        view.next_probe_at.is_none_or(|at| at <= self.now())
    }

    /// The breaker and the latencies as they stand.
    #[must_use]
    pub fn view(&self) -> GuardView {
        let now = self.now();
        let mut sorted: Vec<_> = self.latencies.lock().iter().copied().collect();
        sorted.sort_unstable();
        let at = |percent: usize| {
            sorted
                .get(sorted.len().saturating_sub(1) * percent / 100)
                .copied()
        };
        GuardView {
            breaker: self.breaker.lock().snapshot(now),
            latency: at(50).zip(at(99)),
            now,
        }
    }

    /// The breaker's state.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.breaker.lock().snapshot(self.now()).state
    }

    /// Closes the breaker, as an operator may ask.
    pub fn reset(&self) {
        self.breaker.lock().reset();
    }

    fn took(&self, latency: Duration) {
        let mut latencies = self.latencies.lock();
        if latencies.len() >= limits::LATENCIES_KEPT {
            latencies.pop_front();
        }
        latencies.push_back(latency);
    }
}

/// A call under way. Dropped without a word, it says nothing about the other side.
#[derive(Debug)]
#[must_use = "a call that is not recorded says nothing to the breaker"]
pub struct GuardedCall<'a> {
    guard: &'a Guard,
    permit: Option<Permit>,
    began: Instant,
}

impl GuardedCall<'_> {
    /// Says how the call ended.
    pub fn record(mut self, outcome: Outcome) {
        self.guard.took(self.began.elapsed());
        self.give_back(outcome);
    }

    fn give_back(&mut self, outcome: Outcome) {
        if let Some(permit) = self.permit.take() {
            let now = self.guard.now();
            self.guard.breaker.lock().record(permit, outcome, now);
        }
    }
}

impl Drop for GuardedCall<'_> {
    fn drop(&mut self) {
        self.give_back(Outcome::Ignored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::BreakerSettings;

    fn guard() -> Guard {
        Guard::new(Breaker::try_new(BreakerSettings::default()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn asking_whether_it_would_allow_takes_no_probe() {
        let guard = guard();
        assert!(guard.would_allow());
        for _ in 0..5 {
            guard.acquire().unwrap().record(Outcome::Failure);
        }
        assert!(!guard.would_allow());
        assert_eq!(guard.acquire().unwrap_err(), Duration::from_secs(30));
        tokio::time::sleep(Duration::from_secs(30)).await;
        for _ in 0..3 {
            assert!(guard.would_allow());
        }
        let probe = guard.acquire().unwrap();
        assert!(!guard.would_allow(), "the one probe is under way");
        probe.record(Outcome::Success);
        assert!(guard.would_allow());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_leaves_its_place() {
        let guard = guard();
        for _ in 0..5 {
            guard.acquire().unwrap().record(Outcome::Timeout);
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(guard.acquire().unwrap());
        assert!(guard.would_allow());
        assert_eq!(guard.view().breaker.timeouts, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn latencies_are_those_of_recorded_calls_and_bounded() {
        let guard = guard();
        assert_eq!(guard.view().latency, None);
        for millis in 1..=200 {
            let call = guard.acquire().unwrap();
            tokio::time::sleep(Duration::from_millis(millis)).await;
            call.record(Outcome::Success);
        }
        let (half, most) = guard.view().latency.unwrap();
        let millis = Duration::from_millis;
        assert_eq!((half, most), (millis(100), millis(198)));
        for _ in 0..limits::LATENCIES_KEPT {
            guard.acquire().unwrap().record(Outcome::Success);
        }
        let (half, most) = guard.view().latency.unwrap();
        assert_eq!((half, most), (Duration::ZERO, Duration::ZERO));
    }
}
