//! Was what the clients saw possible? A judge of recorded histories.
//!
//! Central promises that operations on one product are linearizable: each takes effect at one
//! instant between its call and its answer. Clients record what they asked and what they were told
//! ([`Recorder`]); afterwards two checkers that share nothing but the [`State`] they step look for
//! an order of instants that explains every answer.
//!
//! - [`witness`] believes the versions and offsets in the answers and checks that they fit: sorted
//!   once, then linear. It judges millions of operations, and its verdict is the sharper one about
//!   offsets, but where outcomes are unknown it only asks for the necessary.
//! - [`search`] is the algorithm of Wing and Gong with Lowe's memory, product by product
//!   (linearizability is local). It believes nothing and decides, unknown outcomes included.
//!
//! An answer that never came is *unknown*, never *failed*: the operation may take effect at any
//! later time, or never. Mistaking a time-out for a failure is how double effects stay hidden.
//!
//! What it leaves out: batches (their atomicity is checked on the log) and stores' reads, which
//! promise less (see the convergence checks).
//!
//! Existing crates were looked at: model checkers' testers need seconds for a thousand operations,
//! the others are generic, without a reduction for reads, and no longer kept up.

pub mod history;
mod recorder;
pub mod search;
#[cfg(test)]
mod tests;
pub mod witness;

use std::fmt;
use std::sync::Arc;

pub use history::{History, Op, Outcome, Request, State};
pub use recorder::{Pending, Recorder};

/// Why a history is impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// About which product.
    pub product: Arc<str>,
    /// Which operation shows it, as its place in [`History::ops`].
    pub op: Option<usize>,
    /// What is wrong, for people.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "product {}: {}", self.product, self.what)?;
        match self.op {
            Some(op) => write!(f, " (operation {op})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Violation {}

/// Asks both checkers.
///
/// # Errors
/// The first violation.
pub fn check(history: &History) -> Result<(), Violation> {
    witness::check(history)?;
    search::check(history)
}
