//! A shop's orders, through central.
//!
//! Everything is central's decision: a call is passed on with this store's id and keys, as a movement
//! of stock is (see [`updates`](super::updates)), and the answer comes back as it is, whatever its
//! status. Central says in `Log-Head` how far a copy must have come to show what an order did to the
//! stock; the answer waits, for a moment, until this one has. So a shop reads the effect of its own
//! orders, also of those that failed.
//!
//! Placing has a time of its own (`ORDER_TIMEOUT_MS`): a payment is part of it, for which central
//! waits up to 15 s before it tells what it knows. A store that hung up earlier would turn answers
//! into doubt, and count a slow bank as a failing central.
//!
//! What must stay true: a store speaks for itself only; whose order an id names is for central to
//! judge, by the store's key. Reads are in [`order_reads`](super::order_reads).

use axum::extract::{Path, Request, State};
use axum::http::Method;
use axum::response::Response;
use shared::service::auth::Caller;
use shared::service::openapi::orders::{
    AddressChange, OrderBody, OrderRequest, StatusChange, StepRequest,
};
use shared::service::openapi::{examples, order_examples};
use shared::service::request_context::RequestContext;
use shared::wire::problem::Problem;

use super::AppState;
use super::order_calls::{Ask, ORDERS, path_of, write};
use super::update_body::speak_for;

shared::problem_set! {
    /// What placing an order can come to instead.
    PlaceProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused | ProductNotFound
        | InsufficientInventory | PriceChanged | PaymentDeclined | IllegalTransition
        | PaymentUnavailable | CentralUnavailable | Timeout;
    /// What taking an order on can be refused for.
    StepProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused | OrderNotFound
        | OrderSettled | IllegalTransition | VersionConflict | PreconditionFailed | CentralUnavailable
        | Timeout;
}

/// Places an order of this shop: holds its units, has it paid, and confirms it.
///
/// # Errors
/// Central's refusals as they are; 503 if nothing happened, 504 if nobody knows and the same key
/// settles it.
#[utoipa::path(
    post, path = "/v1/store/orders", tag = "orders", operation_id = "placeOrder", security(("apiKey" = [])),
    params(("Idempotency-Key" = Option<String>, Header, nullable = false, description = "Here or as idempotencyKey in the body")),
    request_body(content = OrderRequest, example = json!(examples::new_order())),
    responses(
        (status = 201, description = "The order, paid; X-Sync-Visible says whether this store's copy shows its effect.", body = OrderBody, headers(("ETag" = String), ("Location" = String), ("X-Sync-Visible" = bool)), example = json!(examples::order())),
        (status = 202, description = "Nobody knows yet whether it is paid; ask again with the same key.", body = OrderBody, headers(("Location" = String), ("Retry-After" = i64)), example = json!(examples::undecided_order())),
        PlaceProblems,
    )
)]
pub async fn place(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    request: Request,
) -> Result<Response, Problem> {
    let store = &state.config.store_id;
    let ask = Ask {
        is_new: true,
        path: ORDERS.to_owned(),
        method: Method::POST,
        within: state.config.central.order_timeout,
    };
    write(&state, &caller, &context, request, ask, |fields| {
        speak_for(fields, store)
    })
    .await
}

/// Confirms a paid order: its units leave the shelf.
///
/// # Errors
/// As [`place`]; 404; 409 with what can follow.
#[utoipa::path(
    post, path = "/v1/store/orders/{orderId}/confirm", tag = "orders", operation_id = "confirmOrder", security(("apiKey" = [])),
    params(
        ("orderId" = String, Path, example = json!(order_examples::ORDER)),
        ("Idempotency-Key" = Option<String>, Header, nullable = false, example = "confirm-5001"),
        ("If-Match" = Option<String>, Header, nullable = false),
    ),
    request_body(content = Option<StepRequest>, example = json!({})),
    responses((status = 200, description = "It is confirmed.", body = OrderBody, headers(("ETag" = String), ("X-Sync-Visible" = bool)), example = json!(examples::order())), StepProblems)
)]
pub async fn confirm(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    step(&state, &caller, &context, request, &id, "/confirm").await
}

/// Cancels an order: its units are free again, and its money goes back.
///
/// # Errors
/// As [`confirm`].
#[utoipa::path(
    post, path = "/v1/store/orders/{orderId}/cancel", tag = "orders", operation_id = "cancelOrder", security(("apiKey" = [])),
    params(
        ("orderId" = String, Path, example = json!(order_examples::ORDER)),
        ("Idempotency-Key" = Option<String>, Header, nullable = false, example = "cancel-5001"),
        ("If-Match" = Option<String>, Header, nullable = false),
    ),
    request_body(content = Option<StepRequest>, example = json!({})),
    responses((status = 200, description = "It is cancelled. A refund may still be on its way: see payment.refund.", body = OrderBody, headers(("ETag" = String), ("X-Sync-Visible" = bool)), example = json!(examples::cancelled_order())), StepProblems)
)]
pub async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    step(&state, &caller, &context, request, &id, "/cancel").await
}

/// Completes a confirmed order: it was handed over.
///
/// # Errors
/// As [`confirm`].
#[utoipa::path(
    post, path = "/v1/store/orders/{orderId}/complete", tag = "orders", operation_id = "completeOrder", security(("apiKey" = [])),
    params(
        ("orderId" = String, Path, example = json!(order_examples::ORDER)),
        ("Idempotency-Key" = Option<String>, Header, nullable = false),
        ("If-Match" = Option<String>, Header, nullable = false),
    ),
    request_body(content = Option<StepRequest>, example = json!({})),
    responses((status = 200, description = "It is completed.", body = OrderBody, headers(("ETag" = String), ("X-Sync-Visible" = bool)), example = json!(examples::order())), StepProblems)
)]
pub async fn complete(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    step(&state, &caller, &context, request, &id, "/complete").await
}

/// Changes where an order goes, as long as its units have not left.
///
/// # Errors
/// As [`confirm`].
#[utoipa::path(
    put, path = "/v1/store/orders/{orderId}", tag = "orders", operation_id = "editOrder", security(("apiKey" = [])),
    params(
        ("orderId" = String, Path, example = json!(order_examples::ORDER)),
        ("Idempotency-Key" = Option<String>, Header, nullable = false),
        ("If-Match" = Option<String>, Header, nullable = false),
    ),
    request_body(content = AddressChange, example = json!({"shippingAddress": {"street": "1 Mill Lane", "city": "York"}})),
    responses((status = 200, description = "It goes there.", body = OrderBody, headers(("ETag" = String), ("X-Sync-Visible" = bool)), example = json!(examples::order())), StepProblems)
)]
pub async fn edit(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    step(&state, &caller, &context, request, &id, "").await
}

/// Takes an order to a status, which must be one that can follow.
///
/// # Errors
/// As [`confirm`].
#[utoipa::path(
    put, path = "/v1/store/orders/{orderId}/status", tag = "orders", operation_id = "setOrderStatus", security(("apiKey" = [])),
    params(
        ("orderId" = String, Path, example = json!(order_examples::ORDER)),
        ("Idempotency-Key" = Option<String>, Header, nullable = false),
        ("If-Match" = Option<String>, Header, nullable = false),
    ),
    request_body(content = StatusChange, example = json!({"status": "completed"})),
    responses((status = 200, description = "It has that status.", body = OrderBody, headers(("ETag" = String), ("X-Sync-Visible" = bool)), example = json!(examples::order())), StepProblems)
)]
pub async fn set_status(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    step(&state, &caller, &context, request, &id, "/status").await
}

/// Passes a call about the order `id` on; `end` is what stands behind the id, here as at central.
async fn step(
    state: &AppState,
    caller: &Caller,
    context: &RequestContext,
    request: Request,
    id: &str,
    end: &str,
) -> Result<Response, Problem> {
    let ask = Ask {
        is_new: false,
        path: path_of(id, end)?,
        method: request.method().clone(),
        within: state.config.central.deadline,
    };
    write(state, caller, context, request, ask, |_| Ok(())).await
}
