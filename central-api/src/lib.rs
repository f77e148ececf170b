//! The central inventory service.
//!
//! See `ARCHITECTURE.md` for the map. [`journal`] is what was decided, durably; [`ledger`] decides.

pub mod feed;
pub mod http;
pub mod journal;
pub mod ledger;
