//! One limit: so many requests a minute for each subject, in any minute whatever.
//!
//! The generic cell rate algorithm (as in ATM traffic management; here the `governor` crate) lets a
//! burst through and refills it evenly, so there is no window whose edge one could wait for. A tenth of
//! the limit may come at once and the rest evenly: together never more than the limit within any 60
//! seconds, which a burst of the whole limit would not give. The price: who asks evenly gets nine
//! tenths of the limit.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock, Reference as _};
use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter};

use super::subjects::{Subject, Subjects};

/// The time over which a limit is said.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// [`WINDOW`] in nanoseconds.
const WINDOW_NANOS: u64 = 60_000_000_000;

/// What a limit says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Requests that may follow at once.
    pub remaining: u32,
    /// Until when waiting helps: until everything is free again, or for whoever is refused, until one
    /// request is.
    pub reset: Duration,
    /// Whether this one is refused.
    pub is_refused: bool,
}

/// What a limit knows of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who it is.
    pub subject: Subject,
    /// Requests that it may send at once.
    pub remaining: u32,
}

/// A limit for many subjects.
#[derive(Debug)]
pub struct Limit<C: Clock = MonotonicClock> {
    per_minute: NonZeroU32,
    /// Requests that may come at once.
    burst: NonZeroU32,
    /// Nanoseconds in which one more may.
    step: u64,
    states: Subjects,
    limiter: RateLimiter<Subject, Subjects, C, StateInformationMiddleware>,
    began: C::Instant,
}

impl<C: Clock> Limit<C> {
    /// A limit of so many requests a minute, for about `most` subjects at a time, by `clock`.
    #[must_use]
    pub fn new(per_minute: NonZeroU32, most: usize, clock: C) -> Self {
        let burst = NonZeroU32::new(per_minute.get() / 10).unwrap_or(NonZeroU32::MIN);
        // The last one of a minute comes less than a minute after the first, so one more fits.
        let evenly = per_minute.get() - burst.get() + 1;
        // Rounded up: a nanosecond too little would let one too many through.
        let step = WINDOW_NANOS.div_ceil(evenly.into());
        let quota = Quota::with_period(Duration::from_nanos(step));
        let quota = quota.unwrap_or(Quota::per_minute(per_minute));
        let states = Subjects::new(most, step);
        let began = clock.now();
        Self {
            per_minute,
            burst,
            step,
            limiter: RateLimiter::new(quota.allow_burst(burst), states.clone(), clock),
            states,
            began,
        }
    }

    /// Requests a minute.
    #[must_use]
    pub const fn per_minute(&self) -> NonZeroU32 {
        self.per_minute
    }

    /// Counts a request of `subject`.
    pub fn count(&self, subject: &Subject) -> Verdict {
        match self.limiter.check_key(subject) {
            Ok(snapshot) => {
                let remaining = snapshot.remaining_burst_capacity();
                let used = self.burst.get().saturating_sub(remaining);
                Verdict {
                    remaining,
                    reset: Duration::from_nanos(self.step.saturating_mul(used.into())),
                    is_refused: false,
                }
            }
            Err(until) => Verdict {
                remaining: 0,
                reset: until.wait_time_from(self.limiter.clock().now()),
                is_refused: true,
            },
        }
    }

    /// What a request of `subject` would be told if it came now and were refused; none if it would not
    /// be. Counts nothing.
    #[must_use]
    pub fn would_refuse(&self, subject: &Subject) -> Option<Verdict> {
        let rests_at = self.states.of(subject)?;
        let ahead = rests_at.saturating_sub(self.now());
        let most = self.step.saturating_mul(u64::from(self.burst.get()) - 1);
        (ahead > most).then(|| Verdict {
            remaining: 0,
            reset: Duration::from_nanos(ahead - most),
            is_refused: true,
        })
    }

    /// Everybody who has asked lately, in no order.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        let now = self.now();
        let active = self.states.active(now).into_iter();
        let standing = |(subject, rests_at): (_, u64)| {
            let used = rests_at.saturating_sub(now).div_ceil(self.step);
            let used = u32::try_from(used).unwrap_or(u32::MAX);
            let remaining = self.burst.get().saturating_sub(used);
            Standing { subject, remaining }
        };
        active.map(standing).collect()
    }

    /// Forgets who has asked how much.
    pub fn reset(&self) {
        self.states.clear();
    }

    /// How many subjects are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.states.len()
    }

    /// Nanoseconds since the limit was made, by its own clock.
    fn now(&self) -> u64 {
        let now = self.limiter.clock().now();
        now.duration_since(self.began).as_u64()
    }
}
