//! Movements of stock, through central.
//!
//! A till's write is central's decision: it is passed on with this store's id and keys, behind
//! timeout, breaker and keyed retry, and central's refusals come back as they are. Then the answer
//! waits, for a moment, until the copy shows what was decided: a shop reads its own writes.

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::service::auth::{Caller, Scope};
use shared::service::compression::compressed;
use shared::service::encoding::Coding;
use shared::service::extract::read_body;
use shared::service::openapi::DetailBody;
use shared::service::request_context::{RequestContext, ToldAlready};
use shared::wire::headers::{REQUEST_ID, SYNC_VISIBLE};
use shared::wire::problem::{Problem, ProblemCode};
use utoipa::ToSchema;

use super::update_body::{Moved, Outgoing, Said, bound_to, prepare, shape};
use super::visible::until;
use super::write_headers::WriteHeaders;
use super::{AppState, examples};
use crate::central::problem_code;
use crate::central::{Call, CallFault, Central as _, Reply};
use crate::replica::live::Shown;

/// Where central takes movements, one or many.
const UPDATES: &str = "v1/inventory/updates";

shared::problem_set! {
    /// What a movement can come to instead.
    UpdateProblems = InvalidRequest | MissingProductId | InvalidDelta | IdempotencyKeyRequired
        | IdempotencyKeyReused | ProductNotFound | InsufficientInventory | VersionConflict
        | PreconditionFailed | StockOutOfRange | CentralUnavailable | Overloaded | Timeout;
}

/// One movement of stock.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body; it is passed on unparsed")]
pub struct UpdateBody {
    product_id: String,
    delta: i64,
    /// The version that was seen; without it the movement is a guarded delta.
    version: Option<i64>,
    /// Or the header `Idempotency-Key`.
    idempotency_key: Option<String>,
    /// This store, or absent.
    store_id: Option<String>,
    /// `sale` (the default of negative deltas), `returned`, `received`, `found`, `correction`, …
    reason: Option<String>,
    reference: Option<String>,
    note: Option<String>,
}

/// Several movements of stock.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body; it is passed on unparsed")]
pub struct BatchBody {
    #[schema(min_items = 1, max_items = 1_000)]
    updates: Vec<UpdateBody>,
    /// `per_item` (default) or `all`.
    atomicity: Option<String>,
    store_id: Option<String>,
}

/// What became of one movement.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Updated {
    product_id: String,
    new_quantity: i64,
    new_version: i64,
    applied: bool,
    last_updated: String,
    delta: i64,
    idempotency_key: String,
    /// Of the event.
    offset: i64,
}

/// What became of one of several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdatedLine {
    product_id: String,
    new_quantity: i64,
    new_version: i64,
    applied: bool,
    last_updated: String,
    /// As it was asked for; a relay leaves it out.
    #[schema(nullable = false)]
    delta: Option<i64>,
    /// Likewise.
    #[schema(nullable = false)]
    idempotency_key: Option<String>,
    #[schema(nullable = false)]
    error_type: Option<String>,
    #[schema(nullable = false)]
    error_message: Option<String>,
    /// Every rule that the line breaks by itself; the other two are about the first.
    #[schema(nullable = false)]
    details: Option<Vec<DetailBody>>,
}

/// How many went well.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchSummary {
    total: i64,
    succeeded: i64,
    failed: i64,
}

/// What became of several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchUpdated {
    results: Vec<UpdatedLine>,
    summary: BatchSummary,
    store_id: String,
    total_count: i64,
    success_count: i64,
    failure_count: i64,
}

/// Moves stock.
///
/// # Errors
/// Central's refusals as they are; 503 if nothing happened, 504 if nobody knows and the same key
/// settles it.
#[utoipa::path(
    post, path = "/v1/store/inventory/updates", tag = "inventory", operation_id = "updateInventory", security(("apiKey" = [])),
    request_body(content = UpdateBody, example = json!(examples::sale())),
    params(
        ("Idempotency-Key" = Option<String>, Header, nullable = false),
        ("If-Match" = Option<String>, Header, nullable = false, description = "The ETag that a read gave, instead of `version`"),
    ),
    responses((status = 200, description = "What the movement led to; X-Sync-Visible says whether this store's copy shows it.", body = Updated, headers(("X-Sync-Visible" = bool)), example = json!(examples::sold())), UpdateProblems)
)]
pub async fn post_updates(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    request: Request,
) -> Result<Response, Problem> {
    update(&state, &caller, &context, request).await
}

/// Moves stock of several products.
///
/// # Errors
/// As [`post_updates`].
#[utoipa::path(
    post, path = "/v1/store/inventory/batch-updates", tag = "inventory", operation_id = "updateInventoryBatch", security(("apiKey" = [])),
    request_body(content = BatchBody, example = json!(examples::sales())),
    params(("Idempotency-Key" = Option<String>, Header, nullable = false, description = "With `atomicity: all`: the key of the whole")),
    responses((status = 200, description = "What each movement led to.", body = BatchUpdated, headers(("X-Sync-Visible" = bool)), example = json!(examples::sold_many())), UpdateProblems)
)]
pub async fn post_batch_updates(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    request: Request,
) -> Result<Response, Problem> {
    update(&state, &caller, &context, request).await
}

async fn update(
    state: &AppState,
    caller: &Caller,
    context: &RequestContext,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let store = &state.config.store_id;
    caller.check_store(Some(store))?;
    let headers = WriteHeaders::of(request.headers());
    let coding = Coding::accepted(request.headers());
    let body = read_body(request).await?;
    let Outgoing { body, said } = prepare(&body, &headers, store)?;
    let key = headers.own_key(store);
    let call = Call {
        if_match: headers.if_match,
        ..call(context, body, key)
    };
    let reply = state
        .central
        .call(&call, state.config.central.deadline)
        .await;
    let reply = match reply {
        Ok(reply) => reply,
        Err(fault) => return Ok(refused(&fault, unanswered_update(&fault, &said))),
    };
    // What does not speak as central does is something on the way (a login page, a proxy's own
    // error), whatever its status. It may have passed the request on before, or not.
    let not_central = || unanswered_update(&CallFault::Unknown { timed_out: false }, &said);
    if !reply.status.is_success() {
        problem_code(&reply.body).ok_or_else(not_central)?;
        let refusal = passed_on(readdressed(reply, context));
        return Ok(packed_if_many(&said, coding, refusal).await);
    }
    let (body, moved) = shape(&reply.body, &said, store).ok_or_else(not_central)?;
    let seen = until(state, |shown| shows(shown, &moved)).await;
    let mut response = passed_on(Reply { body, ..reply });
    let headers = response.headers_mut();
    headers.insert(
        SYNC_VISIBLE,
        HeaderValue::from_static(if seen { "true" } else { "false" }),
    );
    if let Some(tip) = state.live.tip() {
        state.write_freshness(tip.position.offset, headers);
    }
    Ok(packed_if_many(&said, coding, response).await)
}

/// What a till sells is answered in a few bytes; a batch is not, nor what is wrong with one.
async fn packed_if_many(said: &Said, coding: Coding, response: Response) -> Response {
    match said {
        Said::One(_) => response,
        Said::Many(_) => compressed(coding, response).await,
    }
}

/// Passes a follower's movements on as they are: their keys are already their store's own.
///
/// # Errors
/// As [`post_updates`].
#[utoipa::path(
    post, path = "/v1/inventory/updates", tag = "relay", operation_id = "relayUpdates", security(("apiKey" = [])),
    request_body(content = BatchBody, example = json!(examples::followers_sales())),
    params(("Idempotency-Key" = Option<String>, Header, nullable = false), ("If-Match" = Option<String>, Header, nullable = false)),
    responses((status = 200, description = "What each movement led to, as central says it.", body = BatchUpdated, example = json!(examples::followers_sold())), UpdateProblems)
)]
pub async fn pass_on_updates(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let headers = WriteHeaders::of(request.headers());
    let key = headers.sent_key();
    let coding = Coding::accepted(request.headers());
    let mut body = read_body(request).await?;
    if let Some(store) = caller.store() {
        body = bound_to(store, &body, &headers)?;
    }
    // Sent once: the follower repeats it by itself, and repeating it at every store on the way would
    // multiply, three times three times three, just when central is in trouble.
    let call = Call {
        if_match: headers.if_match,
        is_repeatable: false,
        // The key of this store may be bound to it; then central lets nobody else speak through it.
        may_be_forbidden: true,
        ..call(&context, body, key)
    };
    let reply = state
        .central
        .call(&call, state.config.central.deadline)
        .await;
    Ok(match reply {
        Ok(reply) => compressed(coding, passed_on(readdressed(reply, &context))).await,
        Err(fault) => {
            let problem = unanswered_update(&fault, &Said::Many(Vec::new()));
            refused(&fault, problem)
        }
    })
}

/// The answer to a call that has none of central's. An open breaker was logged when it opened.
pub(super) fn refused(fault: &CallFault, problem: Problem) -> Response {
    let mut response = problem.into_response();
    if matches!(fault, CallFault::Open { .. }) {
        response.extensions_mut().insert(ToldAlready);
    }
    response
}

/// Central's refusal with the id of the caller's own request. Each attempt has an id of its own,
/// which the caller has never seen; the correlation id leads from one to the other.
pub(super) fn readdressed(reply: Reply, context: &RequestContext) -> Reply {
    let attempt = reply.headers.get(REQUEST_ID);
    let Some(attempt) = attempt.and_then(|id| id.to_str().ok()) else {
        return reply;
    };
    let Ok(text) = std::str::from_utf8(&reply.body) else {
        return reply;
    };
    let member = |id: &str| format!("\"requestId\":{}", Value::from(id));
    let body = text.replacen(&member(attempt), &member(context.request_id_str()), 1);
    Reply {
        body: body.into(),
        ..reply
    }
}

fn call(context: &RequestContext, body: Bytes, key: Option<HeaderValue>) -> Call {
    Call {
        method: Method::POST,
        path: UPDATES.to_owned(),
        body: Some(body),
        key,
        if_match: None,
        // Central refuses every movement that has no key, so sending one again is harmless.
        is_repeatable: true,
        attempt: None,
        may_be_forbidden: false,
        correlation: Some(context.correlation_header().clone()),
        traceparent: context.traceparent().cloned(),
    }
}

/// Whether the copy shows every movement. A product that is gone by now has a later version.
fn shows(shown: &Shown, moved: &[Moved]) -> bool {
    moved.iter().all(|one| {
        let product = shown.catalogue.published(&one.product_id);
        product.is_some_and(|product| product.version >= one.version)
    })
}

/// Central's answer as it is.
pub(super) fn passed_on(reply: Reply) -> Response {
    let Reply {
        status,
        headers,
        body,
    } = reply;
    let mut response = (status, body).into_response();
    response.headers_mut().remove(CONTENT_TYPE);
    for (name, value) in &headers {
        response.headers_mut().insert(name, value.clone());
    }
    let json = || HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .entry(CONTENT_TYPE)
        .or_insert_with(json);
    if !status.is_server_error() && !matches!(status.as_u16(), 202 | 429) {
        response.headers_mut().remove(RETRY_AFTER);
    }
    response
}

/// No answer of central's, as a problem.
#[must_use]
pub fn unanswered(fault: &CallFault) -> Problem {
    match fault {
        CallFault::NotSent => {
            let sentence = "central cannot be reached; nothing happened";
            Problem::new(ProblemCode::CentralUnavailable, sentence).retry_after(2)
        }
        CallFault::Open { retry_after } => {
            let sentence = "central has not been answering; nothing was sent";
            let seconds = retry_after.as_millis().div_ceil(1000).max(1);
            Problem::new(ProblemCode::CentralUnavailable, sentence)
                .retry_after(u32::try_from(seconds).unwrap_or(u32::MAX))
        }
        CallFault::KeyRefused => {
            let sentence = "central does not accept this store's key; nothing happened";
            Problem::new(ProblemCode::CentralUnavailable, sentence).retry_after(30)
        }
        CallFault::Unknown { .. } => {
            let sentence = "central did not answer; send the same key again to learn the outcome";
            Problem::new(ProblemCode::Timeout, sentence)
        }
    }
}

/// The same about movements, with seed 003's members beside its own.
fn unanswered_update(fault: &CallFault, said: &Said) -> Problem {
    let problem = unanswered(fault);
    let (code, sentence) = (problem.code.as_str(), problem.detail.clone());
    let problem = problem
        .with("applied", false)
        .with("errorType", code)
        .with("errorMessage", sentence);
    // Of one movement also the figure of seed 003, which is 0 where nobody knows a better one.
    match said.product_id() {
        Some(Value::String(id)) => problem
            .with("productId", id.as_str())
            .with("newQuantity", 0),
        Some(_) | None => problem,
    }
}
