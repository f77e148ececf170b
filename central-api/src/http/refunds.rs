//! `/v1/payments/{id}/refund`: giving money back, by an operator.
//!
//! What a cancelled order gets back needs nobody to ask for it; this is for the rest: goodwill, a
//! part that was broken, a refund that the provider had refused. One refund of a payment at a time,
//! and never more than was charged.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::HeaderMap;
use shared::domain::order::Command;
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::idempotency::header_key;
use shared::service::openapi::orders::{OrderBody, RefundBody};
use shared::service::request_context::RequestContext;
use shared::wire::problem::{Problem, ProblemCode};

use super::{AppState, examples, order_body, orders};
use crate::ids::order_of;

shared::problem_set! {
    /// What a refund can be refused for.
    RefundProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused | PaymentNotFound
        | NotRefundable | Overloaded | ShuttingDown | StorageFull | Timeout;
}

/// Gives back what is left of a payment, or a part of it. The answer is the order, in which the
/// refund is on its way.
///
/// # Errors
/// 400 with every fault; 404; 409 if it was not charged, a refund is on its way, or less is left.
#[utoipa::path(
    post, path = "/v1/payments/{paymentId}/refund", tag = "orders", operation_id = "refundPayment", security(("apiKey" = [])),
    params(("paymentId" = String, Path, example = "pay-01kf0k8y20zzzzzzzzzzzzzzzz"), ("Idempotency-Key" = Option<String>, Header, nullable = false, description = "Here or as idempotencyKey in the body", example = "refund-5001")),
    request_body(content = Option<RefundBody>, example = json!({"amount": 1.95})),
    responses((status = 200, description = "It is on its way.", body = OrderBody, headers(("ETag" = String)), example = json!(examples::order())), RefundProblems)
)]
pub async fn refund(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let header = header_key(&headers);
    let (amount, step) = order_body::parse_refund(&read_body(request).await?, header)?;
    let order = match order_of(&id) {
        Some(order) => orders::find_order(&state, order.as_str()).await?,
        None => None,
    };
    let Some(order) = order.filter(|order| order.payment.is_some()) else {
        let sentence = "there is no such payment";
        return Err(Problem::new(ProblemCode::PaymentNotFound, sentence));
    };
    let command = Command::Refund {
        order: order.order_id.clone(),
        amount,
    };
    orders::decided(&state, &caller, &context, &order, step, command).await
}
