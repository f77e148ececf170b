//! `(state, command, now) → decision`, pure, for movements of stock and edits of the catalogue.
//!
//! With [`Atomicity::All`] one refusal refuses everything, and every reason is listed. Holding units
//! is in [`holding`](super::holding).
//!
//! Deciding changes nothing. What a decision does is in its events.

use std::sync::Arc;

use super::command::{
    Atomicity, Basis, Changes, Command, CountLine, Deletion, Edit, ImportRow, ImportStock, Move,
    NewProduct,
};
use super::draft::{Draft, Step};
use super::event::{Event, EventKind, Movement, MovementKind};
use super::product::{Details, Product, Stock};
use super::state::Inventory;
use crate::clock::Timestamp;
use crate::domain::decision::{Decision, ItemResult};
use crate::domain::ids::ProductId;
use crate::domain::rejection::Rejection;
use crate::limits;

/// Decides `command` against `state` at `now`.
#[must_use]
pub fn decide(state: &Inventory, command: &Command, now: Timestamp) -> Decision {
    let mut draft = Draft::new(state, now);
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
        Command::Reserve(_)
        | Command::Commit { .. }
        | Command::Release { .. }
        | Command::Extend { .. }
        | Command::Expire => draft.hold(command),
    }
    let decision = draft.decision;
    match command.atomicity() {
        Atomicity::All if decision.has_refusal() => all_refused(decision),
        Atomicity::All | Atomicity::PerItem => decision,
    }
}

/// The decision in which nothing was applied because something was refused.
pub(super) fn all_refused(decision: Decision) -> Decision {
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
        ..Decision::default()
    }
}

impl Draft<'_> {
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
            delta: Some(line.delta),
            reason: Some(line.reason),
            reference: line.reference.clone(),
            note: line.note.clone(),
            ..Movement::of(line.reason.kind())
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
                // Holds outlive a product that was deleted by force.
                reserved: self.state.reservations().held(item.product.as_str()),
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
        let unknown = || Rejection::BasisUnknown {
            product_id: line.product.clone(),
        };
        let expected = match line.basis {
            Basis::Now => product.stock.on_hand,
            Basis::Offset { on_hand, .. } => on_hand.ok_or_else(unknown)?,
        };
        let delta = line.counted.saturating_sub(expected);
        let stock = add_on_hand(product, delta)?;
        let movement = Movement {
            delta: Some(delta),
            reference: reference.cloned(),
            note: Some(Arc::clone(by)),
            ..Movement::of(MovementKind::Counted)
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
            available: product.available(),
            version: product.version,
            last_updated: product.last_updated,
        });
    }
    Ok(Stock {
        on_hand,
        ..product.stock
    })
}
