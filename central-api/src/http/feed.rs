//! `GET /v1/inventory/events` and `GET /v1/orders/events`: the feeds, by poll or as a stream.
//!
//! One protocol and one code for both: what differs is which offsets count ([`Stream`]), where a lost
//! reader begins again, and who may read. A key that is bound to a shop may not follow the orders,
//! since they are everybody's and a feed with gaps would be none. It may hear of its own shop's as a
//! stream ([`streamed`]), whose ids only say where to go on. Only the descriptions are written out twice:
//! what describes a route is an attribute, and cannot be shared.
//!
//! A reader subscribes to the head, reads, and only then waits, so no wake-up is lost. Everybody who
//! waits at the head gets the same bytes. The question and the headers of the answer are
//! [`shared::service::feed`]'s, since a relay says the same.

mod streamed;

use std::cmp::Ordering;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri};
use shared::clock::Clock;
use shared::domain::ids::StoreId;
use shared::limits;
use shared::service::auth::{Caller, Scope, unknown_key};
use shared::service::encoding::Coding;
use shared::service::feed::{self, Answered};
use shared::service::openapi::feed::{FeedAnswer, FeedParams};
use shared::service::openapi::order_reads::OrderFeedAnswer;
use shared::service::openapi::{SseEventBody, order_examples};
use shared::service::query::QueryParams;
use shared::service::request_context::WaitedOnPurpose;
use shared::service::sse;
use shared::service::system_clock::SystemClock;
use shared::wire::problem::{Problem, ProblemCode};
use tokio::sync::watch;
use tokio::time::Instant;

use super::refusal;
use super::{AppState, examples};
use crate::feed::answer::{Continuity, Envelope, FeedHead, Slice, check, read};
use crate::journal::{JournalError, LogGen, Stream};
use crate::ledger::Published;

/// Where whoever is lost among the orders begins again.
const ORDERS_URL: &str = "/v1/orders";

/// What a reader asks for.
type Ask = feed::Ask<LogGen>;

shared::problem_set! {
    /// What a reader can be told instead.
    FeedProblems = EventsError | InvalidRequest | LogDiverged | OffsetAhead | OffsetGone;
}

/// Answers with events from an offset on, waiting for the next one if asked to.
///
/// # Errors
/// 400 for a bad question, 409 for a reader that has not followed this log or is ahead of it, 410 for
/// an offset that retention has dropped.
#[utoipa::path(
    get, path = "/v1/inventory/events", tag = "feed", operation_id = "inventoryEvents", security(("apiKey" = [])),
    params(
        FeedParams,
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "With text/event-stream: the last offset that was seen"),
    ),
    responses(
        (
            status = 200, description = "Events; as a stream, each with its offset as the id.",
            content(
                (FeedAnswer = "application/json", example = json!(examples::feed())),
                (SseEventBody = "text/event-stream"),
            ),
            headers(("Log-Gen" = String), ("Log-Head" = i64), ("Log-Cursor" = i64), ("ETag" = String)),
        ),
        FeedProblems,
    )
)]
pub async fn get_events(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let feed = Feed::of(&state, caller, Stream::Inventory);
    feed.answered(&uri, &headers).await
}

/// Answers with events of orders from an offset on, waiting for the next one if asked to. One store's
/// orders come as a stream only; a key that is bound to a store hears of that store's.
///
/// # Errors
/// As [`get_events`]; 403 for a page to a key that is bound to a store, and for another store's orders.
#[utoipa::path(
    get, path = "/v1/orders/events", tag = "orders", operation_id = "orderEvents", security(("apiKey" = [])),
    params(
        FeedParams,
        ("storeId" = Option<String>, Query, nullable = false, description = "With text/event-stream: only this store's orders"),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "With text/event-stream: the last offset that was seen"),
    ),
    responses(
        (
            status = 200, description = "Events; as a stream, each with its offset as the id.",
            content(
                (OrderFeedAnswer = "application/json", example = json!(order_examples::feed())),
                (SseEventBody = "text/event-stream"),
            ),
            headers(("Log-Gen" = String), ("Log-Head" = i64), ("Log-Cursor" = i64), ("ETag" = String)),
        ),
        FeedProblems,
    )
)]
pub async fn get_order_events(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let streams = sse::is_wanted(&headers);
    let mut params = QueryParams::parse(&uri);
    let store = params.parsed_by("storeId", StoreId::parse);
    if store.is_some() && !streams {
        let issue = "one store's orders come as a stream only (Accept: text/event-stream)";
        params.fault("storeId", issue);
    }
    let only = caller.check_store(store.as_ref())?;
    if caller.store().is_some() && !streams {
        let sentence = "this key is bound to a store, and the feed has every store's orders";
        return Err(Problem::new(ProblemCode::Forbidden, sentence));
    }
    params.finish()?;
    let feed = Feed {
        only,
        ..Feed::of(&state, caller, Stream::Orders)
    };
    feed.answered(&uri, &headers).await
}

/// One of the two feeds, and who reads it.
#[derive(Clone)]
struct Feed {
    state: AppState,
    caller: Caller,
    stream: Stream,
    /// Whose orders are wanted, if not everybody's.
    only: Option<StoreId>,
}

impl Feed {
    fn of(state: &AppState, caller: Caller, stream: Stream) -> Self {
        Self {
            state: state.clone(),
            caller,
            stream,
            only: None,
        }
    }

    fn published(&self) -> &Arc<Published> {
        self.state.ledger.published()
    }

    fn head(&self) -> FeedHead {
        FeedHead::of(self.published().head(), self.stream)
    }

    /// Changes when this feed's head has moved, and perhaps at other times.
    fn moves(&self) -> watch::Receiver<()> {
        match self.stream {
            Stream::Inventory => self.published().moves(),
            Stream::Orders => self.published().order_moves(),
        }
    }

    /// Whether the next wake-up is certain, and soon.
    fn is_pressed(&self) -> bool {
        self.stream == Stream::Inventory && self.published().is_pressed()
    }

    /// The oldest event there is.
    fn oldest(&self) -> u64 {
        self.published().journal.oldest().offsets.of(self.stream)
    }

    async fn answered(&self, uri: &Uri, headers: &HeaderMap) -> Result<Response, Problem> {
        if sse::is_wanted(headers) {
            return self.stream(Ask::streamed(uri, headers)?);
        }
        self.poll(Ask::polled(uri, headers)?).await
    }

    async fn poll(&self, ask: Ask) -> Result<Response, Problem> {
        let published = self.published();
        self.follows(ask)?;
        let mut moves = self.moves();
        let deadline = Instant::now() + ask.wait;
        let ahead_deadline = deadline.min(Instant::now() + limits::FEED_AHEAD_WAIT);
        let mut waited = false;
        loop {
            if waited && self.caller.has_ended(self.state.ledger.now()) {
                return Err(unknown_key());
            }
            moves.mark_unchanged();
            let head = self.head();
            let oldest = self.oldest();
            if ask.offset < oldest {
                return Err(self.gone(ask.offset, oldest));
            }
            if ask.offset < head.offset && !(gathers(ask, head, waited) && self.is_pressed()) {
                let slice = read(published, ask.offset, ask.limit, head).await;
                let slice = slice.map_err(|error| match error {
                    // Retention was quicker than this answer.
                    JournalError::Gone { .. } => self.gone(ask.offset, self.oldest()),
                    other => refusal::unreadable(&other),
                })?;
                return Ok(self.answer(ask, &slice, head, waited).await);
            }
            let until = match ask.offset.cmp(&head.offset) {
                Ordering::Greater => ahead_deadline,
                Ordering::Equal => deadline,
                Ordering::Less => deadline.min(Instant::now() + limits::FEED_GATHER),
            };
            let woken = tokio::select! {
                changed = moves.changed() => changed.is_ok(),
                () = self.state.shutdown.cancelled() => false,
                () = tokio::time::sleep_until(until) => false,
            };
            waited = true;
            if !woken {
                let head = self.head();
                if ask.offset > head.offset {
                    return Err(self.ahead(ask.offset, head));
                }
                if ask.offset == head.offset {
                    let slice = Slice::empty(self.stream, ask.offset);
                    return Ok(self.answer(ask, &slice, head, waited).await);
                }
            }
        }
    }

    /// Whether the reader has followed this log.
    fn follows(&self, ask: Ask) -> Result<(), Problem> {
        let generations = self.published().generations();
        match check(&generations, self.stream, ask.log_gen, ask.offset) {
            Continuity::Follows => Ok(()),
            Continuity::Diverged => {
                let again = self.begin_again();
                let sentence = format!("this is not the log that the reader followed; {again}");
                Err(self.located(Problem::new(ProblemCode::LogDiverged, sentence)))
            }
        }
    }

    /// What a lost reader should do.
    const fn begin_again(&self) -> &'static str {
        match self.stream {
            Stream::Inventory => "load the snapshot",
            Stream::Orders => "load the list",
        }
    }

    fn gone(&self, offset: u64, oldest: u64) -> Problem {
        let again = self.begin_again();
        let sentence = format!("offset {offset} is gone; the oldest is {oldest}; {again}");
        self.located(Problem::new(ProblemCode::OffsetGone, sentence))
    }

    fn ahead(&self, offset: u64, head: FeedHead) -> Problem {
        let sentence = format!(
            "offset {offset} lies beyond the head of the log, {}",
            head.offset
        );
        self.located(Problem::new(ProblemCode::OffsetAhead, sentence))
    }

    /// Tells a lost reader where the log is and where to begin again.
    fn located(&self, problem: Problem) -> Problem {
        // There are fewer orders to show than products: their list, from its beginning, is the
        // snapshot, and every page of it says from which offset to go on.
        let snapshot_url = match self.stream {
            Stream::Inventory => refusal::SNAPSHOT_URL,
            Stream::Orders => ORDERS_URL,
        };
        problem
            .with("gen", self.published().log_gen().to_string())
            .with("headOffset", self.head().offset)
            .with("oldestOffset", self.oldest())
            .with("snapshotUrl", snapshot_url)
    }

    async fn answer(&self, ask: Ask, slice: &Slice, head: FeedHead, waited: bool) -> Response {
        let feed_metrics = &self.published().feed_metrics;
        feed_metrics.polled(self.stream, slice.count);
        let log_gen = self.published().log_gen();
        let envelope = Envelope {
            log_gen,
            head,
            oldest_offset: self.oldest(),
        };
        let (body, coding) = self.encoded(ask.coding, envelope, slice).await;
        let mut response = body.into_response();
        let answered = Answered {
            log_gen,
            head: head.offset,
            count: slice.count,
            coding,
            now: SystemClock.now(),
        };
        answered.write(&ask, response.headers_mut());
        if waited {
            response.extensions_mut().insert(WaitedOnPurpose);
        }
        response
    }

    /// The body in the coding that the caller takes, if there is enough of it to be worth that.
    async fn encoded(
        &self,
        coding: Coding,
        envelope: Envelope,
        slice: &Slice,
    ) -> (Vec<u8>, Coding) {
        if coding != Coding::Identity && slice.events.len() > limits::PLAIN_BYTES {
            // Apart from the parked poll, which is to stay small.
            let packed = &self.state.shared.packed;
            let packed = Box::pin(packed.get(coding, Envelope::BEGINNING, slice)).await;
            if let Ok(packed) = packed {
                let mut end = Vec::with_capacity(256);
                envelope.append_end(slice, &mut end);
                return (packed.ending_in(&end), coding);
            }
        }
        (envelope.body(slice), Coding::Identity)
    }

    /// Streams events as they become durable, each with its offset as the event id.
    fn stream(&self, ask: Ask) -> Result<Response, Problem> {
        self.follows(ask)?;
        let (head, oldest) = (self.head(), self.oldest());
        if ask.offset < oldest {
            return Err(self.gone(ask.offset, oldest));
        }
        if ask.offset > head.offset {
            return Err(self.ahead(ask.offset, head));
        }
        Ok(streamed::answer(self.clone(), ask.offset))
    }
}

/// Whether the reader may be asked to wait a little for more: it would wait anyway, has not been
/// asked yet, and is not catching up.
const fn gathers(ask: Ask, head: FeedHead, waited: bool) -> bool {
    !waited && !ask.wait.is_zero() && head.offset - ask.offset < ask.limit as u64
}
