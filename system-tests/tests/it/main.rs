//! The real programs under load and faults.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod histories;
mod hot_product;
mod kills;
mod start_script;
mod till;
