//! The ledger: one writer decides, everything else reads what it recorded.
//!
//! [`writer::Writer`] is the pure heart with its state ([`fold::Fold`]) and the idempotency window
//! ([`keys::KeyWindow`]); [`open`] brings it back after a stop or a crash; [`snapshot`] keeps that
//! short; [`history`] reads one product's past; `order_index` finds orders that are only in the log;
//! [`run`] is the handle, [`published`] what readers see, `access` who they are, [`pipeline`] the two
//! threads, [`inbox`] a bounded queue, [`latecomers`] those who lost a race, and [`herald`] a voice.
//!
//! What must stay true: nothing is answered or shown before its frame is durable, and a frame that
//! cannot be made durable ends the process.

mod access;
mod books;
pub mod fold;
mod herald;
pub mod history;
pub mod inbox;
pub mod keys;
mod latecomers;
mod old_orders;
pub mod open;
mod order_index;
pub mod order_lists;
mod pipeline;
mod publication;
pub mod published;
pub mod run;
pub mod snapshot;
pub mod writer;

pub use access::{AccessBook, NotOpened};
pub use books::{BookFigures, Books, HoldPlace, hold_place};
pub use fold::Fold;
pub use inbox::Reply;
pub use keys::{KeyRetention, Retention};
pub use publication::{Decided, Publication, Touched};
pub use published::{Published, SnapshotMark};
pub use run::{Ledger, LedgerOptions, LedgerThreads, Outcome, SubmitError};
pub use writer::{Answer, Request, Writer};
