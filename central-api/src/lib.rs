//! The central inventory service.
//!
//! See `ARCHITECTURE.md` for the map. [`journal`] is what was decided, durably; [`ledger`] decides;
//! [`feed`] is how others follow; [`http`] is what crosses the network.

pub mod feed;
pub mod journal;
pub mod ledger;
