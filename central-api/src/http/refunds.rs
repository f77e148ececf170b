//! `/v1/payments/{id}/refund`: giving money back, by an operator; and `/settle` behind it: saying that
//! what the payment provider refused to give back was given back by other means.
//!
//! What a cancelled order gets back needs nobody to ask for it; this is for the rest: goodwill, a
//! part that was broken, a refund that the provider had refused. One refund of a payment at a time,
//! and never more than was charged. Settling asks nobody for anything: it closes a refusal, for good.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::HeaderMap;
use shared::domain::order::{Command, Order};
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::idempotency::header_key;
use shared::service::openapi::orders::{OrderBody, RefundBody, SettleBody};
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
    let order = paid_order(&state, &id).await?;
    let command = Command::Refund {
        order: order.order_id.clone(),
        amount,
    };
    orders::decided(&state, &caller, &context, &order, step, command).await
}

/// Says that what the payment provider refused to give back, or a part of it, was given back by other
/// means. It cannot be taken back, and nothing of it is asked for again.
///
/// # Errors
/// 400 with every fault; 404; 409 if no refund was refused, one is on its way, or less is left.
#[utoipa::path(
    post, path = "/v1/payments/{paymentId}/refund/settle", tag = "orders", operation_id = "settleRefund", security(("apiKey" = [])),
    params(("paymentId" = String, Path, example = "pay-01kf0k8y20zzzzzzzzzzzzzzzz"), ("Idempotency-Key" = String, Header, description = "Here or as idempotencyKey in the body", example = "settle-5001")),
    request_body(content = SettleBody, example = json!({"note": "bank transfer of 2026-01-16"})),
    responses((status = 200, description = "It is closed.", body = OrderBody, headers(("ETag" = String)), example = json!(examples::settled_order())), RefundProblems)
)]
pub async fn settle(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let header = header_key(&headers);
    let (settled, step) = order_body::parse_settle(&read_body(request).await?, header)?;
    let order = paid_order(&state, &id).await?;
    let command = Command::Settle {
        order: order.order_id.clone(),
        amount: settled.amount,
        note: settled.note,
    };
    orders::decided(&state, &caller, &context, &order, step, command).await
}

/// The order of a payment.
///
/// # Errors
/// 404, or 503 if the log has it and cannot be read now.
async fn paid_order(state: &AppState, payment: &str) -> Result<Arc<Order>, Problem> {
    let order = match order_of(payment) {
        Some(order) => orders::find_order(state, order.as_str()).await?,
        None => None,
    };
    order
        .filter(|order| order.payment.is_some())
        .ok_or_else(|| {
            let sentence = "there is no such payment, or the log has dropped its order";
            Problem::new(ProblemCode::PaymentNotFound, sentence)
        })
}
