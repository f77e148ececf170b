//! Reservations, orders and their money, decided by the rules alone.
//!
//! `world` is everything an order meets: the state, and in `bank` a payment provider that remembers
//! what it really did, whatever it answered. `count` counts the units beside the rules. `properties`
//! does anything in any order; `saga` holds the three checks that every saga must pass, and the
//! crashes between its steps; `holds`, `payments` and `refunds` are tables of single rules.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test stops at the first surprise"
)]

mod bank;
mod count;
mod holds;
mod payments;
mod properties;
mod refunds;
mod saga;
mod world;
