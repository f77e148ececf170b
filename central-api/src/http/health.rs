//! `/health*` and `/v1/info`: whether the service works, and what it is. No key is needed.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::clock::Clock;
use shared::limits;
use shared::service::disk_space;
use shared::service::health::{HealthCheck, HealthReport, HealthStatus};
use shared::service::openapi::HealthBody;
use shared::service::system_clock::SystemClock;

use utoipa::ToSchema;

use super::{AppState, examples};
use crate::faults::Faults;

/// Name of the service in answers and logs.
pub const SERVICE: &str = "central-api";

/// What this service can do beyond seed 003, for clients that ask before they try.
const FEATURES: [&str; 11] = [
    "inventory",
    "products",
    "feed",
    "snapshots",
    "counts",
    "history",
    "orders",
    "import",
    "export",
    "stores",
    "reservations",
];

/// Whether the process answers at all.
#[utoipa::path(
    get, path = "/health/live", tag = "operations", operation_id = "healthLive",
    responses((status = 200, body = HealthBody, example = json!(examples::health())))
)]
pub async fn live() -> Response {
    HealthReport::new(SERVICE, env!("CARGO_PKG_VERSION"), SystemClock.now()).into_response()
}

/// Whether it can do its work: 200 when healthy or degraded, 503 when not.
#[utoipa::path(
    get, path = "/health", tag = "operations", operation_id = "health",
    responses((status = 200, body = HealthBody, example = json!(examples::health())), (status = 503, description = "Unhealthy.", body = HealthBody))
)]
pub async fn ready(State(state): State<AppState>) -> Response {
    let published = state.ledger.published();
    let head = published.head();
    let log = published.journal.size();
    let syncing = published.syncing_for();
    let report = HealthReport::new(SERVICE, env!("CARGO_PKG_VERSION"), SystemClock.now())
        .check(
            "writer",
            writer(state.ledger.queue_depth(), state.ledger.held_up()),
        )
        .check(
            "journal",
            journal(syncing)
                .figure("headOffset", head.offset)
                .figure("durableSecondsAgo", published.since_durable().as_secs())
                .figure("bytes", log.bytes)
                .figure("segments", log.segments),
        )
        .check("followers", followers(&state))
        .check("disk", disk(&state).await);
    match &state.shared.faults {
        Some(faults) => report.check("faults", injected(faults)).into_response(),
        None => report.into_response(),
    }
}

/// How full the disk is, and whether it is too full for anything new: then everything else still works.
async fn disk(state: &AppState) -> HealthCheck {
    let check = disk_space::check(state.shared.data_dir.clone()).await;
    if state.ledger.is_full() {
        check.detail("the disk is full; what would change something is refused")
    } else {
        check
    }
}

/// Whether commands are decided, of which `queued` wait. If they were not for a while, nothing that
/// changes anything can be done here, whatever the reason.
fn writer(queued: usize, held_up: Duration) -> HealthCheck {
    let check = if held_up > limits::WRITER_HELD_UP {
        HealthCheck::new(HealthStatus::Unhealthy).detail("commands wait and are not decided")
    } else if queued * 10 >= limits::WRITER_QUEUE * 9 {
        HealthCheck::new(HealthStatus::Degraded).detail("the queue of commands is almost full")
    } else {
        HealthCheck::new(HealthStatus::Healthy)
    };
    check
        .figure("queued", queued)
        .figure("heldUpSeconds", held_up.as_secs())
}

/// Whether frames become durable: for how long the one in flight has been waiting for its sync.
fn journal(syncing: Duration) -> HealthCheck {
    if syncing > limits::WRITER_HELD_UP {
        HealthCheck::new(HealthStatus::Unhealthy).detail("the disk does not answer")
    } else {
        HealthCheck::new(HealthStatus::Healthy)
    }
}

/// Whether calls fail on purpose. Nobody should have to find out by other means.
fn injected(faults: &Faults) -> HealthCheck {
    let rules = faults.active();
    let check = if rules == 0 {
        HealthCheck::new(HealthStatus::Healthy).figure("state", "allowed")
    } else {
        HealthCheck::new(HealthStatus::Degraded)
            .detail("calls fail on purpose")
            .figure("state", "active")
    };
    check.figure("rules", rules)
}

/// How the stores follow. That one is behind or away is its own affair; that one holds something
/// else than we held is not.
fn followers(state: &AppState) -> HealthCheck {
    let (head, now) = (state.ledger.published().head().offset, SystemClock.now());
    let summary = state.shared.stores.summary(head, now);
    let check = if summary.drifted > 0 {
        HealthCheck::new(HealthStatus::Degraded).detail("a store holds other figures than central")
    } else {
        HealthCheck::new(HealthStatus::Healthy)
    };
    check
        .figure("known", summary.known)
        .figure("online", summary.online)
        .figure("behind", summary.behind)
        .figure("drifted", summary.drifted)
        .figure("lagEventsMax", state.shared.stores.lag_max(head, now))
}

/// The same as `/health`.
#[utoipa::path(
    get, path = "/health/ready", tag = "operations", operation_id = "healthReady",
    responses((status = 200, body = HealthBody, example = json!(examples::health())), (status = 503, description = "Unhealthy.", body = HealthBody))
)]
pub async fn ready_alias(state: State<AppState>) -> Response {
    ready(state).await
}

/// What `GET /v1/info` says.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    service: &'static str,
    version: &'static str,
    name: &'static str,
    currency: String,
    #[serde(rename = "gen")]
    log_gen: String,
    head_offset: u64,
    oldest_offset: u64,
    /// Where the order feed stands.
    order_head_offset: u64,
    order_oldest_offset: u64,
    limits: InfoLimits,
    retention: InfoRetention,
    features: Vec<&'static str>,
    /// Whether calls can be made to fail on purpose here: not a service to depend on.
    fault_injection: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct InfoLimits {
    batch_lines: usize,
    body_bytes: usize,
    delta_units: i64,
    feed_limit: usize,
    feed_wait_seconds: u64,
    page_by_offset: usize,
    page_by_cursor: usize,
    reservation_ttl_seconds_default: u64,
    reservation_ttl_seconds_max: u64,
    reservation_life_seconds_max: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct InfoRetention {
    /// Hours for which an idempotency key is remembered.
    idempotency_hours: u32,
    /// Keys that are remembered; of more, the oldest are forgotten before their time.
    idempotency_keys: usize,
    /// Hours for which events are kept; 0 is for ever.
    event_hours: u32,
}

/// Says what this service is, where its log stands, and what it allows.
#[utoipa::path(
    get, path = "/v1/info", tag = "operations", operation_id = "info",
    responses((status = 200, body = Info, example = json!(examples::info())))
)]
pub async fn info(State(state): State<AppState>) -> Json<Info> {
    let published = state.ledger.published();
    let (head, oldest) = (published.head(), published.journal.oldest().offsets);
    Json(Info {
        service: SERVICE,
        version: env!("CARGO_PKG_VERSION"),
        name: "Holdfast",
        currency: state.shared.currency.clone(),
        log_gen: published.log_gen().to_string(),
        head_offset: head.offset,
        oldest_offset: oldest.inventory,
        order_head_offset: head.orders,
        order_oldest_offset: oldest.orders,
        limits: InfoLimits {
            batch_lines: limits::BATCH_LINES,
            body_bytes: limits::BODY_BYTES,
            delta_units: limits::DELTA_UNITS,
            feed_limit: limits::FEED_LIMIT_MAX,
            feed_wait_seconds: limits::FEED_WAIT_MAX.as_secs(),
            page_by_offset: limits::PAGE_BY_OFFSET,
            page_by_cursor: limits::PAGE_BY_CURSOR,
            reservation_ttl_seconds_default: limits::RESERVATION_TTL_DEFAULT.as_secs(),
            reservation_ttl_seconds_max: limits::RESERVATION_TTL_MAX.as_secs(),
            reservation_life_seconds_max: limits::RESERVATION_LIFE_MAX.as_secs(),
        },
        retention: InfoRetention {
            idempotency_hours: state.shared.idempotency_retention_hours,
            idempotency_keys: limits::IDEMPOTENCY_KEYS,
            event_hours: state.shared.event_retention_hours,
        },
        features: FEATURES.to_vec(),
        fault_injection: state.shared.faults.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(writer: HealthCheck, journal: HealthCheck) -> u16 {
        HealthReport::new(SERVICE, "0", SystemClock.now())
            .check("writer", writer)
            .check("journal", journal)
            .into_response()
            .status()
            .as_u16()
    }

    #[test]
    fn who_can_decide_nothing_or_sync_nothing_is_unhealthy() {
        let (soon, late) = (
            limits::WRITER_HELD_UP,
            limits::WRITER_HELD_UP + Duration::from_secs(1),
        );
        for (queued, held_up, syncing, expected) in [
            (0, Duration::ZERO, Duration::ZERO, 200),
            (limits::WRITER_QUEUE, soon, soon, 200),
            (1, late, Duration::ZERO, 503),
            (0, late, late, 503),
            (0, Duration::ZERO, late, 503),
        ] {
            let told = answer(writer(queued, held_up), journal(syncing));
            assert_eq!(told, expected, "{queued} {held_up:?} {syncing:?}");
        }
        let full = writer(limits::WRITER_QUEUE, Duration::ZERO);
        assert_eq!(full.status, HealthStatus::Degraded);
    }
}
