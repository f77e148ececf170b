//! `(state, command, now) → decision`, pure.
//!
//! Each part decides for itself. What comes on top is what one part's facts mean to another: an order
//! whose hold has run out is given up in the same decision, whoever it was that met the hold.

use super::command::Command;
use super::decision::Decision;
use super::state::State;
use super::{access, inventory, order};
use crate::clock::Timestamp;

/// Decides `command` against `state` at `now`.
#[must_use]
pub fn decide(state: &State, command: &Command, now: Timestamp) -> Decision {
    let mut decision = match command {
        Command::Inventory(command) => inventory::decide(&state.inventory, command, now),
        Command::Order(command) => order::decide(state, command, now),
        Command::Access(command) => access::decide(&state.access, command, now),
    };
    if !decision.reservations.is_empty() {
        order::decide::give_up_expired(state, &mut decision, now);
    }
    decision
}
