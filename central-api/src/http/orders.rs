//! `/v1/orders/{orderId}`: taking an order on. How one is placed: [`order_placing`](super::order_placing).
//!
//! Confirm, cancel and complete lead one way. Repeating one under another key answers with the order as
//! it stands, under the same key with the answer it had; one that cannot follow is 409 with what can.
//!
//! What must stay true: a key bound to a shop sees and moves that shop's orders only. An answer that
//! tells of a change says in `Log-Head` how far a copy of the stock must have come to show it.
//!
//! Longer than most files, because the description of each call stands over it.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue};
use shared::domain::ids::OrderId;
use shared::domain::order::{Command, Order, OrderStatus, Transition};
use shared::domain::{self, ItemResult, Rejection};
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::idempotency::header_key;
use shared::service::openapi::orders::{AddressChange, OrderBody, StatusChange, StepRequest};
use shared::service::precondition::{Condition, etag, if_match};
use shared::service::request_context::RequestContext;
use shared::wire::headers::LOG_HEAD;
use shared::wire::problem::{Problem, ProblemCode};

use super::decision::{decide, mark, origin};
use super::order_body::{self, Step};
use super::{AppState, examples, refusal};
use crate::ledger::history::order::as_of;

shared::problem_set! {
    /// What taking an order on can be refused for.
    StepProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused | OrderNotFound
        | IllegalTransition | VersionConflict | PreconditionFailed | Overloaded | ShuttingDown | StorageFull | Timeout;
    /// What changing an order can be refused for.
    ChangeProblems = InvalidRequest | IdempotencyKeyReused | OrderNotFound | OrderSettled
        | IllegalTransition | VersionConflict | PreconditionFailed | Overloaded | ShuttingDown | StorageFull | Timeout;
}

/// Says how far a copy of the stock must have come to show what this answer tells of an order.
pub(super) fn say_head(state: &AppState, answer: &mut Response) {
    // Read after the order, with which it moves.
    let head = state.ledger.published().head();
    let head = HeaderValue::from(head.offset);
    answer.headers_mut().insert(LOG_HEAD, head);
}

/// Confirms a paid order: its units leave the shelf.
///
/// # Errors
/// 404; 409 with what can follow, or with the present version.
#[utoipa::path(
    post, path = "/v1/orders/{orderId}/confirm", tag = "orders", operation_id = "confirmOrder", security(("apiKey" = [])),
    params(("orderId" = String, Path, example = "ord-01kf0k8y20zzzzzzzzzzzzzzzz"), ("Idempotency-Key" = String, Header, example = "confirm-5001"), ("If-Match" = Option<String>, Header, nullable = false)),
    request_body(content = Option<StepRequest>, example = json!({})),
    responses((status = 200, description = "It is confirmed.", body = OrderBody, headers(("ETag" = String)), example = json!(examples::order())), StepProblems)
)]
pub async fn confirm(
    state: State<AppState>,
    caller: Caller,
    context: RequestContext,
    id: Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    step(
        state,
        caller,
        context,
        id,
        headers,
        request,
        Transition::Confirm,
    )
    .await
}

/// Cancels an order: its units are free again, and its money goes back.
///
/// # Errors
/// 404; 409 with what can follow, or with the present version.
#[utoipa::path(
    post, path = "/v1/orders/{orderId}/cancel", tag = "orders", operation_id = "cancelOrder", security(("apiKey" = [])),
    params(("orderId" = String, Path, example = "ord-01kf0k8y20zzzzzzzzzzzzzzzz"), ("Idempotency-Key" = String, Header, example = "cancel-5001"), ("If-Match" = Option<String>, Header, nullable = false)),
    request_body(content = Option<StepRequest>, example = json!({})),
    responses((status = 200, description = "It is cancelled. A refund may still be on its way: see payment.refund.", body = OrderBody, headers(("ETag" = String)), example = json!(examples::cancelled_order())), StepProblems)
)]
pub async fn cancel(
    state: State<AppState>,
    caller: Caller,
    context: RequestContext,
    id: Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    step(
        state,
        caller,
        context,
        id,
        headers,
        request,
        Transition::Cancel,
    )
    .await
}

/// Completes a confirmed order: it was handed over.
///
/// # Errors
/// 404; 409 with what can follow, or with the present version.
#[utoipa::path(
    post, path = "/v1/orders/{orderId}/complete", tag = "orders", operation_id = "completeOrder", security(("apiKey" = [])),
    params(("orderId" = String, Path, example = "ord-01kf0k8y20zzzzzzzzzzzzzzzz"), ("Idempotency-Key" = Option<String>, Header, nullable = false), ("If-Match" = Option<String>, Header, nullable = false)),
    request_body(content = Option<StepRequest>, example = json!({})),
    responses((status = 200, description = "It is completed.", body = OrderBody, headers(("ETag" = String)), example = json!(examples::order())), StepProblems)
)]
pub async fn complete(
    state: State<AppState>,
    caller: Caller,
    context: RequestContext,
    id: Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    step(
        state,
        caller,
        context,
        id,
        headers,
        request,
        Transition::Complete,
    )
    .await
}

async fn step(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
    to: Transition,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let order = own_order(&state, &caller, &id).await?;
    let header = header_key(&headers);
    // Completing moves no stock, so a repeat needs no key to be harmless.
    let needs_key = to != Transition::Complete;
    let body = read_body(request).await?;
    let step = order_body::parse_step(&body, header, &if_match(&headers), needs_key)?;
    take(&state, &caller, &context, &order, to, step).await
}

/// Takes an order to a status, which must be one that can follow.
///
/// # Errors
/// 404; 409 with what can follow, or with the present version.
#[utoipa::path(
    put, path = "/v1/orders/{orderId}/status", tag = "orders", operation_id = "setOrderStatus", security(("apiKey" = [])),
    params(("orderId" = String, Path, example = "ord-01kf0k8y20zzzzzzzzzzzzzzzz"), ("Idempotency-Key" = Option<String>, Header, nullable = false), ("If-Match" = Option<String>, Header, nullable = false)),
    request_body(content = StatusChange, example = json!({"status": "completed"})),
    responses((status = 200, description = "It has that status.", body = OrderBody, headers(("ETag" = String)), example = json!(examples::order())), ChangeProblems)
)]
pub async fn set_status(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let order = own_order(&state, &caller, &id).await?;
    let header = header_key(&headers);
    let body = read_body(request).await?;
    let (status, step) = order_body::parse_status(&body, header, &if_match(&headers))?;
    let to = match status {
        OrderStatus::Confirmed => Transition::Confirm,
        OrderStatus::Cancelled => Transition::Cancel,
        OrderStatus::Completed => Transition::Complete,
        wanted => return stays(&order, wanted, &step),
    };
    take(&state, &caller, &context, &order, to, step).await
}

/// What is said to a status that comes about by itself: the order has it, or cannot be taken there.
fn stays(order: &Order, wanted: OrderStatus, step: &Step) -> Result<Response, Problem> {
    if let Some(given) = step.expected_version()
        && given != order.version
    {
        let conflict = Rejection::OrderVersionConflict {
            order_id: order.order_id.clone(),
            given,
            version: order.version,
            status: order.status,
        };
        return Err(refused(&conflict, step));
    }
    if wanted == order.status {
        return Ok(shown(order));
    }
    Err(refusal::problem(&Rejection::IllegalTransition {
        order_id: order.order_id.clone(),
        status: order.status,
        wanted,
    }))
}

/// Why a step was not taken; a wrong version is 412 where a header said it.
fn refused(rejection: &Rejection, step: &Step) -> Problem {
    let problem = refusal::problem(rejection);
    let conditional = matches!(step.condition, Some(Condition::Version(_)));
    if conditional && matches!(rejection, Rejection::OrderVersionConflict { .. }) {
        problem.with_code(ProblemCode::PreconditionFailed)
    } else {
        problem
    }
}

async fn take(
    state: &AppState,
    caller: &Caller,
    context: &RequestContext,
    order: &Order,
    to: Transition,
    step: Step,
) -> Result<Response, Problem> {
    let command = Command::Transition {
        order: order.order_id.clone(),
        to,
        expected_version: step.expected_version(),
    };
    decided(state, caller, context, order, step, command).await
}

/// Changes where an order goes, as long as its units have not left.
///
/// # Errors
/// 400 with every fault; 404; 409 when it is too late, or with the present version.
#[utoipa::path(
    put, path = "/v1/orders/{orderId}", tag = "orders", operation_id = "editOrder", security(("apiKey" = [])),
    params(("orderId" = String, Path, example = "ord-01kf0k8y20zzzzzzzzzzzzzzzz"), ("Idempotency-Key" = Option<String>, Header, nullable = false), ("If-Match" = Option<String>, Header, nullable = false)),
    request_body(content = AddressChange, example = json!({"shippingAddress": {"street": "1 Mill Lane", "city": "York"}})),
    responses((status = 200, description = "It goes there.", body = OrderBody, headers(("ETag" = String)), example = json!(examples::order())), ChangeProblems)
)]
pub async fn edit(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let order = own_order(&state, &caller, &id).await?;
    let header = header_key(&headers);
    let body = read_body(request).await?;
    let (address, step) = order_body::parse_address(&body, header, &if_match(&headers))?;
    let command = Command::Readdress {
        order: order.order_id.clone(),
        address,
        expected_version: step.expected_version(),
    };
    decided(&state, &caller, &context, &order, step, command).await
}

/// Has a command about one order decided, and answers with the order. What is asked of one that ended
/// so long ago that the writer does not know it changes nothing; a repeat gets its answer all the same.
pub(super) async fn decided(
    state: &AppState,
    caller: &Caller,
    context: &RequestContext,
    order: &Order,
    step: Step,
    command: Command,
) -> Result<Response, Problem> {
    let key = step.key.clone();
    let is_old = state
        .ledger
        .published()
        .books
        .order(order.order_id.as_str())
        .is_none();
    if is_old && key.is_none() {
        return unmoved(order, &step, &command);
    }
    let store = order.store_id.as_ref();
    let mut origin = origin(caller, context, store, key);
    if caller.require(Scope::Admin).is_ok() {
        // A shop acts as itself; who runs the chain does not act as a shop.
        origin.principal = caller.principal_for(None);
    }
    let (decided, replayed) = decide(state, origin, command.clone()).await?;
    let answer = match decided.decision.results.first() {
        Some(ItemResult::Refused(Rejection::OrderNotFound { .. })) => {
            let answer = unmoved(order, &step, &command);
            answer.unwrap_or_else(IntoResponse::into_response)
        }
        Some(ItemResult::Refused(rejection)) => refused(rejection, &step).into_response(),
        Some(ItemResult::Applied(_) | ItemResult::Unchanged) | None => {
            state
                .shared
                .orders
                .start(&order.order_id, context.correlation_id());
            let mut answer = match decided.decision.orders.last() {
                Some(event) => shown(&event.order),
                None => {
                    let then = decided.seq.filter(|_| replayed);
                    let order = unchanged(state, order, then).await?;
                    shown(&order)
                }
            };
            say_head(state, &mut answer);
            answer
        }
    };
    Ok(mark(answer, replayed))
}

/// The order that a command found to be what it was to become. A repeat is told how it stood then, which
/// the record `then` knows, though more may have become of it.
async fn unchanged(
    state: &AppState,
    order: &Order,
    then: Option<u64>,
) -> Result<Arc<Order>, Problem> {
    let id = order.order_id.clone();
    if let Some(seq) = then {
        let found = state.read_log(move |published| as_of(published, &id, seq));
        if let Some(found) = found.await? {
            return Ok(found);
        }
    }
    let now = state
        .ledger
        .published()
        .books
        .order(order.order_id.as_str());
    Ok(now.unwrap_or_else(|| Arc::new(order.clone())))
}

/// What is said to a command about an order that nothing more can become of: what the rules say to it,
/// except that nothing is given back any more.
fn unmoved(order: &Order, step: &Step, command: &Command) -> Result<Response, Problem> {
    let mut alone = domain::State::default();
    alone.orders.put(&Arc::new(order.clone()), 0);
    let command = domain::Command::from(command.clone());
    let decision = domain::decide(&alone, &command, order.updated_at);
    match decision.results.first() {
        Some(ItemResult::Refused(rejection)) => Err(refused(rejection, step)),
        Some(ItemResult::Unchanged) => Ok(shown(order)),
        Some(ItemResult::Applied(_)) | None => {
            let sentence = "the order ended so long ago that nothing of it is changed here any more; \
                what is to be given back of it has to be given back at the payment provider";
            let problem = Problem::new(ProblemCode::NotRefundable, sentence);
            Err(problem.with("orderId", order.order_id.as_str()))
        }
    }
}

/// The order at this path, which the caller may see.
///
/// # Errors
/// 404, 403 for another shop's order, or 503 if the log has it and cannot be read now.
pub(super) async fn own_order(
    state: &AppState,
    caller: &Caller,
    id: &str,
) -> Result<Arc<Order>, Problem> {
    let order = find_order(state, id).await?;
    let order = order.ok_or_else(|| not_found(id))?;
    check_own(caller, &order)?;
    Ok(order)
}

/// The order with this id, in memory or in the log.
///
/// # Errors
/// 503 if too many read the log; what the log says otherwise.
pub(super) async fn find_order(state: &AppState, id: &str) -> Result<Option<Arc<Order>>, Problem> {
    let books = &state.ledger.published().books;
    if let Some(order) = books.order(id) {
        return Ok(Some(order));
    }
    match OrderId::parse(id) {
        Ok(id) if books.may_have_forgotten() => {
            state.read_log(move |published| published.order(&id)).await
        }
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Whether the caller may see the order.
///
/// # Errors
/// 403 for another shop's order.
pub(super) fn check_own(caller: &Caller, order: &Order) -> Result<(), Problem> {
    if caller.store().is_none() || caller.store() == order.store_id.as_ref() {
        return Ok(());
    }
    let sentence = "this key is bound to another store";
    Err(Problem::new(ProblemCode::Forbidden, sentence))
}

/// The problem of an order that is not there.
pub(super) fn not_found(id: &str) -> Problem {
    let sentence = "there is no such order, or the log has dropped it";
    let problem = Problem::new(ProblemCode::OrderNotFound, sentence);
    // What a caller made up is not echoed unless it could be an id.
    match OrderId::parse(id) {
        Ok(id) => problem.with("orderId", id.as_str()),
        Err(_) => problem,
    }
}

/// An order as an answer.
pub(super) fn shown(order: &Order) -> Response {
    let body = serde_json::to_vec(order).unwrap_or_default();
    let mut answer = body.into_response();
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer.headers_mut().insert(ETAG, etag(order.version));
    answer
}
