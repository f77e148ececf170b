//! The load generator: measures what a user would notice, and prints a ceiling beside it.
//!
//! - [`client`], [`request`]: a lean HTTP client and the bytes it sends.
//! - [`workload`]: what is asked for.
//! - [`drive`]: many connections at once, closed or open loop.
//! - [`tally`]: counts and latencies.
//! - [`ceiling`]: a server that does nothing, for comparison.
//! - [`server`]: starts and stops the processes that are measured.
//! - [`scenario`]: the measurements themselves, one file each.
//!
//! Figures are for people, so nothing here is a test of speed: a shared machine would make it fail
//! for no reason. What is tested is that the bench counts right.

pub mod ceiling;
pub mod client;
pub mod drive;
pub mod request;
pub mod scenario;
pub mod server;
pub mod tally;
pub mod workload;
