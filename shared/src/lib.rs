//! What central and the stores share: the inventory rules, resilience policies and wire formats.
//!
//! # Layout
//!
//! - [`domain`]: the rules, pure. Ids, money, stock; `decide` and `apply`.
//! - [`policy`]: resilience as plain values (breaker, rolling window, backoff), pure.
//! - [`wire`]: what crosses the network: bodies, problem codes, the feed. No I/O.
//! - [`limits`]: every upper bound, in one file.
//! - [`clock`]: the one way to learn the time.
//! - [`causes`]: an error and what led to it, in one line.
//! - `disk` (feature `service`): what files must do for us; real and simulated.
//! - `view` (feature `view`): the in-memory catalogue that readers share with one publisher.
//! - `service` (feature `service`): HTTP plumbing without business meaning.
//! - `testing` (feature `testing`): what the tests of both services share.
//!
//! Without features this crate compiles without tokio, axum or reqwest, and that build is part of
//! the tests: the core cannot reach for a clock, a socket or a file.

pub mod causes;
pub mod clock;
#[cfg(feature = "service")]
pub mod disk;
pub mod domain;
pub mod limits;
pub mod policy;
#[cfg(feature = "service")]
pub mod service;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "view")]
pub mod view;
pub mod wire;
