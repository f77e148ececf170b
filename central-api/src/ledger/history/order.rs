//! What happened to one order, oldest first, and how it stood at one of its versions.
//!
//! The log is walked backwards from the newest record to the version that is asked for, so a reader
//! that follows an order reads only what it has not seen. An event is written again here from what
//! its record says; the bytes are those of the feed.

use std::collections::VecDeque;
use std::sync::Arc;

use shared::domain::ids::OrderId;
use shared::domain::order::Order;
use shared::limits;
use shared::wire::event::{Batch, Position};
use shared::wire::product::Encoder;

use super::walk::{Step, Subject, Walk};
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

/// Some of what happened to an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Oldest first.
    pub events: Vec<Happened>,
    /// Whether there is more after the last.
    pub has_more: bool,
    /// Whether something before the first could not be reached: dropped by retention, or too far
    /// back to look for.
    pub is_cut: bool,
}

/// What happened to the order after version `after`, at most `limit` events of it; `None` if it is
/// not remembered.
///
/// # Errors
/// The log cannot be read.
pub fn past(
    published: &Published,
    id: &OrderId,
    after: u64,
    limit: usize,
) -> Result<Option<Past>, JournalError> {
    let walk = Walk::new(published, Subject::Order(id), limits::HISTORY_RECORDS);
    let Some(mut walk) = walk else {
        return Ok(None);
    };
    let mut past = Past::default();
    let mut found: VecDeque<Happened> = VecDeque::new();
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
        let size = u32::try_from(record.decision.orders.len()).unwrap_or(u32::MAX);
        let first = record.first.orders;
        for (index, event) in (0..size).zip(&record.decision.orders).rev() {
            if event.order.order_id != *id {
                continue;
            }
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
            found.push_front(Happened {
                version: event.order.version,
                text: String::from_utf8_lossy(&text).into_owned(),
            });
            // What comes after the page is not kept, however long the past is.
            if found.len() > limit {
                found.pop_back();
                past.has_more = true;
            }
        }
    }
    past.events = found.into();
    Ok(Some(past))
}

/// The order at `version`; `None` if it was never at that, or retention has dropped it.
///
/// # Errors
/// The log cannot be read.
pub fn at_version(
    published: &Published,
    id: &OrderId,
    version: u64,
) -> Result<Option<Arc<Order>>, JournalError> {
    let walk = Walk::new(published, Subject::Order(id), limits::HISTORY_RECORDS);
    let Some(mut walk) = walk else {
        return Ok(None);
    };
    while let Step::Record { record, .. } = walk.step()? {
        let mut events = record.decision.orders.into_iter();
        let then = events.find(|it| it.order.order_id == *id && it.order.version == version);
        if let Some(event) = then {
            return Ok(Some(event.order));
        }
    }
    Ok(None)
}
