//! What is told of a product's past, and of products that are short, described for `/openapi.json`; see
//! [`schema`](super::schema).

use serde::Serialize;
use shared::service::openapi::{PaginationBody, ProductBody};
use utoipa::{IntoParams, ToSchema};

use shared::service::openapi::feed::Cause;

/// A product of which more is promised than there is: a product with `since`, when that began.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shortfall {
    #[serde(flatten)]
    product: ProductBody,
    #[schema(nullable = false)]
    since: Option<String>,
    /// Whether it began then, rather than then or earlier.
    #[schema(nullable = false)]
    since_is_exact: Option<bool>,
    /// How many reservations hold units of it.
    #[schema(minimum = 0)]
    reservations_at_risk: i64,
    /// The newest of them.
    #[schema(max_items = 100)]
    reservations: Vec<ReservationAtRisk>,
}

/// A reservation of which not all units may be there.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationAtRisk {
    reservation_id: String,
    owner: String,
    #[schema(nullable = false)]
    reference: Option<String>,
    #[schema(nullable = false)]
    store_id: Option<String>,
    #[schema(nullable = false)]
    order_id: Option<String>,
    /// Units of this product.
    #[schema(minimum = 1)]
    quantity: i64,
    #[schema(format = DateTime)]
    created_at: String,
    /// Null once its order is paid.
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
}

/// A page of shortfalls.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shortfalls {
    shortfalls: Vec<Shortfall>,
    pagination: PaginationBody,
    r#gen: String,
    as_of_offset: i64,
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// The units of a product at some moment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quantities {
    on_hand: i64,
    reserved: i64,
    allotted: i64,
    available: i64,
}

/// One thing that happened to a product, or was refused.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Absent on refusals, which are not in the feed.
    #[schema(nullable = false)]
    offset: Option<i64>,
    timestamp: String,
    /// An event's type, or `refused`.
    event_type: String,
    cause: Cause,
    #[schema(nullable = false)]
    before: Option<Quantities>,
    #[schema(nullable = false)]
    after: Option<Quantities>,
    #[schema(nullable = false)]
    version: Option<i64>,
    /// Why it was refused.
    #[schema(nullable = false)]
    code: Option<String>,
    #[schema(nullable = false)]
    message: Option<String>,
    /// Units that were asked for and refused.
    #[schema(nullable = false)]
    requested: Option<i64>,
}

/// A page of a product's history, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    product_id: String,
    entries: Vec<HistoryEntry>,
    /// What to send as `before` for the next page; absent on the last.
    #[schema(nullable = false)]
    next_before: Option<i64>,
    /// Where the log begins, if retention has dropped what was before.
    #[schema(nullable = false)]
    begins_at_offset: Option<i64>,
}

/// A product as it stood at some moment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AsItStood {
    product_id: String,
    /// Whether it was in the catalogue then.
    live: bool,
    offset: i64,
    product: ProductBody,
}

/// A page of history, or, asked with `at`, the product as it stood.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum HistoryAnswer {
    /// A page.
    Page(History),
    /// The product at a moment.
    At(AsItStood),
}

/// What a history is asked for.
#[derive(Debug, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct HistoryParams {
    /// Default 50; more than 200 means 200.
    #[param(nullable = false, minimum = 1)]
    limit: Option<i64>,
    /// The `nextBefore` of the page before.
    #[param(nullable = false, minimum = 1)]
    before: Option<i64>,
    /// A cause's kind, or `refused`.
    #[param(nullable = false)]
    kind: Option<String>,
    #[param(nullable = false)]
    store_id: Option<String>,
    /// The first moment wanted.
    #[param(nullable = false)]
    from: Option<String>,
    /// The last moment wanted.
    #[param(nullable = false)]
    to: Option<String>,
    /// An offset or a time: answers with the product as it stood then; without other parameters.
    #[param(nullable = false)]
    at: Option<String>,
}
