//! Plumbing of both binaries, without business meaning.
//!
//! A request comes in through [`server`] (accept loop, connection limits), in clear or over [`tls`], on
//! one of the [`workers`], meets one layer, [`request_context`] (ids, access log, panics, problems), may be
//! one too many ([`rate_limit`]), is read with [`extract`] and [`auth`],
//! what its headers say of a write is in [`idempotency`] and [`precondition`], and what goes wrong
//! leaves as a [`problem_response`]. Beside that: [`telemetry`] writes the log,
//! [`shutdown`] turns signals into a token, [`health`] says how the service is, [`guard`] keeps calls
//! to others behind a breaker, [`system_clock`] is the one reader of the wall clock. [`feed`] is
//! what central and a relay must say alike, [`live`] what their pages are told, [`metrics`] what whoever
//! runs the service is told.
//!
//! Nothing here knows what a product is. What stays out: sessions, and whatever only one service
//! needs.

pub mod auth;
pub mod breakers;
pub mod compression;
pub mod cors;
pub mod disk_space;
pub mod encoding;
pub mod extract;
pub mod feed;
pub mod guard;
pub mod health;
pub mod idempotency;
pub mod live;
pub mod log_level;
pub mod metrics;
pub mod openapi;
pub mod precondition;
pub mod problem_response;
pub mod query;
pub mod rate_limit;
pub mod request_context;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod sse;
pub mod system_clock;
pub mod telemetry;
pub mod tls;
pub mod traces;
pub mod workers;
