//! `/v1/orders`: placing an order and taking it on.
//!
//! Placing holds the units and writes the order down in one decision; then the payment provider is
//! asked, and the caller is told what came of it: 201 paid, 402 declined, 409 the units are not
//! there or somebody has cancelled it meanwhile, 202 nobody knows yet. A repeat under the same key gets the same answer, however far the
//! order has gone since; after a 202 it gets what became of it, once that is known.
//!
//! Confirm, cancel and complete lead one way. Repeating one answers with the order as it stands;
//! one that cannot follow is 409 with what can.
//!
//! What must stay true: a key bound to a shop sees and moves that shop's orders only. An answer that
//! tells of a change says in `Log-Head` how far a copy of the stock must have come to show it.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use shared::clock::Clock;
use shared::domain::ids::OrderId;
use shared::domain::inventory::Line;
use shared::domain::order::{Command, Order, OrderStatus, Transition};
use shared::domain::{self, ItemResult, Rejection};
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::idempotency::header_key;
use shared::service::openapi::orders::{
    AddressChange, OrderBody, OrderRequest, StatusChange, StepRequest,
};
use shared::service::precondition::{Condition, etag, if_match};
use shared::service::request_context::RequestContext;
use shared::service::system_clock::SystemClock;
use shared::wire::headers::LOG_HEAD;
use shared::wire::problem::{Detail, Problem, ProblemCode};

use super::decision::{decide, mark, origin};
use super::order_body::{self, Step};
use super::reservations::short_lines;
use super::{AppState, examples, refusal};
use crate::ledger::history::order::at_version;
use crate::ledger::{Decided, SubmitError};
use crate::orders::ids::OrderIds;

shared::problem_set! {
    /// What placing an order can come to instead.
    PlaceProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused | ProductNotFound
        | InsufficientInventory | PriceChanged | TotalTooLarge | PaymentDeclined | PaymentTimeout
        | IllegalTransition | PaymentUnavailable | Overloaded | ShuttingDown | Timeout;
    /// What taking an order on can be refused for.
    StepProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused | OrderNotFound
        | IllegalTransition | VersionConflict | PreconditionFailed | Overloaded | ShuttingDown | Timeout;
    /// What changing an order can be refused for.
    ChangeProblems = InvalidRequest | IdempotencyKeyReused | OrderNotFound | OrderSettled
        | IllegalTransition | VersionConflict | PreconditionFailed | Overloaded | ShuttingDown | Timeout;
}

/// Seconds after which whoever was told that nobody knows may ask again.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("1");

/// Places an order: holds its units, has it paid, and confirms it.
///
/// # Errors
/// 400 with every fault; 404 for unknown products; 409 for units that are not there, prices that have
/// changed, or an order that was cancelled before it was paid; 402 declined; 503 while the payment provider cannot be asked, with nothing begun.
#[utoipa::path(
    post, path = "/v1/orders", tag = "orders", operation_id = "placeOrder", security(("apiKey" = [])),
    params(("Idempotency-Key" = String, Header, description = "Here or as idempotencyKey in the body", example = "order-5001")),
    request_body(content = OrderRequest, example = json!(examples::new_order())),
    responses(
        (status = 201, description = "It is paid, and confirmed unless that was to wait.", body = OrderBody, headers(("ETag" = String), ("Location" = String), ("Log-Head" = i64, description = "Offset that a copy of the stock must have reached to show this")), example = json!(examples::order())),
        (status = 202, description = "Nobody knows yet whether it is paid; ask again with the same key, or for the order.", body = OrderBody, headers(("Location" = String), ("Retry-After" = i64), ("Log-Head" = i64)), example = json!(examples::undecided_order())),
        PlaceProblems,
    )
)]
pub async fn place(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let header = header_key(&headers);
    let asked = order_body::parse_order(&read_body(request).await?, header)?;
    let store = caller.check_store(asked.store.as_ref())?;
    let ids = OrderIds::new(SystemClock.now(), rand::random());
    let is_payable = state.shared.payments.guard().would_allow();
    let currency = state.shared.currency.as_str().into();
    let (key, place) = asked.into_place(ids, store.clone(), currency, is_payable);
    let lines = place.lines.clone();
    let origin = origin(&caller, &context, store.as_ref(), Some(key));
    let command = Command::Place(Box::new(place));
    let (decided, replayed) = decide(&state, origin, command).await?;
    let Some(event) = decided.decision.orders.first() else {
        let refused = not_placed(&decided, &lines, &state);
        return Ok(mark(refused.into_response(), replayed));
    };
    let correlation = context.correlation_id();
    let id = &event.order.order_id;
    let order = state.shared.orders.outcome(id, correlation).await;
    let order = match order {
        Some(order) => order,
        // It may have ended long ago.
        None if state.ledger.published().books.order(id.as_str()).is_none() => {
            let order = find_order(&state, id.as_str()).await?;
            order.ok_or_else(|| refusal::unanswered(SubmitError::Unknown))?
        }
        None => return Err(refusal::unanswered(SubmitError::Unknown)),
    };
    let order = as_decided(&state, order).await?;
    let mut answer = placed(&order, &decided, &lines);
    say_head(&state, &mut answer);
    Ok(mark(answer, replayed))
}

/// Says how far a copy of the stock must have come to show what this answer tells of an order.
fn say_head(state: &AppState, answer: &mut Response) {
    // Read after the order, with which it moves.
    let head = state.ledger.published().head();
    let head = HeaderValue::from(head.offset);
    answer.headers_mut().insert(LOG_HEAD, head);
}

/// The order as it stood when it was first known what becomes of it.
async fn as_decided(state: &AppState, order: Arc<Order>) -> Result<Arc<Order>, Problem> {
    match order.decided_version {
        Some(version) if version != order.version => {
            let id = order.order_id.clone();
            let read = move |published: &_| at_version(published, &id, version);
            let then = state.read_log(read).await?;
            // What retention has dropped is answered with what there is.
            Ok(then.unwrap_or(order))
        }
        Some(_) | None => Ok(order),
    }
}

/// Where a product stands first in the items that were asked for: the decision has each product once.
fn item(lines: &[Line], product: &str) -> String {
    let mut lines = lines.iter();
    let at = lines.position(|line| line.product_id.as_str() == product);
    format!("items[{}]", at.unwrap_or(0))
}

/// Why there is no order.
fn not_placed(decided: &Decided, lines: &[Line], state: &AppState) -> Problem {
    let mut rejections = decided.decision.rejections();
    let Some(first) = rejections.next() else {
        return Problem::new(ProblemCode::Internal, "the order has no outcome");
    };
    let mut problem = refusal::problem(first);
    let faults = refusal::reasons(&decided.decision).filter_map(|(_, rejection)| {
        let product = rejection.product_id()?;
        Some(Detail::new(
            item(lines, product.as_str()),
            rejection.to_string(),
        ))
    });
    problem.details.extend(faults);
    if matches!(first, Rejection::PaymentUnavailable {}) {
        let view = state.shared.payments.guard().view();
        let wait = view.retry_after().map_or(1, |wait| wait.as_secs().max(1));
        problem = problem.retry_after(u32::try_from(wait).unwrap_or(u32::MAX));
    }
    problem
}

/// What whoever placed it is told.
fn placed(order: &Order, decided: &Decided, lines: &[Line]) -> Response {
    let shown_beside = || serde_json::to_value(order).unwrap_or_default();
    match (order.status, &order.failure) {
        (OrderStatus::Failed, Some(failure)) => {
            let code = match &*failure.code {
                "insufficient_inventory" => ProblemCode::InsufficientInventory,
                "payment_timeout" => ProblemCode::PaymentTimeout,
                // The provider's own word is in the failure.
                _ => ProblemCode::PaymentDeclined,
            };
            let problem = match refusal::reasons(&decided.decision).next() {
                Some((_, short)) => {
                    short_lines(decided, Some(short), |product| item(lines, product))
                }
                None => Problem::new(code, &*failure.message),
            };
            problem.with("order", shown_beside()).into_response()
        }
        // Before it was paid; one that is cancelled later has been answered before.
        (OrderStatus::Cancelled, _) => {
            let problem = refusal::problem(&Rejection::IllegalTransition {
                order_id: order.order_id.clone(),
                status: order.status,
                wanted: OrderStatus::Paid,
            });
            problem.with("order", shown_beside()).into_response()
        }
        (OrderStatus::Undecided, _) => {
            let mut answer = shown(order);
            *answer.status_mut() = StatusCode::ACCEPTED;
            answer.headers_mut().insert(LOCATION, location(order));
            answer.headers_mut().insert(RETRY_AFTER, ASK_AGAIN);
            answer
        }
        _ => {
            let mut answer = shown(order);
            *answer.status_mut() = StatusCode::CREATED;
            answer.headers_mut().insert(LOCATION, location(order));
            answer
        }
    }
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
    let origin = origin(caller, context, order.store_id.as_ref(), key);
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
                    let books = &state.ledger.published().books;
                    let now = books.order(order.order_id.as_str());
                    shown(now.as_deref().unwrap_or(order))
                }
            };
            say_head(state, &mut answer);
            answer
        }
    };
    Ok(mark(answer, replayed))
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
            let sentence = "the order ended so long ago that nothing of it can be changed any more";
            Err(Problem::new(ProblemCode::NotRefundable, sentence))
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

fn location(order: &Order) -> HeaderValue {
    let path = format!("/v1/orders/{}", order.order_id);
    HeaderValue::try_from(path).expect("an id is visible ASCII")
}
