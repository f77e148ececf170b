//! The rules, pure: no clock, no randomness, no environment, no I/O, no async.
//!
//! Values are parsed once at the edge and valid ever after, so no rule re-checks a length or a
//! sign. Time comes in as an argument. What a rule decides depends on its arguments alone, which
//! is what lets the same code run in central, in every store, in replay and in the simulators.

#![warn(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

pub mod access;
pub mod command;
pub mod decide;
pub mod decision;
pub mod ids;
pub mod inventory;
pub mod money;
pub mod order;
pub mod origin;
pub mod rejection;
pub mod state;

pub use command::Command;
pub use decide::decide;
pub use decision::{Decision, ItemResult};
pub use rejection::Rejection;
pub use state::State;
