//! `GET /v1/store/events`: what changes, as it changes, for the shop's page.
//!
//! How a page is told is [`shared::service::live`]; here is what. A `sync` says how the sync goes. A
//! `resync` follows when the copy was replaced, when a reader was slower than what the store keeps
//! of the log, and when news of orders may have gone unheard ([`order_news`](crate::order_news)).
//!
//! What must stay true: the tip is looked at first, then orders are told, then products up to that tip
//! and no further. So a page that comes back wanting the next product has missed no order.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use shared::service::auth::{Caller, Scope};
use shared::service::live::{News, Source, page};
use shared::service::openapi::SseEventBody;
use shared::service::sse::LAST_EVENT_ID;
use shared::wire::problem::Problem;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::sync::sync_status;
use super::{AppState, examples};
use crate::replica::live::{Stretch, Tip};

shared::problem_set! {
    /// Why there is nothing to stream.
    StreamProblems = NotSyncedYet;
}

/// Streams what changes.
///
/// # Errors
/// 401 without a key; 503 before the very first sync.
#[utoipa::path(
    get, path = "/v1/store/events", tag = "sync", operation_id = "live", security(("apiKey" = [])),
    params(("Last-Event-ID" = Option<String>, Header, nullable = false, description = "The last offset that was seen")),
    responses(
        (
            status = 200, description = "`product` has an event of the feed as its data, `order` one of this store's orders, `sync` a SyncStatus, `resync` an offset. The id is the offset of the last product event.",
            content((SseEventBody = "text/event-stream", example = json!(examples::LIVE))),
        ),
        StreamProblems,
    )
)]
pub async fn stream(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    state.shown()?;
    let tip = state.live.watch();
    let at = state.live.tip();
    let shutdown = state.shutdown.clone();
    let order_moves = state.order_news.watch();
    let orders = if caller.check_store(Some(&state.config.store_id)).is_err() {
        Orders::Untold
    } else if headers.contains_key(LAST_EVENT_ID) {
        Orders::ToBeFound
    } else {
        Orders::Next(state.order_news.end())
    };
    let source = Shop {
        copy: at.map_or(0, |tip| tip.copy),
        tip,
        orders,
        order_moves,
        told: String::new(),
        state,
    };
    let head = at.map_or(0, |tip| tip.position.offset);
    // The keys of the settings count as long as the process lives.
    Ok(page(
        source,
        &headers,
        head,
        shutdown,
        std::future::pending(),
    ))
}

/// Where a page stands among the news of orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Orders {
    /// It is told of none: its key is another store's.
    Untold,
    /// Somewhere behind the product event that it saw last.
    ToBeFound,
    /// The next entry has this number.
    Next(u64),
}

/// What the shop's page is told.
struct Shop {
    state: AppState,
    tip: watch::Receiver<Option<Tip>>,
    orders: Orders,
    order_moves: watch::Receiver<u64>,
    /// The copy that the page's offsets count in.
    copy: u64,
    /// The sync as it was last told.
    told: String,
}

impl Shop {
    fn resync(&mut self, tip: Tip) -> News {
        self.copy = tip.copy;
        if self.orders != Orders::Untold {
            self.orders = Orders::Next(self.state.order_news.end());
        }
        News::Resync(tip.position.offset)
    }

    /// The next news of orders for a page that wants the product event `next`, `None` if it may have
    /// missed some.
    fn order_news(&mut self, next: u64, limit: usize) -> Option<Vec<String>> {
        let news = &self.state.order_news;
        let from = match self.orders {
            Orders::Untold => return Some(Vec::new()),
            Orders::Next(from) => from,
            Orders::ToBeFound => news.since(next)?,
        };
        let texts = news.read(from, limit)?;
        self.orders = Orders::Next(from + texts.len() as u64);
        Some(texts)
    }
}

impl Source for Shop {
    async fn news(&mut self, next: u64, limit: usize) -> News {
        let Some(tip) = *self.tip.borrow_and_update() else {
            return News::None;
        };
        if tip.copy != self.copy {
            return self.resync(tip);
        }
        self.order_moves.mark_unchanged();
        match self.order_news(next, limit) {
            None => return self.resync(tip),
            Some(texts) if !texts.is_empty() => return News::Orders(texts),
            Some(_) => {}
        }
        if next == tip.position.offset {
            return News::None;
        }
        let live = Arc::clone(&self.state.live);
        let read = match live.read_recent(tip.copy, next, limit) {
            Some(found) => Ok(found),
            None => match spawn_blocking(move || live.read(tip.copy, next, limit)).await {
                Ok(read) => read,
                Err(_) => return News::End,
            },
        };
        match read {
            Ok(Stretch::Events(events)) => {
                let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
                // What was read may be newer than the tip, and orders heard before it untold.
                let most = tip.position.offset.saturating_sub(next);
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                News::Events(events.iter().take(most).map(text).collect())
            }
            // The tip says so in a moment.
            Ok(Stretch::AtHead | Stretch::Replaced) => News::None,
            Ok(Stretch::Ahead | Stretch::Gone(_)) | Err(_) => self.resync(tip),
        }
    }

    async fn moved(&mut self) -> bool {
        tokio::select! {
            moved = self.tip.changed() => moved.is_ok(),
            moved = self.order_moves.changed() => moved.is_ok(),
        }
    }

    fn sync(&mut self) -> Option<String> {
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
        Some(serde_json::to_string(&sync_status(&self.state)).unwrap_or_default())
    }
}
