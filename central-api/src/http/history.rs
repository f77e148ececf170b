//! `GET /v1/inventory/{productId}/history`: what happened to a product, newest first, and how it
//! stood at some moment.

use axum::Json;
use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Map, Value, json};
use shared::clock::Timestamp;
use shared::domain::ids::{ProductId, StoreId};
use shared::domain::inventory::product::Stock;
use shared::domain::inventory::{MovementKind, Rejection};
use shared::domain::origin::Origin;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::query::QueryParams;
use shared::wire::problem::{Detail, Problem, ProblemCode};

use super::inventory::{not_found, path_id};
use super::refusal;
use super::schema_history::{HistoryAnswer, HistoryParams};
use super::{AppState, examples};
use crate::ledger::history::{
    Entry, KindWanted, Moment, Page, Stood, Wanted, What, as_it_stood, page,
};

shared::problem_set! {
    /// What a question about the past can be refused for.
    pub(super) OldLogProblems = InvalidRequest | OffsetGone | Overloaded;
    /// … and about one product's past.
    HistoryProblems = InvalidRequest | ProductNotFound | OffsetGone | Overloaded;
}

/// Answers with a page of history, or with the product as it stood `at` a moment.
///
/// # Errors
/// 400 with every fault of the query, 404 if the product never was, 410 if retention has dropped
/// the answer.
#[utoipa::path(
    get, path = "/v1/inventory/{productId}/history", tag = "inventory", operation_id = "history", security(("apiKey" = [])),
    params(("productId" = String, Path, example = "GRO-0101"), HistoryParams),
    responses(
        (status = 200, description = "A page, newest first; with `at`, the product as it stood then.", body = HistoryAnswer, example = json!(examples::history())),
        HistoryProblems,
    )
)]
pub async fn get(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.require(Scope::Read)?;
    let id = path_id(&id)?;
    let mut params = QueryParams::parse(&uri);
    if params.raw("at").is_some() {
        params.unknown_rejected(&["at"]);
        let moment = params.parsed_by("at", moment);
        params.finish()?;
        let moment = moment.unwrap_or(Moment::Offset(0));
        return at(&state, id, moment).await.map(Json);
    }
    let known = ["limit", "before", "kind", "storeId", "from", "to"];
    params.unknown_rejected(&known);
    let wanted = wanted(&mut params);
    params.finish()?;
    let reader = id.clone();
    let found = state.read_log(move |published| page(published, &reader, &wanted));
    let found = found.await?.ok_or_else(|| not_found(&id))?;
    Ok(Json(shape(&id, &found, &state)))
}

fn wanted(params: &mut QueryParams<'_>) -> Wanted {
    let mut kinds: Vec<(&str, KindWanted)> = MovementKind::ALL
        .iter()
        .map(|kind| (kind.as_str(), KindWanted::Moved(*kind)))
        .collect();
    kinds.push(("refused", KindWanted::Refused));
    let limit = params.integer_capped("limit", 1..=limits::HISTORY_LIMIT_MAX);
    let limit = limit.unwrap_or(limits::HISTORY_LIMIT_DEFAULT);
    let before = params.integer("before", 1..=limits::EXACT_MAX);
    Wanted {
        before: before.map(i64::unsigned_abs),
        limit: usize::try_from(limit).unwrap_or(1),
        kind: params.choice("kind", &kinds),
        store: params.parsed_by("storeId", StoreId::parse),
        from: params.parsed("from"),
        to: params.parsed("to"),
    }
}

/// An offset or a time.
fn moment(text: &str) -> Result<Moment, &'static str> {
    const ISSUE: &str = "must be an offset or a time such as 2026-01-15T10:30:00.123Z";
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map(Moment::Offset).map_err(|_| ISSUE)
    } else {
        let time = text.parse::<Timestamp>();
        time.map(Moment::Time).map_err(|_| ISSUE)
    }
}

async fn at(state: &AppState, id: ProductId, moment: Moment) -> Result<Value, Problem> {
    let head = state.ledger.published().head().offset;
    if let Moment::Offset(offset) = moment
        && offset > head
    {
        let issue = format!("lies beyond the head of the log, {head}");
        let detail = Detail::new("query.at", issue);
        return Err(Problem::with_details(
            ProblemCode::InvalidRequest,
            vec![detail],
        ));
    }
    let reader = id.clone();
    let stood = state
        .read_log(move |published| as_it_stood(published, &reader, moment, limits::AS_OF_RECORDS));
    match stood.await? {
        Stood::Here {
            product,
            live,
            offset,
        } => Ok(json!({
            "productId": id, "live": live, "offset": offset, "product": *product,
        })),
        Stood::NotYet => Err(not_found(&id)),
        Stood::Dropped => Err(dropped(state)),
        Stood::TooFarBack => {
            let issue = format!(
                "more than {} changes of this product have happened since",
                limits::AS_OF_RECORDS
            );
            let detail = Detail::new("query.at", issue);
            Err(Problem::with_details(
                ProblemCode::InvalidRequest,
                vec![detail],
            ))
        }
    }
}

/// The problem of a past that retention has dropped.
pub(super) fn dropped(state: &AppState) -> Problem {
    let oldest = state.ledger.published().journal.oldest().offsets.inventory;
    refusal::gone(format!("the log begins at offset {oldest}"), oldest)
}

fn shape(id: &ProductId, page: &Page, state: &AppState) -> Value {
    let mut answer = Map::new();
    let mut put = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    put("productId", id.as_str().into());
    put("entries", page.entries.iter().map(entry).collect());
    if let Some(before) = page.next_before {
        put("nextBefore", before.into());
    }
    if page.dropped {
        let oldest = state.ledger.published().journal.oldest().offsets.inventory;
        put("beginsAtOffset", oldest.into());
    }
    answer.into()
}

fn entry(entry: &Entry) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    match &entry.what {
        What::Event { offset, event } => {
            put("offset", (*offset).into());
            put("eventType", event.kind.as_str().into());
            let movement = &event.movement;
            let mut cause = cause(movement.kind.as_str(), &entry.origin);
            let mut add = |name: &str, value: Option<Value>| {
                cause.extend(value.map(|value| (name.to_owned(), value)));
            };
            add("delta", movement.delta.map(Value::from));
            add("quantity", movement.quantity.map(Value::from));
            let order = movement.order.as_ref();
            add("orderId", order.map(|id| id.as_str().into()));
            let reservation = movement.reservation.as_ref();
            add("reservationId", reservation.map(|id| id.as_str().into()));
            add("reason", movement.reason.map(|one| one.as_str().into()));
            add("reference", movement.reference.as_deref().map(Value::from));
            add("note", movement.note.as_deref().map(Value::from));
            put("cause", cause.into());
        }
        What::Refused { command, rejection } => {
            put("eventType", "refused".into());
            put("cause", cause(command, &entry.origin).into());
            put("code", refusal::code(rejection).as_str().into());
            put("message", rejection.to_string().into());
            if let Rejection::InsufficientInventory { delta, .. }
            | Rejection::StockOutOfRange { delta, .. } = rejection
            {
                put("requested", (*delta).into());
            }
        }
    }
    put("timestamp", entry.at.to_string().into());
    let quantities = [("before", entry.before), ("after", entry.after)];
    for (name, stock) in quantities {
        if let Some(stock) = stock {
            put(name, quantity(&stock));
        }
    }
    if let Some(version) = entry.version {
        put("version", version.into());
    }
    shown.into()
}

fn quantity(stock: &Stock) -> Value {
    json!({
        "onHand": stock.on_hand,
        "reserved": stock.reserved,
        "allotted": stock.allotted,
        "available": stock.available(),
    })
}

/// Why something happened or was asked for, and by whom.
pub(super) fn cause(kind: &str, origin: &Origin) -> Map<String, Value> {
    let mut cause = Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        cause.extend(value.map(|value| (name.to_owned(), Value::from(value))));
    };
    put("kind", Some(kind));
    put("actor", Some(origin.principal.as_str()));
    put("storeId", origin.store.as_ref().map(|id| id.as_str()));
    put(
        "idempotencyKey",
        origin.key.as_ref().map(|key| key.as_str()),
    );
    put("requestId", Some(origin.request.as_str()));
    put(
        "correlationId",
        origin.correlation.as_ref().map(|id| id.as_str()),
    );
    cause
}
