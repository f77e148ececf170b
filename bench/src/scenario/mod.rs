//! The measurements.
//!
//! Where a figure is stated as a share of the ceiling, ceiling and service are measured in turns
//! (A B A B ...), so that a noisy neighbour or a warmer processor meets both.

pub mod catalogue;
pub mod compare;
pub mod expiry;
pub mod feed;
pub mod propagation;
pub mod throughput;
pub mod world;

use std::fmt;

/// Prints one line of results.
#[expect(clippy::print_stdout, reason = "results are what a bench is for")]
pub fn say(line: impl fmt::Display) {
    println!("{line}");
}
