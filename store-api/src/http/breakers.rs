//! The circuit breaker of the calls to central.

use axum::Json;
use axum::extract::{Path, State};
use shared::service::auth::{Caller, Scope};
use shared::service::breakers::{BreakerBody, BreakersBody};
use shared::wire::problem::{Problem, ProblemCode};

use super::{AppState, examples};

shared::problem_set! {
    /// What a reset can be refused for.
    ResetProblems = NotFound;
}

/// The only breaker a store has.
const CENTRAL: &str = "central";

fn breaker(state: &AppState) -> BreakerBody {
    BreakerBody::of(CENTRAL, state.central.guard(), state.clock.now())
}

/// Every breaker as it stands.
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
        circuit_breakers: vec![breaker(&state)],
    }))
}

/// Closes a breaker.
///
/// # Errors
/// 403 without an admin key, 404 for a breaker that does not exist.
#[utoipa::path(
    post, path = "/v1/circuit-breakers/{name}/reset", tag = "operations", operation_id = "resetCircuitBreaker", security(("apiKey" = [])),
    params(("name" = String, Path, example = "central")),
    responses((status = 200, description = "The breaker, closed.", body = BreakerBody, example = json!(examples::breaker())), ResetProblems)
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
    state.central.guard().reset();
    tracing::info!(breaker = CENTRAL, "the circuit breaker was reset by hand");
    Ok(Json(breaker(&state)))
}
