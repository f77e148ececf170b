//! Pace against answers that come at once and bring nothing.
//!
//! A long poll that is answered immediately and empty, again and again, has something on its way
//! that does not wait. The same question must then not be asked as quickly as it is answered.

use std::time::Duration;

/// An empty answer to a long poll within this time did not wait.
pub(super) const INSTANT: Duration = Duration::from_secs(1);
/// Instant empty answers that may come in a burst; afterwards one a second.
const INSTANT_BURST: u32 = 2;

/// Lets a few instant answers pass, then one a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// When the bucket was, or will be, full, if nothing is spent.
    full_at: Duration,
}

impl Bucket {
    pub(super) const fn full(now: Duration) -> Self {
        Self { full_at: now }
    }

    /// Spends one; answers when the next may be asked for.
    pub(super) fn spend(&mut self, now: Duration) -> Duration {
        self.full_at = self.full_at.max(now).saturating_add(INSTANT);
        let burst = INSTANT.saturating_mul(INSTANT_BURST);
        self.full_at.saturating_sub(burst).max(now)
    }
}
