//! `GET /v1/inventory/events`: the feed, by poll or as a stream.
//!
//! A reader subscribes to the head, reads, and only then waits, so no wake-up is lost. Everybody who
//! waits at the head gets the same bytes. The question and the headers of the answer are
//! [`shared::service::feed`]'s, since a relay says the same.

use axum::extract::State;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Uri};
use shared::clock::Clock;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::encoding::Coding;
use shared::service::feed::{self, Answered};
use shared::service::request_context::WaitedOnPurpose;
use shared::service::sse;
use shared::service::system_clock::SystemClock;
use shared::view::Head;
use shared::wire::problem::{Problem, ProblemCode};
use tokio::time::Instant;

use super::refusal;
use super::schema::{FeedAnswer, FeedParams};
use super::{AppState, examples};
use crate::feed::answer::{Continuity, Envelope, Slice, check, read, texts};
use crate::journal::{JournalError, LogGen};

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
        ("Last-Event-ID" = Option<i64>, Header, nullable = false, description = "With text/event-stream: the last offset that was seen"),
    ),
    responses(
        (
            status = 200, description = "Events; as a stream, each with its offset as the id.",
            content(
                (FeedAnswer = "application/json", example = json!(examples::feed())),
                (String = "text/event-stream"),
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
    if sse::is_wanted(&headers) {
        return stream(state, Ask::streamed(&uri, &headers)?);
    }
    poll(&state, Ask::polled(&uri, &headers)?).await
}

async fn poll(state: &AppState, ask: Ask) -> Result<Response, Problem> {
    let published = state.ledger.published();
    follows(state, ask)?;
    let mut moves = published.moves();
    let deadline = Instant::now() + ask.wait;
    let ahead_deadline = deadline.min(Instant::now() + limits::FEED_AHEAD_WAIT);
    let mut waited = false;
    loop {
        moves.mark_unchanged();
        let head = published.head();
        let oldest = published.journal.oldest().offsets.inventory;
        if ask.offset < oldest {
            return Err(gone(state, ask.offset, oldest));
        }
        if ask.offset < head.offset && !(gathers(ask, head, waited) && published.is_pressed()) {
            let slice = read(published, ask.offset, ask.limit, head).await;
            let slice = slice.map_err(|error| match error {
                // Retention was quicker than this answer.
                JournalError::Gone { .. } => gone(
                    state,
                    ask.offset,
                    published.journal.oldest().offsets.inventory,
                ),
                other => refusal::unreadable(&other),
            })?;
            return Ok(answer(state, ask, &slice, head, waited).await);
        }
        let until = match ask.offset.cmp(&head.offset) {
            std::cmp::Ordering::Greater => ahead_deadline,
            std::cmp::Ordering::Equal => deadline,
            std::cmp::Ordering::Less => deadline.min(Instant::now() + limits::FEED_GATHER),
        };
        let woken = tokio::select! {
            changed = moves.changed() => changed.is_ok(),
            () = state.shutdown.cancelled() => false,
            () = tokio::time::sleep_until(until) => false,
        };
        waited = true;
        if !woken {
            let head = published.head();
            if ask.offset > head.offset {
                return Err(ahead(state, ask.offset, head));
            }
            if ask.offset == head.offset {
                let slice = Slice {
                    events: Bytes::new(),
                    count: 0,
                    offset: ask.offset,
                };
                return Ok(answer(state, ask, &slice, head, waited).await);
            }
        }
    }
}

/// Whether the reader may be asked to wait a little for more: it would wait anyway, has not been
/// asked yet, and is not catching up.
const fn gathers(ask: Ask, head: Head, waited: bool) -> bool {
    !waited && !ask.wait.is_zero() && head.offset - ask.offset < ask.limit as u64
}

/// Whether the reader has followed this log.
fn follows(state: &AppState, ask: Ask) -> Result<(), Problem> {
    let published = state.ledger.published();
    match check(&published.generations(), ask.log_gen, ask.offset) {
        Continuity::Follows => Ok(()),
        Continuity::Diverged => {
            let sentence = "this is not the log that the reader followed; load the snapshot";
            Err(located(
                state,
                Problem::new(ProblemCode::LogDiverged, sentence),
            ))
        }
    }
}

fn gone(state: &AppState, offset: u64, oldest: u64) -> Problem {
    let sentence = format!("offset {offset} is gone; the oldest is {oldest}; load the snapshot");
    located(state, Problem::new(ProblemCode::OffsetGone, sentence))
}

fn ahead(state: &AppState, offset: u64, head: Head) -> Problem {
    let sentence = format!(
        "offset {offset} lies beyond the head of the log, {}",
        head.offset
    );
    located(state, Problem::new(ProblemCode::OffsetAhead, sentence))
}

/// Tells a lost reader where the log is and where to begin again.
fn located(state: &AppState, problem: Problem) -> Problem {
    let published = state.ledger.published();
    problem
        .with("gen", published.log_gen().to_string())
        .with("headOffset", published.head().offset)
        .with("oldestOffset", published.journal.oldest().offsets.inventory)
        .with("snapshotUrl", refusal::SNAPSHOT_URL)
}

async fn answer(state: &AppState, ask: Ask, slice: &Slice, head: Head, waited: bool) -> Response {
    let published = state.ledger.published();
    let log_gen = published.log_gen();
    let envelope = Envelope {
        log_gen,
        head,
        oldest_offset: published.journal.oldest().offsets.inventory,
    };
    let (body, coding) = encoded(state, ask.coding, envelope, slice).await;
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
    state: &AppState,
    coding: Coding,
    envelope: Envelope,
    slice: &Slice,
) -> (Vec<u8>, Coding) {
    if coding != Coding::Identity && slice.events.len() > limits::PLAIN_BYTES {
        // Apart from the parked poll, which is to stay small.
        let packed = Box::pin(state.shared.packed.get(coding, Envelope::BEGINNING, slice)).await;
        if let Ok(packed) = packed {
            let mut end = Vec::with_capacity(256);
            envelope.append_end(slice, &mut end);
            return (packed.ending_in(&end), coding);
        }
    }
    (envelope.body(slice), Coding::Identity)
}

/// Streams events as they become durable, each with its offset as the event id.
fn stream(state: AppState, ask: Ask) -> Result<Response, Problem> {
    follows(&state, ask)?;
    let published = state.ledger.published();
    let (head, oldest) = (
        published.head(),
        published.journal.oldest().offsets.inventory,
    );
    if ask.offset < oldest {
        return Err(gone(&state, ask.offset, oldest));
    }
    if ask.offset > head.offset {
        return Err(ahead(&state, ask.offset, head));
    }
    Ok(sse::stream(runs(state, ask.offset)))
}

fn runs(state: AppState, offset: u64) -> impl Stream<Item = Vec<Event>> {
    let moves = state.ledger.published().moves();
    futures_util::stream::unfold((state, moves, offset), |state| async move {
        let (app, mut moves, offset) = state;
        loop {
            moves.mark_unchanged();
            let head = app.ledger.published().head();
            if offset < head.offset {
                let limit = limits::FEED_LIMIT_DEFAULT;
                // A log that cannot be read ends the stream; the reader comes back and is told why.
                let published = app.ledger.published();
                let found = texts(published, offset, limit, head).await.ok()?;
                let next = found.last().map_or(offset, |(last, _)| last + 1);
                let events = found
                    .into_iter()
                    .map(|(at, text)| Event::default().id(at.to_string()).data(text))
                    .collect();
                return Some((events, (app, moves, next)));
            }
            tokio::select! {
                changed = moves.changed() => changed.ok()?,
                () = app.shutdown.cancelled() => return None,
            }
        }
    })
}
