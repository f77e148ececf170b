//! Bodies that are read or written by hand, described.
//!
//! Nothing is ever parsed or serialised through these types: the hot path has its own parse and its
//! own encoder, and other bodies are read so that every fault is named. They exist for
//! `/openapi.json`, and a test holds them to what the service really takes and says.

use serde::Serialize;
use shared::service::openapi::DetailBody;
use utoipa::ToSchema;

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
    /// Every rule that the line breaks by itself; the other two are about the first.
    #[schema(nullable = false)]
    details: Option<Vec<DetailBody>>,
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
