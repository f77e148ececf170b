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
//! What must stay true: a store speaks for itself only. Lists are of its own orders; whose order an
//! id names is for central to judge, by the store's key.

use std::time::Duration;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value};
use shared::domain::ids::StoreId;
use shared::service::auth::{Caller, Scope};
use shared::service::extract::{parse_json, read_body};
use shared::service::openapi::order_reads::{OrderHistory, OrderList, OrderListParams};
use shared::service::openapi::orders::{
    AddressChange, OrderBody, OrderRequest, StatusChange, StepRequest,
};
use shared::service::openapi::{examples, order_examples};
use shared::service::request_context::RequestContext;
use shared::wire::headers::{LOG_HEAD, SYNC_VISIBLE};
use shared::wire::problem::{Detail, Problem, ProblemCode};

use super::AppState;
use super::update_body::{rename_key, speak_for};
use super::updates::{passed_on, readdressed, refused, unanswered};
use super::visible::until;
use super::write_headers::WriteHeaders;
use crate::central::http::problem_code;
use crate::central::{Call, CallFault, Central as _, Reply};

/// Where central has its orders.
const ORDERS: &str = "v1/orders";
/// How central begins the name of an order.
const ID_START: &str = "ord-";

shared::problem_set! {
    /// What placing an order can come to instead.
    PlaceProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused | ProductNotFound
        | InsufficientInventory | PriceChanged | PaymentDeclined | IllegalTransition
        | PaymentUnavailable | CentralUnavailable | Timeout;
    /// What taking an order on can be refused for.
    StepProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused | OrderNotFound
        | OrderSettled | IllegalTransition | VersionConflict | PreconditionFailed | CentralUnavailable
        | Timeout;
    /// Why orders cannot be listed.
    ListProblems = InvalidRequest | CentralUnavailable | Timeout;
    /// Why an order cannot be shown.
    ReadProblems = InvalidRequest | OrderNotFound | CentralUnavailable | Timeout;
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

/// This shop's orders.
///
/// # Errors
/// Central's refusals as they are; 503 and 504 when it cannot be asked.
#[utoipa::path(
    get, path = "/v1/store/orders", tag = "orders", operation_id = "listOrders", security(("apiKey" = [])),
    params(OrderListParams),
    responses((status = 200, description = "A page of orders, as central has it.", body = OrderList, example = json!(order_examples::page())), ListProblems)
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = own_orders(query.as_deref().unwrap_or_default(), &state.config.store_id)?;
    read(&state, &caller, &context, format!("{ORDERS}?{query}")).await
}

/// One order.
///
/// # Errors
/// As [`list`]; 404.
#[utoipa::path(
    get, path = "/v1/store/orders/{orderId}", tag = "orders", operation_id = "getOrder", security(("apiKey" = [])),
    params(("orderId" = String, Path, example = json!(order_examples::ORDER))),
    responses((status = 200, description = "The order.", body = OrderBody, headers(("ETag" = String)), example = json!(order_examples::order())), ReadProblems)
)]
pub async fn get(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    read(&state, &caller, &context, path_of(&id, "")?).await
}

/// What happened to an order, step by step.
///
/// # Errors
/// As [`get`].
#[utoipa::path(
    get, path = "/v1/store/orders/{orderId}/events", tag = "orders", operation_id = "orderHistory", security(("apiKey" = [])),
    params(("orderId" = String, Path, example = json!(order_examples::ORDER))),
    responses((status = 200, description = "Its events, as central has them.", body = OrderHistory, example = json!(order_examples::history())), ReadProblems)
)]
pub async fn events(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    read(&state, &caller, &context, path_of(&id, "/events")?).await
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

/// Where a write goes.
struct Ask {
    method: Method,
    path: String,
    /// Time for all of it.
    within: Duration,
    /// Whether it makes an order; else it is about one.
    is_new: bool,
}

async fn write(
    state: &AppState,
    caller: &Caller,
    context: &RequestContext,
    request: Request,
    ask: Ask,
    change: impl FnOnce(&mut Map<String, Value>) -> Result<(), Problem>,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let store = &state.config.store_id;
    caller.check_store(Some(store))?;
    let headers = WriteHeaders::of(request.headers());
    let body = read_body(request).await?;
    let mut fields: Map<String, Value> = if body.trim_ascii().is_empty() {
        Map::new()
    } else {
        parse_json(&body).map_err(|problem| headers.beside(problem))?
    };
    change(&mut fields)?;
    rename_key(&mut fields, store);
    let key = headers.own_key(store);
    let call = Call {
        is_repeatable: key.is_some() || fields.contains_key("idempotencyKey"),
        attempt: ask.is_new.then_some(ask.within),
        may_be_forbidden: !ask.is_new,
        body: Some(Value::Object(fields).to_string().into()),
        key,
        if_match: headers.if_match,
        ..call(context, ask.method, ask.path)
    };
    let reply = match asked(state, context, &call, ask.within).await {
        Ok(reply) => reply,
        Err(refusal) => return Ok(refusal),
    };
    let head = reply.headers.get(LOG_HEAD);
    let head = head.and_then(|head| head.to_str().ok()?.parse::<u64>().ok());
    let mut response = answer(reply);
    if let Some(head) = head {
        let seen = until(state, |shown| shown.catalogue.head().offset >= head).await;
        let seen = HeaderValue::from_static(if seen { "true" } else { "false" });
        response.headers_mut().insert(SYNC_VISIBLE, seen);
        if let Some(tip) = state.live.tip() {
            state.write_freshness(tip.position.offset, response.headers_mut());
        }
    }
    Ok(response)
}

async fn read(
    state: &AppState,
    caller: &Caller,
    context: &RequestContext,
    path: String,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    caller.check_store(Some(&state.config.store_id))?;
    let call = call(context, Method::GET, path);
    let reply = asked(state, context, &call, state.config.central.deadline).await;
    Ok(reply.map_or_else(std::convert::identity, answer))
}

fn call(context: &RequestContext, method: Method, path: String) -> Call {
    Call {
        method,
        path,
        body: None,
        key: None,
        if_match: None,
        is_repeatable: true,
        attempt: None,
        may_be_forbidden: true,
        correlation: Some(context.correlation_header().clone()),
        traceparent: context.traceparent().cloned(),
    }
}

/// Central's answer, or the answer instead. What does not speak as central does is something on the
/// way, which may have passed the request on before, or not.
async fn asked(
    state: &AppState,
    context: &RequestContext,
    call: &Call,
    within: Duration,
) -> Result<Reply, Response> {
    let reply = state.central.call(call, within).await;
    let reply = reply.and_then(|reply| {
        let speaks = if reply.status.is_success() {
            is_answer(&reply.body, call.method != Method::GET)
        } else {
            problem_code(&reply.body).is_some()
        };
        speaks
            .then_some(reply)
            .ok_or(CallFault::Unknown { timed_out: false })
    });
    match reply {
        Ok(reply) if reply.status.is_success() => Ok(reply),
        Ok(reply) => Ok(readdressed(reply, context)),
        Err(fault) => Err(refused(&fault, unanswered(&fault))),
    }
}

/// Whether this can be what central answers with: to a write, an order.
fn is_answer(body: &Bytes, is_order: bool) -> bool {
    let body = serde_json::from_slice::<Map<String, Value>>(body);
    body.is_ok_and(|body| !is_order || body.get("orderId").is_some_and(Value::is_string))
}

/// Central's answer, with the order where this store has it.
fn answer(reply: Reply) -> Response {
    let mut response = passed_on(reply);
    let headers = response.headers_mut();
    if let Some(here) = headers.get(LOCATION).and_then(here) {
        headers.insert(LOCATION, here);
    }
    response
}

/// Where this store has what central has there.
fn here(location: &HeaderValue) -> Option<HeaderValue> {
    let path = location.to_str().ok()?.strip_prefix("/v1/orders/")?;
    HeaderValue::try_from(format!("/v1/store/orders/{path}")).ok()
}

/// The query with this store in it.
///
/// # Errors
/// 403 if it names another.
fn own_orders(query: &str, store: &StoreId) -> Result<String, Problem> {
    // Only the query of it is used.
    let mut url: reqwest::Url = "http://central/".parse().map_err(|_| no_query())?;
    url.set_query(Some(query));
    let named: Vec<String> = url
        .query_pairs()
        .filter(|(name, _)| name == "storeId")
        .map(|(_, value)| value.into_owned())
        .collect();
    if named.iter().any(|named| named != store.as_str()) {
        let sentence = "this is another store's service than the query's storeId names";
        return Err(Problem::new(ProblemCode::Forbidden, sentence));
    }
    if named.is_empty() {
        url.query_pairs_mut().append_pair("storeId", store.as_str());
    }
    Ok(url.query().unwrap_or_default().to_owned())
}

fn no_query() -> Problem {
    let detail = Detail::new("query", "is not a query");
    Problem::with_details(ProblemCode::InvalidRequest, vec![detail])
}

/// Where central has the order of this name.
///
/// # Errors
/// 404 for what central would not call an order; so nothing else can be reached through this.
fn path_of(id: &str, rest: &str) -> Result<String, Problem> {
    let token = id.strip_prefix(ID_START).unwrap_or_default();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let sentence = "there is no such order";
        return Err(Problem::new(ProblemCode::OrderNotFound, sentence));
    }
    Ok(format!("{ORDERS}/{id}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_orders_name_leads_to_an_order() {
        assert_eq!(
            path_of("ord-01kf", "/events").unwrap(),
            "v1/orders/ord-01kf/events"
        );
        for id in [
            "events",
            "ord-",
            "ord-1/../x",
            "ord-1?x",
            "..",
            "ord-1%2e",
            "ord-\u{e9}",
        ] {
            assert_eq!(
                path_of(id, "").unwrap_err().code,
                ProblemCode::OrderNotFound,
                "{id}"
            );
        }
    }

    #[test]
    fn a_list_is_of_this_stores_orders() {
        let store = StoreId::parse("a&b=c").unwrap();
        assert_eq!(
            own_orders("limit=2", &store).unwrap(),
            "limit=2&storeId=a%26b%3Dc"
        );
        assert_eq!(own_orders("", &store).unwrap(), "storeId=a%26b%3Dc");
        let named = "storeId=a%26b%3Dc&limit=2";
        assert_eq!(own_orders(named, &store).unwrap(), named);
        let other = own_orders("storeId=other", &store).unwrap_err();
        assert_eq!(other.code, ProblemCode::Forbidden);
    }
}
