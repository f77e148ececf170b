//! What happened to one order and what was refused to happen, oldest first, and how it stood at one of
//! its versions.
//!
//! The log is walked backwards from the newest record to the version that is asked for, so a reader
//! that follows an order reads only what it has not seen. An event is written again here from what
//! its record says; the bytes are those of the feed. A refused attempt stands behind the event after
//! which it came. It has no version of its own, so pages are cut at events only: it is told with the
//! event before it on the last page, and on any other at the beginning of the next.

use std::collections::VecDeque;
use std::sync::Arc;

use shared::clock::Timestamp;
use shared::domain::Rejection;
use shared::domain::ids::OrderId;
use shared::domain::order::Order;
use shared::domain::origin::Origin;
use shared::limits;
use shared::wire::event::{Batch, Position};
use shared::wire::product::Encoder;

use super::walk::{Step, Walk};
use crate::journal::JournalError;
use crate::ledger::Published;

/// One thing that happened to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// The order's version after it.
    pub version: u64,
    /// The event, as it stands in the feed.
    pub text: String,
}

/// An attempt to move an order that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub origin: Origin,
    /// The kind of command.
    pub command: Box<str>,
    /// Why not.
    pub rejection: Rejection,
    /// At which version the order stood; `None` if that is too far back to look for.
    pub version: Option<u64>,
}

/// One entry of an order's past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It changed.
    Happened(Happened),
    /// It did not.
    Refused(Box<Refused>),
}

/// Some of what happened to an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Oldest first.
    pub entries: Vec<Told>,
    /// The version after the last event, if there is one.
    pub last: Option<u64>,
    /// Whether there is more after the last.
    pub has_more: bool,
    /// Whether something before the first could not be reached: dropped by retention, or too far
    /// back to look for.
    pub is_cut: bool,
}

/// What happened to the order after version `after`, at most `limit` events of it, and what was
/// refused then; `None` if there is no such order.
///
/// # Errors
/// The log cannot be read.
pub fn past(
    published: &Published,
    id: &OrderId,
    after: u64,
    limit: usize,
) -> Result<Option<Past>, JournalError> {
    let Some(mut walk) = Walk::of_order(published, id, limits::HISTORY_RECORDS)? else {
        return Ok(None);
    };
    let mut past = Past::default();
    let mut found = Found::default();
    let mut encoder = Encoder::new();
    'back: loop {
        let (at, record) = match walk.step()? {
            Step::Record { at, record, .. } => (at, record),
            Step::Beginning => break,
            Step::Dropped | Step::Enough => {
                past.is_cut = true;
                break;
            }
        };
        let mut rejections = record.decision.rejections();
        if let Some(rejection) = rejections.find(|it| it.order_id() == Some(id)) {
            found.refused(Refused {
                at,
                origin: record.origin.clone(),
                command: record.kind.clone(),
                rejection: rejection.clone(),
                version: None,
            });
        }
        let size = u32::try_from(record.decision.orders.len()).unwrap_or(u32::MAX);
        let first = record.first.orders;
        for (index, event) in (0..size).zip(&record.decision.orders).rev() {
            if event.order.order_id != *id {
                continue;
            }
            found.stood_at(event.order.version);
            if event.order.version <= after {
                break 'back;
            }
            let position = Position {
                offset: first + u64::from(index),
                at,
                batch: (size > 1).then_some(Batch {
                    id: first,
                    size,
                    index,
                }),
            };
            let mut text = Vec::new();
            encoder.order_event(&mut text, position, event, &record.origin);
            found.happened(Happened {
                version: event.order.version,
                text: String::from_utf8_lossy(&text).into_owned(),
            });
            // What comes after the page is not kept, however long the past is.
            if found.events > limit {
                found.leave_last();
                past.has_more = true;
            }
        }
    }
    past.last = found.last();
    past.entries = found.entries.into();
    Ok(Some(past))
}

/// A page that grows backwards.
#[derive(Default)]
struct Found {
    entries: VecDeque<Told>,
    events: usize,
}

impl Found {
    fn refused(&mut self, refused: Refused) {
        self.entries.push_front(Told::Refused(Box::new(refused)));
    }

    fn happened(&mut self, event: Happened) {
        self.entries.push_front(Told::Happened(event));
        self.events += 1;
    }

    /// The attempts in front came when the order was at this version.
    fn stood_at(&mut self, version: u64) {
        for entry in &mut self.entries {
            match entry {
                Told::Refused(refused) => refused.version = Some(version),
                Told::Happened(_) => return,
            }
        }
    }

    /// Leaves the last event to the next page, and the attempts before and after it.
    fn leave_last(&mut self) {
        self.leave_attempts();
        self.entries.pop_back();
        self.events = self.events.saturating_sub(1);
        self.leave_attempts();
    }

    fn leave_attempts(&mut self) {
        while matches!(self.entries.back(), Some(Told::Refused(_))) {
            self.entries.pop_back();
        }
    }

    fn last(&self) -> Option<u64> {
        self.entries.iter().rev().find_map(|entry| match entry {
            Told::Happened(event) => Some(event.version),
            Told::Refused(_) => None,
        })
    }
}

/// The order at `version`; `None` if it was never at that, or retention has dropped it. However much
/// has been asked of it since: what a repeat is answered must not depend on that.
///
/// # Errors
/// The log cannot be read.
pub fn at_version(
    published: &Published,
    id: &OrderId,
    version: u64,
) -> Result<Option<Arc<Order>>, JournalError> {
    newest(published, id, |_, order| order.version == version)
}

/// The order as the record `seq` found or left it; `None` if there was none, or retention has dropped
/// it.
///
/// # Errors
/// The log cannot be read.
pub fn as_of(
    published: &Published,
    id: &OrderId,
    seq: u64,
) -> Result<Option<Arc<Order>>, JournalError> {
    newest(published, id, |record, _| record <= seq)
}

/// The order after its newest event that `is_it`, by the event's record and what it made of the order.
fn newest(
    published: &Published,
    id: &OrderId,
    is_it: impl Fn(u64, &Order) -> bool,
) -> Result<Option<Arc<Order>>, JournalError> {
    let Some(mut walk) = Walk::of_order(published, id, usize::MAX)? else {
        return Ok(None);
    };
    while let Step::Record { seq, record, .. } = walk.step()? {
        let mut events = record.decision.orders.into_iter().rev();
        let then = events.find(|it| it.order.order_id == *id && is_it(seq, &it.order));
        if let Some(event) = then {
            return Ok(Some(event.order));
        }
    }
    Ok(None)
}
