//! Central and stores together, with faults, and the checkers that judge what they did.
//!
//! - [`configuration`]: `docs/configuration.md`, written from the programs.
//! - [`linearizability`]: could any order of instants explain what the clients saw?
//! - [`process`]: the real programs, started and killed.
//! - [`prometheus`]: Debian's Prometheus with our configuration and rules.
//! - [`proxy`]: what stands between them, and how it fails.

pub mod configuration;
pub mod linearizability;
pub mod process;
pub mod prometheus;
pub mod proxy;
