//! The store as a whole, against a central that is as faithful, or as faithless, as a test wants.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod fake_central;
mod harness;

mod breaker;
mod compressed;
mod cut_off;
mod follows;
mod hostile_answers;
mod live_page;
mod metrics;
mod orders;
mod other_log;
mod process;
mod rate_limits;
mod relay;
mod relay_keys;
mod writes;
