//! The store's cache on disk; formats and promises are in `docs/store-replica.md`.
//!
//! [`Folder`] owns the files and is used by one thread. It knows nothing of networks or time: it is
//! told to append, sync, checkpoint and install, and each of these may be cut short by a crash at
//! any step. What must stay true: what [`Folder::open`] finds is the exact state of one log at one
//! offset.
//!
//! What it leaves out: when to do these things (`keeper`), and the live copy (`publisher`).

mod folder;
mod index;
mod journal;
mod line;
mod merge;
mod open;
mod served;
mod snapshot;
#[cfg(test)]
mod tests;

pub use folder::{Folder, Install};
pub use index::Index;
pub use merge::{MergeFault, MergeJob, row_of};
pub use open::Copy;
pub use served::Served;
pub use snapshot::{Finished, Header, SnapshotFault, SnapshotWriter, Summary, Trailer};
