//! Why an item was refused, with the numbers.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::domain::ids::{ApiKeyId, OrderId, PaymentId, Principal, ProductId, ReservationId};
use crate::domain::inventory::ReservationState;
use crate::domain::money::Money;
use crate::domain::order::OrderStatus;

/// Why an item was refused. The figures are those at the moment of the decision, so that a caller
/// can try again without another read, and a late repeat is told the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(
    tag = "code",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum Rejection {
    /// The product is not there.
    #[error("product not found: {product_id}")]
    ProductNotFound {
        /// Which product.
        product_id: ProductId,
    },
    /// The product is there already.
    #[error("product already exists: {product_id}")]
    ProductExists {
        /// Which product.
        product_id: ProductId,
        /// Its version.
        version: u64,
        /// Its units.
        available: i64,
    },
    /// The caller saw another version.
    #[error("version conflict: expected {version}, got {given}")]
    VersionConflict {
        /// Which product.
        product_id: ProductId,
        /// The version the caller gave.
        given: u64,
        /// The version there is.
        version: u64,
        /// Units there are.
        available: i64,
        /// When that version came to be.
        last_updated: Timestamp,
    },
    /// Fewer units are available than the promise takes.
    #[error("insufficient inventory: current {available}, delta {delta}")]
    InsufficientInventory {
        /// Which product.
        product_id: ProductId,
        /// The change asked for.
        delta: i64,
        /// Units there are.
        available: i64,
        /// The version there is.
        version: u64,
        /// When that version came to be.
        last_updated: Timestamp,
    },
    /// The stock figure would leave the range of [`crate::limits::STOCK_UNITS`].
    #[error("stock out of range: on hand {on_hand}, delta {delta}")]
    StockOutOfRange {
        /// Which product.
        product_id: ProductId,
        /// The change asked for.
        delta: i64,
        /// Units in the house.
        on_hand: i64,
        /// Units there are.
        available: i64,
        /// The version there is.
        version: u64,
        /// When that version came to be.
        last_updated: Timestamp,
    },
    /// The log no longer says what was there when the shelf was counted.
    #[error("what was there when {product_id} was counted is not known any more")]
    BasisUnknown {
        /// Which product.
        product_id: ProductId,
    },
    /// The product cannot be deleted while units of it are promised.
    #[error("units are promised: {reserved} reserved, {allotted} allotted")]
    UnitsPromised {
        /// Which product.
        product_id: ProductId,
        /// Units promised to orders.
        reserved: i64,
        /// Units promised to shops.
        allotted: i64,
        /// The version there is.
        version: u64,
    },
    /// A product cannot be created without a name.
    #[error("a new product needs a name")]
    NameRequired {
        /// Which product.
        product_id: ProductId,
    },
    /// There is no such reservation, or it was resolved so long ago that it is forgotten.
    #[error("reservation not found: {reservation_id}")]
    ReservationNotFound {
        /// Which reservation.
        reservation_id: ReservationId,
    },
    /// The caller's id for a new reservation is taken.
    #[error("reservation already exists: {reservation_id}")]
    ReservationExists {
        /// Which reservation.
        reservation_id: ReservationId,
    },
    /// The reservation was resolved otherwise before.
    #[error("reservation {reservation_id} is {} already", state.as_str())]
    ReservationResolved {
        /// Which reservation.
        reservation_id: ReservationId,
        /// How it was resolved.
        state: ReservationState,
    },
    /// The reservation's time has run out and its units are free again.
    #[error("reservation {reservation_id} ran out at {expired_at}")]
    ReservationExpired {
        /// Which reservation.
        reservation_id: ReservationId,
        /// When it ran out.
        expired_at: Timestamp,
    },
    /// The reservation belongs to an order, which alone resolves it.
    #[error("reservation {reservation_id} belongs to order {order_id}")]
    ReservationOfOrder {
        /// Which reservation.
        reservation_id: ReservationId,
        /// The order.
        order_id: OrderId,
    },
    /// The reservation was made for another shop.
    #[error("reservation {reservation_id} belongs to another store")]
    ReservationOfStore {
        /// Which reservation.
        reservation_id: ReservationId,
    },
    /// A hold would last longer than any may.
    #[error("reservation {reservation_id} may last until {latest} at most")]
    ReservationTooLong {
        /// Which reservation.
        reservation_id: ReservationId,
        /// The latest it may run out.
        latest: Timestamp,
    },
    /// As many units are held for as many callers as central keeps track of.
    #[error("too many reservations are active")]
    TooManyReservations {},
    /// The id for a new order is taken.
    #[error("order already exists: {order_id}")]
    OrderExists {
        /// Which order.
        order_id: OrderId,
    },
    /// There is no such order.
    #[error("order not found: {order_id}")]
    OrderNotFound {
        /// Which order.
        order_id: OrderId,
    },
    /// The order cannot go from its status to the one asked for.
    #[error("order {order_id} is {}: it cannot become {}", status.as_str(), wanted.as_str())]
    IllegalTransition {
        /// Which order.
        order_id: OrderId,
        /// Where it stands.
        status: OrderStatus,
        /// Where it was asked to go.
        wanted: OrderStatus,
    },
    /// The order can no longer be edited.
    #[error("order {order_id} is {}: its address cannot change any more", status.as_str())]
    OrderSettled {
        /// Which order.
        order_id: OrderId,
        /// Where it stands.
        status: OrderStatus,
    },
    /// The caller saw another version of the order.
    #[error("version conflict: order {order_id} is at version {version}, got {given}")]
    OrderVersionConflict {
        /// Which order.
        order_id: OrderId,
        /// The version the caller gave.
        given: u64,
        /// The version there is.
        version: u64,
        /// Where it stands.
        status: OrderStatus,
    },
    /// The catalogue's prices add up to another total than the buyer was shown.
    #[error("the total is {total}, not {expected}")]
    PriceChanged {
        /// What the buyer expected.
        expected: Money,
        /// What it is.
        total: Money,
        /// Each product's price.
        prices: Vec<Price>,
    },
    /// The items cost more than an amount can say.
    #[error("the total is too large")]
    TotalTooLarge {},
    /// The order's money is not where a refund could take it from.
    #[error("payment {payment_id} cannot be refunded: {reason}")]
    NotRefundable {
        /// Which payment.
        payment_id: PaymentId,
        /// Its order; absent in older records.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order_id: Option<OrderId>,
        /// Why not.
        reason: Box<str>,
    },
    /// The payment provider has not been answering, so nothing was begun.
    #[error("the payment provider cannot be reached at the moment")]
    PaymentUnavailable {},
    /// The saga no longer waits for what is being recorded.
    #[error("order {order_id} does not wait for this")]
    NotAwaited {
        /// Which order.
        order_id: OrderId,
    },
    /// Another API key that counts has the name.
    #[error("there is an API key {name} already: {key_id}")]
    ApiKeyExists {
        /// Which key has it.
        key_id: ApiKeyId,
        /// The name.
        name: Principal,
    },
    /// There is no such API key, or it ended so long ago that it is forgotten.
    #[error("API key not found: {key_id}")]
    ApiKeyNotFound {
        /// Which key; what was asked for, which need not be an id.
        key_id: Box<str>,
    },
    /// The API key counts no more.
    #[error("API key {key_id} ended at {ended_at}")]
    ApiKeyEnded {
        /// Which key.
        key_id: ApiKeyId,
        /// When it was revoked or its time was over.
        ended_at: Timestamp,
    },
    /// The API key would never count.
    #[error("expiresAt is {expires_at}, and it is {now} already")]
    ApiKeyExpiryPast {
        /// What was asked for.
        expires_at: Timestamp,
        /// What time it is.
        now: Timestamp,
    },
    /// As many API keys count as central keeps track of.
    #[error("there are too many API keys; revoke one that is not needed")]
    TooManyApiKeys {},
    /// Another item of the same all-or-nothing command was refused.
    #[error("not applied because another line was refused")]
    NotAlone {
        /// Which product.
        product_id: ProductId,
    },
}

/// What one unit of a product costs now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// Which product.
    pub product_id: ProductId,
    /// Its price.
    pub price: Money,
}

impl Rejection {
    /// The product it is about, if it is about one.
    #[must_use]
    pub const fn product_id(&self) -> Option<&ProductId> {
        match self {
            Self::ProductNotFound { product_id }
            | Self::ProductExists { product_id, .. }
            | Self::VersionConflict { product_id, .. }
            | Self::InsufficientInventory { product_id, .. }
            | Self::StockOutOfRange { product_id, .. }
            | Self::BasisUnknown { product_id }
            | Self::UnitsPromised { product_id, .. }
            | Self::NameRequired { product_id }
            | Self::NotAlone { product_id } => Some(product_id),
            Self::ReservationNotFound { .. }
            | Self::ReservationExists { .. }
            | Self::ReservationResolved { .. }
            | Self::ReservationExpired { .. }
            | Self::ReservationOfOrder { .. }
            | Self::ReservationOfStore { .. }
            | Self::ReservationTooLong { .. }
            | Self::TooManyReservations {}
            | Self::OrderExists { .. }
            | Self::OrderNotFound { .. }
            | Self::IllegalTransition { .. }
            | Self::OrderSettled { .. }
            | Self::OrderVersionConflict { .. }
            | Self::PriceChanged { .. }
            | Self::TotalTooLarge {}
            | Self::NotRefundable { .. }
            | Self::PaymentUnavailable {}
            | Self::ApiKeyExists { .. }
            | Self::ApiKeyNotFound { .. }
            | Self::ApiKeyEnded { .. }
            | Self::ApiKeyExpiryPast { .. }
            | Self::TooManyApiKeys {}
            | Self::NotAwaited { .. } => None,
        }
    }

    /// The order that was not moved, if it is about one that is there.
    #[must_use]
    pub const fn order_id(&self) -> Option<&OrderId> {
        match self {
            Self::IllegalTransition { order_id, .. }
            | Self::OrderSettled { order_id, .. }
            | Self::OrderVersionConflict { order_id, .. } => Some(order_id),
            Self::NotRefundable { order_id, .. } => order_id.as_ref(),
            // There is no such order; or the saga heard twice what it needed once.
            Self::OrderNotFound { .. }
            | Self::OrderExists { .. }
            | Self::NotAwaited { .. }
            // That is an attempt at the hold.
            | Self::ReservationOfOrder { .. }
            | Self::ProductNotFound { .. }
            | Self::ProductExists { .. }
            | Self::VersionConflict { .. }
            | Self::InsufficientInventory { .. }
            | Self::StockOutOfRange { .. }
            | Self::BasisUnknown { .. }
            | Self::UnitsPromised { .. }
            | Self::NameRequired { .. }
            | Self::NotAlone { .. }
            | Self::ReservationNotFound { .. }
            | Self::ReservationExists { .. }
            | Self::ReservationResolved { .. }
            | Self::ReservationExpired { .. }
            | Self::ReservationOfStore { .. }
            | Self::ReservationTooLong { .. }
            | Self::TooManyReservations {}
            | Self::PriceChanged { .. }
            | Self::TotalTooLarge {}
            | Self::ApiKeyExists { .. }
            | Self::ApiKeyNotFound { .. }
            | Self::ApiKeyEnded { .. }
            | Self::ApiKeyExpiryPast { .. }
            | Self::TooManyApiKeys {}
            | Self::PaymentUnavailable {} => None,
        }
    }

    /// Whether a repeat with the same key must get this refusal again.
    ///
    /// A version conflict is not remembered: the caller rebases and tries again with the same key.
    /// Nor is what the service could not do for its own reasons, or what the caller may not do.
    #[must_use]
    pub const fn is_remembered(&self) -> bool {
        match self {
            Self::VersionConflict { .. }
            | Self::OrderVersionConflict { .. }
            | Self::BasisUnknown { .. }
            | Self::ReservationOfStore { .. }
            | Self::TooManyReservations {}
            | Self::PaymentUnavailable {}
            | Self::ApiKeyExists { .. }
            | Self::ApiKeyNotFound { .. }
            | Self::ApiKeyEnded { .. }
            | Self::ApiKeyExpiryPast { .. }
            | Self::TooManyApiKeys {}
            | Self::NotAwaited { .. } => false,
            Self::ProductNotFound { .. }
            | Self::ProductExists { .. }
            | Self::InsufficientInventory { .. }
            | Self::StockOutOfRange { .. }
            | Self::UnitsPromised { .. }
            | Self::NameRequired { .. }
            | Self::ReservationNotFound { .. }
            | Self::ReservationExists { .. }
            | Self::ReservationResolved { .. }
            | Self::ReservationExpired { .. }
            | Self::ReservationOfOrder { .. }
            | Self::ReservationTooLong { .. }
            | Self::OrderExists { .. }
            | Self::OrderNotFound { .. }
            | Self::IllegalTransition { .. }
            | Self::OrderSettled { .. }
            | Self::PriceChanged { .. }
            | Self::TotalTooLarge {}
            | Self::NotRefundable { .. }
            | Self::NotAlone { .. } => true,
        }
    }
}
