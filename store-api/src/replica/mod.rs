//! The shop's copy of central: files, follower, live catalogue, freshness.
//!
//! The promises, the state diagram and the file formats are in `docs/store-replica.md`.

pub mod answer;
pub mod batch;
pub mod files;
pub mod follower;
pub mod follower_core;
pub mod freshness;
pub mod keeper;
pub mod live;
pub mod position;
pub mod resync;
pub mod status;
pub mod tail;
#[cfg(test)]
pub(crate) mod testing;
mod trouble;
