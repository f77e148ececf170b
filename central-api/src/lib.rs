//! The central inventory service.
//!
//! See `ARCHITECTURE.md` for the map. [`journal`] is what was decided, durably; [`ledger`] decides;
//! [`feed`] is how others follow; [`payments`] takes money; [`http`] is what crosses the network; [`faults`] makes calls fail on
//! purpose; [`metrics`] is what an operator is told; [`startup`] puts them together.

pub mod cli;
pub mod config;
pub mod export;
pub mod faults;
pub mod feed;
pub mod first_key;
pub mod http;
pub mod ids;
pub mod import;
pub mod journal;
pub mod key_use;
pub mod ledger;
pub mod metrics;
pub mod orders;
pub mod payments;
pub mod startup;
mod tasks;
pub mod verify;
