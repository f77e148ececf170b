//! What tells two commands under one key apart.
//!
//! What must stay true: the fingerprints of earlier releases, which are in the log. So what is written
//! here, and in which order, never changes.

use super::command::{
    Atomicity, Basis, Changes, Command, CountLine, ImportRow, ImportStock, Move, Reserve,
};
use super::product::{Details, Fnv1a};
use crate::domain::ids::{ReservationId, StoreId};
use crate::domain::money::Money;

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
