//! Decisions, frames and syncs.
//!
//! The writer counts into a plain [`FrameTally`] while it decides, and the flusher adds that to the
//! counters after the frame is durable and everybody is answered: a few additions a frame, whatever is
//! in it, and nothing is counted that did not happen.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};
use shared::domain::ItemResult;
use shared::service::metrics::{Metrics, counters, histogram};
use shared::wire::problem::ProblemCode;

use crate::http::refusal;
use crate::ledger::{Answer, Decided};

/// Records of a frame, up to what one may hold.
const RECORDS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 4_096.0,
];
/// Seconds that a sync takes, from a fast disk to one in trouble.
const SYNC_SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_2, 0.000_35, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 1.0, 5.0,
];
/// The reason of what was not refused.
const NONE: &str = "none";

/// What was decided for one frame; plain numbers.
#[derive(Clone, Debug)]
pub struct FrameTally {
    applied: u32,
    unchanged: u32,
    replayed: u32,
    refused: [u32; ProblemCode::ALL.len()],
}

impl Default for FrameTally {
    fn default() -> Self {
        Self {
            applied: 0,
            unchanged: 0,
            replayed: 0,
            refused: [0; ProblemCode::ALL.len()],
        }
    }
}

impl FrameTally {
    /// Counts what became of one request, item by item.
    pub fn count(&mut self, answer: &Answer) {
        match answer {
            Answer::Replay { .. } => self.replayed += 1,
            Answer::KeyReused => self.refuse(ProblemCode::IdempotencyKeyReused),
            Answer::Decided(decided) => self.decided(decided),
        }
    }

    fn decided(&mut self, decided: &Decided) {
        for result in &decided.decision.results {
            match result {
                ItemResult::Applied(_) => self.applied += 1,
                ItemResult::Unchanged => self.unchanged += 1,
                ItemResult::Refused(rejection) => self.refuse(refusal::code(rejection)),
            }
        }
    }

    fn refuse(&mut self, code: ProblemCode) {
        // Codes are numbered in the order of their list.
        if let Some(refused) = self.refused.get_mut(code as usize) {
            *refused += 1;
        }
    }
}

/// What a ledger counts.
#[derive(Debug)]
pub struct LedgerMetrics {
    decisions: IntCounterVec,
    applied: IntCounter,
    unchanged: IntCounter,
    replayed: IntCounter,
    records: Histogram,
    sync: Histogram,
    keys: IntGauge,
}

impl Default for LedgerMetrics {
    fn default() -> Self {
        let insufficient = ProblemCode::InsufficientInventory.as_str();
        let decisions = counters(
            "holdfast_decisions_total",
            "Items that were decided (one for a movement, one for each line of a list), by outcome; a refusal has its problem code as the reason.",
            &["outcome", "reason"],
            &[
                &["applied", NONE],
                &["unchanged", NONE],
                &["replayed", NONE],
                &["refused", insufficient],
            ],
        );
        let plain = |outcome: &str| decisions.with_label_values(&[outcome, NONE]);
        Self {
            applied: plain("applied"),
            unchanged: plain("unchanged"),
            replayed: plain("replayed"),
            decisions,
            records: histogram(
                "holdfast_frame_records",
                "Records in a frame: how many decisions shared one sync.",
                RECORDS,
            ),
            sync: histogram(
                "holdfast_journal_sync_duration_seconds",
                "Time to append a frame to the journal and make it durable (fdatasync), in seconds.",
                SYNC_SECONDS,
            ),
            keys: IntGauge::new(
                "holdfast_idempotency_keys",
                "Idempotency keys that are remembered.",
            )
            .expect("a valid name"),
        }
    }
}

impl LedgerMetrics {
    /// A frame of so many records was made durable within `sync`.
    pub fn synced(&self, records: u32, sync: Duration) {
        self.records.observe(records.into());
        self.sync.observe(sync.as_secs_f64());
    }

    /// This was decided, and so many keys are remembered now.
    pub fn decided(&self, tally: &FrameTally, keys: usize) {
        for (counter, count) in [
            (&self.applied, tally.applied),
            (&self.unchanged, tally.unchanged),
            (&self.replayed, tally.replayed),
        ] {
            if count > 0 {
                counter.inc_by(count.into());
            }
        }
        for (code, count) in ProblemCode::ALL.iter().zip(tally.refused) {
            if count > 0 {
                let labels = ["refused", code.as_str()];
                self.decisions
                    .with_label_values(&labels)
                    .inc_by(count.into());
            }
        }
        self.remembers(keys);
    }

    /// So many keys are remembered now.
    pub fn remembers(&self, keys: usize) {
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    pub(super) fn register(&self, metrics: &Metrics) {
        metrics.register(self.decisions.clone());
        metrics.register(self.records.clone());
        metrics.register(self.sync.clone());
        metrics.register(self.keys.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_place() {
        let mut tally = FrameTally::default();
        for code in ProblemCode::ALL {
            tally.refuse(*code);
        }
        assert_eq!(tally.refused, [1; ProblemCode::ALL.len()]);
        for (at, code) in ProblemCode::ALL.iter().enumerate() {
            assert_eq!(at, *code as usize, "{code:?}");
        }
    }
}
