//! `GET /v1/store/events`: what changes, as it changes, for the shop's page.
//!
//! Named events: `product` (an event of the log, `id` is its offset), `sync` (how the sync goes),
//! `ping` every ten seconds, `resync` (the copy was replaced, or events were missed: load the page's
//! data anew). A browser that comes back says which offset it saw last, in `Last-Event-ID`, and goes
//! on from there.
//!
//! A reader that is slower than the log is not buffered for: it reads from the tail like a relay,
//! and when the tail has moved on it gets a `resync`.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use shared::service::auth::{Caller, Scope};
use shared::service::request_context::WaitedOnPurpose;
use shared::wire::problem::Problem;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::AppState;
use super::sync::{ProblemBody, sync_status};
use crate::replica::live::{Stretch, Tip};

/// Time between two signs of life, and between two looks at the sync.
const PING_EVERY: Duration = Duration::from_secs(10);
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Events sent at once.
const RUN: usize = 256;

/// Streams what changes.
///
/// # Errors
/// 401 without a key; 503 before the very first sync.
#[utoipa::path(
    get, path = "/v1/store/events", tag = "sync", security(("apiKey" = [])),
    params(("Last-Event-ID" = Option<i64>, Header, description = "The last offset that was seen")),
    responses(
        (status = 200, description = "text/event-stream: product, sync, ping, resync"),
        (status = 401, body = ProblemBody), (status = 503, body = ProblemBody),
    )
)]
pub async fn stream(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    state.shown()?;
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let last = last.and_then(|text| text.parse::<u64>().ok());
    let mut response = Sse::new(events(state, last)).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(WaitedOnPurpose);
    Ok(response)
}

/// One reader.
struct Reader {
    state: AppState,
    tip: watch::Receiver<Option<Tip>>,
    /// The next offset to send, and of which copy.
    next: u64,
    copy: u64,
    pings: Interval,
    looks: Interval,
    /// The sync as it was last told.
    told: String,
}

fn events(state: AppState, last: Option<u64>) -> impl Stream<Item = Result<Event, Infallible>> {
    let tip = state.live.watch();
    let at = state.live.tip();
    let every = |period| {
        let mut interval = interval_at(Instant::now() + period, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    };
    let head = at.map_or(0, |tip| tip.position.offset);
    let reader = Reader {
        next: last.map_or(head, |last| last.saturating_add(1)),
        copy: at.map_or(0, |tip| tip.copy),
        tip,
        pings: every(PING_EVERY),
        looks: every(SYNC_EVERY),
        told: String::new(),
        state,
    };
    futures_util::stream::unfold(reader, |mut reader| async {
        let events = reader.wait().await?;
        Some((
            futures_util::stream::iter(events.into_iter().map(Ok)),
            reader,
        ))
    })
    .flatten()
}

impl Reader {
    /// What is to be sent next; `None` at the end.
    async fn wait(&mut self) -> Option<Vec<Event>> {
        if let Some(sync) = self.sync() {
            return Some(vec![sync]);
        }
        loop {
            if let Some(events) = self.news().await {
                return Some(events);
            }
            tokio::select! {
                changed = self.tip.changed() => changed.ok()?,
                _ = self.pings.tick() => return Some(vec![Event::default().event("ping").data("{}")]),
                _ = self.looks.tick() => {
                    if let Some(sync) = self.sync() {
                        return Some(vec![sync]);
                    }
                }
                () = self.state.shutdown.cancelled() => return None,
            }
        }
    }

    /// Events of the log that this reader has not seen.
    async fn news(&mut self) -> Option<Vec<Event>> {
        let tip = (*self.tip.borrow_and_update())?;
        if tip.copy != self.copy {
            return Some(self.resync(tip));
        }
        if self.next == tip.position.offset {
            return None;
        }
        let live = std::sync::Arc::clone(&self.state.live);
        let (copy, next) = (self.copy, self.next);
        let read = match live.read_recent(copy, next, RUN) {
            Some(found) => Ok(found),
            None => tokio::task::spawn_blocking(move || live.read(copy, next, RUN))
                .await
                .ok()?,
        };
        match read {
            Ok(Stretch::Events(events)) => Some(self.products(&events)),
            // The tip says so in a moment.
            Ok(Stretch::AtHead | Stretch::Replaced) => None,
            Ok(Stretch::Ahead | Stretch::Gone(_)) | Err(_) => Some(self.resync(tip)),
        }
    }

    fn products(&mut self, events: &[Bytes]) -> Vec<Event> {
        let mut products = Vec::with_capacity(events.len());
        for bytes in events {
            let event = Event::default().event("product").id(self.next.to_string());
            products.push(event.data(String::from_utf8_lossy(bytes)));
            self.next += 1;
        }
        products
    }

    fn resync(&mut self, tip: Tip) -> Vec<Event> {
        self.copy = tip.copy;
        self.next = tip.position.offset;
        let data = format!("{{\"offset\":{}}}", self.next);
        // The id is that of the last event in the new copy, from where a reconnect goes on.
        let event = Event::default().event("resync").data(data);
        vec![match self.next.checked_sub(1) {
            Some(last) => event.id(last.to_string()),
            None => event,
        }]
    }

    /// How the sync goes, if it goes otherwise than last told.
    fn sync(&mut self) -> Option<Event> {
        let sync = self.state.status.get();
        // Times change all the while; a page counts seconds by itself.
        let told = format!(
            "{:?} {:?} {} {:?} {}",
            sync.phase,
            sync.lag,
            sync.in_progress,
            sync.error,
            self.state.central.guard().state().as_str()
        );
        if told == self.told {
            return None;
        }
        self.told = told;
        let data = serde_json::to_string(&sync_status(&self.state)).unwrap_or_default();
        Some(Event::default().event("sync").data(data))
    }
}
