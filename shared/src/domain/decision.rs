//! What a command leads to: one result an item, and the facts that follow.
//!
//! Every fact carries the whole of what it is about as it stands afterwards (a product, a
//! reservation, an order), so that folding one in is putting it in place and cannot fail, and a
//! reader needs no older fact to understand it. All facts of one decision count together or not at
//! all: that is what lets an order and the units it holds never disagree.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::access::ApiKey;
use super::inventory::{Event, Reservation};
use super::order;
use super::rejection::Rejection;

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemResult {
    /// Applied; the event at this index of [`Decision::events`]. A command about a reservation or an
    /// order has one item, whose index says nothing.
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
    /// What happened to products, in order; empty if nothing was applied.
    pub events: Vec<Event>,
    /// Reservations that came to be, changed, or were asked to become what they are, as they stand
    /// afterwards.
    pub reservations: Vec<Reservation>,
    /// What happened to orders, in order.
    pub orders: Vec<order::Event>,
    /// API keys that came to be or changed, as they stand afterwards.
    pub api_keys: Vec<Arc<ApiKey>>,
}

impl Decision {
    /// A decision about one thing that was refused.
    #[must_use]
    pub fn refused(rejection: Rejection) -> Self {
        Self {
            results: vec![ItemResult::Refused(rejection)],
            ..Self::default()
        }
    }

    /// A decision about one thing that is as it was asked to be already.
    #[must_use]
    pub fn unchanged() -> Self {
        Self {
            results: vec![ItemResult::Unchanged],
            ..Self::default()
        }
    }

    /// Whether any item was refused.
    #[must_use]
    pub fn has_refusal(&self) -> bool {
        self.rejections().next().is_some()
    }

    /// Why items were refused.
    pub fn rejections(&self) -> impl Iterator<Item = &Rejection> {
        self.results.iter().filter_map(|result| match result {
            ItemResult::Refused(rejection) => Some(rejection),
            ItemResult::Applied(_) | ItemResult::Unchanged => None,
        })
    }

    /// Whether anything is other than before.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        !(self.events.is_empty()
            && self.reservations.is_empty()
            && self.orders.is_empty()
            && self.api_keys.is_empty())
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
        self.changes_something() || self.rejections().all(Rejection::is_remembered)
    }
}
