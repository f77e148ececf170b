//! Figures that are there anyway, looked up when somebody scrapes.

use shared::clock::Timestamp;
use shared::domain::inventory::ReservationState;
use shared::domain::order::OrderStatus;
use shared::limits;
use shared::service::metrics::{Family, Metrics, Readings};
use shared::view::ListRequest;

use crate::http::AppState;
use crate::http::stores::Follower;
use crate::journal::Stream;

const QUEUE: Family = Family::gauge(
    "holdfast_writer_queue_commands",
    "Commands that wait for the writer.",
    &[],
);
const SEQ: Family = Family::gauge(
    "holdfast_journal_head_seq",
    "Number of the last durable record; restarts go on from it.",
    &[],
);
const BYTES: Family = Family::gauge(
    "holdfast_journal_bytes",
    "Bytes of the journal on disk.",
    &[],
);
const FREE: Family = Family::gauge(
    "holdfast_journal_free_bytes",
    "Bytes that are free on the disk that the journal grows on; below 256 MiB nothing new is taken.",
    &[],
);
const SEGMENTS: Family = Family::gauge("holdfast_journal_segments", "Files of the journal.", &[]);
const HEAD: Family = Family::gauge(
    "holdfast_feed_head_offset",
    "Offset that the next event of a feed gets.",
    &["feed"],
);
const RING: Family = Family::gauge(
    "holdfast_feed_ring_bytes",
    "Bytes of recent events that are kept in memory for followers.",
    &["feed"],
);
const PARKED: Family = Family::gauge(
    "holdfast_feed_parked_polls",
    "Long polls and streams that wait for the next event.",
    &[],
);
const SNAPSHOT_AGE: Family = Family::gauge(
    "holdfast_snapshot_age_seconds",
    "Time since the last record that the newest snapshot of the state holds was decided, in seconds; absent before the first.",
    &[],
);
const SNAPSHOT_BEHIND: Family = Family::gauge(
    "holdfast_snapshot_behind_records",
    "Records after the newest snapshot of the state: what a start has to read.",
    &[],
);
const PRODUCTS: Family = Family::gauge(
    "holdfast_products",
    "Products in the catalogue; at a store, in its copy of it.",
    &[],
);
const SHORT: Family = Family::gauge(
    "holdfast_products_short",
    "Products of which more is promised than there is.",
    &[],
);
const HOLDS: Family = Family::gauge(
    "holdfast_reservations_active",
    "Reservations whose units are held.",
    &[],
);
const HOLDS_MADE: Family = Family::counter(
    "holdfast_reservations_made_total",
    "Reservations that were made since the process started.",
    &[],
);
const HOLDS_RESOLVED: Family = Family::counter(
    "holdfast_reservations_resolved_total",
    "Reservations that ended since the process started, by how.",
    &["state"],
);
const ORDERS: Family = Family::gauge(
    "holdfast_orders",
    "Orders that are remembered, by status.",
    &["status"],
);
const ORDER_CHANGES: Family = Family::counter(
    "holdfast_order_transitions_total",
    "Orders that came to a status since the process started, new ones included.",
    &["status"],
);
const ORDERS_WORK: Family = Family::gauge(
    "holdfast_orders_in_progress",
    "Orders for which the payment provider has something to do still.",
    &[],
);
const STORES_KNOWN: Family = Family::gauge(
    "holdfast_stores_known",
    "Stores that have reported since central started.",
    &[],
);
const STORES_ONLINE: Family = Family::gauge(
    "holdfast_stores_online",
    "Stores that have reported lately.",
    &[],
);
const STORES_BEHIND: Family = Family::gauge(
    "holdfast_stores_behind",
    "Stores that are online and had not everything when they last reported.",
    &[],
);
const STORES_DRIFTED: Family = Family::gauge(
    "holdfast_stores_drifted",
    "Stores that hold something else than central held at the same offset.",
    &[],
);
const STORE_ONLINE: Family = Family::gauge(
    "holdfast_store_online",
    "Whether the store has reported lately.",
    &["store"],
);
const STORE_LAG: Family = Family::gauge(
    "holdfast_store_lag_events",
    "Events that the store had not applied when it last reported, as seen from the present head.",
    &["store"],
);
const STORE_LAG_SECONDS: Family = Family::gauge(
    "holdfast_store_lag_seconds",
    "Time since the store was last seen at the head, in seconds; 0 while it is there.",
    &["store"],
);
const STORE_DRIFTED: Family = Family::gauge(
    "holdfast_store_drifted",
    "Whether the store holds something else than central held at the same offset.",
    &["store"],
);

/// Has `metrics` look at `state`.
pub(super) fn register(metrics: &Metrics, state: &AppState) {
    let looked_at = state.clone();
    metrics.on_scrape(
        &[
            &QUEUE,
            &SEQ,
            &BYTES,
            &SEGMENTS,
            &FREE,
            &HEAD,
            &RING,
            &PARKED,
            &SNAPSHOT_AGE,
            &SNAPSHOT_BEHIND,
        ],
        move |into| log(into, &looked_at),
    );
    let looked_at = state.clone();
    metrics.on_scrape(
        &[
            &PRODUCTS,
            &SHORT,
            &HOLDS,
            &HOLDS_MADE,
            &HOLDS_RESOLVED,
            &ORDERS,
            &ORDER_CHANGES,
            &ORDERS_WORK,
        ],
        move |into| books(into, &looked_at),
    );
    let looked_at = state.clone();
    metrics.on_scrape(
        &[
            &STORES_KNOWN,
            &STORES_ONLINE,
            &STORES_BEHIND,
            &STORES_DRIFTED,
            &STORE_ONLINE,
            &STORE_LAG,
            &STORE_LAG_SECONDS,
            &STORE_DRIFTED,
        ],
        move |into| stores(into, &looked_at),
    );
}

fn log(into: &mut Readings, state: &AppState) {
    let published = state.ledger.published();
    let (head, size) = (published.head(), published.journal.size());
    into.put(&QUEUE, &[], state.ledger.queue_depth());
    into.put(&SEQ, &[], head.seq);
    into.put(&BYTES, &[], size.bytes);
    into.put(&SEGMENTS, &[], size.segments);
    // Who cannot say says nothing, which an alert can tell from a full disk.
    if let Ok(free) = published.journal.free_bytes() {
        into.put(&FREE, &[], free);
    }
    into.put(&PARKED, &[], published.watchers());
    for (stream, offset) in [
        (Stream::Inventory, head.offset),
        (Stream::Orders, head.orders),
    ] {
        into.put(&HEAD, &[stream.as_str()], offset);
        into.put(&RING, &[stream.as_str()], published.ring_of(stream).bytes());
    }
    let snapshot = published.newest_snapshot();
    let seq = snapshot.map_or(0, |snapshot| snapshot.seq);
    into.put(&SNAPSHOT_BEHIND, &[], head.seq.saturating_sub(seq));
    if let Some(snapshot) = snapshot {
        into.put(&SNAPSHOT_AGE, &[], seconds(state.ledger.now(), snapshot.at));
    }
}

fn books(into: &mut Readings, state: &AppState) {
    let published = state.ledger.published();
    into.put(&PRODUCTS, &[], published.view.len());
    if let Ok(short) = ListRequest::from_pairs([("shortfall", "true"), ("limit", "1")]) {
        into.put(&SHORT, &[], published.view.list(&short).total);
    }
    let figures = published.books.figures();
    into.put(&HOLDS, &[], figures.active);
    into.put(&HOLDS_MADE, &[], figures.made);
    for state in ReservationState::ALL {
        if let Some(resolved) = figures.resolved(state) {
            into.put(&HOLDS_RESOLVED, &[state.as_str()], resolved);
        }
    }
    for (at, status) in OrderStatus::ALL.into_iter().enumerate() {
        let of = |counts: &[u64; 8]| counts.get(at).copied().unwrap_or(0);
        into.put(&ORDERS, &[status.as_str()], of(&figures.orders));
        into.put(&ORDER_CHANGES, &[status.as_str()], of(&figures.transitions));
    }
    into.put(&ORDERS_WORK, &[], state.shared.orders.running());
}

fn stores(into: &mut Readings, state: &AppState) {
    let (head, now) = (state.ledger.published().head().offset, state.ledger.now());
    let stores = &state.shared.stores;
    let summary = stores.summary(head, now);
    into.put(&STORES_KNOWN, &[], summary.known);
    into.put(&STORES_ONLINE, &[], summary.online);
    into.put(&STORES_BEHIND, &[], summary.behind);
    into.put(&STORES_DRIFTED, &[], summary.drifted);
    for follower in stores.followers(head, now, limits::STORES_MEASURED) {
        let Follower {
            store,
            online,
            lag_events,
            lag,
            drifted,
        } = &follower;
        let labels = [store.as_str()];
        into.put(&STORE_ONLINE, &labels, *online);
        into.put(&STORE_LAG, &labels, *lag_events);
        into.put(&STORE_LAG_SECONDS, &labels, *lag);
        into.put(&STORE_DRIFTED, &labels, *drifted);
    }
}

fn seconds(now: Timestamp, at: Timestamp) -> std::time::Duration {
    std::time::Duration::from_millis(now.millis_since(at).unsigned_abs())
}
