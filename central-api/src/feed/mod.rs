//! The change feeds, of products and of orders: every event, in order, from any offset, as the bytes
//! the writer made.
//!
//! [`ring`] keeps what is recent in memory; what is older comes from the segments. Everybody who
//! waits does so on one watched [`Head`](shared::view::Head): subscribe, read, then wait, so no
//! wake-up is lost and nobody has to be found.
//! Who cannot follow begins again from a snapshot of the catalogue: [`snapshot`] cuts it at one
//! exact offset, [`exports`] keeps it for everybody who asks soon after.

pub mod answer;
pub mod exports;
pub mod packed;
pub mod ring;
pub mod snapshot;
