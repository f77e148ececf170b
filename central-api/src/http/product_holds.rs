//! `POST /v1/inventory/{productId}/reserve` and `/release`: holding units of one product, as short as
//! it can be said.
//!
//! The same reservations as under [`reservations`](super::reservations), with the product's figures
//! beside them. Units are given back by the reservation's id and never by quantity: whoever releases
//! twice has released once. A reservation of several products is released as a whole and not at the
//! address of one of them.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use shared::domain::ids::ProductId;
use shared::domain::inventory::{Command, Reservation};
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::idempotency::header_key;
use shared::service::request_context::RequestContext;
use shared::wire::problem::{Detail, Problem, ProblemCode};

use super::decision::{decide, mark, origin};
use super::inventory::path_id;
use super::reservation_body::{self as body, Asked};
use super::reservations::{
    ReleaseProblems, ReserveProblems, as_of, created, hold, left, made, short_lines, shown,
};
use super::schema_reservations::{
    ProductReleaseRequest, ProductReservationAnswer, ProductReserveRequest,
};
use super::{AppState, examples};
use crate::ledger::Decided;

/// Holds units of one product.
///
/// # Errors
/// 400 with every fault of the body, 404 if the product is not there, 409 if too few are available.
#[utoipa::path(
    post, path = "/v1/inventory/{productId}/reserve", tag = "reservations", operation_id = "reserveProduct", security(("apiKey" = [])),
    params(("productId" = String, Path, example = "GRO-0101"), ("Idempotency-Key" = Option<String>, Header, nullable = false)),
    request_body(content = ProductReserveRequest, example = json!(examples::reserve_product())),
    responses((status = 201, description = "The units are held.", body = ProductReservationAnswer, headers(("Location" = String)), example = json!(examples::product_reserved())), ReserveProblems)
)]
pub async fn reserve(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let product = path_id(&id)?;
    let header = header_key(request.headers());
    let asked = body::one(product.clone(), &read_body(request).await?, header)?;
    let (decided, replayed) = hold(&state, &caller, &context, asked).await?;
    let answer = match made(&decided) {
        Ok(reservation) => {
            let members = with_product(&decided, reservation, &product);
            created(&decided, reservation, members)
        }
        Err(first) => short_lines(&decided, first, |_| "quantity".to_owned())
            .with("productId", product.as_str())
            .into_response(),
    };
    Ok(mark(answer, replayed))
}

/// Gives the units of a reservation of this product back.
///
/// # Errors
/// 400 with every fault of the body or for a reservation that is not of this product alone, 403 for
/// another shop's, 404, 409 if the units have left the house.
#[utoipa::path(
    post, path = "/v1/inventory/{productId}/release", tag = "reservations", operation_id = "releaseProduct", security(("apiKey" = [])),
    params(("productId" = String, Path, example = "GRO-0101"), ("Idempotency-Key" = Option<String>, Header, nullable = false)),
    request_body(content = ProductReleaseRequest, example = json!(examples::release_product())),
    responses((status = 200, description = "The units are free.", body = ProductReservationAnswer, example = json!(examples::product_released())), ReleaseProblems)
)]
pub async fn release(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let product = path_id(&id)?;
    let header = header_key(request.headers());
    let asked = body::named(&read_body(request).await?, header)?;
    let Asked { store, key, what } = asked;
    let store = caller.check_store(store.as_ref())?;
    // What a reservation holds never changes, so this may be looked up before the decision.
    let books = &state.ledger.published().books;
    if let Some(reservation) = books.reservation(what.as_str())
        && reservation
            .lines
            .iter()
            .any(|line| line.product_id != product)
    {
        let issue = "holds other products; release it under /v1/reservations";
        let details = vec![Detail::new("reservationId", issue)];
        return Err(Problem::with_details(ProblemCode::InvalidRequest, details));
    }
    let origin = origin(&caller, &context, store.as_ref(), Some(key));
    let command = Command::Release {
        reservation: what.clone(),
        store,
    };
    let (decided, replayed) = decide(&state, origin, command).await?;
    let answer = match left(&decided, &what) {
        Ok(reservation) => {
            let mut members = with_product(&decided, reservation, &product);
            members.extend(as_of(&decided));
            Json(members).into_response()
        }
        Err(first) => short_lines(&decided, first, |_| "reservationId".to_owned()).into_response(),
    };
    Ok(mark(answer, replayed))
}

/// A reservation with the figures of its product as the decision left them, if it moved them.
fn with_product(
    decided: &Decided,
    reservation: &Reservation,
    product: &ProductId,
) -> Map<String, Value> {
    let mut members = shown(reservation);
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    put("productId", product.as_str().into());
    let lines = reservation.lines.iter();
    let units: i64 = lines.map(|line| line.quantity).sum();
    let held = if reservation.is_active() { units } else { 0 };
    put("reserved", held.into());
    let mut events = decided.decision.events.iter().rev();
    if let Some(event) = events.find(|event| event.product.id == *product) {
        if !reservation.is_active() {
            put("released", units.into());
        }
        put("available", event.product.available().into());
        put("totalReserved", event.product.stock.reserved.into());
    }
    members
}
