//! Counts of successes and failures over the last seconds.
//!
//! A ring of buckets, each stamped with the slot of time it counts. A bucket whose stamp is too old
//! is simply not added up and is emptied when its place is needed again, so there is no timer and
//! no clean-up pass. Counts are exact; what is rounded is the edge of the window: it covers the
//! present bucket and the ones before it, between `span - span / buckets` and `span` of time.
//!
//! Left out: latencies and percentiles; nothing that decides needs them.

use std::time::Duration;

/// How many calls went which way within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowCounts {
    /// Calls that succeeded.
    pub successes: u64,
    /// Calls that failed.
    pub failures: u64,
}

impl WindowCounts {
    /// All calls.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.successes.saturating_add(self.failures)
    }

    /// Whether at least `percent` of the calls failed; `false` when there were none.
    #[must_use]
    pub fn failed_at_least(self, percent: u8) -> bool {
        // In 128 bits, where no product of a count and a percentage can overflow.
        let failures = u128::from(self.failures) * 100;
        self.total() > 0 && failures >= u128::from(self.total()) * u128::from(percent)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    slot: u128,
    counts: WindowCounts,
}

/// A rolling window.
#[derive(Clone, Debug)]
pub struct RollingWindow {
    bucket_nanos: u128,
    buckets: Vec<Bucket>,
    newest: u128,
}

impl RollingWindow {
    /// A window over `span` in `buckets` parts; at least one part of at least a nanosecond.
    #[must_use]
    pub fn new(span: Duration, buckets: u16) -> Self {
        let buckets = buckets.max(1);
        Self {
            bucket_nanos: (span.as_nanos() / u128::from(buckets)).max(1),
            buckets: vec![Bucket::default(); usize::from(buckets)],
            newest: 0,
        }
    }

    /// Counts a success at `now`.
    pub fn success(&mut self, now: Duration) {
        if let Some(counts) = self.present(now) {
            counts.successes = counts.successes.saturating_add(1);
        }
    }

    /// Counts a failure at `now`.
    pub fn failure(&mut self, now: Duration) {
        if let Some(counts) = self.present(now) {
            counts.failures = counts.failures.saturating_add(1);
        }
    }

    /// What happened within the window that ends at `now`.
    #[must_use]
    pub fn counts(&self, now: Duration) -> WindowCounts {
        let newest = self.slot(now);
        let oldest = newest.saturating_sub(self.buckets.len() as u128 - 1);
        let live = self.buckets.iter();
        let live = live.filter(|bucket| (oldest..=newest).contains(&bucket.slot));
        live.fold(WindowCounts::default(), |sum, bucket| WindowCounts {
            successes: sum.successes.saturating_add(bucket.counts.successes),
            failures: sum.failures.saturating_add(bucket.counts.failures),
        })
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets.fill(Bucket::default());
    }

    fn slot(&self, now: Duration) -> u128 {
        (now.as_nanos() / self.bucket_nanos).max(self.newest)
    }

    fn present(&mut self, now: Duration) -> Option<&mut WindowCounts> {
        let slot = self.slot(now);
        self.newest = slot;
        let place = usize::try_from(slot % self.buckets.len() as u128).ok()?;
        let bucket = self.buckets.get_mut(place)?;
        if bucket.slot != slot {
            *bucket = Bucket {
                slot,
                counts: WindowCounts::default(),
            };
        }
        Some(&mut bucket.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn window() -> RollingWindow {
        RollingWindow::new(ms(10_000), 10)
    }

    #[test]
    fn counts_leave_with_their_bucket() {
        let mut window = window();
        window.failure(ms(0));
        window.failure(ms(999));
        window.success(ms(1_000));
        for (at, successes, failures) in [
            (1_000, 1, 2),
            (9_999, 1, 2),
            (10_000, 1, 0),
            (10_999, 1, 0),
            (11_000, 0, 0),
            (1_000_000, 0, 0),
        ] {
            let counts = window.counts(ms(at));
            assert_eq!(
                (counts.successes, counts.failures),
                (successes, failures),
                "at {at} ms"
            );
        }
    }

    #[test]
    fn a_bucket_is_emptied_before_it_is_used_again() {
        let mut window = window();
        for second in 0..25 {
            window.failure(ms(second * 1_000));
        }
        assert_eq!(window.counts(ms(24_000)).failures, 10);
    }

    #[test]
    fn a_clock_that_goes_back_stands_still() {
        let mut window = window();
        window.failure(ms(50_000));
        window.failure(ms(3_000));
        assert_eq!(window.counts(ms(3_000)).failures, 2);
        assert_eq!(window.counts(ms(50_000)).failures, 2);
    }

    #[test]
    fn the_threshold_is_met_exactly() {
        for (successes, failures, percent, expected) in [
            (0, 0, 0, false),
            (5, 5, 50, true),
            (6, 5, 50, false),
            (0, 1, 100, true),
            (1, u64::MAX / 2, 100, false),
        ] {
            let counts = WindowCounts {
                successes,
                failures,
            };
            assert_eq!(
                counts.failed_at_least(percent),
                expected,
                "{counts:?} {percent}"
            );
        }
    }

    #[test]
    fn degenerate_sizes_still_count() {
        let mut window = RollingWindow::new(Duration::ZERO, 0);
        window.success(ms(1));
        assert_eq!(window.counts(ms(1)).total(), 1);
        assert_eq!(window.counts(ms(2)).total(), 0);
    }
}
