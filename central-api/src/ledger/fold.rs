//! Everything that follows from the records, and nothing else.
//!
//! The writer holds one of these and folds each record in as it decides; recovery builds one from a
//! snapshot and the log after it; `verify` builds one from the log alone and compares. Equal logs
//! give equal folds.

use shared::clock::Timestamp;
use shared::domain::ids::{OrderId, ProductId};
use shared::domain::order::Orders;
use shared::domain::{Decision, Rejection, State};

use super::keys::{KeyWindow, Retention, UsedKey};
use crate::journal::{Body, DecisionRecord, First, Generation, Offsets, Record};

/// The state after a record.
#[derive(Debug)]
pub struct Fold {
    /// Products, reservations and orders.
    pub state: State,
    /// Used keys.
    pub keys: KeyWindow,
    /// The lives of the log, oldest first.
    pub generations: Vec<Generation>,
    /// Seq of the last record; 0 before the first.
    pub seq: u64,
    /// Offsets that the next events get.
    pub next_offsets: Offsets,
    /// When the last record was decided.
    pub at: Timestamp,
}

impl Fold {
    /// The state before the first record.
    #[must_use]
    pub fn empty(retention: impl Into<Retention>) -> Self {
        let Retention { keys, ended_orders } = retention.into();
        Self {
            state: State {
                orders: Orders::keeping(ended_orders),
                ..State::default()
            },
            keys: KeyWindow::new(keys),
            generations: Vec::new(),
            seq: 0,
            next_offsets: Offsets::default(),
            at: Timestamp::default(),
        }
    }

    /// What the next record and the next events get.
    #[must_use]
    pub const fn next(&self) -> First {
        First {
            seq: self.seq + 1,
            offsets: self.next_offsets,
        }
    }

    /// Folds the next record in.
    pub fn apply(&mut self, record: &Record) {
        debug_assert_eq!(record.seq, self.seq + 1, "records follow each other");
        self.advance(record.seq, record.at);
        match &record.body {
            Body::Generation(generation) => self.generations.push(*generation),
            Body::Decision(decision) => self.apply_decision(record.seq, decision),
        }
    }

    /// Comes to the record `seq` of the time `at`.
    pub(super) fn advance(&mut self, seq: u64, at: Timestamp) {
        self.seq = seq;
        self.at = at;
        self.keys.forget(at);
    }

    fn apply_decision(&mut self, seq: u64, record: &DecisionRecord) {
        let DecisionRecord {
            origin,
            fingerprint,
            decision,
            ..
        } = record;
        self.apply_decided(seq, decision);
        if let Some(key) = &origin.key {
            let used = UsedKey {
                seq,
                fingerprint: *fingerprint,
            };
            self.keys.insert(&origin.principal, key, used, self.at);
        }
    }

    /// Folds what the record `seq` decided in.
    pub(super) fn apply_decided(&mut self, seq: u64, decision: &Decision) {
        self.state.apply(decision, seq);
        self.next_offsets.inventory += decision.events.len() as u64;
        self.next_offsets.orders += decision.orders.len() as u64;
    }
}

/// The orders that were not moved.
pub fn refused_orders(decision: &Decision) -> impl Iterator<Item = &OrderId> {
    decision.rejections().filter_map(Rejection::order_id)
}

/// The products that items were refused for.
pub fn refused(decision: &Decision) -> impl Iterator<Item = &ProductId> {
    decision.rejections().filter_map(Rejection::product_id)
}
