//! The only reader of the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::clock::{Clock, Timestamp};

/// The time of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock set before 1970 is a broken machine; it reads as the epoch rather than a panic.
        let millis = since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        });
        Timestamp::from_millis(millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_a_plausible_time() {
        let now = SystemClock.now();
        let first_release: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert!(now > first_release && now < first_release.plus_millis(100 * 365 * 86_400_000));
    }
}
