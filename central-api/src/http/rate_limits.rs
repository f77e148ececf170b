//! The limits on how often somebody may ask: how they stand, and to begin anew.

use axum::Json;
use axum::extract::State;
use shared::clock::Clock;
use shared::service::auth::{Caller, Scope};
use shared::service::rate_limit::{RateLimitBody, RateLimitResetBody};
use shared::service::system_clock::SystemClock;
use shared::wire::problem::Problem;

use super::{AppState, examples};

/// The rate limits as they stand, and who has used up what.
///
/// # Errors
/// 403 without an admin key.
#[utoipa::path(
    get, path = "/v1/admin/rate-limit/status", tag = "operations", operation_id = "rateLimitStatus", security(("apiKey" = [])),
    responses((status = 200, body = RateLimitBody, example = json!(examples::rate_limits())))
)]
pub async fn status(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<RateLimitBody>, Problem> {
    caller.require(Scope::Admin)?;
    Ok(Json(state.shared.limits.report()))
}

/// Forgets who has asked how much: whoever was refused may ask again.
///
/// # Errors
/// 403 without an admin key.
#[utoipa::path(
    post, path = "/v1/admin/rate-limit/reset", tag = "operations", operation_id = "resetRateLimits", security(("apiKey" = [])),
    responses((status = 200, body = RateLimitResetBody, example = json!(examples::rate_limits_reset())))
)]
pub async fn reset(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<RateLimitResetBody>, Problem> {
    caller.require(Scope::Admin)?;
    state.shared.limits.reset();
    tracing::info!("the rate limits were reset by hand");
    Ok(Json(RateLimitResetBody::at(SystemClock.now())))
}
