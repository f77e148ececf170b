//! `(state, command, now) → decision`, pure.
//!
//! Items of one command see each other: each is decided against the state with the items before it
//! applied, so two lines for the same product can never both take the last unit. With
//! [`Atomicity::All`] one refusal refuses everything, and every reason is listed.
//!
//! Deciding changes nothing. What a decision does is in its events.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::command::{
    Atomicity, Changes, Command, CountLine, Deletion, Edit, ImportRow, ImportStock, Move,
    NewProduct,
};
use super::event::{Event, EventKind, Movement, MovementKind};
use super::product::{Details, Product, Stock};
use super::rejection::Rejection;
use super::state::{Inventory, ProductMap};
use crate::clock::Timestamp;
use crate::domain::ids::ProductId;
use crate::limits;

/// Commands of up to this many items look for a product among their own events one by one.
const SCANNED_ITEMS: usize = 8;

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemResult {
    /// Applied; the event at this index of [`Decision::events`].
    Applied(usize),
    /// Nothing to change.
    Unchanged,
    /// Refused.
    Refused(Rejection),
}

/// What a command leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// One per item, in order.
    pub results: Vec<ItemResult>,
    /// What happened, in order; empty if nothing was applied.
    pub events: Vec<Event>,
}

impl Decision {
    /// Whether any item was refused.
    #[must_use]
    pub fn has_refusal(&self) -> bool {
        self.results
            .iter()
            .any(|result| matches!(result, ItemResult::Refused(_)))
    }

    /// Whether every item was applied, each by its own event, in order.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.results.len() == self.events.len()
            && self
                .results
                .iter()
                .enumerate()
                .all(|(at, result)| matches!(result, ItemResult::Applied(event) if *event == at))
    }

    /// Whether a repeat with the same key must get this decision again: something was applied, or
    /// was refused for a reason that is remembered.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        let remembered = |result: &ItemResult| match result {
            ItemResult::Applied(_) | ItemResult::Unchanged => true,
            ItemResult::Refused(rejection) => rejection.is_remembered(),
        };
        !self.events.is_empty() || self.results.iter().all(remembered)
    }
}

/// Decides `command` against `state` at `now`.
#[must_use]
pub fn decide(state: &Inventory, command: &Command, now: Timestamp) -> Decision {
    let mut draft = Draft::new(state, now, command.len());
    match command {
        Command::Move { lines, .. } => draft.each(lines, Draft::move_stock),
        Command::Create { items, .. } => draft.each(items, Draft::create),
        Command::Edit { items, .. } => draft.each(items, Draft::edit),
        Command::Delete { items, .. } => draft.each(items, Draft::delete),
        Command::Count {
            lines,
            counted_by,
            reference,
        } => draft.each(lines, |draft, line| {
            draft.count(line, counted_by, reference.as_ref())
        }),
        Command::Import {
            rows,
            update,
            stock,
            ..
        } => {
            draft.each(rows, |draft, row| draft.import(row, *update, *stock));
        }
    }
    let decision = draft.decision;
    match command.atomicity() {
        Atomicity::All if decision.has_refusal() => all_refused(decision),
        Atomicity::All | Atomicity::PerItem => decision,
    }
}

/// The decision in which nothing was applied because something was refused.
fn all_refused(decision: Decision) -> Decision {
    let ids: Vec<ProductId> = decision
        .events
        .into_iter()
        .map(|event| event.product.id)
        .collect();
    let results = decision
        .results
        .into_iter()
        .map(|result| match result {
            ItemResult::Applied(index) => match ids.get(index) {
                Some(id) => ItemResult::Refused(Rejection::NotAlone {
                    product_id: id.clone(),
                }),
                None => ItemResult::Unchanged,
            },
            refused @ (ItemResult::Refused(_) | ItemResult::Unchanged) => refused,
        })
        .collect();
    Decision {
        results,
        events: Vec::new(),
    }
}

/// A step's outcome: an event, nothing to do, or a refusal.
type Step = Result<Option<Event>, Rejection>;

/// The state with the items decided so far applied.
struct Draft<'a> {
    state: &'a Inventory,
    now: Timestamp,
    decision: Decision,
    /// Latest event of each product drafted so far; absent for small commands, where looking
    /// through the events is quicker than hashing.
    latest: Option<ProductMap<usize>>,
}

impl<'a> Draft<'a> {
    fn new(state: &'a Inventory, now: Timestamp, items: usize) -> Self {
        let latest = (items > SCANNED_ITEMS).then(ProductMap::default);
        Self {
            state,
            now,
            decision: Decision::default(),
            latest,
        }
    }

    fn each<T>(&mut self, items: &[T], mut step: impl FnMut(&Self, &T) -> Step) {
        self.decision.results.reserve_exact(items.len());
        self.decision.events.reserve(items.len());
        for item in items {
            let result = match step(self, item) {
                Ok(Some(event)) => {
                    let index = self.decision.events.len();
                    if let Some(latest) = &mut self.latest {
                        latest.insert(event.product.id.clone(), index);
                    }
                    self.decision.events.push(event);
                    ItemResult::Applied(index)
                }
                Ok(None) => ItemResult::Unchanged,
                Err(rejection) => ItemResult::Refused(rejection),
            };
            self.decision.results.push(result);
        }
    }

    /// What is known of `id` after the items so far: the product and whether it is live.
    fn known(&self, id: &ProductId) -> Option<(&Product, bool)> {
        let events = &self.decision.events;
        let drafted = match &self.latest {
            Some(latest) => latest.get(id).and_then(|index| events.get(*index)),
            None => events.iter().rev().find(|event| event.product.id == *id),
        };
        match drafted {
            Some(event) => Some((&event.product, event.kind != EventKind::Deleted)),
            None => self
                .state
                .entry(id.as_str())
                .map(|entry| (&entry.product, entry.live)),
        }
    }

    fn live(&self, id: &ProductId) -> Result<&Product, Rejection> {
        match self.known(id) {
            Some((product, true)) => Ok(product),
            Some((_, false)) | None => Err(Rejection::ProductNotFound {
                product_id: id.clone(),
            }),
        }
    }

    fn move_stock(&self, line: &Move) -> Step {
        let product = self.live(&line.product)?;
        check_version(product, line.expected_version)?;
        // Taking is a promise; bringing is a fact.
        if line.delta < 0 && product.available().saturating_add(line.delta) < 0 {
            return Err(Rejection::InsufficientInventory {
                product_id: line.product.clone(),
                delta: line.delta,
                available: product.available(),
                version: product.version,
                last_updated: product.last_updated,
            });
        }
        let stock = add_on_hand(product, line.delta)?;
        let movement = Movement {
            kind: line.reason.kind(),
            delta: Some(line.delta),
            reason: Some(line.reason),
            reference: line.reference.clone(),
            note: line.note.clone(),
        };
        Ok(Some(self.updated(
            product,
            Arc::clone(&product.details),
            stock,
            movement,
        )))
    }

    fn create(&self, item: &NewProduct) -> Step {
        let version = match self.known(&item.product) {
            Some((product, true)) => {
                return Err(Rejection::ProductExists {
                    product_id: item.product.clone(),
                    version: product.version,
                    available: product.available(),
                });
            }
            Some((deleted, false)) => deleted.version,
            None => 0,
        };
        let product = Product {
            id: item.product.clone(),
            details: Arc::new(item.details.clone()),
            stock: Stock {
                on_hand: item.on_hand,
                ..Stock::default()
            },
            version: version.saturating_add(1),
            last_updated: self.now,
        };
        let movement = Movement::of(MovementKind::Created).with_delta(item.on_hand);
        Ok(Some(Event {
            kind: EventKind::Created,
            product,
            movement,
        }))
    }

    fn edit(&self, item: &Edit) -> Step {
        let product = self.live(&item.product)?;
        check_version(product, item.expected_version)?;
        let target = item
            .changes
            .available
            .unwrap_or_else(|| product.available());
        let delta = target.saturating_sub(product.available());
        self.changed(product, &item.changes, delta)
    }

    fn delete(&self, item: &Deletion) -> Step {
        let product = self.live(&item.product)?;
        check_version(product, item.expected_version)?;
        let Stock {
            on_hand: _,
            reserved,
            allotted,
        } = product.stock;
        if !item.force && (reserved != 0 || allotted != 0) {
            return Err(Rejection::UnitsPromised {
                product_id: item.product.clone(),
                reserved,
                allotted,
                version: product.version,
            });
        }
        let movement = Movement::of(MovementKind::Deleted);
        let details = Arc::clone(&product.details);
        let mut event = self.updated(product, details, product.stock, movement);
        event.kind = EventKind::Deleted;
        Ok(Some(event))
    }

    fn count(&self, line: &CountLine, by: &Arc<str>, reference: Option<&Arc<str>>) -> Step {
        let product = self.live(&line.product)?;
        let expected = line.expected.unwrap_or(product.stock.on_hand);
        let delta = line.counted.saturating_sub(expected);
        let stock = add_on_hand(product, delta)?;
        let movement = Movement {
            kind: MovementKind::Counted,
            delta: Some(delta),
            reason: None,
            reference: reference.cloned(),
            note: Some(Arc::clone(by)),
        };
        Ok(Some(self.updated(
            product,
            Arc::clone(&product.details),
            stock,
            movement,
        )))
    }

    fn import(&self, row: &ImportRow, update: bool, stock: ImportStock) -> Step {
        if let Some((product, true)) = self.known(&row.product) {
            if update {
                let delta = match (stock, row.on_hand) {
                    (ImportStock::Set, Some(on_hand)) => {
                        on_hand.saturating_sub(product.stock.on_hand)
                    }
                    (ImportStock::Set | ImportStock::Keep, _) => 0,
                };
                return self.changed(product, &row.changes, delta);
            }
            return Err(Rejection::ProductExists {
                product_id: row.product.clone(),
                version: product.version,
                available: product.available(),
            });
        }
        if row.changes.name.is_none() {
            return Err(Rejection::NameRequired {
                product_id: row.product.clone(),
            });
        }
        self.create(&NewProduct {
            product: row.product.clone(),
            details: row.changes.onto(&Details::default()),
            on_hand: row.on_hand.unwrap_or(0),
        })
    }

    /// The event for `changes` and a change of `onHand`, or none if nothing changes.
    fn changed(&self, product: &Product, changes: &Changes, delta: i64) -> Step {
        let details = changes.onto(&product.details);
        let edited = details != *product.details;
        if !edited && delta == 0 {
            return Ok(None);
        }
        let stock = add_on_hand(product, delta)?;
        let kind = if edited {
            MovementKind::Edited
        } else {
            MovementKind::Adjusted
        };
        let details = if edited {
            Arc::new(details)
        } else {
            Arc::clone(&product.details)
        };
        let movement = Movement::of(kind).with_delta(delta);
        Ok(Some(self.updated(product, details, stock, movement)))
    }

    fn updated(
        &self,
        before: &Product,
        details: Arc<Details>,
        stock: Stock,
        movement: Movement,
    ) -> Event {
        let product = Product {
            id: before.id.clone(),
            details,
            stock,
            version: before.version.saturating_add(1),
            last_updated: self.now,
        };
        Event {
            kind: EventKind::Updated,
            product,
            movement,
        }
    }
}

fn check_version(product: &Product, expected: Option<u64>) -> Result<(), Rejection> {
    match expected {
        Some(given) if given != product.version => Err(Rejection::VersionConflict {
            product_id: product.id.clone(),
            given,
            version: product.version,
            available: product.available(),
            last_updated: product.last_updated,
        }),
        Some(_) | None => Ok(()),
    }
}

fn add_on_hand(product: &Product, delta: i64) -> Result<Stock, Rejection> {
    let on_hand = product.stock.on_hand.saturating_add(delta);
    if on_hand.saturating_abs() > limits::STOCK_UNITS {
        return Err(Rejection::StockOutOfRange {
            product_id: product.id.clone(),
            delta,
            on_hand: product.stock.on_hand,
        });
    }
    Ok(Stock {
        on_hand,
        ..product.stock
    })
}
