//! `/v1/reservations`: units held for somebody, for a while.
//!
//! Each call is one decision; the answer is made from what that decision recorded, never from how the
//! reservation stands by now, so that a repeat is told what the first request was told. Reading how it
//! stands is in [`reservation_reads`](super::reservation_reads).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use serde_json::{Map, Value, json};
use shared::domain::Rejection;
use shared::domain::ids::{ReservationId, StoreId};
use shared::domain::inventory::{Command, Reservation, Reserve};
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::idempotency::header_key;
use shared::service::request_context::RequestContext;
use shared::wire::problem::{Detail, Problem, ProblemCode};

use super::decision::{decide, mark, origin};
use super::reservation_body::{self as body, Asked, NewHold};
use super::schema_reservations::{
    CommitRequest, ExtendRequest, ReleaseRequest, ReservationAnswer, ReservationRequest,
};
use super::{AppState, examples, location, refusal};
use crate::ids;
use crate::ledger::Decided;

shared::problem_set! {
    /// What holding units can be refused for.
    pub(super) ReserveProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused
        | ProductNotFound | InsufficientInventory | ReservationExists | Overloaded | ShuttingDown | StorageFull
        | Timeout;
    /// What committing can be refused for.
    CommitProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused
        | ReservationNotFound | ProductNotFound | ReservationResolved | ReservationExpired
        | ReservationOfOrder | InsufficientInventory | Overloaded | ShuttingDown | StorageFull | Timeout;
    /// What releasing can be refused for.
    pub(super) ReleaseProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused
        | ReservationNotFound | ReservationResolved | ReservationOfOrder | Overloaded
        | ShuttingDown | StorageFull | Timeout;
    /// What extending can be refused for.
    ExtendProblems = InvalidRequest | IdempotencyKeyRequired | IdempotencyKeyReused
        | ReservationNotFound | ReservationResolved | ReservationExpired | ReservationOfOrder
        | ReservationTooLong | Overloaded | ShuttingDown | StorageFull | Timeout;
}

/// Holds units: all lines or none.
///
/// # Errors
/// 400 with every fault of the body, 409 with every line that is short.
#[utoipa::path(
    post, path = "/v1/reservations", tag = "reservations", operation_id = "createReservation", security(("apiKey" = [])),
    params(("Idempotency-Key" = Option<String>, Header, nullable = false)),
    request_body(content = ReservationRequest, example = json!(examples::new_reservation())),
    responses((status = 201, description = "The units are held.", body = ReservationAnswer, headers(("Location" = String)), example = json!(examples::reserved())), ReserveProblems)
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let header = header_key(request.headers());
    let asked = body::several(&read_body(request).await?, header)?;
    let asked_lines = asked.what.lines.clone();
    let (decided, replayed) = hold(&state, &caller, &context, asked).await?;
    let answer = match made(&decided) {
        Ok(reservation) => created(&decided, reservation, shown(reservation)),
        Err(rejection) => {
            let place = |product: &str| {
                let mut lines = asked_lines.iter();
                let at = lines.position(|line| line.product_id.as_str() == product);
                format!("lines[{}].quantity", at.unwrap_or(0))
            };
            short_lines(&decided, rejection, place).into_response()
        }
    };
    Ok(mark(answer, replayed))
}

/// Has the units of `asked` held.
///
/// # Errors
/// 403 for another shop; otherwise as [`decide`].
pub(super) async fn hold(
    state: &AppState,
    caller: &Caller,
    context: &RequestContext,
    asked: Asked<NewHold>,
) -> Result<(Arc<Decided>, bool), Problem> {
    let Asked { store, key, what } = asked;
    let store = caller.check_store(store.as_ref())?;
    let origin = origin(caller, context, store.as_ref(), Some(key));
    let NewHold {
        id,
        owner,
        reference,
        lines,
        ttl_millis,
    } = what;
    let reserve = Reserve {
        named: id.is_some(),
        reservation: id.unwrap_or_else(|| ids::reservation_id(state.ledger.now(), rand::random())),
        owner: owner.unwrap_or_else(|| origin.principal.clone().into()),
        reference,
        store,
        lines,
        ttl_millis,
    };
    decide(state, origin, Command::Reserve(reserve)).await
}

/// The answer to a request that made `reservation`.
pub(super) fn created(
    decided: &Decided,
    reservation: &Reservation,
    mut members: Map<String, Value>,
) -> Response {
    members.extend(as_of(decided));
    let location = location("/v1/reservations", reservation.reservation_id.as_str());
    (StatusCode::CREATED, [(LOCATION, location)], Json(members)).into_response()
}

/// The reservation that a decision made, or why it made none.
///
/// # Errors
/// The first reason.
pub(super) fn made(decided: &Decided) -> Result<&Reservation, Option<&Rejection>> {
    match refusal::reasons(&decided.decision).next() {
        Some((_, first)) => Err(Some(first)),
        // Whatever ran out or was replaced for it stands before it.
        None => decided.decision.reservations.last().ok_or(None),
    }
}

/// How a decision left the reservation `id`, or why it did nothing.
///
/// # Errors
/// The first reason.
pub(super) fn left<'a>(
    decided: &'a Decided,
    id: &ReservationId,
) -> Result<&'a Reservation, Option<&'a Rejection>> {
    if let Some((_, first)) = refusal::reasons(&decided.decision).next() {
        return Err(Some(first));
    }
    let mut changed = decided.decision.reservations.iter().rev();
    changed.find(|one| one.reservation_id == *id).ok_or(None)
}

/// The problem of units that cannot be held: every line that is at fault, with the figures. `place`
/// says where the line of a product stands in the request.
pub(super) fn short_lines(
    decided: &Decided,
    first: Option<&Rejection>,
    place: impl Fn(&str) -> String,
) -> Problem {
    let Some(first) = first else {
        return Problem::new(ProblemCode::Internal, "nothing was decided");
    };
    if first.product_id().is_none() {
        return refusal::problem(first);
    }
    let mut details = Vec::new();
    let mut lines = Vec::new();
    for (_, rejection) in refusal::reasons(&decided.decision) {
        let Some(product) = rejection.product_id() else {
            continue;
        };
        let mut line = json!({
            "productId": product,
            "code": refusal::code(rejection).as_str(),
        });
        let issue = match (rejection, &mut line) {
            (
                Rejection::InsufficientInventory {
                    delta,
                    available,
                    version,
                    ..
                },
                Value::Object(line),
            ) => {
                let requested = delta.saturating_neg();
                line.insert("requested".to_owned(), requested.into());
                line.insert("available".to_owned(), (*available).into());
                line.insert("version".to_owned(), (*version).into());
                format!("{product}: {requested} requested, {available} available")
            }
            _ => rejection.to_string(),
        };
        details.push(Detail::new(place(product.as_str()), issue));
        lines.push(line);
    }
    let count = refusal::so_many(details.len() as u64, "product");
    let sentence = format!("no units were taken: {count} short");
    let problem = Problem::new(refusal::code(first), sentence).with("lines", lines);
    Problem { details, ..problem }
}

/// Takes the units out of the house: all that the reservation holds. A part cannot be committed; hold
/// the part first, under the same `owner` and `reference`, which replaces the hold in one decision.
///
/// # Errors
/// 400 with every fault of the body, 403 for another shop's, 404, 409 if it was resolved otherwise or
/// has run out.
#[utoipa::path(
    post, path = "/v1/reservations/{reservationId}/commit", tag = "reservations", operation_id = "commitReservation", security(("apiKey" = [])),
    params(("reservationId" = String, Path, example = "cart-0815"), ("Idempotency-Key" = Option<String>, Header, nullable = false)),
    request_body(content = CommitRequest, example = json!(examples::commit())),
    responses((status = 200, description = "The units have left the house.", body = ReservationAnswer, example = json!(examples::committed())), CommitProblems)
)]
pub async fn commit(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let resolve = Resolve::of(&state, &caller, &context, &id)?;
    let header = header_key(request.headers());
    let asked = body::commit(&read_body(request).await?, header)?;
    let command = |reservation, store, reacquire| Command::Commit {
        reservation,
        reacquire,
        store,
    };
    resolve.answer(asked, command).await
}

/// Gives the units back.
///
/// # Errors
/// 400 with every fault of the body, 403 for another shop's, 404, 409 if they have left the house.
#[utoipa::path(
    post, path = "/v1/reservations/{reservationId}/release", tag = "reservations", operation_id = "releaseReservation", security(("apiKey" = [])),
    params(("reservationId" = String, Path, example = "counter-7"), ("Idempotency-Key" = Option<String>, Header, nullable = false)),
    request_body(content = ReleaseRequest, example = json!(examples::release())),
    responses((status = 200, description = "The units are free.", body = ReservationAnswer, example = json!(examples::released())), ReleaseProblems)
)]
pub async fn release(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let resolve = Resolve::of(&state, &caller, &context, &id)?;
    let header = header_key(request.headers());
    let asked = body::release(&read_body(request).await?, header)?;
    let command = |reservation, store, ()| Command::Release { reservation, store };
    resolve.answer(asked, command).await
}

/// Holds the units longer, counted from now.
///
/// # Errors
/// 400 with every fault of the body, 403 for another shop's, 404, 409 if it is resolved, has run out
/// or would last too long.
#[utoipa::path(
    post, path = "/v1/reservations/{reservationId}/extend", tag = "reservations", operation_id = "extendReservation", security(("apiKey" = [])),
    params(("reservationId" = String, Path, example = "cart-0815"), ("Idempotency-Key" = Option<String>, Header, nullable = false)),
    request_body(content = ExtendRequest, example = json!(examples::extend())),
    responses((status = 200, description = "The units are held longer.", body = ReservationAnswer, example = json!(examples::reserved())), ExtendProblems)
)]
pub async fn extend(
    State(state): State<AppState>,
    caller: Caller,
    context: RequestContext,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let resolve = Resolve::of(&state, &caller, &context, &id)?;
    let header = header_key(request.headers());
    let asked = body::extend(&read_body(request).await?, header)?;
    let command = |reservation, store, ttl_millis| Command::Extend {
        reservation,
        store,
        ttl_millis,
    };
    resolve.answer(asked, command).await
}

/// One request about one reservation.
struct Resolve<'a> {
    state: &'a AppState,
    caller: &'a Caller,
    context: &'a RequestContext,
    id: ReservationId,
}

impl<'a> Resolve<'a> {
    fn of(
        state: &'a AppState,
        caller: &'a Caller,
        context: &'a RequestContext,
        id: &str,
    ) -> Result<Self, Problem> {
        caller.require(Scope::Store)?;
        Ok(Self {
            state,
            caller,
            context,
            id: path_id(id)?,
        })
    }

    async fn answer<T>(
        self,
        asked: Asked<T>,
        command: impl FnOnce(ReservationId, Option<StoreId>, T) -> Command,
    ) -> Result<Response, Problem> {
        let Asked { store, key, what } = asked;
        let store = self.caller.check_store(store.as_ref())?;
        let origin = origin(self.caller, self.context, store.as_ref(), Some(key));
        let command = command(self.id.clone(), store, what);
        let (decided, replayed) = decide(self.state, origin, command).await?;
        let answer = match left(&decided, &self.id) {
            Ok(reservation) => {
                let mut members = shown(reservation);
                members.extend(as_of(&decided));
                Json(members).into_response()
            }
            Err(first) => short_lines(&decided, first, |_| "path.reservationId".to_owned())
                .with("reservationId", self.id.as_str())
                .into_response(),
        };
        Ok(mark(answer, replayed))
    }
}

/// Parses a reservation's id of a path.
///
/// # Errors
/// 400 if it is not an id.
pub(super) fn path_id(text: &str) -> Result<ReservationId, Problem> {
    ReservationId::parse(text).map_err(|error| {
        let detail = Detail::new("path.reservationId", error.to_string());
        Problem::with_details(ProblemCode::InvalidRequest, vec![detail])
    })
}

/// A reservation as it is shown.
pub(super) fn shown(reservation: &Reservation) -> Map<String, Value> {
    match serde_json::to_value(reservation) {
        Ok(Value::Object(members)) => members,
        Ok(_) | Err(_) => Map::new(),
    }
}

/// The offset up to which a follower has seen what `decided` did.
pub(super) fn as_of(decided: &Decided) -> [(String, Value); 1] {
    let events = decided.decision.events.len() as u64;
    let offset = decided.first.inventory.saturating_add(events);
    [("asOfOffset".to_owned(), offset.into())]
}
