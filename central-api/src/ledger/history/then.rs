//! How a product stood at a moment, and since when it has been short.
//!
//! Both walk back until a record answers. Within one record the moment is the same, so only the last
//! state that a record led to counts for a time; an offset can lie within a record.
//!
//! What must stay true: an answer that was not found within the budget is never given as if it had
//! been; it says so, or that retention dropped it.

use shared::clock::Timestamp;
use shared::domain::ids::ProductId;
use shared::domain::inventory::{EventKind, Product};

use super::walk::{Step, Subject, Walk};
use crate::journal::JournalError;
use crate::ledger::Published;

/// A moment in the life of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After every event below this offset.
    Offset(u64),
    /// After every record decided then or before.
    Time(Timestamp),
}

/// A product as it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stood {
    /// Like this.
    Here {
        /// The product; for a deleted one its last state.
        product: Box<Product>,
        /// Whether it was in the catalogue.
        live: bool,
        /// Offset of the event that made it so.
        offset: u64,
    },
    /// It was not there yet.
    NotYet,
    /// Retention has dropped the answer.
    Dropped,
    /// So much has happened since that it is not looked for.
    TooFarBack,
}

/// Finds out how `id` stood at `moment`, reading at most `budget` records.
///
/// # Errors
/// The log cannot be read.
pub fn as_it_stood(
    published: &Published,
    id: &ProductId,
    moment: Moment,
    budget: usize,
) -> Result<Stood, JournalError> {
    let Some(mut walk) = Walk::new(published, Subject::Product(id), budget) else {
        return Ok(Stood::NotYet);
    };
    loop {
        let (at, record) = match walk.step()? {
            Step::Record { at, record, .. } => (at, record),
            Step::Beginning => return Ok(Stood::NotYet),
            Step::Dropped => return Ok(Stood::Dropped),
            Step::Enough => return Ok(Stood::TooFarBack),
        };
        let first = record.first.inventory;
        let mut events = (first..).zip(record.decision.events);
        let mut latest = None;
        for (offset, event) in &mut events {
            let then = match moment {
                Moment::Offset(end) => offset < end,
                Moment::Time(time) => at <= time,
            };
            if then && event.product.id == *id {
                latest = Some((offset, event));
            }
        }
        if let Some((offset, event)) = latest {
            return Ok(Stood::Here {
                live: event.kind != EventKind::Deleted,
                product: Box::new(event.product),
                offset,
            });
        }
    }
}

/// Since when a product is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortSince {
    /// When the record was decided that took it below zero, or the oldest one looked at.
    pub at: Timestamp,
    /// Whether it is that record.
    pub exact: bool,
}

/// Finds the record that took `id`, which is short now, below zero. Takes what it reads off `budget`.
///
/// # Errors
/// The log cannot be read.
pub fn short_since(
    published: &Published,
    id: &ProductId,
    budget: &mut usize,
) -> Result<Option<ShortSince>, JournalError> {
    let Some(mut walk) = Walk::new(published, Subject::Product(id), *budget) else {
        return Ok(None);
    };
    let mut since: Option<Timestamp> = None;
    let exact = loop {
        let (at, record) = match walk.step()? {
            Step::Record { at, record, .. } => (at, record),
            Step::Beginning => break true,
            Step::Dropped | Step::Enough => break false,
        };
        let mut events = record.decision.events.iter().rev();
        let mut changes = events.by_ref().filter(|event| event.product.id == *id);
        // Within one record the moment is the same, so only how it ends decides.
        match changes.next() {
            Some(last) if last.product.available() < 0 && last.kind != EventKind::Deleted => {
                since = Some(at);
            }
            Some(_) => break true,
            None => {}
        }
    };
    *budget = walk.budget;
    Ok(since.map(|at| ShortSince { at, exact }))
}
