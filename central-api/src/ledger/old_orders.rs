//! Orders, whether they are in memory or only in the log.
//!
//! Memory has every order that goes on and those that ended last. Of an older one the index names the
//! record with its last event, and that has the whole order; nothing more becomes of it, so it is the
//! order as it stands. What retention has dropped is not there.

use std::sync::Arc;

use shared::domain::ids::OrderId;
use shared::domain::order::Order;

use super::published::Published;
use crate::journal::{Body, JournalError, Record};

impl Published {
    /// The order as it stands. Reads the log if it ended long ago, so not for threads that serve.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn order(&self, id: &OrderId) -> Result<Option<Arc<Order>>, JournalError> {
        if let Some(order) = self.books.order(id.as_str()) {
            return Ok(Some(order));
        }
        Ok(self.old_order(id)?.map(|(_, order)| order))
    }

    /// The last record about the order that leads to all others.
    ///
    /// # Errors
    /// As [`order`](Self::order).
    pub fn order_record(&self, id: &OrderId) -> Result<Option<u64>, JournalError> {
        if let Some(record) = self.books.order_record(id.as_str()) {
            return Ok(Some(record));
        }
        Ok(self.old_order(id)?.map(|(record, _)| record))
    }

    /// The order by the log alone, and the record with its last event.
    fn old_order(&self, id: &OrderId) -> Result<Option<(u64, Arc<Order>)>, JournalError> {
        if !self.books.may_have_forgotten() {
            return Ok(None);
        }
        // Looked at after memory: an order that has left it meanwhile ended before this.
        let head = self.head().seq;
        for seq in self.order_index.candidates(&*self.journal, head, id)? {
            let record = match self.record(seq) {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                // And so are those before it.
                Err(JournalError::Gone { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            let Record {
                seq,
                body: Body::Decision(record),
                ..
            } = record
            else {
                continue;
            };
            let events = record.decision.orders.into_iter().rev();
            let mut orders = events.map(|event| event.order);
            if let Some(order) = orders.find(|order| order.order_id == *id) {
                return Ok(Some((seq, order)));
            }
        }
        Ok(None)
    }

    /// Whether the index of orders turned out to be damaged and was not made again yet.
    #[must_use]
    pub fn is_index_damaged(&self) -> bool {
        self.order_index.is_damaged()
    }

    /// Brings the index of orders up to what is published. Takes a while; blocking.
    ///
    /// # Errors
    /// The log cannot be read or the index cannot be written; what was indexed still is.
    pub fn index_orders(&self) -> Result<(), JournalError> {
        self.order_index.write(&*self.journal, self.head().seq)
    }
}
