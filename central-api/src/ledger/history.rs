//! One product's past: a walk along the log, from the newest record about it to the oldest.
//!
//! Every record names, for each product it is about, the record about it before (`prev`), so nothing
//! has to be remembered or indexed for this, and deleted products keep their past. Refused attempts
//! are records too.
//!
//! A walk reads the disk: it belongs on a blocking thread. It reads a bounded number of records; who
//! wants more asks again from where it stopped.
//!
//! *At an offset* means after every event below it, as in the feed (`nextOffset`), in lists
//! (`asOfOffset`) and in snapshots. *At a time* means after every record decided then or before.

use std::collections::VecDeque;

use bytes::Bytes;
use shared::clock::Timestamp;
use shared::domain::ids::{ProductId, StoreId};
use shared::domain::inventory::product::Stock;
use shared::domain::inventory::{Event, EventKind, ItemResult, MovementKind, Product, Rejection};
use shared::domain::origin::Origin;
use shared::limits;

use super::Published;
use crate::journal::frame::HEADER_BYTES;
use crate::journal::{Body, DecisionRecord, Frame, JournalError, Record};

/// Records that may be read past the end of a page to learn what stood before its oldest entry.
const LOOK_AHEAD: usize = 200;

/// Where a walk has come to.
#[derive(Debug)]
pub enum Step {
    /// A record about the product.
    Record {
        /// Its number.
        seq: u64,
        /// When it was decided.
        at: Timestamp,
        /// What was decided.
        record: Box<DecisionRecord>,
    },
    /// There is nothing before the last one.
    Beginning,
    /// What is before the last one was dropped by retention.
    Dropped,
    /// As many records were read as may be.
    Enough,
}

/// A walk from record to record.
#[derive(Debug)]
pub struct Walk<'a> {
    published: &'a Published,
    id: &'a ProductId,
    next: u64,
    budget: usize,
    frame: Option<Lines>,
}

/// The lines of one frame, found once: a busy product has many records in one.
#[derive(Debug)]
struct Lines {
    frame: Frame,
    lines: Vec<Bytes>,
}

impl Lines {
    fn of(frame: Frame) -> Self {
        let mut lines = Vec::with_capacity(frame.header.records as usize);
        let mut rest = frame.bytes.slice(HEADER_BYTES.min(frame.bytes.len())..);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            lines.push(rest.split_to(end));
            drop(rest.split_to(1));
        }
        Self { frame, lines }
    }

    fn line(&self, seq: u64) -> Option<&[u8]> {
        let index = usize::try_from(seq.checked_sub(self.frame.header.seq)?).ok()?;
        self.lines.get(index).map(AsRef::as_ref)
    }
}

impl<'a> Walk<'a> {
    /// A walk over at most `budget` records from the newest about `id`; `None` if it never was.
    #[must_use]
    pub fn new(published: &'a Published, id: &'a ProductId, budget: usize) -> Option<Self> {
        let next = published.view.last_record(id.as_str())?;
        Some(Self {
            published,
            id,
            next,
            budget,
            frame: None,
        })
    }

    /// Goes to the newest record before `seq` that is about the product.
    ///
    /// # Errors
    /// The log cannot be read.
    fn rewind(&mut self, seq: u64) -> Result<(), JournalError> {
        if seq == 0 {
            self.next = 0;
        } else if seq <= self.next {
            // Where a page ended, the record before is one about the product.
            let place = seq - 1;
            let known = match self.read(place) {
                Ok(record) => record.is_some_and(|record| match &record.body {
                    Body::Decision(record) => record.prev.iter().any(|(id, _)| id == self.id),
                    Body::Generation(_) => false,
                }),
                // The next step says so.
                Err(JournalError::Gone { .. }) => true,
                Err(error) => return Err(error),
            };
            if known {
                self.next = place;
            }
        }
        Ok(())
    }

    /// The next older record.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn step(&mut self) -> Result<Step, JournalError> {
        if self.next == 0 {
            return Ok(Step::Beginning);
        }
        let Some(left) = self.budget.checked_sub(1) else {
            return Ok(Step::Enough);
        };
        self.budget = left;
        let seq = self.next;
        let record = match self.read(seq) {
            Ok(record) => record,
            Err(JournalError::Gone { .. }) => return Ok(Step::Dropped),
            Err(error) => return Err(error),
        };
        let Some(Record {
            seq,
            at,
            body: Body::Decision(record),
        }) = record
        else {
            return Err(broken(seq, "is not a decision"));
        };
        let before = record.prev.iter().find(|(id, _)| id == self.id);
        self.next = match before {
            Some((_, before)) if *before < seq => *before,
            Some(_) => return Err(broken(seq, "names itself or a later one as the one before")),
            None => return Err(broken(seq, "is not about the product that led to it")),
        };
        Ok(Step::Record { seq, at, record })
    }

    fn read(&mut self, seq: u64) -> Result<Option<Record>, JournalError> {
        let held = self.frame.as_ref().is_some_and(|held| {
            (held.frame.header.seq..held.frame.header.next_seq()).contains(&seq)
        });
        if !held {
            let frames = self.published.journal.frames_from_seq(seq, 1)?;
            self.frame = frames.into_iter().next().map(Lines::of);
        }
        let Some(held) = &self.frame else {
            return Ok(None);
        };
        held.line(seq)
            .map(Record::parse)
            .transpose()
            .map_err(|error| held.frame.damaged(error.to_string()))
    }
}

fn broken(seq: u64, what: &str) -> JournalError {
    JournalError::Damaged {
        file: "journal".to_owned(),
        position: 0,
        what: format!("record {seq} {what}"),
    }
}

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
    let Some(mut walk) = Walk::new(published, id, limits::HISTORY_RECORDS) else {
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
            break look_ahead(&mut walk)?;
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
                break look_ahead(&mut walk)?;
            }
        };
        if wanted.before.is_some_and(|before| seq >= before) {
            continue;
        }
        if wanted.from.is_some_and(|from| at < from) {
            break match last_state(id, &record) {
                Some(known) => Some(known),
                None => look_ahead(&mut walk)?,
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
        first_offset,
        decision,
        fingerprint: _,
        prev: _,
    } = record;
    let mut events: Vec<Option<Event>> = decision.events.into_iter().map(Some).collect();
    let mut found = Vec::new();
    for result in decision.results {
        let what = match result {
            ItemResult::Applied(index) => {
                let event = events.get_mut(index).and_then(Option::take);
                event.map(|event| What::Event {
                    offset: first_offset + index as u64,
                    event,
                })
            }
            ItemResult::Refused(rejection) => Some(What::Refused {
                command: kind.clone(),
                rejection,
            }),
            ItemResult::Unchanged => None,
        };
        let about = what.filter(|what| match what {
            What::Event { event, .. } => event.product.id == *id,
            What::Refused { rejection, .. } => rejection.product_id() == id,
        });
        found.extend(about.map(|what| (origin.clone(), what)));
    }
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
fn look_ahead(walk: &mut Walk<'_>) -> Result<Option<Known>, JournalError> {
    walk.budget = LOOK_AHEAD;
    loop {
        match walk.step()? {
            Step::Record { record, .. } => {
                if let Some(known) = last_state(walk.id, &record) {
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
    let Some(mut walk) = Walk::new(published, id, budget) else {
        return Ok(Stood::NotYet);
    };
    loop {
        let (at, record) = match walk.step()? {
            Step::Record { at, record, .. } => (at, record),
            Step::Beginning => return Ok(Stood::NotYet),
            Step::Dropped => return Ok(Stood::Dropped),
            Step::Enough => return Ok(Stood::TooFarBack),
        };
        let first = record.first_offset;
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
    let Some(mut walk) = Walk::new(published, id, *budget) else {
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
