//! How much is logged: asked and changed while the service runs.

use axum::Json;
use shared::service::auth::{Caller, Scope};
use shared::service::extract::JsonBody;
use shared::service::log_level::LogLevelBody;
use shared::wire::problem::Problem;

shared::problem_set! {
    /// What a change can be refused for.
    LogLevelProblems = BadRequest | InvalidRequest;
}

/// From which level on lines are written.
///
/// # Errors
/// 403 without an admin key.
#[utoipa::path(
    get, path = "/v1/admin/log-level", tag = "operations", operation_id = "getLogLevel", security(("apiKey" = [])),
    responses((status = 200, body = LogLevelBody, example = json!(LogLevelBody::example())))
)]
pub async fn get(caller: Caller) -> Result<Json<LogLevelBody>, Problem> {
    caller.require(Scope::Admin)?;
    Ok(Json(LogLevelBody::now()))
}

/// Writes lines from another level on, until it is changed again or the service ends.
///
/// # Errors
/// 403 without an admin key, 400 for a body that names no level.
#[utoipa::path(
    put, path = "/v1/admin/log-level", tag = "operations", operation_id = "setLogLevel", security(("apiKey" = [])),
    request_body(content = LogLevelBody, example = json!(LogLevelBody::example())),
    responses((status = 200, body = LogLevelBody, example = json!(LogLevelBody::example())), LogLevelProblems)
)]
pub async fn put(caller: Caller, JsonBody(body): JsonBody) -> Result<Json<LogLevelBody>, Problem> {
    caller.require(Scope::Admin)?;
    LogLevelBody::change(&body, caller.principal_for(None).as_str()).map(Json)
}
