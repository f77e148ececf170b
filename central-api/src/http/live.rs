//! `GET /v1/admin/live`: what changes, as it changes, for the console.
//!
//! How a page is told is [`shared::service::live`]; here is what. A `sync` says the life of the log
//! and how the stores follow, so a browser that comes back to another log (a restored backup) sees
//! another `gen`. Nobody is led through a long past: who is more than
//! [`limits::LIVE_EVENTS_BEHIND`] behind gets a `resync`, because loading a page is cheaper for both
//! than ten thousand events.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;
use shared::clock::Clock as _;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::live::{News, Source, page};
use shared::service::system_clock::SystemClock;
use shared::wire::problem::Problem;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::stores::StoresSummary;
use super::{AppState, examples};
use crate::feed::answer::texts;

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
    let published = state.ledger.published();
    // Subscribed before the head is read, so that no event falls in between.
    let moves = published.moves();
    let head = published.head().offset;
    let shutdown = state.shutdown.clone();
    let source = Console {
        state,
        moves,
        told: None,
    };
    Ok(page(source, &headers, head, shutdown))
}

/// What the console is told.
struct Console {
    state: AppState,
    moves: watch::Receiver<()>,
    /// How the stores follow, as last told.
    told: Option<StoresSummary>,
}

impl Source for Console {
    async fn news(&mut self, next: u64, limit: usize) -> News {
        self.moves.mark_unchanged();
        let published = self.state.ledger.published();
        let head = published.head();
        if next == head.offset {
            return News::None;
        }
        let behind = head.offset.checked_sub(next);
        let followed = behind.is_some_and(|behind| behind <= limits::LIVE_EVENTS_BEHIND);
        if !followed || next < published.journal.oldest().offsets.inventory {
            return News::Resync(head.offset);
        }
        match texts(published, next, limit, head).await {
            Ok(found) => News::Events(found.into_iter().map(|(_, text)| text).collect()),
            Err(_) => News::End,
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
