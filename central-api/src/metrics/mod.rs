//! What central measures: one registry, put together here and served on `METRICS_PORT`.
//!
//! Three kinds, by where the figure comes from. [`readings`] looks up what the published views hold
//! anyway: head, journal, orders by status, stores. [`ledger`] and [`feed`] are counters of the hot
//! paths, told once a frame and once an answer. [`saga`] counts what happens to money. Each of these is
//! owned by the part that counts, so that a ledger or a runner in a test needs no registry.
//!
//! What must stay true: labels are words of ours (a problem code, a status, a feed) or the id of one of
//! a bounded number of stores; nobody who decides or syncs waits for a scrape.

pub mod feed;
pub mod ledger;
mod readings;
pub mod saga;

pub use feed::FeedMetrics;
pub use ledger::{FrameTally, LedgerMetrics};
pub use saga::SagaMetrics;

use shared::service::metrics::Metrics;

use crate::http::AppState;
use crate::http::health::SERVICE;
use crate::payments::Guarded;

/// Everything that the service around `state` measures.
#[must_use]
pub fn of(state: &AppState) -> Metrics {
    let version = env!("CARGO_PKG_VERSION");
    let metrics = Metrics::of_service(SERVICE, version, &state.shared.requests);
    let published = state.ledger.published();
    published.metrics.register(&metrics);
    published.feed_metrics.register(&metrics);
    metrics.register(state.shared.limits.refusals().clone());
    state.shared.orders.metrics().register(&metrics);
    let payments = std::sync::Arc::clone(&state.shared.payments);
    metrics.breaker(Guarded::NAME, move || payments.guard().view().breaker);
    readings::register(&metrics, state);
    metrics
}
