//! An order as it stood at one of its versions.
//!
//! Each record about an order names the one before it, so its past is a walk from its last record
//! back; an order has a handful of them.
//!
//! What must stay true: the version that is asked for, or none; never another one.

use std::sync::Arc;

use shared::domain::ids::OrderId;
use shared::domain::order::Order;
use shared::limits;

use crate::journal::{Body, JournalError};
use crate::ledger::Published;

/// The order at `version`; `None` if it was never at that, or retention has dropped it.
///
/// # Errors
/// The log cannot be read.
pub fn at_version(
    published: &Published,
    id: &OrderId,
    version: u64,
) -> Result<Option<Arc<Order>>, JournalError> {
    let mut next = published.books.order_record(id.as_str()).unwrap_or(0);
    for _ in 0..limits::HISTORY_RECORDS {
        let record = match published.record(next) {
            Ok(Some(record)) => record,
            Ok(None) | Err(JournalError::Gone { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Body::Decision(record) = record.body else {
            return Ok(None);
        };
        let mut events = record.decision.orders.into_iter();
        let found = events.find(|it| it.order.order_id == *id && it.order.version == version);
        if let Some(event) = found {
            return Ok(Some(event.order));
        }
        let before = record.prev.orders.iter().find(|(known, _)| known == id);
        match before {
            Some((_, before)) if *before > 0 && *before < next => next = *before,
            Some(_) | None => return Ok(None),
        }
    }
    Ok(None)
}
