//! What people and headers are told about the sync.
//!
//! Written by the follower, read by everybody. It decides nothing.

use std::time::Duration;

use parking_lot::RwLock;
use shared::clock::Timestamp;

use super::follower_core::Phase;
use super::freshness::Proof;
use crate::metrics::SyncMetrics;

/// The state of the sync at one moment.
#[derive(Clone, Debug)]
pub struct SyncState {
    /// How well the copy is known to be current.
    pub phase: Phase,
    /// When it was last known to be current.
    pub proof: Option<Proof>,
    /// The head of central's log, as last heard.
    pub head: Option<u64>,
    /// Events behind it.
    pub lag: Option<u64>,
    /// Whether a full sync is under way.
    pub in_progress: bool,
    /// When something good was last heard.
    pub last_sync_at: Option<Timestamp>,
    /// Whether the last attempt at anything went well.
    pub last_success: bool,
    /// How long the last full sync took.
    pub last_full_sync: Option<Duration>,
    /// What went wrong last, until something goes well.
    pub error: Option<String>,
    /// Full syncs that were done.
    pub full_syncs: u64,
    /// Events that were applied.
    pub events_applied: u64,
    /// When the copy last changed.
    pub last_update_at: Option<Timestamp>,
}

/// Holds the [`SyncState`].
#[derive(Debug)]
pub struct Status {
    state: RwLock<SyncState>,
    metrics: SyncMetrics,
}

impl Status {
    /// The state of a store that has just started with a copy that was current at `proof`.
    #[must_use]
    pub fn new(proof: Option<Proof>) -> Self {
        let state = SyncState {
            phase: Phase::Starting,
            proof,
            head: None,
            lag: None,
            in_progress: false,
            last_sync_at: None,
            last_success: false,
            last_full_sync: None,
            error: None,
            full_syncs: 0,
            events_applied: 0,
            last_update_at: None,
        };
        Self {
            state: RwLock::new(state),
            metrics: SyncMetrics::default(),
        }
    }

    /// What the follower counts.
    #[must_use]
    pub const fn metrics(&self) -> &SyncMetrics {
        &self.metrics
    }

    /// The state now.
    #[must_use]
    pub fn get(&self) -> SyncState {
        self.state.read().clone()
    }

    /// What every read needs of it.
    #[must_use]
    pub fn brief(&self) -> (Phase, Option<u64>, Option<Proof>) {
        let state = self.state.read();
        (state.phase, state.lag, state.proof)
    }

    pub(super) fn follows(
        &self,
        phase: Phase,
        proof: Option<Proof>,
        head: Option<u64>,
        lag: Option<u64>,
    ) {
        let mut state = self.state.write();
        state.phase = phase;
        state.proof = proof.or(state.proof);
        state.head = head;
        state.lag = lag;
    }

    pub(super) fn good(&self, events: u64, now: Timestamp) {
        let mut state = self.state.write();
        state.last_success = true;
        state.last_sync_at = Some(now);
        state.error = None;
        state.events_applied += events;
        if events > 0 {
            state.last_update_at = Some(now);
        }
    }

    pub(super) fn failed(&self, what: &str) {
        let mut state = self.state.write();
        state.last_success = false;
        state.error = Some(what.to_owned());
    }

    pub(super) fn sync_began(&self) {
        self.state.write().in_progress = true;
    }

    pub(super) fn sync_ended(&self, took: Duration, now: Timestamp) {
        let mut state = self.state.write();
        state.in_progress = false;
        state.last_full_sync = Some(took);
        state.full_syncs += 1;
        state.last_success = true;
        state.last_sync_at = Some(now);
        state.last_update_at = Some(now);
        state.error = None;
    }

    /// A full sync ended without a result; what went wrong is told by [`Status::failed`].
    pub(super) fn sync_failed(&self) {
        self.state.write().in_progress = false;
    }
}
