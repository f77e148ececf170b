//! What questions about orders are answered with, described; see [`bodies`](super::bodies).

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::bodies::PaginationBody;
use super::feed::EventBatch;
use super::orders::{OrderBody, PaymentBody};

/// Which orders, and which page of them.
#[derive(Debug, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct OrderListParams {
    #[param(nullable = false, min_length = 1, max_length = 128)]
    customer_id: Option<String>,
    /// A key that is bound to a store lists that store's orders, whether it says so or not.
    #[param(nullable = false, min_length = 1, max_length = 128)]
    store_id: Option<String>,
    /// `reserved`, `undecided`, `paid`, `confirmed`, `completed`, `failed` or `cancelled`.
    #[param(nullable = false)]
    status: Option<String>,
    /// `failed`: the orders whose refund the payment provider has refused, about which somebody has to
    /// do something. `open`: those whose refund is on its way.
    #[param(nullable = false)]
    refund: Option<String>,
    /// `open`: the orders that came to nothing and of which nobody knows yet whether they were charged.
    /// Not together with `refund`.
    #[param(nullable = false)]
    void: Option<String>,
    /// Orders to pass over; not together with `cursor`.
    #[param(nullable = false, minimum = 0)]
    offset: Option<i64>,
    /// The `nextCursor` of the page before, which brings its filters; empty for a walk's beginning.
    #[param(nullable = false, max_length = 3072)]
    cursor: Option<String>,
    /// Default 50; more than 200 means 200, with `cursor` 1000.
    #[param(nullable = false, minimum = 1)]
    limit: Option<i64>,
}

/// A page of orders, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderList {
    orders: Vec<OrderBody>,
    pagination: PaginationBody,
    /// Absent on the last page.
    #[schema(nullable = false)]
    next_cursor: Option<String>,
    #[schema(pattern = "^[0-9a-f]{16}$")]
    r#gen: String,
    /// Following the order feed from there, with `gen`, misses nothing.
    #[schema(minimum = 0)]
    as_of_offset: i64,
}

/// Why something happened to an order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderCause {
    /// Under whose name; `saga` is central itself.
    actor: String,
    /// Which time the payment provider was asked.
    #[schema(nullable = false, minimum = 0)]
    attempt: Option<i64>,
    /// More about it, for people: what the payment provider said, how a refund was settled, or which
    /// units have come back to no stock.
    #[schema(nullable = false)]
    detail: Option<String>,
    #[schema(nullable = false)]
    store_id: Option<String>,
    #[schema(nullable = false)]
    idempotency_key: Option<String>,
    #[schema(nullable = false)]
    correlation_id: Option<String>,
}

/// One thing that happened to an order, with the order as it stood afterwards.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderEvent {
    /// In the order feed.
    #[schema(minimum = 0)]
    offset: i64,
    #[schema(format = DateTime)]
    timestamp: String,
    /// `order_reserved`, `order_refused`, `order_paid`, `payment_declined`, `payment_unknown`,
    /// `order_confirmed`, `order_completed`, `order_cancelled`, `order_expired`, `address_changed`,
    /// `payment_charged_late`, `payment_voided`, `refund_requested`, `refunded`, `refund_unknown`,
    /// `refund_failed` or `refund_settled`; others may come.
    event_type: String,
    order_id: String,
    data: OrderBody,
    #[schema(minimum = 1)]
    version: i64,
    cause: OrderCause,
    #[schema(nullable = false)]
    batch: Option<EventBatch>,
}

/// A stretch of the order feed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderFeedAnswer {
    events: Vec<OrderEvent>,
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
}

/// Which part of an order's history.
#[derive(Debug, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct OrderHistoryParams {
    /// The version after which to begin: `nextAfter` of the page before. Default 0.
    #[param(nullable = false, minimum = 0)]
    after: Option<i64>,
    /// Default 50; more than 200 means 200.
    #[param(nullable = false, minimum = 1)]
    limit: Option<i64>,
}

/// An attempt to move an order that was refused. It changed nothing and is not in the feed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedAttempt {
    #[schema(format = DateTime)]
    timestamp: String,
    /// `refused`.
    event_type: String,
    order_id: String,
    /// The order's version at that time; absent if it is too far back.
    #[schema(nullable = false, minimum = 1)]
    version: Option<i64>,
    cause: RefusedCause,
    /// The code of the problem that whoever asked was answered.
    code: String,
    /// Its sentence.
    message: String,
}

/// Who asked for what.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedCause {
    /// `confirm`, `cancel`, `complete`, `readdress`, `refund` or `settle`; others may come.
    kind: String,
    actor: String,
    #[schema(nullable = false)]
    store_id: Option<String>,
    /// Absent where it was left free, as after a wrong version.
    #[schema(nullable = false)]
    idempotency_key: Option<String>,
    request_id: String,
    #[schema(nullable = false)]
    correlation_id: Option<String>,
}

/// One thing that happened to an order, or was refused.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum OrderHistoryEntry {
    /// It changed.
    Happened(Box<OrderEvent>),
    /// It did not.
    Refused(Box<RefusedAttempt>),
}

/// What happened to an order, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderHistory {
    order_id: String,
    events: Vec<OrderHistoryEntry>,
    /// What to send as `after` for the next page; absent on the last.
    #[schema(nullable = false)]
    next_after: Option<i64>,
    /// Whether nothing more can become of the order and nothing is left to do about it.
    is_over: bool,
    /// Present if something before the first of these events could not be reached: dropped by
    /// retention, or too far back.
    #[schema(nullable = false)]
    is_cut: Option<bool>,
}

/// Which orders are summed up.
#[derive(Debug, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct OrderStatsParams {
    /// Orders placed then or later.
    #[param(nullable = false)]
    from: Option<String>,
    /// Orders placed before then.
    #[param(nullable = false)]
    to: Option<String>,
    /// Default: every store's; a key that is bound to a store has its own only.
    #[param(nullable = false, min_length = 1, max_length = 128)]
    store_id: Option<String>,
}

/// How long orders took, in milliseconds, from being placed until it was known what becomes of them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderProcessing {
    /// Orders of which that is known.
    pub count: usize,
    pub mean_ms: f64,
    /// 99 of 100 took at most that long.
    pub p99_ms: i64,
}

/// How many orders stand like what.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderCounts {
    pub pending: usize,
    pub reserved: usize,
    pub undecided: usize,
    pub paid: usize,
    pub confirmed: usize,
    pub completed: usize,
    pub failed: usize,
    pub cancelled: usize,
}

/// What orders sum up to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderStatsAnswer {
    pub total: usize,
    pub by_status: OrderCounts,
    /// Of those, the orders whose refund the payment provider has refused; `refund=failed` lists them.
    pub refunds_failed: usize,
    /// Of those, the orders whose refund is on its way; `refund=open` lists them.
    pub refunds_open: usize,
    /// Of those, the orders that came to nothing and may have been charged; `void=open` lists them.
    pub voids_open: usize,
    /// Absent while it is known of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub processing: Option<OrderProcessing>,
    /// Whether every order of the time asked for is in these figures. If not, the newest 200000 are,
    /// and `countedFrom` is when the oldest of them was placed.
    pub is_complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub counted_from: Option<String>,
    #[serde(rename = "gen")]
    #[schema(pattern = "^[0-9a-f]{16}$")]
    pub log_gen: String,
    /// In the order feed.
    #[schema(minimum = 0)]
    pub as_of_offset: u64,
}

/// A payment and what it is for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentAnswer {
    #[serde(flatten)]
    payment: PaymentBody,
    order_id: String,
    #[schema(nullable = false)]
    store_id: Option<String>,
    /// Three letters.
    currency: String,
    /// When the order last changed.
    #[schema(format = DateTime)]
    updated_at: String,
}
