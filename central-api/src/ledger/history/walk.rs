//! The walk itself: from a record about a product or an order to the one before it.
//!
//! What must stay true: every step goes down, so a walk ends whatever the log says; and a record that
//! is not about the subject, or names itself as the one before, is damage and not an end. The end of
//! the past, what retention dropped and a spent budget are told apart, since callers must not call
//! one the other.

use bytes::Bytes;
use shared::clock::Timestamp;
use shared::domain::ids::{OrderId, ProductId};

use crate::journal::frame::HEADER_BYTES;
use crate::journal::record::Previous;
use crate::journal::{Body, DecisionRecord, Frame, JournalError, Record};
use crate::ledger::Published;

/// Whose past is walked.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A product's.
    Product(&'a ProductId),
    /// An order's.
    Order(&'a OrderId),
}

impl Subject<'_> {
    /// The newest record about it, if it is known.
    fn last_record(self, published: &Published) -> Option<u64> {
        match self {
            Self::Product(id) => published.view.last_record(id.as_str()),
            Self::Order(id) => published.books.order_record(id.as_str()),
        }
    }

    /// The record about it before the one that says `prev`, if that one is about it.
    fn before(self, prev: &Previous) -> Option<u64> {
        match self {
            Self::Product(id) => find(&prev.products, id),
            Self::Order(id) => find(&prev.orders, id),
        }
    }
}

fn find<T: PartialEq>(links: &[(T, u64)], id: &T) -> Option<u64> {
    let mut links = links.iter();
    links
        .find(|(known, _)| known == id)
        .map(|(_, before)| *before)
}

/// Where a walk has come to.
#[derive(Debug)]
pub enum Step {
    /// A record about the subject.
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
    subject: Subject<'a>,
    pub(super) next: u64,
    pub(super) budget: usize,
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
        let mut lines = Vec::with_capacity(frame.header.counts.records as usize);
        let mut rest = frame.bytes.slice(HEADER_BYTES.min(frame.bytes.len())..);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            lines.push(rest.split_to(end));
            drop(rest.split_to(1));
        }
        Self { frame, lines }
    }

    fn line(&self, seq: u64) -> Option<&[u8]> {
        let index = usize::try_from(seq.checked_sub(self.frame.header.first.seq)?).ok()?;
        self.lines.get(index).map(AsRef::as_ref)
    }
}

impl<'a> Walk<'a> {
    /// A walk over at most `budget` records from the newest about `subject`; `None` if that is not
    /// known.
    #[must_use]
    pub fn new(published: &'a Published, subject: Subject<'a>, budget: usize) -> Option<Self> {
        let next = subject.last_record(published)?;
        Some(Self::from(published, subject, next, budget))
    }

    /// The same for an order that may be only in the log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn of_order(
        published: &'a Published,
        id: &'a OrderId,
        budget: usize,
    ) -> Result<Option<Self>, JournalError> {
        let next = published.order_record(id)?;
        Ok(next.map(|next| Self::from(published, Subject::Order(id), next, budget)))
    }

    const fn from(
        published: &'a Published,
        subject: Subject<'a>,
        next: u64,
        budget: usize,
    ) -> Self {
        Self {
            published,
            subject,
            next,
            budget,
            frame: None,
        }
    }

    /// Goes to the newest record before `seq` that is about the subject.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) fn rewind(&mut self, seq: u64) -> Result<(), JournalError> {
        if seq == 0 {
            self.next = 0;
        } else if seq <= self.next {
            // Where a page ended, the record before is one about the subject.
            let place = seq - 1;
            let known = match self.read(place) {
                Ok(record) => record.is_some_and(|record| match &record.body {
                    Body::Decision(record) => self.subject.before(&record.prev).is_some(),
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
        self.next = match self.subject.before(&record.prev) {
            Some(before) if before < seq => before,
            Some(_) => return Err(broken(seq, "names itself or a later one as the one before")),
            None => return Err(broken(seq, "is not about what led to it")),
        };
        Ok(Step::Record { seq, at, record })
    }

    fn read(&mut self, seq: u64) -> Result<Option<Record>, JournalError> {
        let held = self.frame.as_ref().is_some_and(|held| {
            (held.frame.header.first.seq..held.frame.header.next_seq()).contains(&seq)
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
