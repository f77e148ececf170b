//! What crosses the network and what is written to files; changes here are API changes.
//!
//! Encoding is by hand where it is hot (one pass into a byte buffer, no intermediate value) and the
//! same bytes go into the journal, the feed and the snapshots. Decoding is serde with borrowed
//! text.

pub mod event;
pub mod headers;
pub mod object;
pub mod problem;
pub mod product;
pub mod unique;
