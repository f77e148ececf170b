//! `GET /v1/admin/live`: what changes, as it changes, for the console.
//!
//! How a page is told is [`shared::service::live`]; here is what. A `sync` says the life of the log
//! and how the stores follow, so a browser that comes back to another log (a restored backup) sees
//! another `gen`. Nobody is led through a long past: who is more than
//! [`limits::LIVE_EVENTS_BEHIND`] behind gets a `resync`, because loading a page is cheaper for both
//! than ten thousand events.
//!
//! Orders come before the products of the same moment ([`shared::service::live`] says why). Where a
//! page that comes back stood among the orders is read from the frame of the last product event that
//! it saw. A key that is bound to a store hears of no orders: they are everybody's.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;
use shared::clock::Clock as _;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::live::{News, Source, page};
use shared::service::openapi::SseEventBody;
use shared::service::sse::LAST_EVENT_ID;
use shared::service::system_clock::SystemClock;
use shared::view::Head;
use shared::wire::problem::Problem;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::stores::StoresSummary;
use super::{AppState, examples, refusal};
use crate::feed::answer::{FeedHead, texts};
use crate::journal::Stream;
use crate::ledger::Published;

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

/// Streams what changes: `product`, `order`, `sync`, `ping` and `resync` events.
///
/// # Errors
/// 401 without a key.
#[utoipa::path(
    get, path = "/v1/admin/live", tag = "admin", operation_id = "live", security(("apiKey" = [])),
    params(("Last-Event-ID" = Option<String>, Header, nullable = false, description = "The last offset that was seen")),
    responses((
        status = 200, description = "`product` and `order` have an event of their feed as their data, `sync` a LiveSync, `resync` an offset. The id is the offset of the last product event.",
        content((SseEventBody = "text/event-stream", example = json!(examples::LIVE))),
    ))
)]
pub async fn stream(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let published = state.ledger.published();
    // Subscribed before the head is read, so that no event falls in between.
    let moves = published.moves();
    let head = published.head();
    let shutdown = state.shutdown.clone();
    let ended = caller.ended(state.ledger.now());
    let orders = if caller.store().is_some() {
        Orders::Untold
    } else if headers.contains_key(LAST_EVENT_ID) {
        Orders::ToBeFound
    } else {
        Orders::Next(head.orders)
    };
    let source = Console {
        state,
        moves,
        orders,
        told: None,
    };
    Ok(page(source, &headers, head.offset, shutdown, ended))
}

/// Where a page stands among the events of orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Orders {
    /// It is told of none.
    Untold,
    /// Somewhere behind the product event that it saw last.
    ToBeFound,
    /// The next one is at this offset.
    Next(u64),
}

/// What the console is told.
struct Console {
    state: AppState,
    moves: watch::Receiver<()>,
    orders: Orders,
    /// How the stores follow, as last told.
    told: Option<StoresSummary>,
}

impl Console {
    /// The page is to load its data anew, and goes on at `head`.
    fn resync(&mut self, head: Head) -> News {
        if self.orders != Orders::Untold {
            self.orders = Orders::Next(head.orders);
        }
        News::Resync(head.offset)
    }
}

/// Whether a page can be led from `next` to where the feed stands.
fn is_followed(published: &Published, head: FeedHead, next: u64) -> bool {
    let oldest = published.journal.oldest().offsets.of(head.stream);
    let behind = head.offset.checked_sub(next);
    next >= oldest && behind.is_some_and(|behind| behind <= limits::LIVE_EVENTS_BEHIND)
}

/// The first event of orders that a page may not have seen which saw the product event before
/// `next`: the first in that event's frame. `None` if that cannot be told.
async fn order_offset(state: &AppState, next: u64) -> Option<u64> {
    let Some(last) = next.checked_sub(1) else {
        return Some(0);
    };
    if next > state.ledger.published().head().offset {
        return None;
    }
    let read = move |published: &Published| {
        let journal = &published.journal;
        let frames = journal.frames_from_offset(Stream::Inventory, last, 1)?;
        Ok(frames
            .first()
            .map(|frame| frame.header.first.offsets.orders))
    };
    state.read_log(read).await.ok()?
}

impl Source for Console {
    async fn news(&mut self, next: u64, limit: usize) -> News {
        self.moves.mark_unchanged();
        let published = Arc::clone(self.state.ledger.published());
        let head = published.head();
        let products = FeedHead::of(head, Stream::Inventory);
        let orders = FeedHead::of(head, Stream::Orders);
        if self.orders == Orders::ToBeFound {
            match order_offset(&self.state, next).await {
                Some(offset) => self.orders = Orders::Next(offset),
                None => return self.resync(head),
            }
        }
        let next_order = match self.orders {
            Orders::Next(offset) => offset,
            Orders::Untold | Orders::ToBeFound => orders.offset,
        };
        if !(is_followed(&published, products, next) && is_followed(&published, orders, next_order))
        {
            return self.resync(head);
        }
        if next_order < orders.offset {
            return match texts(&published, next_order, limit, orders).await {
                Ok(found) => {
                    self.orders = Orders::Next(next_order + found.len() as u64);
                    News::Orders(found.into_iter().map(|(_, text)| text).collect())
                }
                Err(error) => {
                    refusal::note_unreadable(&error);
                    News::End
                }
            };
        }
        if next == products.offset {
            return News::None;
        }
        match texts(&published, next, limit, products).await {
            Ok(found) => News::Events(found.into_iter().map(|(_, text)| text).collect()),
            Err(error) => {
                refusal::note_unreadable(&error);
                News::End
            }
        }
    }

    async fn moved(&mut self) -> bool {
        self.moves.changed().await.is_ok()
    }

    /// How the stores follow. The head moves all the while and is not worth an event of its own.
    fn sync(&mut self) -> Option<String> {
        let published = self.state.ledger.published();
        let head_offset = published.head().offset;
        let now = SystemClock.now();
        let stores = self.state.shared.stores.summary(head_offset, now);
        if self.told == Some(stores) {
            return None;
        }
        self.told = Some(stores);
        let sync = LiveSync {
            r#gen: published.log_gen().to_string(),
            head_offset,
            oldest_offset: published.journal.oldest().offsets.inventory,
            stores,
        };
        Some(serde_json::to_string(&sync).expect("figures and words become JSON"))
    }
}
