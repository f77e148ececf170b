//! What the runner of orders asks of the payment provider, and what comes of it.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec};
use shared::domain::order::Step;
use shared::service::metrics::{Metrics, counter_of, counters, histograms};

/// Seconds of a step: a simulated bank, a real one, one that lets us wait.
const STEP_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

const STEPS: [&str; 3] = ["charge", "void", "refund"];

/// What can come of each step, so that a graph of it begins at 0.
const OUTCOMES: &[&[&str]] = &[
    &["charge", "approved"],
    &["charge", "declined"],
    &["charge", "unknown"],
    &["charge", "not_sent"],
    &["void", "voided"],
    &["void", "approved"],
    &["void", "unknown"],
    &["void", "not_sent"],
    &["refund", "refunded"],
    &["refund", "refused"],
    &["refund", "unknown"],
    &["refund", "not_sent"],
];

/// What the runner counts.
#[derive(Debug)]
pub struct SagaMetrics {
    took: HistogramVec,
    payments: IntCounterVec,
    retries: IntCounter,
}

impl Default for SagaMetrics {
    fn default() -> Self {
        Self {
            took: histograms(
                "holdfast_saga_step_duration_seconds",
                "Time of one step of an order: the call to the payment provider and the durable record of what came of it, in seconds.",
                STEP_SECONDS,
                "step",
                &STEPS,
            ),
            payments: counters(
                "holdfast_payments_total",
                "Calls to the payment provider, by step and outcome; unknown means that nobody knows, not_sent that no money can have moved.",
                &["step", "outcome"],
                OUTCOMES,
            ),
            retries: counter_of(
                "holdfast_retries_total",
                "Calls that were made again because the one before told nothing, by who was called.",
                ("target", "payments"),
            ),
        }
    }
}

impl SagaMetrics {
    /// The provider was asked, and this came of it.
    pub fn asked(&self, step: &Step, outcome: &str) {
        let labels = [step.as_str(), outcome];
        self.payments.with_label_values(&labels).inc();
    }

    /// A step was taken and recorded within this time.
    pub fn took(&self, step: &Step, took: Duration) {
        let took_of = self.took.with_label_values(&[step.as_str()]);
        took_of.observe(took.as_secs_f64());
    }

    /// The provider is about to be asked again.
    pub fn retried(&self) {
        self.retries.inc();
    }

    pub(super) fn register(&self, metrics: &Metrics) {
        metrics.register(self.took.clone());
        metrics.register(self.payments.clone());
        metrics.register(self.retries.clone());
    }
}
