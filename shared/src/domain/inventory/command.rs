//! What can be asked of the inventory.
//!
//! Every field was parsed and range-checked at the edge; a command that exists is well formed. What
//! remains is what only the state can answer.

use std::sync::Arc;

use super::event::Reason;
use super::product::{Details, Fnv1a};
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

/// The fingerprint of a parsed command: equal for equal commands, across restarts and releases.
///
/// FNV-1a-64 over an unambiguous text of every field, the shop it is for included; it guards against
/// one key being used for two commands, not against an attacker.
#[must_use]
pub fn fingerprint(command: &Command, store: Option<&StoreId>) -> u64 {
    let mut print = Print::new();
    print.text(command.kind());
    print.option(store.map(StoreId::as_str));
    print.text(match command.atomicity() {
        Atomicity::PerItem => "per_item",
        Atomicity::All => "all",
    });
    match command {
        Command::Move { lines, .. } => lines.iter().for_each(|line| print.move_stock(line)),
        Command::Create { items, .. } => items.iter().for_each(|item| {
            print.text(item.product.as_str());
            print.integer(item.on_hand);
            print.details(&item.details);
        }),
        Command::Edit { items, .. } => items.iter().for_each(|item| {
            print.text(item.product.as_str());
            print.version(item.expected_version);
            print.changes(&item.changes);
        }),
        Command::Delete { items, .. } => items.iter().for_each(|item| {
            print.text(item.product.as_str());
            print.version(item.expected_version);
            print.text(if item.force { "force" } else { "" });
        }),
        Command::Count {
            lines,
            counted_by,
            reference,
        } => {
            print.text(counted_by);
            print.option(reference.as_deref());
            lines.iter().for_each(|line| print.count(line));
        }
        Command::Import {
            rows,
            update,
            stock,
            ..
        } => print.import(rows, *update, *stock),
        Command::Reserve(reserve) => print.reserve(reserve),
        Command::Commit {
            reservation,
            reacquire,
            store,
        } => {
            print.hold(reservation, store.as_ref());
            print.text(if *reacquire { "reacquire" } else { "" });
        }
        Command::Release { reservation, store } => print.hold(reservation, store.as_ref()),
        Command::Extend {
            reservation,
            store,
            ttl_millis,
        } => {
            print.hold(reservation, store.as_ref());
            print.integer(*ttl_millis);
        }
        Command::Expire => {}
    }
    print.finish()
}

/// Writes fields so that no two sequences of fields give the same bytes.
#[derive(Debug)]
pub struct Print(Fnv1a);

impl Print {
    /// Nothing written yet.
    pub(in crate::domain) const fn new() -> Self {
        Self(Fnv1a::new())
    }

    /// The hash of everything written.
    pub(in crate::domain) const fn finish(&self) -> u64 {
        self.0.finish()
    }

    pub(in crate::domain) fn text(&mut self, text: &str) {
        // 0xff does not occur in UTF-8.
        self.0.write(text.as_bytes());
        self.0.write(&[0xff]);
    }

    pub(in crate::domain) fn option(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.0.write(&[0xfe]),
        }
    }

    pub(in crate::domain) fn integer(&mut self, value: i64) {
        self.0.write(&value.to_le_bytes());
    }

    pub(in crate::domain) fn optional_integer(&mut self, value: Option<i64>) {
        self.0.write(&[u8::from(value.is_some())]);
        self.integer(value.unwrap_or(0));
    }

    pub(in crate::domain) fn version(&mut self, version: Option<u64>) {
        self.0.write(&[u8::from(version.is_some())]);
        self.0.write(&version.unwrap_or(0).to_le_bytes());
    }

    fn move_stock(&mut self, line: &Move) {
        self.text(line.product.as_str());
        self.integer(line.delta);
        self.text(line.reason.as_str());
        self.version(line.expected_version);
        self.option(line.reference.as_deref());
        self.option(line.note.as_deref());
    }

    fn count(&mut self, line: &CountLine) {
        self.text(line.product.as_str());
        self.integer(line.counted);
        // What was there at an offset follows from the offset; only that was asked.
        self.version(match line.basis {
            Basis::Now => None,
            Basis::Offset { offset, .. } => Some(offset),
        });
    }

    fn hold(&mut self, reservation: &ReservationId, store: Option<&StoreId>) {
        self.text(reservation.as_str());
        self.option(store.map(StoreId::as_str));
    }

    fn import(&mut self, rows: &[ImportRow], update: bool, stock: ImportStock) {
        self.text(if update { "upsert" } else { "create" });
        self.text(match stock {
            ImportStock::Keep => "keep",
            ImportStock::Set => "set",
        });
        for row in rows {
            self.text(row.product.as_str());
            self.changes(&row.changes);
            self.optional_integer(row.on_hand);
        }
    }

    fn reserve(&mut self, reserve: &Reserve) {
        let Reserve {
            reservation,
            named,
            owner,
            reference,
            store,
            lines,
            ttl_millis,
        } = reserve;
        // An id that central made for this one request is not what was asked for.
        self.option(named.then(|| reservation.as_str()));
        self.text(owner.as_str());
        self.option(reference.as_deref());
        self.option(store.as_ref().map(StoreId::as_str));
        self.integer(*ttl_millis);
        for line in lines {
            self.text(line.product_id.as_str());
            self.integer(line.quantity);
        }
    }

    fn details(&mut self, details: &Details) {
        let Details {
            name,
            description,
            category,
            sku,
            barcode,
            price,
            low_stock_threshold,
        } = details;
        self.text(name);
        self.option(description.as_deref());
        self.option(category.as_deref());
        self.option(sku.as_deref());
        self.option(barcode.as_deref());
        self.integer(price.minor());
        self.optional_integer(*low_stock_threshold);
    }

    fn changes(&mut self, changes: &Changes) {
        let Changes {
            name,
            description,
            category,
            sku,
            barcode,
            price,
            low_stock_threshold,
            available,
        } = changes;
        self.option(name.as_deref());
        self.cleared(description.as_ref().map(Option::as_deref));
        self.cleared(category.as_ref().map(Option::as_deref));
        self.cleared(sku.as_ref().map(Option::as_deref));
        self.cleared(barcode.as_ref().map(Option::as_deref));
        self.optional_integer(price.map(Money::minor));
        self.0.write(&[u8::from(low_stock_threshold.is_some())]);
        self.optional_integer(low_stock_threshold.flatten());
        self.optional_integer(*available);
    }

    fn cleared(&mut self, change: Option<Option<&str>>) {
        self.0.write(&[u8::from(change.is_some())]);
        self.option(change.flatten());
    }
}
