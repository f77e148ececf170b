//! How long to wait before trying again: exponential, with full jitter.
//!
//! The wait before retry `n` is drawn evenly from zero to `base * 2^n`, never more than `cap`. Full
//! jitter rather than a fixed schedule with a little noise: a thousand stores that lost central in
//! the same instant must not come back in the same instant.
//!
//! A `Retry-After` from the other side is a floor, and the jitter comes *on top* of it, because
//! everybody who was refused together was told the same number. It is trusted only up to
//! `retry_after_cap`: a broken peer cannot send a follower to sleep for a year.
//!
//! Left out: how many attempts there are and by when they must end. The caller's deadline says so.

use std::time::Duration;

/// The numbers of a [`Backoff`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffSettings {
    /// Upper end of the first wait.
    pub base: Duration,
    /// Longest wait, a `Retry-After` apart.
    pub cap: Duration,
    /// Longest `Retry-After` that is believed.
    pub retry_after_cap: Duration,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(100),
            cap: Duration::from_secs(10),
            retry_after_cap: Duration::from_secs(60),
        }
    }
}

/// Why settings make no backoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackoff {
    /// Every wait would be zero.
    #[error("the first wait must be longer than zero")]
    ZeroBase,
    /// The first wait would break the cap.
    #[error("the longest wait must not be shorter than the first")]
    CapBelowBase,
    /// A day or more is a typing error, not a wait.
    #[error("a wait must be shorter than a day")]
    TooLong,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A schedule of waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    settings: BackoffSettings,
}

impl Backoff {
    /// A schedule by `settings`.
    ///
    /// # Errors
    /// [`InvalidBackoff`] when the numbers contradict each other.
    pub fn try_new(settings: BackoffSettings) -> Result<Self, InvalidBackoff> {
        if settings.base.is_zero() {
            return Err(InvalidBackoff::ZeroBase);
        }
        if settings.cap < settings.base {
            return Err(InvalidBackoff::CapBelowBase);
        }
        if settings.cap >= DAY || settings.retry_after_cap >= DAY {
            return Err(InvalidBackoff::TooLong);
        }
        Ok(Self { settings })
    }

    /// The longest wait before retry `retry` (0 is the first), a `Retry-After` apart.
    #[must_use]
    pub fn ceiling(&self, retry: u32) -> Duration {
        let factor = 1_u32.checked_shl(retry).unwrap_or(u32::MAX);
        self.settings
            .base
            .saturating_mul(factor)
            .min(self.settings.cap)
    }

    /// The wait before retry `retry` (0 is the first). `random` is 64 random bits; `retry_after` is
    /// what the other side asked for.
    #[must_use]
    pub fn delay(&self, retry: u32, random: u64, retry_after: Option<Duration>) -> Duration {
        let ceiling = self.ceiling(retry).as_nanos();
        // Scales the bits to the ceiling: a day in nanoseconds is 47 bits, so 111 bits suffice.
        let jitter = (ceiling * u128::from(random)) >> u64::BITS;
        let jitter = u64::try_from(jitter).map_or(self.settings.cap, Duration::from_nanos);
        let floor = retry_after
            .unwrap_or_default()
            .min(self.settings.retry_after_cap);
        floor.saturating_add(jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn backoff() -> Backoff {
        Backoff::try_new(BackoffSettings {
            base: ms(100),
            cap: ms(1_000),
            retry_after_cap: ms(60_000),
        })
        .unwrap()
    }

    #[test]
    fn ceilings_double_up_to_the_cap() {
        for (retry, ceiling) in [
            (0, 100),
            (1, 200),
            (3, 800),
            (4, 1_000),
            (31, 1_000),
            (u32::MAX, 1_000),
        ] {
            assert_eq!(backoff().ceiling(retry), ms(ceiling), "retry {retry}");
        }
    }

    #[test]
    fn jitter_spans_from_zero_to_the_ceiling() {
        assert_eq!(backoff().delay(2, 0, None), Duration::ZERO);
        assert_eq!(backoff().delay(2, u64::MAX / 2 + 1, None), ms(200));
        let longest = backoff().delay(2, u64::MAX, None);
        assert!(longest < ms(400) && longest > ms(399), "{longest:?}");
    }

    #[test]
    fn retry_after_is_a_floor_that_is_believed_up_to_its_cap() {
        for (asked, floor) in [(0, 0), (5_000, 5_000), (60_001, 60_000), (u64::MAX, 60_000)] {
            let shortest = backoff().delay(0, 0, Some(ms(asked)));
            assert_eq!(shortest, ms(floor), "asked {asked}");
            let longest = backoff().delay(0, u64::MAX, Some(ms(asked)));
            assert!(
                longest > shortest && longest < ms(floor + 100),
                "asked {asked}"
            );
        }
    }

    #[test]
    fn contradicting_numbers_are_refused() {
        let good = BackoffSettings::default();
        let zero = BackoffSettings {
            base: Duration::ZERO,
            ..good
        };
        let below = BackoffSettings { cap: ms(1), ..good };
        let long = BackoffSettings { cap: DAY, ..good };
        let believed = BackoffSettings {
            retry_after_cap: DAY,
            ..good
        };
        for (settings, why) in [
            (zero, InvalidBackoff::ZeroBase),
            (below, InvalidBackoff::CapBelowBase),
            (long, InvalidBackoff::TooLong),
            (believed, InvalidBackoff::TooLong),
        ] {
            assert_eq!(Backoff::try_new(settings), Err(why));
        }
        assert_eq!(Backoff::try_new(good), Ok(Backoff::default()));
    }
}
