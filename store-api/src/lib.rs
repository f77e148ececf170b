//! The shop's own inventory service: serves from its cache, follows central, writes through it.
//!
//! # Layout
//!
//! - [`replica`]: the shop's copy: files, follower, live catalogue, freshness.
//! - [`central`]: the client: timeout → breaker → keyed retry.
//! - [`http`]: the routes of the shop, and of a relay.
//! - [`order_news`]: what becomes of the shop's orders, for its page.
//! - [`startup`]: the wiring; [`tasks`]: what runs beside requests; [`config`]: the settings;
//!   [`metrics`]: what an operator is told.
//!
//! The promises, the states and the file formats are in `docs/store-replica.md`.

pub mod central;
pub mod cli;
pub mod config;
pub mod http;
pub mod metrics;
pub mod order_news;
pub mod replica;
pub mod startup;
pub mod tasks;

pub use config::{Config, Settings};
pub use startup::run;
