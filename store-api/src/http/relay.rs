//! The store as a relay: central's feed from the store's own journal.
//!
//! Same generations, same offsets, same bytes, so that a store can follow a store. What must stay
//! true: a relay never claims more than it knows. It is up to date only while it is live itself;
//! its `Age` is added to by those who follow it; a question that it cannot place while it is behind
//! is answered with *try again*, not with *your log is another one*.

mod streamed;

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::header::{AGE, VIA};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use shared::domain::ids::StoreId;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::compression::packed;
use shared::service::encoding::Coding;
use shared::service::extract::read_body;
use shared::service::feed::{self, Answered};
use shared::service::openapi;
use shared::service::openapi::SseEventBody;
use shared::service::openapi::feed::{FeedAnswer, FeedParams};
use shared::service::request_context::{RequestContext, WaitedOnPurpose};
use shared::service::sse;
use shared::wire::problem::{Problem, ProblemCode};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::updates::unanswered;
use super::{AppState, examples, state::not_synced_yet};
use crate::central::Call;
use crate::replica::follower_core::Phase;
use crate::replica::live::{Stretch, Tip};
use crate::replica::position::{Gen, Position};

shared::problem_set! {
    /// What a reader can be told instead.
    FeedProblems = EventsError | InvalidRequest | LogDiverged | OffsetAhead | OffsetGone
        | NotSyncedYet | Overloaded;
    /// What a report can come to instead.
    HeartbeatProblems = InvalidRequest | CentralUnavailable | Timeout;
}

/// What a follower reports, as central takes it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FollowerReport {
    #[schema(minimum = 0)]
    applied_offset: i64,
    #[schema(pattern = "^[0-9a-f]{16}$")]
    r#gen: String,
    #[schema(pattern = "^[0-9a-f]{16}$")]
    digest: String,
    #[schema(max_length = 64)]
    breaker: String,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(max_length = 64)]
    version: String,
}

/// What central knows of a follower.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FollowerView {
    store_id: String,
    online: bool,
    #[schema(format = DateTime)]
    last_heartbeat: String,
    applied_offset: i64,
    lag_events: i64,
    lag_seconds: f64,
    r#gen: String,
    digest: String,
    /// `none`, `drifted` or `unknown`.
    drift: String,
    breaker: String,
    #[schema(format = DateTime)]
    started_at: String,
    version: String,
}

/// What a reader asks for.
type Ask = feed::Ask<Gen>;

/// Answers with events from an offset on, waiting for the next one if asked to, or streams them.
///
/// # Errors
/// 409 and 410 as central; 503 when this store cannot know yet.
#[utoipa::path(
    get, path = "/v1/inventory/events", tag = "relay", operation_id = "inventoryEvents", security(("apiKey" = [])),
    params(
        FeedParams,
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "With text/event-stream: the last offset that was seen"),
    ),
    responses(
        (
            status = 200, description = "Events, as central sends them; as a stream, each with its offset as the id.",
            content(
                (FeedAnswer = "application/json", example = json!(openapi::examples::feed())),
                (SseEventBody = "text/event-stream"),
            ),
            headers(("Log-Gen" = String), ("Log-Head" = i64), ("Log-Cursor" = i64), ("ETag" = String), ("Via" = String), ("Age" = i64)),
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
        return streamed::answer(state, Ask::streamed(&uri, &headers)?).await;
    }
    poll(&state, Ask::polled(&uri, &headers)?).await
}

/// How a question stands to this copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It can be answered.
    Here,
    /// It lies beyond this copy's head, or is of a generation that this copy does not know.
    Beyond,
    /// It followed another log than this copy.
    Elsewhere,
}

fn place(generations: &[Position], tip: Tip, ask: Ask) -> Place {
    if let Some(asked) = ask.log_gen {
        let Some(at) = generations.iter().rposition(|known| known.r#gen == asked) else {
            return Place::Beyond;
        };
        // We know from where on the next one was in force here, which is not later than its true
        // beginning. Nobody who follows only us can have come further under the one before.
        let following = generations.get(at + 1);
        if following.is_some_and(|next| ask.offset > next.offset) {
            return Place::Elsewhere;
        }
    }
    if ask.offset > tip.position.offset {
        Place::Beyond
    } else {
        Place::Here
    }
}

/// What is said to a reader that has waited in vain.
type Otherwise = fn(&AppState, Ask, Tip) -> Problem;

async fn poll(state: &AppState, ask: Ask) -> Result<Response, Problem> {
    let mut watch = state.live.watch();
    let begun = Instant::now();
    let deadline = begun + ask.wait;
    let beyond_deadline = begun + ask.wait.min(limits::FEED_AHEAD_WAIT);
    loop {
        let tip = (*watch.borrow_and_update()).ok_or_else(not_synced_yet)?;
        let (until, otherwise): (_, Option<Otherwise>) =
            match place(&state.live.generations(), tip, ask) {
                Place::Elsewhere => return Err(located(state, tip, ProblemCode::LogDiverged)),
                Place::Beyond => (beyond_deadline, Some(beyond)),
                Place::Here => match read(state, ask, tip).await? {
                    Stretch::Events(events) => return Ok(answer(state, ask, tip, &events).await),
                    Stretch::Gone(_) => return Err(located(state, tip, ProblemCode::OffsetGone)),
                    Stretch::AtHead => (deadline, None),
                    // The next look, at the copy that comes, decides.
                    Stretch::Ahead | Stretch::Replaced => (beyond_deadline, Some(replaced)),
                },
            };
        let woken = tokio::select! {
            changed = watch.changed() => changed.is_ok(),
            () = state.shutdown.cancelled() => false,
            () = tokio::time::sleep_until(until) => false,
        };
        if !woken {
            return match otherwise {
                None => Ok(answer(state, ask, tip, &[]).await),
                Some(problem) => Err(problem(state, ask, tip)),
            };
        }
    }
}

/// A question about a copy that is giving way to another one.
fn replaced(_: &AppState, _: Ask, _: Tip) -> Problem {
    let sentence = "this relay is just taking over another copy";
    Problem::new(ProblemCode::NotSyncedYet, sentence).retry_after(1)
}

/// A question that lies beyond what this copy knows. Only a live copy may say that it is wrong.
fn beyond(state: &AppState, ask: Ask, tip: Tip) -> Problem {
    if state.status.get().phase != Phase::Live {
        let sentence = "this relay is behind central itself";
        return Problem::new(ProblemCode::NotSyncedYet, sentence).retry_after(2);
    }
    let known = state.live.generations();
    let known = ask
        .log_gen
        .is_none_or(|asked| known.iter().any(|one| one.r#gen == asked));
    let code = if known {
        ProblemCode::OffsetAhead
    } else {
        ProblemCode::LogDiverged
    };
    located(state, tip, code)
}

async fn read(state: &AppState, ask: Ask, tip: Tip) -> Result<Stretch, Problem> {
    if ask.offset == tip.position.offset {
        return Ok(Stretch::AtHead);
    }
    if let Some(found) = state.live.read_recent(tip.copy, ask.offset, ask.limit) {
        return Ok(found);
    }
    let live = Arc::clone(&state.live);
    let reading = tokio::task::spawn_blocking(move || live.read(tip.copy, ask.offset, ask.limit));
    let unreadable = || Problem::new(ProblemCode::Overloaded, "the journal cannot be read now");
    reading.await.map_err(|_| unreadable())?.map_err(|error| {
        tracing::error!(%error, "the journal cannot be read");
        unreadable()
    })
}

/// Tells a lost reader where this copy is and where to begin again.
fn located(state: &AppState, tip: Tip, code: ProblemCode) -> Problem {
    let oldest = state.live.index().oldest().unwrap_or(tip.position.offset);
    Problem::new(code, code.title())
        .with("gen", tip.position.r#gen.to_string())
        .with("headOffset", tip.position.offset)
        .with("oldestOffset", oldest)
        .with("snapshotUrl", "/v1/inventory/snapshot")
}

async fn answer(state: &AppState, ask: Ask, tip: Tip, events: &[Bytes]) -> Response {
    let next = ask.offset + events.len() as u64;
    // What was read may be newer than the tip that was looked at.
    let head = tip.position.offset.max(next);
    let r#gen = tip.position.r#gen;
    let sync = state.status.get();
    let up_to_date = next == tip.position.offset && sync.phase == Phase::Live;
    let oldest = state.live.index().oldest().unwrap_or(0);
    let mut text = envelope(events, next, head, oldest, r#gen);
    if up_to_date {
        let digest = tip.summary.digest;
        text.extend_from_slice(
            format!(",\"upToDate\":true,\"digest\":\"{digest:016x}\"").as_bytes(),
        );
    }
    text.push(b'}');
    let text = Bytes::from(text);
    let (body, coding) = match packed(ask.coding, text.clone()).await {
        Some(packed) => (Bytes::from(packed), ask.coding),
        None => (text, Coding::Identity),
    };
    let mut response = body.into_response();
    let answered = Answered {
        log_gen: r#gen,
        head,
        count: events.len(),
        coding,
        now: state.clock.now(),
    };
    answered.write(&ask, response.headers_mut());
    write_provenance(state, response.headers_mut());
    response.extensions_mut().insert(WaitedOnPurpose);
    response
}

/// The text of an answer up to where it says whether it is up to date.
fn envelope(events: &[Bytes], next: u64, head: u64, oldest: u64, r#gen: Gen) -> Vec<u8> {
    let bytes: usize = events.iter().map(|event| event.len() + 1).sum();
    let mut text = Vec::with_capacity(bytes + 256);
    text.extend_from_slice(b"{\"events\":[");
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        text.extend_from_slice(event);
    }
    let (more, count) = (next < head, events.len());
    text.extend_from_slice(
        format!(
            "],\"nextOffset\":{next},\"hasMore\":{more},\"count\":{count},\"gen\":\"{gen}\",\"headOffset\":{head},\"oldestOffset\":{oldest}"
        )
        .as_bytes(),
    );
    text
}

/// Says how old the copy is and through whom it came.
fn write_provenance(state: &AppState, headers: &mut HeaderMap) {
    let proof = state.status.get().proof;
    let age = proof.map(|proof| proof.age(&*state.clock).as_secs());
    headers.insert(AGE, HeaderValue::from(age.unwrap_or(u64::from(u32::MAX))));
    if let Some(via) = via(state.contact.get().via.as_deref(), &state.config.store_id) {
        headers.insert(VIA, via);
    }
}

/// Through whom the feed came, and this store.
fn via(before: Option<&str>, store: &StoreId) -> Option<HeaderValue> {
    let before = before.map(|via| format!("{via}, ")).unwrap_or_default();
    HeaderValue::try_from(format!("{before}1.1 {store}")).ok()
}

/// Passes a follower's heartbeat on to central.
///
/// # Errors
/// 403 from a key that is bound to another store; 503 when central cannot be reached.
#[utoipa::path(
    put, path = "/v1/stores/{id}/heartbeat", tag = "relay", operation_id = "relayHeartbeat", security(("apiKey" = [])),
    params(("id" = String, Path, example = "store-s7")),
    request_body(content = FollowerReport, example = json!(examples::heartbeat())),
    responses((status = 200, description = "What central knows of the store now.", body = FollowerView, example = json!(examples::follower())), HeartbeatProblems)
)]
pub async fn pass_on_heartbeat(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    context: RequestContext,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Store)?;
    let id = StoreId::parse(&id).map_err(|error| {
        let detail = shared::wire::problem::Detail::new("path.id", error.to_string());
        Problem::with_details(ProblemCode::InvalidRequest, vec![detail])
    })?;
    caller.check_store(Some(&id))?;
    let call = Call {
        method: Method::PUT,
        path: format!("v1/stores/{id}/heartbeat"),
        body: Some(read_body(request).await?),
        key: None,
        if_match: None,
        is_repeatable: false,
        attempt: None,
        may_be_forbidden: true,
        correlation: Some(context.correlation_header().clone()),
        traceparent: context.traceparent().cloned(),
    };
    let sent = state
        .central
        .unguarded()
        .call(&call, state.config.central.timeout);
    let reply = sent.await.map_err(|fault| unanswered(&fault))?;
    Ok((reply.status, reply.headers, reply.body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::files::Summary;

    #[test]
    fn a_question_is_placed_by_what_this_copy_went_through() {
        let position = |of, offset| Position {
            r#gen: Gen(of),
            offset,
        };
        let generations = [position(1, 100), position(2, 150), position(3, 180)];
        let tip = Tip {
            position: position(3, 200),
            summary: Summary::default(),
            copy: 0,
        };
        for (asked, offset, expected) in [
            (None, 200, Place::Here),
            (None, 201, Place::Beyond),
            (Some(1), 120, Place::Here),
            (Some(1), 150, Place::Here),
            (Some(1), 151, Place::Elsewhere),
            (Some(2), 180, Place::Here),
            (Some(2), 181, Place::Elsewhere),
            (Some(3), 50, Place::Here),
            (Some(3), 201, Place::Beyond),
            (Some(9), 120, Place::Beyond),
        ] {
            let ask = Ask {
                offset,
                limit: 10,
                wait: std::time::Duration::ZERO,
                log_gen: asked.map(Gen),
                cursor: None,
                coding: Coding::Identity,
            };
            assert_eq!(
                place(&generations, tip, ask),
                expected,
                "{asked:?} {offset}"
            );
        }
    }
}
