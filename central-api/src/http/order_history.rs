//! `GET /v1/orders/{orderId}/events`: what happened to an order, as a page or as it happens.
//!
//! Every event is one of the order feed, byte for byte, and has the order's version after it; versions
//! are dense, so they are where a page begins and what a stream has as its ids. Refused attempts to
//! move the order stand between them, on pages only: nothing happened. A stream tells the
//! past first. It subscribes, then reads, then waits, so a page that comes late misses nothing. When
//! nothing more can become of the order it says `end` and ends; a browser that comes back after that
//! is told `end` again, and should close the line when it hears it.

use axum::extract::{Path, State};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Uri};
use serde_json::{Value, json};
use shared::domain::ids::OrderId;
use shared::domain::order::Order;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::openapi::order_reads::{OrderHistory, OrderHistoryParams};
use shared::service::openapi::{SseEventBody, order_examples};
use shared::service::query::QueryParams;
use shared::service::sse::{self, LAST_EVENT_ID};
use shared::wire::problem::{Detail, Problem, ProblemCode};
use shared::wire::product::{integer, string};
use tokio::sync::watch;

use super::history::cause;
use super::orders::{find_order, own_order};
use super::{AppState, refusal};
use crate::ledger::history::order::{Happened, Past, Refused, Told, past};

/// Events that a stream sends at once.
const RUN: usize = 256;

shared::problem_set! {
    /// What a question about an order's history can be refused for.
    OrderHistoryProblems = InvalidRequest | Forbidden | OrderNotFound | Overloaded;
}

/// What happened to an order, oldest first: each step, attempt, outcome and compensation, and what
/// was refused.
///
/// # Errors
/// 400 with every fault of the query, 404 if there is no such order, 403 for another store's.
#[utoipa::path(
    get, path = "/v1/orders/{orderId}/events", tag = "orders", operation_id = "orderHistory", security(("apiKey" = [])),
    params(
        ("orderId" = String, Path, example = json!(order_examples::ORDER)),
        OrderHistoryParams,
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "With text/event-stream: the last version that was seen"),
    ),
    responses(
        (
            status = 200, description = "A page; as a stream, the past and then each event as it happens, with the order's version as the id, and a last one named `end`.",
            content(
                (OrderHistory = "application/json", example = json!(order_examples::history())),
                (SseEventBody = "text/event-stream"),
            ),
        ),
        OrderHistoryProblems,
    )
)]
pub async fn get(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let order = own_order(&state, &caller, &id).await?;
    let mut params = QueryParams::parse(&uri);
    params.unknown_rejected(&["after", "limit"]);
    let after = params.integer("after", 0..=limits::EXACT_MAX);
    let limit = params.integer_capped("limit", 1..=limits::HISTORY_LIMIT_MAX);
    params.finish()?;
    let after = after.map_or(0, i64::unsigned_abs);
    let id = order.order_id.clone();
    if sse::is_wanted(&headers) {
        let after = last_seen(&headers)?.unwrap_or(after);
        let ended = caller.ended(state.ledger.now());
        return Ok(sse::stream(runs(state, id, after), ended));
    }
    let limit = limit.unwrap_or(limits::HISTORY_LIMIT_DEFAULT);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let reader = id.clone();
    let found = state.read_log(move |published| past(published, &reader, after, limit));
    // It may have been forgotten between the two looks.
    let found = found.await?.unwrap_or_default();
    let json = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, json)], page(&order, &found)).into_response())
}

/// The version that a browser which comes back saw last.
fn last_seen(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(last) = headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let version = last.to_str().ok().and_then(|text| text.parse().ok());
    version.map(Some).ok_or_else(|| {
        let detail = Detail::new("header.Last-Event-ID", "must be a version, such as 1");
        Problem::with_details(ProblemCode::InvalidRequest, vec![detail])
    })
}

fn page(order: &Order, past: &Past) -> Vec<u8> {
    let mut body = Vec::with_capacity(
        256 + past
            .entries
            .iter()
            .map(|entry| match entry {
                Told::Happened(event) => event.text.len() + 1,
                Told::Refused(_) => 512,
            })
            .sum::<usize>(),
    );
    body.extend_from_slice(b"{\"orderId\":");
    string(&mut body, order.order_id.as_str());
    body.extend_from_slice(b",\"events\":[");
    for (index, entry) in past.entries.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match entry {
            Told::Happened(event) => body.extend_from_slice(event.text.as_bytes()),
            Told::Refused(attempt) => {
                let shown = refused(&order.order_id, attempt).to_string();
                body.extend_from_slice(shown.as_bytes());
            }
        }
    }
    body.push(b']');
    if let Some(last) = past.last.filter(|_| past.has_more) {
        body.extend_from_slice(b",\"nextAfter\":");
        integer(&mut body, last);
    }
    body.extend_from_slice(if order.is_over() {
        b",\"isOver\":true".as_slice()
    } else {
        b",\"isOver\":false".as_slice()
    });
    if past.is_cut {
        body.extend_from_slice(b",\"isCut\":true");
    }
    body.push(b'}');
    body
}

/// An attempt that was refused, as a product's history shows one.
fn refused(id: &OrderId, attempt: &Refused) -> Value {
    let mut shown = json!({
        "timestamp": attempt.at,
        "eventType": "refused",
        "orderId": id,
        "cause": cause(&attempt.command, &attempt.origin),
        "code": refusal::code(&attempt.rejection).as_str(),
        "message": attempt.rejection.to_string(),
    });
    if let (Some(shown), Some(version)) = (shown.as_object_mut(), attempt.version) {
        shown.insert("version".to_owned(), version.into());
    }
    shown
}

/// One reader of one order.
struct Reader {
    state: AppState,
    moves: watch::Receiver<()>,
    id: OrderId,
    /// The last version that was sent.
    after: u64,
    has_ended: bool,
}

fn runs(state: AppState, id: OrderId, after: u64) -> impl Stream<Item = Vec<Event>> {
    let reader = Reader {
        moves: state.ledger.published().order_moves(),
        state,
        id,
        after,
        has_ended: false,
    };
    futures_util::stream::unfold(reader, |mut reader| async {
        let events = reader.next().await?;
        Some((events, reader))
    })
}

impl Reader {
    /// What is to be sent next; `None` at the end. A log that cannot be read ends the stream too; the
    /// browser comes back and is told why.
    async fn next(&mut self) -> Option<Vec<Event>> {
        if self.has_ended {
            return None;
        }
        loop {
            self.moves.mark_unchanged();
            let order = find_order(&self.state, self.id.as_str()).await.ok()??;
            if self.after < order.version {
                return self.read(order.version).await;
            }
            if order.is_over() {
                self.has_ended = true;
                let end = json!({
                    "orderId": order.order_id,
                    "status": order.status,
                    "version": order.version,
                });
                return Some(vec![Event::default().event("end").data(end.to_string())]);
            }
            tokio::select! {
                moved = self.moves.changed() => moved.ok()?,
                () = self.state.shutdown.cancelled() => return None,
            }
        }
    }

    /// The next events, up to about `version`.
    async fn read(&mut self, version: u64) -> Option<Vec<Event>> {
        let (id, after) = (self.id.clone(), self.after);
        let read = self
            .state
            .read_log(move |published| past(published, &id, after, RUN));
        let past = read.await.ok()??;
        // Where retention has dropped the records there is nothing to wait for.
        self.after = past.last.unwrap_or(version);
        let event = |entry: Told| match entry {
            Told::Happened(Happened { version, text }) => {
                Some(Event::default().id(version.to_string()).data(text))
            }
            Told::Refused(_) => None,
        };
        Some(past.entries.into_iter().filter_map(event).collect())
    }
}
