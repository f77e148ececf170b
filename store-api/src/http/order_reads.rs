//! Reads of a shop's orders, through central: lists, one order, its history, figures.
//!
//! A history can be had as it happens: central's stream goes through this store as it is, event for
//! event, and a browser that comes back names the last one that it saw, which goes on to central. The
//! stream ends where central's ends, breaks off or falls silent, and when this store stops; the browser
//! then comes back by itself. Each costs a connection to central, so only so many are open at a time.
//!
//! What must stay true: lists and figures are of this store's own orders.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use shared::domain::ids::StoreId;
use shared::service::auth::{Caller, Scope};
use shared::service::openapi::order_reads::{
    OrderHistory, OrderHistoryParams, OrderList, OrderListParams, OrderStatsAnswer,
    OrderStatsParams,
};
use shared::service::openapi::orders::OrderBody;
use shared::service::openapi::{SseEventBody, order_examples};
use shared::service::request_context::RequestContext;
use shared::service::sse::{LAST_EVENT_ID, is_wanted};
use shared::wire::problem::{Detail, Problem, ProblemCode};
use tokio::sync::OwnedSemaphorePermit;

use super::AppState;
use super::order_calls::{ORDERS, answer, asked, call, judged, path_of};
use super::updates::{refused, unanswered};
use crate::central::{CallFault, Central as _, Streamed, SyncFault};

shared::problem_set! {
    /// Why orders cannot be listed or summed up.
    ListProblems = InvalidRequest | Forbidden | CentralUnavailable | Timeout;
    /// Why an order cannot be shown.
    ReadProblems = InvalidRequest | Forbidden | OrderNotFound | CentralUnavailable | Timeout;
    /// Why an order's history cannot be shown.
    HistoryProblems = InvalidRequest | Forbidden | OrderNotFound | CentralUnavailable | Overloaded
        | Timeout;
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

/// What this shop's orders of some time sum up to.
///
/// # Errors
/// As [`list`].
#[utoipa::path(
    get, path = "/v1/store/orders/stats", tag = "orders", operation_id = "orderStats", security(("apiKey" = [])),
    params(OrderStatsParams),
    responses((status = 200, description = "The figures, as central has them.", body = OrderStatsAnswer, example = json!(order_examples::stats())), ListProblems)
)]
pub async fn stats(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = own_orders(query.as_deref().unwrap_or_default(), &state.config.store_id)?;
    let path = format!("{ORDERS}/stats?{query}");
    read(&state, &caller, &context, path).await
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

/// What happened to an order, step by step, or as it happens.
///
/// # Errors
/// As [`get`]; 503 too when very many watch orders here.
#[utoipa::path(
    get, path = "/v1/store/orders/{orderId}/events", tag = "orders", operation_id = "orderHistory", security(("apiKey" = [])),
    params(
        ("orderId" = String, Path, example = json!(order_examples::ORDER)),
        OrderHistoryParams,
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "With text/event-stream: the last version that was seen"),
    ),
    responses(
        (
            status = 200, description = "Its events, as central has them: a page, or a stream that begins with the past and ends after `end`.",
            content(
                (OrderHistory = "application/json", example = json!(order_examples::history())),
                (SseEventBody = "text/event-stream"),
            ),
        ),
        HistoryProblems,
    )
)]
pub async fn events(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut path = path_of(&id, "/events")?;
    if let Some(query) = query {
        path = format!("{path}?{query}");
    }
    if !is_wanted(&headers) {
        return read(&state, &caller, &context, path).await;
    }
    may_read(&state, &caller)?;
    let room = Arc::clone(&state.order_streams).try_acquire_owned();
    let room = room.map_err(|_| {
        let sentence = "too many watch orders at this store";
        Problem::new(ProblemCode::Overloaded, sentence).retry_after(5)
    })?;
    let call = call(&context, Method::GET, path);
    let last = headers.get(LAST_EVENT_ID).cloned();
    let within = state.config.central.timeout;
    let reply = match state.central.stream(&call, last, within).await {
        Ok(Streamed::Going { bytes, .. }) => return Ok(streamed(&state, bytes, room)),
        // A plain answer to this is a refusal, or nobody's that speaks as central does.
        Ok(Streamed::Answered(reply)) if reply.status.is_success() => {
            Err(CallFault::Unknown { timed_out: false })
        }
        Ok(Streamed::Answered(reply)) => Ok(reply),
        Err(fault) => Err(fault),
    };
    Ok(match judged(&context, &call, reply) {
        Ok(reply) => answer(reply),
        Err(fault) => refused(&fault, unanswered(&fault)),
    })
}

/// Central's events as they come, until they stop or this store does.
fn streamed(
    state: &AppState,
    events: BoxStream<'static, Result<Bytes, SyncFault>>,
    room: OwnedSemaphorePermit,
) -> Response {
    let stop = state.shutdown.clone();
    let whole = events.take_while(|part| std::future::ready(part.is_ok()));
    let events = whole.take_until(async move { stop.cancelled().await });
    let events = events.map(move |part| {
        // Held for as long as the stream is.
        let _held = &room;
        part
    });
    let mut response = Body::from_stream(events).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn read(
    state: &AppState,
    caller: &Caller,
    context: &RequestContext,
    path: String,
) -> Result<Response, Problem> {
    may_read(state, caller)?;
    let call = call(context, Method::GET, path);
    let reply = asked(state, context, &call, state.config.central.deadline).await;
    Ok(reply.map_or_else(std::convert::identity, answer))
}

fn may_read(state: &AppState, caller: &Caller) -> Result<(), Problem> {
    caller.require(Scope::Read)?;
    caller.check_store(Some(&state.config.store_id))?;
    Ok(())
}

/// The query with this store in it.
///
/// # Errors
/// 403 if it names another.
pub(crate) fn own_orders(query: &str, store: &StoreId) -> Result<String, Problem> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
