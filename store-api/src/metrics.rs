//! What a store measures: one registry, put together here and served on `METRICS_PORT`.
//!
//! Most of it is read from what the store shows anyway (status, tip, keeper, breaker) when somebody
//! scrapes. The few things that only happen are counted where they happen: how old events are when they
//! are applied, full syncs and why, calls to central that are made again.
//!
//! The propagation delay compares two clocks, central's, which dates an event when it is decided, and
//! this store's. On one machine that is exact to the millisecond; over a network it is as good as the
//! clocks are set, and a store whose clock is behind shows 0.

use prometheus::{Histogram, IntCounterVec};
use shared::clock::Timestamp;
use shared::service::metrics::{Family, Metrics, Readings, counters, histogram};

use crate::http::AppState;
use crate::replica::follower_core::{Phase, Reason};

/// Seconds from a decision to its effect here: a good line, a bad one, a morning after.
const PROPAGATION_SECONDS: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
    3_600.0,
];

const STATE: Family = Family::gauge(
    "holdfast_sync_state",
    "1 for the state that the sync is in, 0 for the others.",
    &["state"],
);
const APPLIED: Family = Family::gauge(
    "holdfast_sync_applied_offset",
    "Offset of the next event that the copy wants; absent before the first sync.",
    &[],
);
const HEAD: Family = Family::gauge(
    "holdfast_sync_central_head_offset",
    "Offset that central's next event gets, as last heard; absent before anything was heard.",
    &[],
);
const LAG: Family = Family::gauge(
    "holdfast_sync_lag_events",
    "Events that central had, as last heard, and the copy has not; absent before anything was heard.",
    &[],
);
const EVENTS: Family = Family::counter(
    "holdfast_sync_events_applied_total",
    "Events that were applied to the copy.",
    &[],
);
const AGE: Family = Family::gauge(
    "holdfast_cache_age_seconds",
    "Time since the copy was last proved to stand at central's head, in seconds; absent before the first sync.",
    &[],
);
const PRODUCTS: Family = Family::gauge(
    "holdfast_products",
    "Products in the catalogue; at a store, in its copy of it.",
    &[],
);
const BYTES: Family = Family::gauge("holdfast_cache_bytes", "Bytes of the copy on disk.", &[]);
const PERSISTENT: Family = Family::gauge(
    "holdfast_cache_persistent",
    "Whether the copy is on disk too; 0 after a fault of the disk.",
    &[],
);
const CHECKPOINTS: Family = Family::counter(
    "holdfast_cache_checkpoints_total",
    "Times that the copy's journal was folded into a new snapshot file.",
    &[],
);
const REACHABLE: Family = Family::gauge(
    "holdfast_central_reachable",
    "Whether central answered when it was last asked.",
    &[],
);

/// What the follower counts.
#[derive(Debug)]
pub struct SyncMetrics {
    propagation: Histogram,
    full_syncs: IntCounterVec,
}

impl Default for SyncMetrics {
    fn default() -> Self {
        let reasons = Reason::ALL.map(Reason::as_str);
        let known: Vec<&[&str]> = reasons.iter().map(std::slice::from_ref).collect();
        Self {
            propagation: histogram(
                "holdfast_propagation_delay_seconds",
                "Time from an event's decision at central to its being applied here, in seconds, by the clocks of both.",
                PROPAGATION_SECONDS,
            ),
            full_syncs: counters(
                "holdfast_sync_full_total",
                "Times that the whole catalogue was loaded, by why; digest_mismatch is drift.",
                &["reason"],
                &known,
            ),
        }
    }
}

impl SyncMetrics {
    /// Events that were decided at these times are applied `now`.
    pub fn applied(&self, decided: impl Iterator<Item = Timestamp>, now: Timestamp) {
        let delays = self.propagation.local();
        for at in decided {
            let millis = u32::try_from(now.millis_since(at)).unwrap_or(u32::MAX);
            delays.observe(f64::from(millis) / 1_000.0);
        }
        delays.flush();
    }

    /// The whole catalogue was loaded.
    pub fn synced_fully(&self, reason: Reason) {
        self.full_syncs.with_label_values(&[reason.as_str()]).inc();
    }
}

/// Everything that the service around `state` measures.
#[must_use]
pub fn of(state: &AppState) -> Metrics {
    let version = env!("CARGO_PKG_VERSION");
    let metrics = Metrics::of_service("store-api", version, &state.requests);
    let counted = state.status.metrics();
    metrics.register(counted.propagation.clone());
    metrics.register(counted.full_syncs.clone());
    metrics.register(state.central.retries().clone());
    metrics.register(state.limits.refusals().clone());
    let central = std::sync::Arc::clone(&state.central);
    metrics.breaker("central", move || central.guard().view().breaker);
    let looked_at = state.clone();
    metrics.on_scrape(
        &[
            &STATE,
            &APPLIED,
            &HEAD,
            &LAG,
            &EVENTS,
            &AGE,
            &PRODUCTS,
            &BYTES,
            &PERSISTENT,
            &CHECKPOINTS,
            &REACHABLE,
        ],
        move |into| read(into, &looked_at),
    );
    metrics
}

fn read(into: &mut Readings, state: &AppState) {
    let (sync, files) = (state.status.get(), state.keeper.status());
    into.put_state(&STATE, &Phase::ALL.map(Phase::as_str), sync.phase.as_str());
    if let Some(tip) = state.live.tip() {
        into.put(&APPLIED, &[], tip.position.offset);
        into.put(&PRODUCTS, &[], tip.summary.count);
    }
    if let Some(head) = sync.head {
        into.put(&HEAD, &[], head);
    }
    if let Some(lag) = sync.lag {
        into.put(&LAG, &[], lag);
    }
    if let Some(proof) = sync.proof {
        into.put(&AGE, &[], proof.age(&*state.clock));
    }
    into.put(&EVENTS, &[], sync.events_applied);
    into.put(&BYTES, &[], files.bytes());
    into.put(&PERSISTENT, &[], !files.is_broken());
    into.put(&CHECKPOINTS, &[], files.checkpoints());
    into.put(&REACHABLE, &[], state.contact.is_reachable());
}
