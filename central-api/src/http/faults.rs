//! `/v1/admin/faults`: which calls fail on purpose.
//!
//! Only where `FAULT_INJECTION` is set; elsewhere both calls answer 404 to whoever may ask. A plan
//! replaces the one before as a whole and begins to count at zero, so that a demonstration can be
//! repeated call by call; an empty list of rules turns everything off.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use shared::service::auth::{Caller, Scope};
use shared::service::extract::JsonBody;
use shared::wire::problem::{Problem, ProblemCode};

use super::faults_body::{self, FaultsBody, FaultsRequest};
use super::{AppState, fields};
use crate::faults::Faults;

shared::problem_set! {
    /// What a question can be refused for.
    FaultsProblems = NotFound;
    /// What a plan can be refused for.
    NewFaultsProblems = InvalidRequest | NotFound;
}

fn allowed(state: &AppState, caller: &Caller) -> Result<Arc<Faults>, Problem> {
    caller.require(Scope::Admin)?;
    state.shared.faults.clone().ok_or_else(|| {
        let sentence = "faults are not injected here; FAULT_INJECTION is not set";
        Problem::new(ProblemCode::NotFound, sentence)
    })
}

/// The faults that are injected, and how often each rule has struck.
///
/// # Errors
/// 403 without an admin key; 404 where faults are not injected.
#[utoipa::path(
    get, path = "/v1/admin/faults", tag = "operations", operation_id = "getFaults", security(("apiKey" = [])),
    responses((status = 200, body = FaultsBody, example = json!(faults_body::example())), FaultsProblems)
)]
pub async fn get(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<FaultsBody>, Problem> {
    let faults = allowed(&state, &caller)?;
    Ok(Json(FaultsBody::of(&faults.rules())))
}

/// Puts new faults in the place of all others: by rules, or by the name of a preset.
///
/// # Errors
/// 400 with every fault of the body; 403 without an admin key; 404 where faults are not injected.
#[utoipa::path(
    put, path = "/v1/admin/faults", tag = "operations", operation_id = "setFaults", security(("apiKey" = [])),
    request_body(content = FaultsRequest, example = json!(faults_body::request_example())),
    responses((status = 200, description = "The faults from now on.", body = FaultsBody, example = json!(faults_body::example())), NewFaultsProblems)
)]
pub async fn put(
    State(state): State<AppState>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<FaultsBody>, Problem> {
    let faults = allowed(&state, &caller)?;
    let rules = faults_body::parse(&body)?;
    faults
        .replace(rules)
        .map_err(|error| Problem::new(fields::code_of(&[]), error.to_string()))?;
    Ok(Json(FaultsBody::of(&faults.rules())))
}
