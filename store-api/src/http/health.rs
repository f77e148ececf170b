//! `/health*` and `/v1/info`: whether the store works, and what it is. No key is needed.
//!
//! A store with a copy can do its work without central; it is then *degraded*. It is unhealthy only
//! when it has nothing to serve.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::limits;
use shared::policy::BreakerState;
use shared::service::disk_space;
use shared::service::health::{HealthCheck, HealthReport, HealthStatus};
use shared::service::openapi::HealthBody;
use utoipa::ToSchema;

use super::{AppState, examples};
use crate::central::facts::{Facts, Retention};
use crate::replica::follower_core::Phase;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn report(state: &AppState) -> HealthReport {
    let service = format!("{}-api", state.config.store_id);
    HealthReport::new(service, VERSION, state.clock.now())
}

/// Whether the process answers at all.
#[utoipa::path(
    get, path = "/health/live", tag = "operations", operation_id = "healthLive",
    responses((status = 200, body = HealthBody, example = json!(examples::health())))
)]
pub async fn live(State(state): State<AppState>) -> Response {
    report(&state).into_response()
}

/// Whether the store can do its work.
#[utoipa::path(
    get, path = "/health", tag = "operations", operation_id = "health",
    responses((status = 200, description = "Healthy or degraded.", body = HealthBody, example = json!(examples::health())), (status = 503, description = "Nothing to serve yet.", body = HealthBody))
)]
pub async fn ready(State(state): State<AppState>) -> Response {
    report(&state)
        .check("cache", cache(&state))
        .check("sync", sync(&state))
        .check("central", central(&state))
        .check(
            "disk",
            disk_space::check(state.config.data_dir.clone()).await,
        )
        .into_response()
}

/// The same as `/health`.
#[utoipa::path(
    get, path = "/health/ready", tag = "operations", operation_id = "healthReady",
    responses((status = 200, description = "Healthy or degraded.", body = HealthBody, example = json!(examples::health())), (status = 503, description = "Nothing to serve yet.", body = HealthBody))
)]
pub async fn ready_alias(state: State<AppState>) -> Response {
    ready(state).await
}

fn cache(state: &AppState) -> HealthCheck {
    let Some(tip) = state.live.tip() else {
        let check = HealthCheck::new(HealthStatus::Unhealthy);
        return check.detail("the catalogue has not been received yet");
    };
    let check = if state.keeper.status().is_broken() {
        HealthCheck::new(HealthStatus::Degraded).detail("the copy is only in memory")
    } else {
        HealthCheck::new(HealthStatus::Healthy)
    };
    check
        .figure("products", tip.summary.count)
        .figure("bytes", state.keeper.status().bytes())
}

fn sync(state: &AppState) -> HealthCheck {
    let sync = state.status.get();
    let age = sync.proof.map(|proof| proof.age(&*state.clock));
    let old = age.is_none_or(|age| age > state.config.max_stale_soft);
    let check = match sync.phase {
        Phase::Live | Phase::CatchingUp if !old => HealthCheck::new(HealthStatus::Healthy),
        Phase::Live | Phase::CatchingUp | Phase::Starting | Phase::Stale => {
            HealthCheck::new(HealthStatus::Degraded).detail("the copy may be behind central")
        }
    };
    let check = check.figure("state", sync.phase.as_str());
    let check = match age {
        Some(age) => check.figure("ageSeconds", age.as_secs()),
        None => check,
    };
    match sync.lag {
        Some(lag) => check.figure("lagEvents", lag),
        None => check,
    }
}

fn central(state: &AppState) -> HealthCheck {
    let breaker = state.central.guard().state();
    let check = match (state.contact.get().reachable, breaker) {
        (Some(true), BreakerState::Closed) => HealthCheck::new(HealthStatus::Healthy),
        (Some(true), BreakerState::Open | BreakerState::HalfOpen) => {
            HealthCheck::new(HealthStatus::Degraded).detail("writes are not sent at the moment")
        }
        (Some(false) | None, _) => {
            HealthCheck::new(HealthStatus::Degraded).detail("central does not answer")
        }
    };
    check.figure("breaker", breaker.as_str())
}

/// What this service is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    service: &'static str,
    version: &'static str,
    store_id: String,
    name: String,
    /// That of the prices.
    currency: String,
    /// Generation of the log that the copy follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    r#gen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    head_offset: Option<u64>,
    /// The oldest event that this store can relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    oldest_offset: Option<u64>,
    limits: InfoLimits,
    /// For how long central keeps what; absent until it has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retention: Option<Retention>,
    features: Vec<&'static str>,
}

/// What it allows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InfoLimits {
    batch_lines: usize,
    body_bytes: usize,
    delta_units: i64,
    feed_limit: usize,
    feed_wait_seconds: u64,
    page_by_offset: usize,
    page_by_cursor: usize,
}

/// Says what this service is, where its copy stands, and what it allows.
#[utoipa::path(
    get, path = "/v1/info", tag = "operations", operation_id = "info",
    responses((status = 200, body = Info, example = json!(examples::info())))
)]
pub async fn info(State(state): State<AppState>) -> Json<Info> {
    let tip = state.live.tip();
    let Facts {
        currency,
        retention,
    } = state.facts.get();
    Json(Info {
        service: "store-api",
        version: VERSION,
        store_id: state.config.store_id.to_string(),
        name: state.config.store_name.clone(),
        currency: currency.unwrap_or_else(|| state.config.currency.clone()),
        r#gen: tip.map(|tip| tip.position.r#gen.to_string()),
        head_offset: tip.map(|tip| tip.position.offset),
        oldest_offset: state.live.index().oldest(),
        limits: InfoLimits {
            batch_lines: limits::BATCH_LINES,
            body_bytes: limits::BODY_BYTES,
            delta_units: limits::DELTA_UNITS,
            feed_limit: limits::FEED_LIMIT_MAX,
            feed_wait_seconds: limits::FEED_WAIT_MAX.as_secs(),
            page_by_offset: limits::PAGE_BY_OFFSET,
            page_by_cursor: limits::PAGE_BY_CURSOR,
        },
        retention,
        features: vec!["inventory", "orders", "relay", "live"],
    })
}
