//! Reservations as they cross the wire, described for `/openapi.json`; see [`schema`](super::schema).

use serde::Serialize;
use shared::service::openapi::bodies::PaginationBody;
use utoipa::{IntoParams, ToSchema};

/// Units to be held: all lines or none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReservationRequest {
    /// The caller's own id; without it one is made.
    #[schema(min_length = 1, max_length = 128)]
    reservation_id: Option<String>,
    /// For whom.
    #[schema(min_length = 1, max_length = 128)]
    owner: String,
    /// The owner's own name for it: a new hold under the same name replaces the old one.
    #[schema(min_length = 1, max_length = 512)]
    reference: Option<String>,
    /// What to hold; lines of one product are added up.
    #[schema(min_items = 1, max_items = 1_000)]
    lines: Vec<ReservationLine>,
    /// How long; default 900.
    #[schema(minimum = 1, maximum = 86_400)]
    ttl_seconds: Option<i64>,
    /// The shop; needed unless the key is bound to one, and then the same.
    #[schema(min_length = 1, max_length = 128)]
    store_id: Option<String>,
    /// Or the header `Idempotency-Key`.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// Units of one product.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReservationLine {
    #[schema(min_length = 1, max_length = 128)]
    product_id: String,
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64)]
    quantity: i64,
}

/// A reservation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationBody {
    reservation_id: String,
    owner: String,
    #[schema(nullable = false)]
    reference: Option<String>,
    #[schema(nullable = false)]
    store_id: Option<String>,
    /// The order it belongs to, which alone resolves it.
    #[schema(nullable = false)]
    order_id: Option<String>,
    /// One a product.
    lines: Vec<ReservationLine>,
    #[schema(pattern = "^(active|committed|released|expired)$")]
    state: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// Null once its order is paid: those units do not run out.
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
    #[schema(nullable = false, format = DateTime)]
    resolved_at: Option<String>,
}

/// A reservation after a decision about it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationAnswer {
    #[serde(flatten)]
    reservation: ReservationBody,
    /// Whoever follows the feed up to here has seen what the decision did.
    #[schema(minimum = 0)]
    as_of_offset: i64,
}

/// A page of reservations, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationPage {
    reservations: Vec<ReservationBody>,
    r#gen: String,
    #[schema(minimum = 0)]
    as_of_offset: i64,
    #[schema(nullable = false)]
    next_cursor: Option<String>,
    /// There if the page was asked for by `offset`.
    #[schema(nullable = false)]
    pagination: Option<PaginationBody>,
}

/// Which reservations are wanted.
#[derive(Debug, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct ReservationListParams {
    /// `active`, `committed`, `released` or `expired`, at the moment of the question.
    #[param(nullable = false)]
    state: Option<String>,
    #[param(nullable = false)]
    owner: Option<String>,
    #[param(nullable = false)]
    product_id: Option<String>,
    #[param(nullable = false)]
    store_id: Option<String>,
    /// Default 50; more than 1000 means 1000, and with `offset` more than 200 means 200.
    #[param(nullable = false, minimum = 1)]
    limit: Option<i64>,
    /// Rows before the page. The answer has `pagination` then, for which every reservation is counted;
    /// not with `cursor`, which is the way through long lists.
    #[param(nullable = false, minimum = 0)]
    offset: Option<i64>,
    /// The `nextCursor` of the page before; it brings the filters of its list.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// That the units leave the house.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommitRequest {
    /// If the reservation has run out: take the units all the same, if they are still free.
    reacquire: Option<bool>,
    #[schema(min_length = 1, max_length = 128)]
    store_id: Option<String>,
    /// Or the header `Idempotency-Key`.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// That the units are free again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseRequest {
    #[schema(min_length = 1, max_length = 128)]
    store_id: Option<String>,
    /// Or the header `Idempotency-Key`.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// How long the units are held from now on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExtendRequest {
    #[schema(minimum = 1, maximum = 86_400)]
    ttl_seconds: i64,
    #[schema(min_length = 1, max_length = 128)]
    store_id: Option<String>,
    /// Or the header `Idempotency-Key`.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// Units of one product to be held.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProductReserveRequest {
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    quantity: i64,
    /// The caller's own id; without it one is made.
    #[schema(min_length = 1, max_length = 128)]
    reservation_id: Option<String>,
    /// For whom; without it, for whoever the key belongs to.
    #[schema(min_length = 1, max_length = 128)]
    owner: Option<String>,
    /// How long; default 900.
    #[schema(minimum = 1, maximum = 86_400)]
    ttl_seconds: Option<i64>,
    #[schema(min_length = 1, max_length = 128)]
    store_id: Option<String>,
    /// Or the header `Idempotency-Key`.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// Which reservation of one product gives its units back.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProductReleaseRequest {
    #[schema(min_length = 1, max_length = 128)]
    reservation_id: String,
    #[schema(min_length = 1, max_length = 128)]
    store_id: Option<String>,
    /// Or the header `Idempotency-Key`.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// A reservation of one product after a decision about it, with the product's figures if the decision
/// moved them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductReservationAnswer {
    product_id: String,
    /// Units that this reservation holds now.
    #[schema(minimum = 0)]
    reserved: i64,
    /// Units that the decision gave back.
    #[schema(nullable = false, minimum = 1)]
    released: Option<i64>,
    /// Units of the product that were available then.
    #[schema(nullable = false)]
    available: Option<i64>,
    /// Units of the product that were reserved by all then.
    #[schema(nullable = false)]
    total_reserved: Option<i64>,
    #[serde(flatten)]
    reservation: ReservationAnswer,
}
