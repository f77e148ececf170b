//! `POST /v1/orders`: placing an order.
//!
//! Placing holds the units and writes the order down in one decision; then the payment provider is
//! asked, and the caller is told what came of it: 201 paid, 402 declined, 409 the units are not there
//! or somebody has cancelled it meanwhile, 202 nobody knows yet. A repeat under the same key gets the
//! same answer, however far the order has gone since; after a 202 it gets what became of it, once that
//! is known.
//!
//! What must stay true: a key bound to a shop places that shop's orders only. 201 means paid.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use shared::clock::Clock;
use shared::domain::Rejection;
use shared::domain::inventory::Line;
use shared::domain::order::{Command, Order, OrderStatus};
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::idempotency::header_key;
use shared::service::openapi::orders::{OrderBody, OrderRequest};
use shared::service::request_context::RequestContext;
use shared::service::system_clock::SystemClock;
use shared::wire::problem::{Detail, Problem, ProblemCode};

use super::decision::{decide, mark, origin};
use super::orders::{find_order, say_head, shown};
use super::reservations::short_lines;
use super::{AppState, examples, order_body, refusal};
use crate::ids::OrderIds;
use crate::ledger::history::order::at_version;
use crate::ledger::{Decided, SubmitError};

shared::problem_set! {
    /// What placing an order can come to instead.
    PlaceProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused | ProductNotFound
        | InsufficientInventory | PriceChanged | TotalTooLarge | PaymentDeclined | PaymentTimeout
        | IllegalTransition | PaymentUnavailable | Overloaded | ShuttingDown | StorageFull | Timeout;
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
    params(("Idempotency-Key" = Option<String>, Header, nullable = false, description = "Here or as idempotencyKey in the body", example = "order-5001")),
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

fn location(order: &Order) -> HeaderValue {
    let path = format!("/v1/orders/{}", order.order_id);
    HeaderValue::try_from(path).expect("an id is visible ASCII")
}
