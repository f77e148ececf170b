//! `GET /v1/admin/live`: what changes, as it changes, for the console.
//!
//! A shop's page has the same at its store (`/v1/store/events`). Named events: `product` (an event of
//! the log, `id` is its offset), `sync` (the life of the log, and how the stores follow), `ping` every
//! ten seconds, `resync` (events were passed over: load the page's data anew). A browser that comes
//! back says which offset it saw last, in `Last-Event-ID`, and goes on from there.
//!
//! Nothing is buffered for a slow reader, and nobody is led through a long past: who is more than
//! [`limits::LIVE_EVENTS_BEHIND`] behind gets a `resync`, because loading a page is cheaper for both
//! than ten thousand events. `sync` is the first thing sent, so that a browser that comes back to
//! another log (a restored backup) sees another `gen`.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use shared::clock::Clock as _;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::request_context::WaitedOnPurpose;
use shared::service::system_clock::SystemClock;
use shared::view::Head;
use shared::wire::problem::Problem;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use utoipa::ToSchema;

use super::stores::StoresSummary;
use super::{AppState, examples};
use crate::feed::answer::texts;

/// Time between two signs of life, and between two looks at the stores.
const PING_EVERY: Duration = Duration::from_secs(10);
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Events sent at once.
const RUN: usize = 256;

/// The data of a `sync` event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LiveSync {
    #[schema(pattern = "^[0-9a-f]{16}$")]
    r#gen: String,
    head_offset: u64,
    oldest_offset: u64,
    stores: StoresSummary,
}

/// Streams what changes: `product`, `sync`, `ping` and `resync` events.
///
/// # Errors
/// 401 without a key.
#[utoipa::path(
    get, path = "/v1/admin/live", tag = "admin", operation_id = "live", security(("apiKey" = [])),
    params(("Last-Event-ID" = Option<i64>, Header, nullable = false, description = "The last offset that was seen")),
    responses((
        status = 200, description = "`product` has an event of the feed as its data, `sync` a LiveSync, `resync` an offset.",
        content((String = "text/event-stream", example = json!(examples::LIVE))),
    ))
)]
pub async fn stream(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let mut response = Sse::new(events(state, last)).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(WaitedOnPurpose);
    Ok(response)
}

/// One reader.
struct Reader {
    state: AppState,
    head: watch::Receiver<Head>,
    /// The next offset to send.
    next: u64,
    pings: Interval,
    looks: Interval,
    /// How the stores follow, as last told.
    told: Option<StoresSummary>,
}

fn events(state: AppState, last: Option<u64>) -> impl Stream<Item = Result<Event, Infallible>> {
    let every = |period| {
        let mut interval = interval_at(Instant::now() + period, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    };
    let head = state.ledger.published().watch();
    let now = head.borrow().offset;
    let reader = Reader {
        next: last.map_or(now, |last| last.saturating_add(1)),
        head,
        pings: every(PING_EVERY),
        looks: every(SYNC_EVERY),
        told: None,
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
        if self.told.is_none() {
            return self.sync().map(|sync| vec![sync]);
        }
        loop {
            let head = *self.head.borrow_and_update();
            if self.next != head.offset {
                return self.news(head).await;
            }
            tokio::select! {
                changed = self.head.changed() => changed.ok()?,
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

    /// Events of the log that this reader has not seen. A log that cannot be read ends the stream.
    async fn news(&mut self, head: Head) -> Option<Vec<Event>> {
        let published = self.state.ledger.published();
        let behind = head.offset.checked_sub(self.next);
        let followed = behind.is_some_and(|behind| behind <= limits::LIVE_EVENTS_BEHIND);
        if !followed || self.next < published.journal.oldest().1 {
            return Some(vec![self.resync(head)]);
        }
        let found = texts(published, self.next, RUN, head).await.ok()?;
        let mut products = Vec::with_capacity(found.len());
        for (offset, text) in found {
            self.next = offset + 1;
            let event = Event::default().event("product").id(offset.to_string());
            products.push(event.data(text));
        }
        Some(products)
    }

    fn resync(&mut self, head: Head) -> Event {
        self.next = head.offset;
        let data = format!("{{\"offset\":{}}}", self.next);
        let event = Event::default().event("resync").data(data);
        // The id is that of the newest event, from where a reconnect goes on.
        match self.next.checked_sub(1) {
            Some(last) => event.id(last.to_string()),
            None => event,
        }
    }

    /// How the stores follow, if otherwise than last told. The head moves all the while and is not
    /// worth an event of its own.
    fn sync(&mut self) -> Option<Event> {
        let published = self.state.ledger.published();
        let head_offset = published.head().offset;
        let stores = self
            .state
            .shared
            .stores
            .summary(head_offset, SystemClock.now());
        if self.told == Some(stores) {
            return None;
        }
        self.told = Some(stores);
        let sync = LiveSync {
            r#gen: published.log_gen().to_string(),
            head_offset,
            oldest_offset: published.journal.oldest().1,
            stores,
        };
        let data = serde_json::to_string(&sync).expect("figures and words become JSON");
        Some(Event::default().event("sync").data(data))
    }
}
