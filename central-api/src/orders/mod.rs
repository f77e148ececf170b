//! Orders beyond the ledger: asking the payment provider for what an order still needs.
//!
//! What has to be done is a function of the order ([`next_step`](shared::domain::order::next_step));
//! what its outcome leads to is decided by the ledger. [`runner`] sits between the two and keeps
//! nothing of its own: it takes the step, records what came of it durably, and looks again. A process
//! that dies anywhere in this goes on from the log, and takes a step twice at worst, under the same
//! key ([`calls`]).

mod calls;
pub mod runner;

pub use runner::Runner;
