//! Bodies that are read or written by hand, described.
//!
//! Nothing is ever parsed or serialised through these types: the hot path has its own parse and its
//! own encoder, and other bodies are read so that every fault is named. They exist for
//! `/openapi.json`, and a test holds them to what the service really takes and says.

use serde::Serialize;
use shared::service::openapi::ProductBody;
use utoipa::{IntoParams, ToSchema};

/// One movement of stock. Unknown members are ignored, as in seed 003.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Movement {
    /// The shop; needed unless the key is bound to one.
    #[schema(nullable = false)]
    store_id: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    product_id: String,
    /// Units in (positive) or out (negative); not 0.
    #[schema(minimum = -1_000_000_000, maximum = 1_000_000_000)]
    delta: i64,
    /// The version that was seen; without it the movement is applied if enough is available.
    #[schema(minimum = 0)]
    version: Option<i64>,
    /// Or the header `Idempotency-Key`.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
    /// `sale` (the default of negative deltas), `returned`, `received`, `found`, `correction`, …
    reason: Option<String>,
    #[schema(max_length = 512)]
    reference: Option<String>,
    #[schema(max_length = 512)]
    note: Option<String>,
}

/// Several movements.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Movements {
    #[schema(nullable = false)]
    store_id: Option<String>,
    #[schema(min_items = 1, max_items = 1_000)]
    updates: Vec<Movement>,
    /// `per_item` (the default): each line has its own key and its own outcome. `all`: everything or
    /// nothing, under one key for the whole.
    #[schema(pattern = "^(per_item|all)$")]
    atomicity: Option<String>,
    /// With `all`: the key of the whole, here or as the header `Idempotency-Key`.
    idempotency_key: Option<String>,
}

/// One movement, or several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum UpdateRequest {
    /// Several.
    Many(Movements),
    /// One.
    One(Movement),
}

/// What an applied movement led to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    product_id: String,
    /// Units available now.
    new_quantity: i64,
    new_version: i64,
    applied: bool,
    last_updated: String,
    delta: i64,
    idempotency_key: String,
    /// Of the event.
    offset: i64,
}

/// What became of one line.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MovedLine {
    product_id: String,
    new_quantity: i64,
    new_version: i64,
    applied: bool,
    last_updated: String,
    #[schema(nullable = false)]
    error_type: Option<String>,
    #[schema(nullable = false)]
    error_message: Option<String>,
}

/// How many lines went well.
#[derive(Debug, Serialize, ToSchema)]
pub struct MovedSummary {
    total: i64,
    succeeded: i64,
    failed: i64,
}

/// What became of several movements, in their order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MovedMany {
    results: Vec<MovedLine>,
    summary: MovedSummary,
    store_id: String,
    total_count: i64,
    success_count: i64,
    failure_count: i64,
}

/// The answer to one movement, or to several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum UpdateAnswer {
    /// To several.
    Many(MovedMany),
    /// To one.
    One(Moved),
}

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

/// A physical count.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CountRequest {
    #[schema(min_items = 1, max_items = 1_000)]
    lines: Vec<CountRequestLine>,
    #[schema(min_length = 1, max_length = 512)]
    counted_by: String,
    #[schema(max_length = 512)]
    reference: Option<String>,
    /// Or the header `Idempotency-Key`.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// What was counted of one product.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CountRequestLine {
    product_id: String,
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    counted: i64,
    /// The offset of the list that the counter walked with; what was sold since still counts.
    #[schema(minimum = 0)]
    basis_offset: Option<i64>,
}

/// What a count led to.
#[derive(Debug, Serialize, ToSchema)]
pub struct CountAnswer {
    lines: Vec<CountAnswerLine>,
    /// Of the first event.
    offset: i64,
}

/// What a count of one product led to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CountAnswerLine {
    product_id: String,
    expected: i64,
    counted: i64,
    delta: i64,
    new_version: i64,
    on_hand: i64,
    available: i64,
}
