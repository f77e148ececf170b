//! Bodies of the catalogue's calls, described; see [`schema`](super::schema).

use serde::Serialize;
use utoipa::ToSchema;

/// A product to be created.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProductRequest {
    /// 1–128 visible ASCII characters without `/`.
    #[schema(min_length = 1, max_length = 128)]
    product_id: String,
    #[schema(min_length = 1, max_length = 512)]
    name: String,
    #[schema(max_length = 4_096)]
    description: Option<String>,
    #[schema(max_length = 128)]
    category: Option<String>,
    #[schema(max_length = 128)]
    sku: Option<String>,
    #[schema(max_length = 128)]
    barcode: Option<String>,
    /// At most two decimals.
    #[schema(nullable = false, minimum = 0)]
    price: Option<f64>,
    #[schema(minimum = 0)]
    low_stock_threshold: Option<i64>,
    /// Units in the house; anything but 0 needs an idempotency key.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    on_hand: Option<i64>,
    /// Or the header `Idempotency-Key`.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// What is to be changed of a product; absent members stay as they are, null clears optional ones.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProductChange {
    /// The id of the path, if given.
    #[schema(nullable = false)]
    product_id: Option<String>,
    #[schema(nullable = false, min_length = 1, max_length = 512)]
    name: Option<String>,
    #[schema(max_length = 4_096)]
    description: Option<String>,
    #[schema(max_length = 128)]
    category: Option<String>,
    #[schema(max_length = 128)]
    sku: Option<String>,
    #[schema(max_length = 128)]
    barcode: Option<String>,
    #[schema(nullable = false, minimum = 0)]
    price: Option<f64>,
    #[schema(minimum = 0)]
    low_stock_threshold: Option<i64>,
    /// The version that you saw, or an explicit null to overwrite; or the header `If-Match`.
    #[schema(minimum = 0)]
    version: Option<i64>,
    idempotency_key: Option<String>,
}

/// Products to be created, seed 003's way.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeedCreate {
    #[schema(min_items = 1, max_items = 1_000)]
    products: Vec<SeedProduct>,
    /// Or the header `Idempotency-Key`; a repeat with the same one changes nothing.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// One of them. Unknown members are ignored, as in seed 003.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeedProduct {
    #[schema(min_length = 1, max_length = 128)]
    product_id: String,
    #[schema(min_length = 1, max_length = 512)]
    name: String,
    /// Units in the house.
    #[schema(minimum = 0)]
    available: Option<i64>,
    #[schema(minimum = 0)]
    price: Option<f64>,
    description: Option<String>,
    category: Option<String>,
    sku: Option<String>,
    barcode: Option<String>,
    low_stock_threshold: Option<i64>,
}

/// Products to be changed, seed 003's way: without a version, the last one wins.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeedSet {
    #[schema(min_items = 1, max_items = 1_000)]
    products: Vec<SeedChange>,
    /// Or the header `Idempotency-Key`; a repeat with the same one changes nothing.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// One of them; at least one of name, available and price.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeedChange {
    #[schema(min_length = 1, max_length = 128)]
    product_id: String,
    name: Option<String>,
    /// Units that shall be available.
    #[schema(minimum = 0)]
    available: Option<i64>,
    #[schema(minimum = 0)]
    price: Option<f64>,
}

/// Products to be deleted, seed 003's way.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeedDelete {
    #[schema(min_items = 1, max_items = 1_000)]
    product_ids: Vec<String>,
    /// Or the header `Idempotency-Key`; a repeat with the same one changes nothing.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// What became of one item.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeedRow {
    product_id: String,
    success: bool,
    #[schema(nullable = false)]
    new_version: Option<i64>,
    #[schema(nullable = false)]
    last_updated: Option<String>,
    #[schema(nullable = false)]
    error_type: Option<String>,
    #[schema(nullable = false)]
    error_message: Option<String>,
}

/// How many items went well; the names of the two counts say what was asked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeedSummary {
    total_requests: i64,
    #[schema(nullable = false)]
    successful_creations: Option<i64>,
    #[schema(nullable = false)]
    failed_creations: Option<i64>,
    #[schema(nullable = false)]
    successful_updates: Option<i64>,
    #[schema(nullable = false)]
    failed_updates: Option<i64>,
    #[schema(nullable = false)]
    successful_deletions: Option<i64>,
    #[schema(nullable = false)]
    failed_deletions: Option<i64>,
}

/// What became of each item, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeedAnswer {
    results: Vec<SeedRow>,
    summary: SeedSummary,
}
