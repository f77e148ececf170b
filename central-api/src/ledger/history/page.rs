//! A page of a product's history: what happened and what was refused, newest first.
//!
//! Records say what stood afterwards, not before. So a page is gathered backwards and its quantities
//! told forwards, from what stood at its old end; where that end is not the beginning, a short look
//! further back finds it, or the oldest entries go without.
//!
//! What must stay true: pages of one history join without a gap or a repeat, also while it grows; and
//! a quantity that is told is the true one, whatever the page and its filter leave out.

use std::collections::VecDeque;

use shared::clock::Timestamp;
use shared::domain::ids::{ProductId, StoreId};
use shared::domain::inventory::product::Stock;
use shared::domain::inventory::{Event, EventKind, ItemResult, MovementKind, Rejection};
use shared::domain::origin::Origin;
use shared::limits;

use super::walk::{Step, Subject, Walk};
use crate::journal::{DecisionRecord, JournalError};
use crate::ledger::Published;

/// Records that may be read past the end of a page to learn what stood before its oldest entry.
const LOOK_AHEAD: usize = 200;

/// Something that happened to a product, or was refused to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It changed.
    Event {
        /// Offset of the event.
        offset: u64,
        /// The event.
        event: Event,
    },
    /// It did not.
    Refused {
        /// The kind of command.
        command: Box<str>,
        /// Why not.
        rejection: Rejection,
    },
}

/// One line of a product's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record it stands in.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// Who asked.
    pub origin: Origin,
    /// What happened.
    pub what: What,
    /// What there was before; `None` if that is too far back to look for.
    pub before: Option<Stock>,
    /// What there was afterwards, likewise.
    pub after: Option<Stock>,
    /// The version afterwards, likewise.
    pub version: Option<u64>,
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only those of records before this one.
    pub before: Option<u64>,
    /// About how many.
    pub limit: usize,
    /// Only those of this kind.
    pub kind: Option<KindWanted>,
    /// Only those that this store asked for.
    pub store: Option<StoreId>,
    /// Only those decided then or later.
    pub from: Option<Timestamp>,
    /// Only those decided then or before.
    pub to: Option<Timestamp>,
}

/// A kind of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindWanted {
    /// Events with this cause.
    Moved(MovementKind),
    /// Refused attempts.
    Refused,
}

impl Wanted {
    fn takes(&self, at: Timestamp, origin: &Origin, what: &What) -> bool {
        let kind = match (self.kind, what) {
            (None, _) | (Some(KindWanted::Refused), What::Refused { .. }) => true,
            (Some(KindWanted::Moved(kind)), What::Event { event, .. }) => {
                event.movement.kind == kind
            }
            (Some(_), _) => false,
        };
        kind && self.to.is_none_or(|to| at <= to)
            && (self.store.is_none() || self.store == origin.store)
    }
}

/// A page of history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub entries: Vec<Entry>,
    /// Where the next page begins, if there may be more.
    pub next_before: Option<u64>,
    /// Whether there was more that retention has dropped.
    pub dropped: bool,
}

/// What stands at the old end of a page.
#[derive(Clone, Copy)]
struct Known {
    stock: Stock,
    version: u64,
}

const NOTHING: Known = Known {
    stock: Stock {
        on_hand: 0,
        reserved: 0,
        allotted: 0,
    },
    version: 0,
};

/// Reads a page of the history of `id`; `None` if it never was.
///
/// # Errors
/// The log cannot be read.
pub fn page(
    published: &Published,
    id: &ProductId,
    wanted: &Wanted,
) -> Result<Option<Page>, JournalError> {
    let Some(mut walk) = Walk::new(published, Subject::Product(id), limits::HISTORY_RECORDS) else {
        return Ok(None);
    };
    if let Some(before) = wanted.before {
        walk.rewind(before)?;
    }
    let mut page = Page::default();
    // Oldest first; the flag says whether it is wanted or only tells what stood before others.
    let mut found: VecDeque<(bool, Entry)> = VecDeque::new();
    let mut count = 0;
    let base = loop {
        if count >= wanted.limit || found.len() >= limits::HISTORY_RECORDS {
            page.next_before = Some(walk.next + 1).filter(|_| walk.next > 0);
            break look_ahead(&mut walk, id)?;
        }
        let (seq, at, record) = match walk.step()? {
            Step::Record { seq, at, record } => (seq, at, record),
            Step::Beginning => break Some(NOTHING),
            Step::Dropped => {
                page.dropped = true;
                break None;
            }
            Step::Enough => {
                page.next_before = Some(walk.next + 1);
                break look_ahead(&mut walk, id)?;
            }
        };
        if wanted.before.is_some_and(|before| seq >= before) {
            continue;
        }
        if wanted.from.is_some_and(|from| at < from) {
            break match last_state(id, &record) {
                Some(known) => Some(known),
                None => look_ahead(&mut walk, id)?,
            };
        }
        for what in items(id, *record).into_iter().rev() {
            let (origin, what) = what;
            let takes = wanted.takes(at, &origin, &what);
            count += usize::from(takes);
            let entry = Entry {
                seq,
                at,
                origin,
                what,
                before: None,
                after: None,
                version: None,
            };
            found.push_front((takes, entry));
        }
    };
    tell_quantities(found.iter_mut().map(|(_, entry)| entry), base);
    let wanted = found.into_iter().rev().filter(|(takes, _)| *takes);
    page.entries = wanted.map(|(_, entry)| entry).collect();
    Ok(Some(page))
}

/// What a record says about `id`, in the order of the command's items.
fn items(id: &ProductId, record: DecisionRecord) -> Vec<(Origin, What)> {
    let DecisionRecord {
        kind,
        origin,
        first,
        decision,
        fingerprint: _,
        prev: _,
    } = record;
    let mut events = (first.inventory..).zip(decision.events).peekable();
    let mut found = Vec::new();
    let mut tell = |what: What| found.push((origin.clone(), what));
    for result in decision.results {
        match result {
            // Not every event is an item's: units that have run out are freed on the way.
            ItemResult::Applied(index) => {
                let named = first.inventory + index as u64;
                while let Some((offset, event)) = events.next_if(|(at, _)| *at <= named) {
                    tell(What::Event { offset, event });
                }
            }
            ItemResult::Refused(rejection) => tell(What::Refused {
                command: kind.clone(),
                rejection,
            }),
            ItemResult::Unchanged => {}
        }
    }
    for (offset, event) in events {
        tell(What::Event { offset, event });
    }
    found.retain(|(_, what)| match what {
        What::Event { event, .. } => event.product.id == *id,
        What::Refused { rejection, .. } => rejection.product_id() == Some(id),
    });
    found
}

/// The last state of `id` that a record led to.
fn last_state(id: &ProductId, record: &DecisionRecord) -> Option<Known> {
    let mut events = record.decision.events.iter().rev();
    let event = events.find(|event| event.product.id == *id)?;
    Some(Known {
        stock: event.product.stock,
        version: event.product.version,
    })
}

/// What stood before the place that a walk has come to, if a short look finds it.
fn look_ahead(walk: &mut Walk<'_>, id: &ProductId) -> Result<Option<Known>, JournalError> {
    walk.budget = LOOK_AHEAD;
    loop {
        match walk.step()? {
            Step::Record { record, .. } => {
                if let Some(known) = last_state(id, &record) {
                    return Ok(Some(known));
                }
            }
            Step::Beginning => return Ok(Some(NOTHING)),
            Step::Dropped | Step::Enough => return Ok(None),
        }
    }
}

/// Tells each entry, oldest first, what stood before and after it.
fn tell_quantities<'a>(oldest_first: impl Iterator<Item = &'a mut Entry>, base: Option<Known>) {
    let mut known = base;
    for entry in oldest_first {
        entry.before = known.map(|known| known.stock);
        if let What::Event { event, .. } = &entry.what {
            if event.kind == EventKind::Created {
                entry.before = Some(NOTHING.stock);
            }
            known = Some(Known {
                stock: event.product.stock,
                version: event.product.version,
            });
        }
        entry.after = known.map(|known| known.stock);
        entry.version = known.map(|known| known.version);
    }
}
