//! The feed of stock, described: central sends it, and a store that is a relay. See
//! [`bodies`](super::bodies).

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::bodies::ProductBody;

/// What happened to a product, and why.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// `sale`, `sale_returned`, `received`, `adjusted`, `counted`, `reserved`, `committed`,
    /// `released`, `expired`, `created`, `edited`, `deleted`, …
    kind: String,
    /// Change of `onHand`.
    #[schema(nullable = false)]
    delta: Option<i64>,
    /// Units that a reservation holds, or held.
    #[schema(nullable = false)]
    quantity: Option<i64>,
    #[schema(nullable = false)]
    reservation_id: Option<String>,
    #[schema(nullable = false)]
    order_id: Option<String>,
    #[schema(nullable = false)]
    reason: Option<String>,
    #[schema(nullable = false)]
    store_id: Option<String>,
    #[schema(nullable = false)]
    idempotency_key: Option<String>,
    /// Under whose name.
    actor: String,
    /// In history only; in the feed it would cost every event its bytes.
    #[schema(nullable = false)]
    request_id: Option<String>,
    #[schema(nullable = false)]
    correlation_id: Option<String>,
    #[schema(nullable = false)]
    reference: Option<String>,
    #[schema(nullable = false)]
    note: Option<String>,
}

/// An event's place among those of one decision, which are applied together.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventBatch {
    id: i64,
    size: i64,
    index: i64,
}

/// One event of the feed. Followers pass over types that they do not know; the offset counts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedEvent {
    #[schema(minimum = 0)]
    offset: i64,
    #[schema(format = DateTime)]
    timestamp: String,
    /// `product_created`, `product_updated` or `product_deleted`.
    event_type: String,
    product_id: String,
    data: ProductBody,
    version: i64,
    cause: Cause,
    #[schema(nullable = false)]
    batch: Option<EventBatch>,
}

/// A stretch of the feed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedAnswer {
    events: Vec<FeedEvent>,
    /// Where to go on, also when there are no events.
    #[schema(minimum = 0)]
    next_offset: i64,
    has_more: bool,
    #[schema(minimum = 0)]
    count: i64,
    /// The life of the log; to be sent with the next question.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    r#gen: String,
    head_offset: i64,
    oldest_offset: i64,
    /// Present when `nextOffset` is `headOffset`.
    #[schema(nullable = false)]
    up_to_date: Option<bool>,
    /// Present with `upToDate`: what a copy at this offset must sum up to.
    #[schema(nullable = false, pattern = "^[0-9a-f]{16}$")]
    digest: Option<String>,
}

/// What the feed is asked for.
#[derive(Debug, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FeedParams {
    /// The first event wanted; offsets are dense and begin at 0.
    #[param(minimum = 0, example = 0)]
    offset: i64,
    /// Default 100; more than 1000 means 1000. Soft: the events of one decision are never split.
    #[param(nullable = false, minimum = 1)]
    limit: Option<i64>,
    /// Seconds to wait if there is nothing yet: default 0; more than 60 means 60.
    #[param(nullable = false, minimum = 0)]
    wait: Option<i64>,
    /// The `gen` of the answer before; without it the offset alone decides.
    #[param(nullable = false, pattern = "^[0-9a-f]{16}$")]
    r#gen: Option<String>,
    /// The `Log-Cursor` of the answer before; only makes the URL another one.
    #[param(nullable = false, minimum = 0)]
    cursor: Option<i64>,
}
