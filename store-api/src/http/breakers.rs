//! The circuit breaker of the calls to central.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use shared::clock::Timestamp;
use shared::service::auth::{Caller, Scope};
use shared::wire::problem::{Problem, ProblemCode};
use utoipa::ToSchema;

use super::AppState;
use super::sync::ProblemBody;

/// The only breaker a store has.
const CENTRAL: &str = "central";

/// A breaker as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerBody {
    name: &'static str,
    state: &'static str,
    successes: u64,
    failures: u64,
    rejected: u64,
    timeouts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<LatencyBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opened_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
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
    circuit_breakers: Vec<BreakerBody>,
}

fn breaker(state: &AppState) -> BreakerBody {
    let view = state.central.view();
    let wall = state.clock.now();
    // The breaker counts from its own start; people want the time of day.
    let at = |instant: std::time::Duration| -> String {
        let millis =
            |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let ahead = millis(instant).saturating_sub(millis(view.now));
        Timestamp::plus_millis(wall, ahead).to_string()
    };
    let millis = |latency: std::time::Duration| latency.as_secs_f64() * 1000.0;
    BreakerBody {
        name: CENTRAL,
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

/// Every breaker as it stands.
///
/// # Errors
/// 401 without a key.
#[utoipa::path(
    get, path = "/v1/circuit-breakers", tag = "operations", security(("apiKey" = [])),
    responses((status = 200, body = BreakersBody), (status = 401, body = ProblemBody))
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<BreakersBody>, Problem> {
    caller.require(Scope::Read)?;
    Ok(Json(BreakersBody {
        circuit_breakers: vec![breaker(&state)],
    }))
}

/// Closes a breaker.
///
/// # Errors
/// 403 without an admin key, 404 for a breaker that does not exist.
#[utoipa::path(
    post, path = "/v1/circuit-breakers/{name}/reset", tag = "operations", security(("apiKey" = [])),
    params(("name" = String, Path)),
    responses(
        (status = 200, body = BreakerBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
    )
)]
pub async fn reset(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<BreakerBody>, Problem> {
    caller.require(Scope::Admin)?;
    if name != CENTRAL {
        return Err(Problem::new(
            ProblemCode::NotFound,
            "there is no such circuit breaker",
        ));
    }
    state.central.reset();
    tracing::info!(breaker = CENTRAL, "the circuit breaker was reset by hand");
    Ok(Json(breaker(&state)))
}
