//! Bodies of the calls about orders, described; see [`bodies`](super::bodies).

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// One line of what is asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineBody {
    /// 1–128 visible ASCII characters without `/`.
    #[schema(min_length = 1, max_length = 128)]
    product_id: String,
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    quantity: i64,
}

/// Where an order goes: a text, or an object with whatever members the shop uses.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum AddressBody {
    /// As one text.
    Text(String),
    /// In parts.
    Parts(BTreeMap<String, String>),
}

/// An order to be placed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderRequest {
    /// The shop's own name for the buyer.
    #[schema(min_length = 1, max_length = 128)]
    customer_id: String,
    /// Lines of one product are added up. Prices come from the catalogue.
    #[schema(min_items = 1, max_items = 200)]
    items: Vec<LineBody>,
    /// A text or an object, kept as it is; at most 2048 bytes of JSON.
    #[schema(nullable = false)]
    shipping_address: Option<AddressBody>,
    /// How it is paid, in the payment provider's words.
    #[schema(min_length = 1, max_length = 128)]
    payment_method: Option<String>,
    /// The shop that takes it; that of the key, if the key is bound to one.
    #[schema(min_length = 1, max_length = 128)]
    store_id: Option<String>,
    /// Whether it is confirmed as soon as it is paid; true if left out.
    confirm: Option<bool>,
    /// What the buyer was shown; another total is refused with the new prices.
    #[schema(minimum = 0)]
    expected_total: Option<f64>,
    /// Or the header `Idempotency-Key`.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// What takes an order on; everything in it may be left out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepRequest {
    /// The version that you saw; or the header `If-Match`.
    #[schema(nullable = false, minimum = 0)]
    version: Option<i64>,
    /// Or the header `Idempotency-Key`.
    #[schema(nullable = false, min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// Where an order is to be taken.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusChange {
    /// `confirmed`, `completed` or `cancelled`; the others come about by themselves.
    status: String,
    #[schema(nullable = false, minimum = 0)]
    version: Option<i64>,
    /// Needed to confirm and to cancel, here or as the header `Idempotency-Key`.
    #[schema(nullable = false, min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// Where an order is to go instead.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressChange {
    /// A text or an object, kept as it is; at most 2048 bytes of JSON.
    shipping_address: AddressBody,
    #[schema(nullable = false, minimum = 0)]
    version: Option<i64>,
    #[schema(nullable = false, min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// How much of a payment is to go back.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefundBody {
    /// All that is left, if it is left out.
    #[schema(nullable = false)]
    amount: Option<f64>,
    /// Or the header `Idempotency-Key`.
    #[schema(nullable = false, min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// What was given back by other means, after the payment provider had refused to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettleBody {
    /// How it was given back, for people: it stands in the order's history.
    #[schema(min_length = 1, max_length = 512)]
    note: String,
    /// All that is left, if it is left out; needed where the order came about, of which a part only may be
    /// owed.
    #[schema(nullable = false)]
    amount: Option<f64>,
    /// Or the header `Idempotency-Key`.
    #[schema(nullable = false, min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// One product of an order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemBody {
    product_id: String,
    #[schema(minimum = 1)]
    quantity: i64,
    /// Of one unit, when the order was placed.
    price: f64,
    subtotal: f64,
}

/// Money on its way back.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefundUnderWay {
    /// The first of a payment is 1.
    #[schema(minimum = 1)]
    number: i64,
    amount: f64,
    /// Under which of its keys the provider is asked, once that is not the first any more.
    #[schema(nullable = false, minimum = 2)]
    key_number: Option<i64>,
    /// Since when the provider answers the key in use with an old failure only. After an hour of that
    /// the refund is asked for under another key.
    #[schema(nullable = false, format = DateTime)]
    spent_since: Option<String>,
    /// Times it was written down that the provider gave no clear answer, or had not finished it: at ever
    /// longer intervals.
    #[schema(nullable = false, minimum = 1)]
    attempts: Option<i64>,
}

/// The money side of an order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentBody {
    payment_id: String,
    /// `requested`, `unknown`, `approved`, `declined`, `voided`, `partly_refunded`, `refunded`,
    /// `refund_failed` or `settled`.
    status: String,
    amount: f64,
    /// The provider's name for the charge.
    #[schema(nullable = false)]
    reference: Option<String>,
    #[schema(nullable = false)]
    authorization_code: Option<String>,
    /// Times that the provider was asked and what came of it was written down.
    #[schema(minimum = 0)]
    attempts: i64,
    refunded_amount: f64,
    /// What the provider refused to give back and was given back by other means.
    #[schema(nullable = false)]
    settled_amount: Option<f64>,
    #[schema(nullable = false)]
    refund: Option<RefundUnderWay>,
    #[schema(minimum = 0)]
    refunds: i64,
}

/// Why an order came to nothing.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailureBody {
    code: String,
    message: String,
}

/// An order, as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderBody {
    order_id: String,
    customer_id: String,
    #[schema(nullable = false)]
    store_id: Option<String>,
    items: Vec<ItemBody>,
    total_amount: f64,
    /// Three letters.
    currency: String,
    #[schema(nullable = false)]
    shipping_address: Option<AddressBody>,
    #[schema(nullable = false)]
    payment_method: Option<String>,
    confirm: bool,
    /// `reserved`, `paid`, `confirmed`, `completed`, `failed`, `cancelled`, or `undecided` while
    /// nobody knows whether it is paid.
    status: String,
    #[schema(nullable = false)]
    reservation_id: Option<String>,
    #[schema(nullable = false)]
    payment: Option<PaymentBody>,
    #[schema(nullable = false)]
    failure: Option<FailureBody>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// When it was first known what becomes of it.
    #[schema(nullable = false, format = DateTime)]
    decided_at: Option<String>,
    #[schema(nullable = false, minimum = 1)]
    decided_version: Option<i64>,
    /// One more with each event.
    #[schema(minimum = 1)]
    version: i64,
}
