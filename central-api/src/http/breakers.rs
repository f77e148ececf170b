//! The circuit breaker of the payment provider.

use axum::Json;
use axum::extract::{Path, State};
use shared::clock::Clock;
use shared::service::auth::{Caller, Scope};
use shared::service::breakers::{BreakerBody, BreakersBody};
use shared::service::system_clock::SystemClock;
use shared::wire::problem::{Problem, ProblemCode};

use super::{AppState, examples};
use crate::payments::Guarded;

shared::problem_set! {
    /// What a reset can be refused for.
    ResetProblems = NotFound;
}

fn payments(state: &AppState) -> BreakerBody {
    let guard = state.shared.payments.guard();
    BreakerBody::of(Guarded::NAME, guard, SystemClock.now())
}

/// Every circuit breaker as it stands.
///
/// # Errors
/// 401 without a key.
#[utoipa::path(
    get, path = "/v1/circuit-breakers", tag = "operations", operation_id = "listCircuitBreakers", security(("apiKey" = [])),
    responses((status = 200, body = BreakersBody, example = json!(examples::breakers())))
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<BreakersBody>, Problem> {
    caller.require(Scope::Read)?;
    Ok(Json(BreakersBody {
        circuit_breakers: vec![payments(&state)],
    }))
}

/// Closes a circuit breaker.
///
/// # Errors
/// 403 without an admin key, 404 for a breaker that does not exist.
#[utoipa::path(
    post, path = "/v1/circuit-breakers/{name}/reset", tag = "operations", operation_id = "resetCircuitBreaker", security(("apiKey" = [])),
    params(("name" = String, Path, example = "payments")),
    responses((status = 200, description = "The breaker, closed.", body = BreakerBody, example = json!(examples::breaker())), ResetProblems)
)]
pub async fn reset(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<BreakerBody>, Problem> {
    caller.require(Scope::Admin)?;
    if name != Guarded::NAME {
        return Err(Problem::new(
            ProblemCode::NotFound,
            "there is no such circuit breaker",
        ));
    }
    state.shared.payments.guard().reset();
    let breaker = Guarded::NAME;
    tracing::info!(breaker, "the circuit breaker was reset by hand");
    Ok(Json(payments(&state)))
}
