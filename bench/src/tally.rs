//! What a run counted, and how it is printed.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest latency that is told apart from longer ones: a minute. The bound is fixed because a
/// histogram that grows is not grown by a saturating record.
const LONGEST_NANOS: u64 = 60_000_000_000;

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Carried out; counts for this many operations.
    Done(u64),
    /// Refused by a rule that the workload expects to meet, such as a version conflict.
    Refused,
    /// Anything else.
    Failed,
}

/// Counts and latencies of one run, or of several put together.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Operations carried out.
    pub done: u64,
    /// Requests that met an expected refusal.
    pub refused: u64,
    /// Requests that failed, connections that broke, answers that did not come.
    pub failed: u64,
    /// What the first failure looked like.
    pub first_failure: Option<String>,
    /// Time over which was counted.
    pub span: Duration,
    /// Latency of each answered request, in nanoseconds.
    pub latency: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            done: 0,
            refused: 0,
            failed: 0,
            first_failure: None,
            span: Duration::ZERO,
            latency: Histogram::new_with_bounds(1, LONGEST_NANOS, 3)
                .expect("the bounds are in order and three digits are allowed"),
        }
    }
}

impl Tally {
    /// Notes one answered request.
    pub fn record(&mut self, outcome: Outcome, latency: Duration) {
        match outcome {
            Outcome::Done(operations) => self.done = self.done.saturating_add(operations),
            Outcome::Refused => self.refused = self.refused.saturating_add(1),
            Outcome::Failed => self.failed = self.failed.saturating_add(1),
        }
        self.latency.saturating_record(nanos(latency));
    }

    /// Notes a failure; keeps what the first one looked like.
    pub fn fail(&mut self, what: impl fmt::Display) {
        self.failed = self.failed.saturating_add(1);
        self.explain(what);
    }

    /// Keeps what the first failure looked like.
    pub fn explain(&mut self, what: impl fmt::Display) {
        if self.first_failure.is_none() {
            self.first_failure = Some(what.to_string());
        }
    }

    /// Adds what another thread counted over the same time.
    pub fn join(&mut self, other: &Self) {
        self.done = self.done.saturating_add(other.done);
        self.refused = self.refused.saturating_add(other.refused);
        self.failed = self.failed.saturating_add(other.failed);
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&other.first_failure);
        }
        self.span = self.span.max(other.span);
        self.latency
            .add(&other.latency)
            .expect("histograms with the same bounds take each other");
    }

    /// Adds a later run of the same kind.
    pub fn append(&mut self, later: &Self) {
        let span = self.span.saturating_add(later.span);
        self.join(later);
        self.span = span;
    }

    /// Operations a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.span.is_zero() {
            return 0.0;
        }
        count(self.done) / self.span.as_secs_f64()
    }

    /// The latency that `share` of the requests stayed below.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(share))
    }

    /// The longest latency.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.latency.max())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>10.0}/s  p50 {:>9}  p99 {:>9}  max {:>9}",
            self.rate(),
            Millis(self.quantile(0.5)),
            Millis(self.quantile(0.99)),
            Millis(self.longest()),
        )?;
        if self.refused > 0 {
            write!(f, "  refused {}", self.refused)?;
        }
        write!(f, "  errors {}", self.failed)?;
        if let Some(what) = &self.first_failure {
            write!(f, " (first: {what})")?;
        }
        Ok(())
    }
}

/// A duration in milliseconds with as many decimals as mean something.
#[derive(Clone, Copy, Debug)]
pub struct Millis(pub Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_secs_f64() * 1_000.0;
        let decimals = if millis < 10.0 { 3 } else { 1 };
        f.pad(&format!("{millis:.decimals$} ms"))
    }
}

/// A duration in whole nanoseconds, as the histograms take it.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A count as a float, for ratios.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^53, and a ratio needs no more"
)]
pub const fn count(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up_and_rounds_follow_each_other() {
        let round = |millis| {
            let mut tally = Tally {
                span: Duration::from_secs(2),
                ..Tally::default()
            };
            tally.record(Outcome::Done(3), Duration::from_millis(millis));
            tally.record(Outcome::Refused, Duration::from_millis(millis));
            tally
        };
        let mut sum = round(1);
        sum.join(&round(5));
        assert_eq!((sum.done, sum.refused, sum.failed), (6, 2, 0));
        assert!((sum.rate() - 3.0).abs() < 1e-9);
        sum.append(&round(5));
        assert_eq!(sum.span, Duration::from_secs(4));
        assert!(sum.longest() >= Duration::from_millis(5));
    }

    #[test]
    fn milliseconds_read_well() {
        let text = |nanos| Millis(Duration::from_nanos(nanos)).to_string();
        assert_eq!(text(412_300), "0.412 ms");
        assert_eq!(text(41_230_000), "41.2 ms");
    }
}
