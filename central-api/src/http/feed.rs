//! `GET /v1/inventory/events`: the feed, by poll or as a stream.
//!
//! A reader subscribes to the head, reads, and only then waits, so no wake-up is lost. Everybody who
//! waits at the head gets the same bytes. Cache rules: a full chunk never changes; a shorter tail is
//! a prefix of the truth and never wrong; an empty answer is worth a second and carries a cursor that
//! makes the next URL another one.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, Uri};
use shared::clock::Clock;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::encoding::Coding;
use shared::service::query::QueryParams;
use shared::service::request_context::WaitedOnPurpose;
use shared::service::system_clock::SystemClock;
use shared::view::Head;
use shared::wire::headers::{LOG_CURSOR, LOG_GEN, LOG_HEAD};
use shared::wire::problem::{Detail, Problem, ProblemCode};
use tokio::time::Instant;

use super::refusal;
use super::schema::{FeedAnswer, FeedParams};
use super::{AppState, examples};
use crate::feed::answer::{Continuity, Envelope, Slice, check, read, texts};
use crate::journal::{JournalError, LogGen};

/// Seconds that one cursor lasts: two polls in a row never have the same URL.
const CURSOR_SECONDS: i64 = 20;
/// Silence after which a stream says that it is alive.
const STREAM_PING: Duration = Duration::from_secs(10);
/// The stream's parameter that a browser sends after a reconnect.
const LAST_EVENT_ID: &str = "last-event-id";

/// What a reader asks for.
#[derive(Clone, Copy, Debug)]
struct Ask {
    offset: u64,
    limit: usize,
    wait: Duration,
    log_gen: Option<LogGen>,
    cursor: Option<i64>,
    coding: Coding,
}

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
    let streamed = headers.get(ACCEPT).is_some_and(|accept| {
        accept
            .to_str()
            .unwrap_or_default()
            .starts_with("text/event-stream")
    });
    if streamed {
        return stream(state, &uri, &headers).await;
    }
    let ask = Ask {
        coding: Coding::accepted(&headers),
        ..parse(&uri, None)?
    };
    poll(&state, ask).await
}

fn parse(uri: &Uri, last_event_id: Option<&HeaderValue>) -> Result<Ask, Problem> {
    let mut params = QueryParams::parse(uri);
    let asked = match (last_event_id, params.raw("offset")) {
        // Whoever says what it has seen goes on after it, or is told that it cannot.
        (Some(last), _) => last
            .to_str()
            .ok()
            .and_then(offset)
            .map(|last| last + 1)
            .ok_or(("header.Last-Event-ID", "invalid Last-Event-ID header")),
        (None, None) => Err(("query.offset", "offset parameter is required")),
        (None, Some(text)) => offset(text).ok_or(("query.offset", "invalid offset parameter")),
    };
    let limit_max = i64::try_from(limits::FEED_LIMIT_MAX).unwrap_or(i64::MAX);
    let limit = params.integer_capped("limit", 1..=limit_max);
    let wait_max = i64::try_from(limits::FEED_WAIT_MAX.as_secs()).unwrap_or(i64::MAX);
    let wait = params.integer_capped("wait", 0..=wait_max).unwrap_or(0);
    let log_gen = params.parsed::<LogGen>("gen");
    let cursor = params.integer("cursor", 0..=i64::MAX / 2);
    let offset = match asked {
        Ok(offset) => offset,
        Err((field, sentence)) => {
            let mut problem = Problem::new(ProblemCode::EventsError, sentence);
            problem.details = vec![Detail::new(field, "must be an offset, such as 0")];
            problem.details.extend(params.into_faults());
            return Err(problem);
        }
    };
    params.finish()?;
    Ok(Ask {
        offset,
        limit: limit
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(limits::FEED_LIMIT_DEFAULT),
        wait: Duration::from_secs(wait.unsigned_abs()),
        log_gen,
        cursor,
        coding: Coding::Identity,
    })
}

/// An offset as people write it, small enough for every client to read exactly.
fn offset(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let offset = digits.then(|| text.parse::<u64>().ok()).flatten();
    offset.filter(|offset| *offset < 1 << 53)
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
        let oldest = published.journal.oldest().1;
        if ask.offset < oldest {
            return Err(gone(state, ask.offset, oldest));
        }
        if ask.offset < head.offset && !(gathers(ask, head, waited) && published.is_pressed()) {
            let slice = read(published, ask.offset, ask.limit, head).await;
            let slice = slice.map_err(|error| match error {
                // Retention was quicker than this answer.
                JournalError::Gone { .. } => gone(state, ask.offset, published.journal.oldest().1),
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
        .with("oldestOffset", published.journal.oldest().1)
        .with("snapshotUrl", refusal::SNAPSHOT_URL)
}

async fn answer(state: &AppState, ask: Ask, slice: &Slice, head: Head, waited: bool) -> Response {
    let published = state.ledger.published();
    let log_gen = published.log_gen();
    let envelope = Envelope {
        log_gen,
        head,
        oldest_offset: published.journal.oldest().1,
    };
    let (body, coding) = encoded(state, ask.coding, envelope, slice).await;
    let full = slice.count >= ask.limit && ask.offset.is_multiple_of(ask.limit as u64);
    let cache = match (full, slice.count) {
        (true, _) => "public, max-age=31536000, immutable",
        (false, 0) => "public, max-age=1",
        (false, _) => "public, max-age=60",
    };
    // Strictly above the one that came, so that a cached answer never points at its own URL.
    let now = SystemClock.now().as_millis() / 1_000 / CURSOR_SECONDS;
    let cursor = ask.cursor.map_or(now, |echoed| now.max(echoed + 1));
    let suffix = coding.tag_suffix();
    let etag = format!(
        "\"{log_gen}:{}:{}{suffix}\"",
        ask.offset,
        slice.next_offset()
    );
    let header = |text: String| HeaderValue::try_from(text).expect("figures are valid headers");
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(ETAG, header(etag));
    if let Some(token) = coding.token() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(token));
    }
    headers.insert(LOG_GEN, header(log_gen.to_string()));
    headers.insert(LOG_HEAD, HeaderValue::from(head.offset));
    headers.insert(LOG_CURSOR, HeaderValue::from(cursor));
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
async fn stream(state: AppState, uri: &Uri, headers: &HeaderMap) -> Result<Response, Problem> {
    let ask = parse(uri, headers.get(LAST_EVENT_ID))?;
    follows(&state, ask)?;
    let published = state.ledger.published();
    let (head, oldest) = (published.head(), published.journal.oldest().1);
    if ask.offset < oldest {
        return Err(gone(&state, ask.offset, oldest));
    }
    if ask.offset > head.offset {
        return Err(ahead(&state, ask.offset, head));
    }
    let events = events(state, ask.offset);
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(STREAM_PING).text("ping"));
    let mut response = stream.into_response();
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(WaitedOnPurpose);
    Ok(response)
}

fn events(state: AppState, offset: u64) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    use futures_util::StreamExt as _;
    let moves = state.ledger.published().moves();
    let batches = futures_util::stream::unfold((state, moves, offset), |state| async move {
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
                let events: Vec<sse::Event> = found
                    .into_iter()
                    .map(|(at, text)| sse::Event::default().id(at.to_string()).data(text))
                    .collect();
                return Some((events, (app, moves, next)));
            }
            tokio::select! {
                changed = moves.changed() => changed.ok()?,
                () = app.shutdown.cancelled() => return None,
            }
        }
    });
    batches.flat_map(|events| futures_util::stream::iter(events.into_iter().map(Ok)))
}
