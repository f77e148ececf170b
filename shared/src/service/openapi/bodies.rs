//! Bodies that both services send, described.
//!
//! Products, pages and problems are written by hand-made encoders, so these types are never
//! serialised; what they say is checked against real answers by the services' tests.

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// A product.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductBody {
    /// 1–128 visible ASCII characters without `/`; compared byte for byte.
    #[schema(min_length = 1, max_length = 128)]
    product_id: String,
    name: String,
    #[schema(nullable = false)]
    description: Option<String>,
    #[schema(nullable = false)]
    category: Option<String>,
    #[schema(nullable = false)]
    sku: Option<String>,
    #[schema(nullable = false)]
    barcode: Option<String>,
    /// At most two decimals.
    price: f64,
    /// At or below it, the product counts as low.
    #[schema(nullable = false)]
    low_stock_threshold: Option<i64>,
    on_hand: i64,
    reserved: i64,
    allotted: i64,
    /// `onHand - reserved - allotted`.
    available: i64,
    /// One more with each change.
    #[schema(minimum = 1)]
    version: i64,
    #[schema(format = DateTime)]
    last_updated: String,
}

/// Where a page stands in its list, as seed 003 says it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaginationBody {
    #[schema(minimum = 0)]
    offset: i64,
    #[schema(minimum = 1)]
    limit: i64,
    #[schema(minimum = 0)]
    total_count: i64,
    has_more: bool,
}

impl PaginationBody {
    /// Where a page of a list that is made as it is described stands.
    #[must_use]
    pub fn new(offset: usize, limit: usize, total: usize, has_more: bool) -> Self {
        let figure = |figure: usize| i64::try_from(figure).unwrap_or(i64::MAX);
        Self {
            offset: figure(offset),
            limit: figure(limit),
            total_count: figure(total),
            has_more,
        }
    }
}

/// A page of products.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageBody {
    products: Vec<ProductBody>,
    pagination: PaginationBody,
    /// Absent on the last page.
    #[schema(nullable = false)]
    next_cursor: Option<String>,
    /// The life of the log; following the feed from `asOfOffset` with it misses nothing.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    r#gen: String,
    #[schema(minimum = 0)]
    as_of_offset: i64,
}

/// An error, as RFC 9457 with members for seed-003 clients. Some problems have further members, such
/// as the present `version` and `available` of a product.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemBody {
    r#type: String,
    title: String,
    #[schema(minimum = 400, maximum = 599)]
    status: i32,
    detail: String,
    instance: String,
    /// Stable; what a client decides by.
    code: String,
    /// The same as `detail`.
    message: String,
    /// Whether the same request may succeed later.
    retryable: bool,
    request_id: String,
    /// Every fault of the request, not only the first.
    details: Vec<DetailBody>,
}

/// One fault of a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct DetailBody {
    /// Such as `updates[3].delta`, `query.limit` or `header.If-Match`.
    field: String,
    issue: String,
}

/// A category and how many products have it.
#[derive(Debug, Serialize, ToSchema)]
pub struct CategoryBody {
    category: String,
    #[schema(minimum = 1)]
    products: i64,
}

impl CategoryBody {
    /// A category of so many products.
    #[must_use]
    pub fn new(category: &str, products: usize) -> Self {
        Self {
            category: category.to_owned(),
            products: i64::try_from(products).unwrap_or(i64::MAX),
        }
    }
}

/// The categories, in order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CategoriesBody {
    categories: Vec<CategoryBody>,
    r#gen: String,
    /// The events from here on may be missing in the counts.
    #[schema(minimum = 0)]
    as_of_offset: i64,
}

impl CategoriesBody {
    /// These categories, as they were at `offset` of the log `generation`.
    #[must_use]
    pub fn new(categories: Vec<CategoryBody>, generation: String, offset: u64) -> Self {
        Self {
            categories,
            r#gen: generation,
            as_of_offset: i64::try_from(offset).unwrap_or(i64::MAX),
        }
    }
}

/// How a service is.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthBody {
    /// `healthy`, `degraded` or `unhealthy`: the worst of the checks.
    status: String,
    service: String,
    version: String,
    #[schema(format = DateTime)]
    timestamp: String,
    /// What was checked: each has a `status`, perhaps a `detail`, and figures.
    #[schema(value_type = Object)]
    checks: serde_json::Value,
}

/// One event of a stream of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct SseEventBody {
    /// What kind of event it is.
    #[schema(nullable = false)]
    event: Option<String>,
    /// What a client sends as `Last-Event-ID` when it comes back.
    #[schema(nullable = false)]
    id: Option<String>,
    /// A JSON value.
    data: String,
}

/// What a list is asked for, beside a text to search for.
#[derive(Debug, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct ListParams {
    /// Exactly this barcode.
    #[param(nullable = false)]
    barcode: Option<String>,
    /// Exactly this category.
    #[param(nullable = false)]
    category: Option<String>,
    /// Whether anything is available.
    #[param(nullable = false)]
    in_stock: Option<bool>,
    /// Whether `available` is at or below the product's threshold.
    #[param(nullable = false)]
    low_stock: Option<bool>,
    /// `productId` (the default), `name`, `available` or `price`.
    #[param(nullable = false, pattern = "^(|productId|name|available|price)$")]
    sort: Option<String>,
    /// `asc` (the default) or `desc`.
    #[param(nullable = false, pattern = "^(|asc|desc)$")]
    order: Option<String>,
    /// Rows to pass over; not together with `cursor`.
    #[param(nullable = false, minimum = 0)]
    offset: Option<i64>,
    /// The `nextCursor` of the page before; pins the order of the list.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// Rows of the page: default 50, at most 200, or 1000 with `cursor`; more means the most.
    #[param(nullable = false, minimum = 1)]
    limit: Option<i64>,
}
