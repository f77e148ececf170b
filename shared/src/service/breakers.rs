//! What both services show of their circuit breakers, and the settings that these have.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::guard::Guard;
use crate::clock::Timestamp;
use crate::policy::breaker::InvalidBreaker;
use crate::policy::{Breaker, BreakerSettings};

/// The settings of a breaker, to be flattened into a service's own. Every number of the breaker is one,
/// but the time after which a silent probe is given up, which follows from the time for a call.
#[derive(Clone, Debug, clap::Args)]
pub struct BreakerArgs {
    /// Seconds over which the breaker counts.
    #[arg(
        long = "breaker-window-seconds",
        env = "BREAKER_WINDOW_SECONDS",
        default_value_t = 10
    )]
    pub window_seconds: u64,
    /// Parts of that time, which are forgotten one by one; more parts, sharper edge.
    #[arg(
        long = "breaker-buckets",
        env = "BREAKER_BUCKETS",
        default_value_t = 10
    )]
    pub buckets: u16,
    /// Percentage of failures in the window that opens the breaker.
    #[arg(
        long = "breaker-failure-percent",
        env = "BREAKER_FAILURE_PERCENT",
        default_value_t = 50
    )]
    pub failure_percent: u8,
    /// Calls in the window below which the percentage says nothing.
    #[arg(
        long = "breaker-min-calls",
        env = "BREAKER_MIN_CALLS",
        default_value_t = 5
    )]
    pub min_calls: u32,
    /// Failures in a row that open the breaker.
    #[arg(
        long = "breaker-consecutive-failures",
        env = "BREAKER_CONSECUTIVE_FAILURES",
        default_value_t = 5
    )]
    pub consecutive_failures: u32,
    /// Milliseconds from opening to the first probe.
    #[arg(
        long = "breaker-open-ms",
        env = "BREAKER_OPEN_MS",
        default_value_t = 30_000
    )]
    pub open_ms: u64,
    /// Successful probes that close the breaker.
    #[arg(
        long = "breaker-probe-successes",
        env = "BREAKER_PROBE_SUCCESSES",
        default_value_t = 2
    )]
    pub probe_successes: u32,
}

impl Default for BreakerArgs {
    fn default() -> Self {
        Self {
            window_seconds: 10,
            buckets: 10,
            failure_percent: 50,
            min_calls: 5,
            consecutive_failures: 5,
            open_ms: 30_000,
            probe_successes: 2,
        }
    }
}

impl BreakerArgs {
    /// The numbers of a breaker around calls that take at most `call_timeout`.
    ///
    /// # Errors
    /// [`InvalidBreaker`] when they make none.
    pub fn check(&self, call_timeout: Duration) -> Result<BreakerSettings, InvalidBreaker> {
        let settings = BreakerSettings {
            window: Duration::from_secs(self.window_seconds),
            buckets: self.buckets,
            failure_percent: self.failure_percent,
            calls_min: self.min_calls,
            consecutive_failures: self.consecutive_failures,
            open_for: Duration::from_millis(self.open_ms),
            probe_successes: self.probe_successes,
            probe_timeout: call_timeout.saturating_mul(2),
        };
        Breaker::try_new(settings).map(|_| settings)
    }
}

/// A breaker as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerBody {
    name: &'static str,
    /// `closed`, `open` or `half_open`.
    state: &'static str,
    /// Calls that were answered, since the start.
    #[schema(minimum = 0)]
    successes: u64,
    /// Calls that were not, timeouts included.
    #[schema(minimum = 0)]
    failures: u64,
    /// Calls that were not made, because it was open.
    #[schema(minimum = 0)]
    rejected: u64,
    #[schema(minimum = 0)]
    timeouts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    latency_ms: Option<LatencyBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    opened_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    next_probe_at: Option<String>,
}

/// Latencies of recent calls in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
pub struct LatencyBody {
    p50: f64,
    p99: f64,
}

/// Every breaker.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakersBody {
    /// All that this service has.
    pub circuit_breakers: Vec<BreakerBody>,
}

impl BreakerBody {
    /// What `guard`, called `name`, shows at `wall`, the present time of day.
    #[must_use]
    pub fn of(name: &'static str, guard: &Guard, wall: Timestamp) -> Self {
        let view = guard.view();
        // The breaker counts from its own start; people want the time of day.
        let at = |instant: Duration| -> String {
            let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            let ahead = millis(instant).saturating_sub(millis(view.now));
            wall.plus_millis(ahead).to_string()
        };
        let millis = |latency: Duration| latency.as_secs_f64() * 1000.0;
        Self {
            name,
            state: view.breaker.state.as_str(),
            successes: view.breaker.successes,
            failures: view.breaker.failures,
            rejected: view.breaker.rejected,
            timeouts: view.breaker.timeouts,
            latency_ms: view.latency.map(|(p50, p99)| LatencyBody {
                p50: millis(p50),
                p99: millis(p99),
            }),
            opened_at: view.breaker.opened_at.map(at),
            next_probe_at: view.breaker.next_probe_at.map(at),
        }
    }
}
