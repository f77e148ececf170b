//! What can be asked of the inventory.
//!
//! Every field was parsed and range-checked at the edge; a command that exists is well formed. What
//! remains is what only the state can answer.

use std::sync::Arc;

use super::event::Reason;
use super::product::Details;
use super::reservation::Line;
use crate::domain::ids::{Owner, ProductId, ReservationId, StoreId};
use crate::domain::money::Money;

/// What happens to the other items when one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Atomicity {
    /// Each item stands for itself.
    PerItem,
    /// All or none.
    All,
}

/// One movement of stock. Without `expected_version` it is a guarded delta: taken if `available`
/// stays at or above 0. With it, it is a compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    /// Which product.
    pub product: ProductId,
    /// Change of `onHand`; not 0, direction fits `reason`.
    pub delta: i64,
    /// Why.
    pub reason: Reason,
    /// The version the caller saw.
    pub expected_version: Option<u64>,
    /// The business document behind it.
    pub reference: Option<Arc<str>>,
    /// Free text.
    pub note: Option<Arc<str>>,
}

/// A product to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProduct {
    /// Its id.
    pub product: ProductId,
    /// What it is.
    pub details: Details,
    /// Units in the house at the start.
    pub on_hand: i64,
}

/// Changes to a product; `None` leaves a field as it is, `Some(None)` clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New name.
    pub name: Option<Box<str>>,
    /// New description.
    pub description: Option<Option<Box<str>>>,
    /// New category.
    pub category: Option<Option<Arc<str>>>,
    /// New SKU.
    pub sku: Option<Option<Box<str>>>,
    /// New barcode.
    pub barcode: Option<Option<Box<str>>>,
    /// New price.
    pub price: Option<Money>,
    /// New threshold.
    pub low_stock_threshold: Option<Option<i64>>,
    /// Units that shall be available afterwards (an absolute set).
    pub available: Option<i64>,
}

impl Changes {
    /// The details that `present` becomes.
    #[must_use]
    pub fn onto(&self, present: &Details) -> Details {
        fn pick<T: Clone>(change: Option<&T>, present: &T) -> T {
            change.unwrap_or(present).clone()
        }
        let threshold = self.low_stock_threshold.as_ref();
        Details {
            name: pick(self.name.as_ref(), &present.name),
            description: pick(self.description.as_ref(), &present.description),
            category: pick(self.category.as_ref(), &present.category),
            sku: pick(self.sku.as_ref(), &present.sku),
            barcode: pick(self.barcode.as_ref(), &present.barcode),
            price: pick(self.price.as_ref(), &present.price),
            low_stock_threshold: pick(threshold, &present.low_stock_threshold),
        }
    }
}

/// An edit of one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Which product.
    pub product: ProductId,
    /// What changes.
    pub changes: Changes,
    /// The version the caller saw; `None` overwrites.
    pub expected_version: Option<u64>,
}

/// A deletion of one product.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Deletion {
    /// Which product.
    pub product: ProductId,
    /// The version the caller saw; `None` deletes whatever is there.
    pub expected_version: Option<u64>,
    /// Delete even while units are promised.
    pub force: bool,
}

/// One line of a physical count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CountLine {
    /// Which product.
    pub product: ProductId,
    /// Units on the shelf.
    pub counted: i64,
    /// The moment at which the shelf was counted.
    pub basis: Basis,
}

/// The moment at which a shelf was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Basis {
    /// That of the decision.
    Now,
    /// An offset of the log.
    Offset {
        /// Which offset.
        offset: u64,
        /// `onHand` then, looked up in the log by the caller; `None` if the log no longer says. That
        /// is for the decision to refuse, because a repeat gets its answer all the same.
        on_hand: Option<i64>,
    },
}

/// A row of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRow {
    /// Which product.
    pub product: ProductId,
    /// Catalogue fields. A row that creates a product takes absent fields as empty and must have a
    /// name.
    pub changes: Changes,
    /// Units in the house.
    pub on_hand: Option<i64>,
}

/// What an import does with the stock of products that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImportStock {
    /// It leaves it alone; `onHand` counts only for products that are created.
    Keep,
    /// It sets `onHand`.
    Set,
}

/// A command: what one decision is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Movements of stock; lines of one product see each other.
    Move {
        /// The lines, in order.
        lines: Vec<Move>,
        /// Whether a refused line takes the others with it.
        atomicity: Atomicity,
    },
    /// New products.
    Create {
        /// The products, in order.
        items: Vec<NewProduct>,
        /// Whether a refused item takes the others with it.
        atomicity: Atomicity,
    },
    /// Edits and absolute sets.
    Edit {
        /// The edits, in order.
        items: Vec<Edit>,
        /// Whether a refused item takes the others with it.
        atomicity: Atomicity,
    },
    /// Deletions.
    Delete {
        /// The deletions, in order.
        items: Vec<Deletion>,
        /// Whether a refused item takes the others with it.
        atomicity: Atomicity,
    },
    /// A physical count; a fact, so only an unknown product refuses it.
    Count {
        /// The lines, in order.
        lines: Vec<CountLine>,
        /// Who counted.
        counted_by: Arc<str>,
        /// The business document behind it.
        reference: Option<Arc<str>>,
    },
    /// A chunk of an import.
    Import {
        /// The rows, in order.
        rows: Vec<ImportRow>,
        /// Whether rows may change products that exist.
        update: bool,
        /// What becomes of their stock.
        stock: ImportStock,
        /// Whether a refused row takes the others with it.
        atomicity: Atomicity,
    },
    /// Units to be held for somebody.
    Reserve(Reserve),
    /// The held units leave the house.
    Commit {
        /// Which reservation.
        reservation: ReservationId,
        /// If it has run out: take the units all the same, if they are still free.
        reacquire: bool,
        /// The shop that asks; `None` may resolve any.
        store: Option<StoreId>,
    },
    /// The held units are free again.
    Release {
        /// Which reservation.
        reservation: ReservationId,
        /// The shop that asks, likewise.
        store: Option<StoreId>,
    },
    /// The units are held longer.
    Extend {
        /// Which reservation.
        reservation: ReservationId,
        /// The shop that asks, likewise.
        store: Option<StoreId>,
        /// Milliseconds from the decision on.
        ttl_millis: i64,
    },
    /// Holds whose time has run out are ended, the longest ago first.
    Expire,
}

/// Units to be held: all lines or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// The id of the new reservation.
    pub reservation: ReservationId,
    /// Whether the caller made the id, and not central for this one request.
    pub named: bool,
    /// For whom.
    pub owner: Owner,
    /// The owner's own name for it; an active hold under the same name is replaced.
    pub reference: Option<Arc<str>>,
    /// The shop that asks.
    pub store: Option<StoreId>,
    /// What to hold; at least one line, products may repeat.
    pub lines: Vec<Line>,
    /// Milliseconds that the units are held.
    pub ttl_millis: i64,
}

impl Command {
    /// Items this command is about.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Move { lines, .. } => lines.len(),
            Self::Create { items, .. } => items.len(),
            Self::Edit { items, .. } => items.len(),
            Self::Delete { items, .. } => items.len(),
            Self::Count { lines, .. } => lines.len(),
            Self::Import { rows, .. } => rows.len(),
            Self::Reserve(reserve) => reserve.lines.len(),
            Self::Commit { .. } | Self::Release { .. } | Self::Extend { .. } | Self::Expire => 1,
        }
    }

    /// Whether it is about nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The word for this kind of command in records.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Move { .. } => "move",
            Self::Create { .. } => "create",
            Self::Edit { .. } => "edit",
            Self::Delete { .. } => "delete",
            Self::Count { .. } => "count",
            Self::Import { .. } => "import",
            Self::Reserve(_) => "reserve",
            Self::Commit { .. } => "commit",
            Self::Release { .. } => "release",
            Self::Extend { .. } => "extend",
            Self::Expire => "expire",
        }
    }

    /// Whether one refused item refuses the command.
    #[must_use]
    pub const fn atomicity(&self) -> Atomicity {
        match self {
            Self::Move { atomicity, .. }
            | Self::Create { atomicity, .. }
            | Self::Edit { atomicity, .. }
            | Self::Delete { atomicity, .. }
            | Self::Import { atomicity, .. } => *atomicity,
            Self::Count { .. } | Self::Reserve(_) => Atomicity::All,
            // Those have one item, or are facts.
            Self::Commit { .. } | Self::Release { .. } | Self::Extend { .. } | Self::Expire => {
                Atomicity::PerItem
            }
        }
    }
}
