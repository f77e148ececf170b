//! Everything that follows from the records, and nothing else.
//!
//! The writer holds one of these and folds each record in as it decides; recovery builds one from a
//! snapshot and the log after it; `verify` builds one from the log alone and compares. Equal logs
//! give equal folds.

use shared::clock::Timestamp;
use shared::domain::ids::ProductId;
use shared::domain::inventory::{Inventory, ItemResult};

use super::keys::{KeyRetention, KeyWindow, UsedKey};
use crate::journal::{Body, DecisionRecord, Generation, Record};

/// The state after a record.
#[derive(Debug)]
pub struct Fold {
    /// Every product.
    pub inventory: Inventory,
    /// Used keys.
    pub keys: KeyWindow,
    /// The lives of the log, oldest first.
    pub generations: Vec<Generation>,
    /// Seq of the last record; 0 before the first.
    pub seq: u64,
    /// Offset that the next event gets.
    pub next_offset: u64,
    /// When the last record was decided.
    pub at: Timestamp,
}

impl Fold {
    /// The state before the first record.
    #[must_use]
    pub fn empty(retention: KeyRetention) -> Self {
        Self {
            inventory: Inventory::default(),
            keys: KeyWindow::new(retention),
            generations: Vec::new(),
            seq: 0,
            next_offset: 0,
            at: Timestamp::default(),
        }
    }

    /// Folds the next record in.
    pub fn apply(&mut self, record: &Record) {
        debug_assert_eq!(record.seq, self.seq + 1, "records follow each other");
        self.seq = record.seq;
        self.at = record.at;
        match &record.body {
            Body::Generation(generation) => self.generations.push(*generation),
            Body::Decision(decision) => self.apply_decision(record.seq, decision),
        }
    }

    fn apply_decision(&mut self, seq: u64, record: &DecisionRecord) {
        let DecisionRecord {
            origin,
            fingerprint,
            decision,
            ..
        } = record;
        for event in &decision.events {
            self.inventory.apply_at(event, seq);
        }
        for id in refused(&decision.results) {
            self.inventory.touch(id.as_str(), seq);
        }
        self.next_offset += decision.events.len() as u64;
        if let Some(key) = &origin.key {
            let used = UsedKey {
                seq,
                fingerprint: *fingerprint,
            };
            self.keys.insert(&origin.principal, key, used, self.at);
        }
    }
}

/// The products that items were refused for.
pub fn refused(results: &[ItemResult]) -> impl Iterator<Item = &ProductId> {
    results.iter().filter_map(|result| match result {
        ItemResult::Refused(rejection) => Some(rejection.product_id()),
        ItemResult::Applied(_) | ItemResult::Unchanged => None,
    })
}
