//! Reads of orders: one, a page of them, one payment, and what they sum up to.
//!
//! Everything comes from the published books: a read that begins after a write was answered sees it.
//! Lists have the orders that go on and those that ended last; an older one is found by its id, in the
//! log.
//!
//! What must stay true: a key that is bound to a store learns of that store's orders only.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use http::{HeaderMap, StatusCode, Uri};
use serde::Serialize;
use shared::clock::Timestamp;
use shared::domain::ids::{CustomerId, OrderId, StoreId};
use shared::domain::order::{Order, OrderStatus, Payment};
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::openapi::PaginationBody;
use shared::service::openapi::order_examples;
use shared::service::openapi::order_reads::{
    OrderCounts, OrderList, OrderListParams, OrderProcessing, OrderStatsAnswer, OrderStatsParams,
    PaymentAnswer,
};
use shared::service::openapi::orders::OrderBody;
use shared::service::precondition::{etag, is_known};
use shared::service::query::QueryParams;
use shared::wire::problem::{Problem, ProblemCode};

use super::AppState;
use super::order_cursor::Cursor;
use super::orders::{check_own, find_order, own_order, shown};
use super::paging::{PageAsk, given_cursor};
use crate::ids::order_of;
use crate::ledger::order_lists::{OrderFilter, OrderPage, OrderStats, Owed, Start};

shared::problem_set! {
    /// What a list of orders can be refused for.
    OrderListProblems = InvalidRequest | Forbidden;
    /// What a question about one order can be refused for.
    pub(super) OrderProblems = InvalidRequest | Forbidden | OrderNotFound | Overloaded;
    /// What a question about one payment can be refused for.
    PaymentProblems = InvalidRequest | Forbidden | PaymentNotFound | Overloaded;
    /// What a question about figures can be refused for.
    OrderStatsProblems = InvalidRequest | Forbidden | Overloaded;
}

/// One order.
///
/// # Errors
/// 404 if there is no such order, 403 for another store's.
#[utoipa::path(
    get, path = "/v1/orders/{orderId}", tag = "orders", operation_id = "getOrder", security(("apiKey" = [])),
    params(("orderId" = String, Path, example = json!(order_examples::ORDER)), ("If-None-Match" = Option<String>, Header, nullable = false)),
    responses(
        (status = 200, body = OrderBody, headers(("ETag" = String)), example = json!(order_examples::order())),
        (status = 304, description = "It is still this version."), OrderProblems,
    )
)]
pub async fn get(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let order = own_order(&state, &caller, &id).await?;
    let etag = etag(order.version);
    if is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    Ok(shown(&order))
}

/// A payment as it is sent; [`PaymentAnswer`] describes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentShown<'a> {
    #[serde(flatten)]
    payment: &'a Payment,
    order_id: &'a OrderId,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_id: Option<&'a StoreId>,
    currency: &'a str,
    updated_at: Timestamp,
}

/// One payment, and what it is for.
///
/// # Errors
/// 404 if there is no such payment, 403 for that of another store's order.
#[utoipa::path(
    get, path = "/v1/payments/{paymentId}", tag = "orders", operation_id = "getPayment", security(("apiKey" = [])),
    params(("paymentId" = String, Path, example = json!(order_examples::PAYMENT))),
    responses((status = 200, body = PaymentAnswer, example = json!(order_examples::payment())), PaymentProblems)
)]
pub async fn payment(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    // A payment is named after its order.
    let order = match order_of(&id) {
        Some(order) => find_order(&state, order.as_str()).await?,
        None => None,
    };
    let found = order.and_then(|order| {
        let payment = order.payment.clone();
        let payment = payment.filter(|payment| payment.payment_id.as_str() == id)?;
        Some((payment, order))
    });
    let Some((payment, order)) = found else {
        let sentence = "there is no such payment, or the log has dropped its order";
        return Err(Problem::new(ProblemCode::PaymentNotFound, sentence));
    };
    check_own(&caller, &order)?;
    let shown = PaymentShown {
        payment: &payment,
        order_id: &order.order_id,
        store_id: order.store_id.as_ref(),
        currency: &order.currency,
        updated_at: order.updated_at,
    };
    Ok(Json(shown).into_response())
}

/// A page as it is sent; [`OrderList`] describes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListAnswer {
    orders: Vec<Arc<Order>>,
    pagination: PaginationBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    #[serde(rename = "gen")]
    log_gen: String,
    as_of_offset: u64,
}

/// What a list is asked for.
struct Ask {
    filter: OrderFilter,
    start: Start,
    /// Orders before the page.
    rows: usize,
    limit: usize,
}

/// A page of orders, newest first. A key that is bound to a store sees that store's.
///
/// # Errors
/// 400 with every fault of the query, 403 for another store's orders.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders", operation_id = "listOrders", security(("apiKey" = [])),
    params(OrderListParams),
    responses((status = 200, body = OrderList, example = json!(order_examples::page())), OrderListProblems)
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let Ask {
        filter,
        start,
        rows,
        limit,
    } = ask(&uri, &caller)?;
    let published = Arc::clone(state.ledger.published());
    // Two filters that leave little of each other take a while; the threads that serve tills are not
    // for that.
    let work = tokio::task::spawn_blocking(move || {
        // Looked at before the orders, so that the page is not behind it.
        let (log_gen, head) = (published.log_gen(), published.head());
        let page = published.books.list_orders(&filter, &start, limit);
        let pagination = PaginationBody::new(rows, limit, page.total, page.has_more);
        let next_cursor = next(&page, filter, rows);
        serde_json::to_vec(&ListAnswer {
            orders: page.orders,
            pagination,
            next_cursor,
            log_gen: log_gen.to_string(),
            as_of_offset: head.orders,
        })
    });
    match work.await {
        Ok(Ok(body)) => {
            let json = http::HeaderValue::from_static("application/json");
            Ok(([(http::header::CONTENT_TYPE, json)], body).into_response())
        }
        Ok(Err(_)) | Err(_) => {
            let sentence = "the list could not be made";
            Err(Problem::new(ProblemCode::Internal, sentence))
        }
    }
}

/// Where the page after `page` begins, unless this is the last.
fn next(page: &OrderPage, filter: OrderFilter, rows: usize) -> Option<String> {
    let last = page.orders.last().filter(|_| page.has_more)?;
    let cursor = Cursor {
        filter,
        rows: rows + page.orders.len(),
        total: page.total,
        place: (last.created_at, last.order_id.clone()),
    };
    Some(cursor.encode())
}

fn ask(uri: &Uri, caller: &Caller) -> Result<Ask, Problem> {
    const NAMES: [&str; 8] = [
        "customerId",
        "storeId",
        "status",
        "refund",
        "void",
        "offset",
        "cursor",
        "limit",
    ];
    let mut params = QueryParams::parse(uri);
    params.unknown_rejected(&NAMES);
    let statuses = OrderStatus::ALL.map(|status| (status.as_str(), status));
    let mut filter = OrderFilter {
        customer: params.parsed_by("customerId", CustomerId::parse),
        store: params.parsed_by("storeId", StoreId::parse),
        status: params.choice("status", &statuses),
        owed: owed(&mut params),
    };
    let PageAsk { offset, limit } = PageAsk::read(&mut params);
    let cursor = given_cursor(&mut params, Cursor::parse);
    if let Some(cursor) = &cursor {
        filter = filter.or(&cursor.filter);
    }
    // Before the cursor is held to it: a bound key's own walk says nothing about the store.
    filter.store = caller.check_store(filter.store.as_ref())?;
    if cursor
        .as_ref()
        .is_some_and(|cursor| cursor.filter != filter)
    {
        params.fault("cursor", "belongs to a list with other filters");
    }
    params.finish()?;
    Ok(match cursor {
        Some(cursor) => Ask {
            filter,
            rows: cursor.rows,
            start: Start::After {
                place: cursor.place,
                total: cursor.total,
            },
            limit,
        },
        None => Ask {
            filter,
            rows: offset,
            start: Start::Offset(offset),
            limit,
        },
    })
}

/// `refund` or `void`: an order is owed one of them at most.
fn owed(params: &mut QueryParams<'_>) -> Option<Owed> {
    let refunds = [("open", Owed::RefundOpen), ("failed", Owed::RefundFailed)];
    let refund = params.choice("refund", &refunds);
    let void = params.choice("void", &[("open", Owed::VoidOpen)]);
    if refund.is_some() && void.is_some() {
        params.fault("void", "cannot be asked for together with refund");
    }
    refund.or(void)
}

/// What the orders of some time sum up to: how many stand like what, and how long it took until it was
/// known what becomes of them.
///
/// # Errors
/// 400 with every fault of the query, 403 for another store's orders.
#[utoipa::path(
    get, path = "/v1/orders/stats", tag = "orders", operation_id = "orderStats", security(("apiKey" = [])),
    params(OrderStatsParams),
    responses((status = 200, body = OrderStatsAnswer, example = json!(order_examples::stats())), OrderStatsProblems)
)]
pub async fn stats(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<OrderStatsAnswer>, Problem> {
    caller.require(Scope::Read)?;
    let mut params = QueryParams::parse(&uri);
    params.unknown_rejected(&["from", "to", "storeId"]);
    let (from, to) = (
        params.parsed::<Timestamp>("from"),
        params.parsed::<Timestamp>("to"),
    );
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        params.fault("to", "lies before from");
    }
    let store = params.parsed_by("storeId", StoreId::parse);
    params.finish()?;
    let filter = OrderFilter {
        store: caller.check_store(store.as_ref())?,
        ..OrderFilter::default()
    };
    // Not the log, but as long: with few others.
    let work = state.read_log(move |published| {
        let (log_gen, head) = (published.log_gen(), published.head());
        let most = limits::ORDER_STATS_ORDERS;
        let stats = published.books.order_stats(&filter, from, to, most);
        Ok((stats, log_gen.to_string(), head.orders))
    });
    let (stats, log_gen, as_of_offset) = work.await?;
    Ok(Json(summed_up(&stats, log_gen, as_of_offset)))
}

fn summed_up(stats: &OrderStats, log_gen: String, as_of_offset: u64) -> OrderStatsAnswer {
    let [
        pending,
        reserved,
        undecided,
        paid,
        confirmed,
        completed,
        failed,
        cancelled,
    ] = stats.by_status;
    let oldest = stats.oldest.filter(|_| stats.is_cut);
    OrderStatsAnswer {
        total: stats.total,
        by_status: OrderCounts {
            pending,
            reserved,
            undecided,
            paid,
            confirmed,
            completed,
            failed,
            cancelled,
        },
        refunds_failed: stats.refunds_failed,
        refunds_open: stats.refunds_open,
        voids_open: stats.voids_open,
        processing: stats.processing.map(|processing| OrderProcessing {
            count: processing.count,
            mean_ms: processing.mean_millis,
            p99_ms: processing.p99_millis,
        }),
        is_complete: !stats.is_cut,
        counted_from: oldest.map(|at| at.to_string()),
        log_gen,
        as_of_offset,
    }
}
