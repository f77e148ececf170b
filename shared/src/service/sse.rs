//! Server-sent events: who asks for them, where a browser that comes back goes on, and the answer.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _};
use http::header::{ACCEPT, CACHE_CONTROL};
use http::{HeaderMap, HeaderValue};

use super::request_context::WaitedOnPurpose;

/// The header in which a browser that comes back names the last event it has.
pub const LAST_EVENT_ID: &str = "last-event-id";
/// Silence after which a stream says that it is alive.
pub const PING_EVERY: Duration = Duration::from_secs(10);

/// Whether the caller asks for a stream before anything else.
#[must_use]
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.starts_with("text/event-stream"))
}

/// Streams runs of events as they come, with a comment now and then so that neither end takes a
/// quiet line for a dead one. The end of `runs` ends the answer, and so does `until`.
pub fn stream<S, U>(runs: S, until: U) -> Response
where
    S: Stream<Item = Vec<Event>> + Send + 'static,
    U: Future<Output = ()> + Send + 'static,
{
    let keep_alive = KeepAlive::new().interval(PING_EVERY).text("ping");
    described(Sse::new(flat(runs.take_until(until))).keep_alive(keep_alive))
}

/// The same for runs that have signs of life of their own.
pub fn bare<S, U>(runs: S, until: U) -> Response
where
    S: Stream<Item = Vec<Event>> + Send + 'static,
    U: Future<Output = ()> + Send + 'static,
{
    described(Sse::new(flat(runs.take_until(until))))
}

fn flat<S>(runs: S) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static
where
    S: Stream<Item = Vec<Event>> + Send + 'static,
{
    runs.flat_map(|run| futures_util::stream::iter(run.into_iter().map(Ok)))
}

fn described(events: impl IntoResponse) -> Response {
    let mut response = events.into_response();
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response.extensions_mut().insert(WaitedOnPurpose);
    response
}
