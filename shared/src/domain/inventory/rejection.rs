//! Why an item was refused, with the numbers.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::domain::ids::ProductId;

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
    /// Another item of the same all-or-nothing command was refused.
    #[error("not applied because another line was refused")]
    NotAlone {
        /// Which product.
        product_id: ProductId,
    },
}

impl Rejection {
    /// The product it is about.
    #[must_use]
    pub const fn product_id(&self) -> &ProductId {
        match self {
            Self::ProductNotFound { product_id }
            | Self::ProductExists { product_id, .. }
            | Self::VersionConflict { product_id, .. }
            | Self::InsufficientInventory { product_id, .. }
            | Self::StockOutOfRange { product_id, .. }
            | Self::UnitsPromised { product_id, .. }
            | Self::NameRequired { product_id }
            | Self::NotAlone { product_id } => product_id,
        }
    }

    /// Whether a repeat with the same key must get this refusal again.
    ///
    /// A version conflict is not remembered: the caller rebases and tries again with the same key.
    #[must_use]
    pub const fn is_remembered(&self) -> bool {
        match self {
            Self::VersionConflict { .. } => false,
            Self::ProductNotFound { .. }
            | Self::ProductExists { .. }
            | Self::InsufficientInventory { .. }
            | Self::StockOutOfRange { .. }
            | Self::UnitsPromised { .. }
            | Self::NameRequired { .. }
            | Self::NotAlone { .. } => true,
        }
    }
}
