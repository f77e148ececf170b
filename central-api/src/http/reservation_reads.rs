//! `GET /v1/reservations` and `/{reservationId}`: how reservations stand.
//!
//! What has run out is shown as expired from that moment, by the clock that decisions are made by,
//! whether or not it has been written down yet.
//!
//! What must stay true: a key that is bound to a store learns of that store's reservations only; an
//! order's says who bought what.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Map, Value, json};
use shared::clock::Timestamp;
use shared::domain::Rejection;
use shared::domain::inventory::Reservation;
use shared::service::auth::{Caller, Scope};
use shared::service::query::QueryParams;
use shared::wire::problem::{Problem, ProblemCode};

use super::reservation_list::{Page, Wanted};
use super::reservations::{path_id, shown};
use super::schema_reservations::{ReservationBody, ReservationListParams, ReservationPage};
use super::{AppState, examples, refusal};

shared::problem_set! {
    /// What a question about one reservation can be refused for.
    ReservationProblems = InvalidRequest | Forbidden | ReservationNotFound;
    /// What a question about many can be refused for.
    ReservationListProblems = InvalidRequest | Forbidden | Overloaded;
}

/// One reservation, as it stands now.
///
/// # Errors
/// 404 if it is not there, or was resolved so long ago that it is forgotten; 403 for another store's.
#[utoipa::path(
    get, path = "/v1/reservations/{reservationId}", tag = "reservations", operation_id = "getReservation", security(("apiKey" = [])),
    params(("reservationId" = String, Path, example = "cart-0815")),
    responses((status = 200, body = ReservationBody, example = json!(examples::reservation())), ReservationProblems)
)]
pub async fn get(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Map<String, Value>>, Problem> {
    caller.require(Scope::Read)?;
    let id = path_id(&id)?;
    let now = state.ledger.now();
    let found = state.ledger.published().books.reservation(id.as_str());
    let found = found.ok_or_else(|| {
        refusal::problem(&Rejection::ReservationNotFound {
            reservation_id: id.clone(),
        })
    })?;
    let own = caller.check_store(None)?;
    if own.is_some() && own != found.store_id {
        let sentence = "this key is bound to another store";
        return Err(Problem::new(ProblemCode::Forbidden, sentence));
    }
    Ok(Json(at(&found, now)))
}

/// A page of reservations, newest first. A key that is bound to a store sees that store's.
///
/// # Errors
/// 400 with every fault of the query; 403 for another store's; 503 if too many count already.
#[utoipa::path(
    get, path = "/v1/reservations", tag = "reservations", operation_id = "listReservations", security(("apiKey" = [])),
    params(ReservationListParams),
    responses((status = 200, body = ReservationPage, example = json!(examples::reservations())), ReservationListProblems)
)]
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.require(Scope::Read)?;
    let mut params = QueryParams::parse(&uri);
    let mut wanted = Wanted::read(&mut params);
    params.finish()?;
    wanted.keep_to(|store| caller.check_store(store))?;
    let now = state.ledger.now();
    let published = Arc::clone(state.ledger.published());
    let log_gen = published.log_gen();
    // Before the rows are read: whoever goes on from there misses nothing.
    let head = published.head().offset;
    let page = if wanted.counts_all() {
        // Not the log, but as long: with few others.
        let work = state.read_log(move |published| Ok(wanted.page(&published.books, now)));
        work.await?
    } else {
        // A rare filter looks at everything; the threads that serve tills are not for that.
        let work = tokio::task::spawn_blocking(move || wanted.page(&published.books, now));
        work.await
            .map_err(|_| Problem::new(ProblemCode::Internal, "the list could not be made"))?
    };
    let Page {
        rows,
        next,
        pagination,
    } = page;
    let rows = rows.iter().map(|row| at(row, now));
    let mut answer = json!({
        "reservations": rows.collect::<Vec<_>>(),
        "gen": log_gen.to_string(),
        "asOfOffset": head,
    });
    if let Value::Object(members) = &mut answer {
        members.extend(next.map(|next| ("nextCursor".to_owned(), next.into())));
        members.extend(pagination.map(|page| ("pagination".to_owned(), json!(page))));
    }
    Ok(Json(answer))
}

/// A reservation as it stands at `now`.
fn at(reservation: &Reservation, now: Timestamp) -> Map<String, Value> {
    shown(&Reservation {
        state: reservation.state_at(now),
        ..reservation.clone()
    })
}
