//! `GET /v1/inventory/shortfalls`: products of which more is promised than there is, and to whom.
//!
//! Which of the promises cannot be kept is for the shop to say. All that hold such a product are at
//! risk; the newest come first, since whoever came first is usually served first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde_json::{Value, json};
use shared::domain::ids::ProductId;
use shared::domain::inventory::Reservation;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::query::QueryParams;
use shared::view::ListRequest;
use shared::wire::problem::{Problem, ProblemCode};

use super::history::OldLogProblems;
use super::schema_history::Shortfalls;
use super::{AppState, examples};
use crate::ledger::history::short_since;

/// A page of them, in the order that the list's parameters ask for.
///
/// # Errors
/// 400 with every fault of the query.
#[utoipa::path(
    get, path = "/v1/inventory/shortfalls", tag = "inventory", operation_id = "shortfalls", security(("apiKey" = [])),
    params(
        ("sort" = Option<String>, Query, nullable = false), ("order" = Option<String>, Query, nullable = false),
        ("offset" = Option<i64>, Query, nullable = false, minimum = 0), ("cursor" = Option<String>, Query, nullable = false),
        ("limit" = Option<i64>, Query, nullable = false, minimum = 1),
    ),
    responses((status = 200, body = Shortfalls, example = json!(examples::shortfalls())), OldLogProblems)
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.require(Scope::Read)?;
    let mut params = QueryParams::parse(&uri);
    params.unknown_rejected(&["sort", "order", "offset", "cursor", "limit"]);
    let shortfall = [("shortfall", "true")];
    let request = ListRequest::from_pairs(params.pairs().chain(shortfall));
    let mut faults = params.into_faults();
    let request = request.map_err(|found| faults.extend(found));
    let request = match request {
        Ok(request) if faults.is_empty() => request,
        Ok(_) | Err(()) => return Err(Problem::with_details(ProblemCode::InvalidRequest, faults)),
    };
    let own = caller.check_store(None)?;
    let log_gen = state.ledger.published().log_gen();
    let found = state.read_log(move |published| {
        let page = published.view.list(&request);
        let mut budget = limits::SHORTFALL_RECORDS;
        let mut rows = Vec::with_capacity(page.products.len());
        for row in &page.products {
            let since = short_since(published, &row.id, &mut budget)?;
            let mut shown = json!(row.product);
            if let Value::Object(shown) = &mut shown {
                shown.extend(since.into_iter().flat_map(|since| {
                    let exact = ("sinceIsExact".to_owned(), Value::from(since.exact));
                    [("since".to_owned(), since.at.to_string().into()), exact]
                }));
                let most = limits::SHORTFALL_RESERVATIONS;
                let (newest, count) = published.books.holding(row.id.as_str(), most);
                // Whose they are is for their own store; how many there are is for everybody.
                let theirs = |held: &&Arc<Reservation>| own.is_none() || own == held.store_id;
                let newest = newest.iter().filter(theirs);
                let newest = newest.map(|held| at_risk(held, &row.id));
                shown.insert("reservationsAtRisk".to_owned(), count.into());
                shown.insert("reservations".to_owned(), newest.collect());
            }
            rows.push(shown);
        }
        Ok((rows, page))
    });
    let (rows, page) = found.await?;
    let mut body = json!({
        "shortfalls": rows,
        "pagination": {
            "offset": page.offset,
            "limit": page.limit,
            "total_count": page.total,
            "has_more": page.next.is_some(),
        },
        "gen": log_gen.to_string(),
        "asOfOffset": page.head.offset,
    });
    // Absent on the last page, as in every list.
    if let (Value::Object(members), Some(next)) = (&mut body, page.next) {
        members.insert("nextCursor".to_owned(), json!(next));
    }
    Ok(Json(body))
}

/// What is at risk of a reservation that holds units of `product`.
fn at_risk(held: &Reservation, product: &ProductId) -> Value {
    let lines = held.lines.iter();
    let lines = lines.filter(|line| line.product_id == *product);
    let mut shown = json!({
        "reservationId": held.reservation_id,
        "owner": held.owner,
        "quantity": lines.map(|line| line.quantity).sum::<i64>(),
        "createdAt": held.created_at,
        "expiresAt": held.expires_at,
    });
    if let Value::Object(shown) = &mut shown {
        let known = [
            ("reference", held.reference.as_deref()),
            ("storeId", held.store_id.as_ref().map(|id| id.as_str())),
            ("orderId", held.order_id.as_ref().map(|id| id.as_str())),
        ];
        let known = known.into_iter();
        shown.extend(known.filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
    }
    shown
}
