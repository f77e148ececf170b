//! The change feed: every event, in order, from any offset, as the bytes the writer made.
//!
//! [`ring`] keeps what is recent in memory; what is older comes from the segments. Everybody who
//! waits does so on one watched [`Head`](shared::view::Head): subscribe, read, then wait, so no
//! wake-up is lost and nobody has to be found.

pub mod answer;
pub mod ring;
