//! Clients that mean harm, or know no better, against the real program.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod bodies;
mod program;
mod stopping;
mod trickle;
