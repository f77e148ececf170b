//! What the tests of both services need to talk to one: a client, patience, its metrics read back, and
//! what it says held against its own description, or against what another system was recorded saying.
//!
//! Behind the feature `testing`, which only tests turn on. Nothing in here knows a route or a body:
//! harnesses that start a service, and the faults they make, are each service's own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

pub mod certificates;
pub mod description;
pub mod exposition;
pub mod recorded;
pub mod schema_check;

use std::time::{Duration, Instant};

use reqwest::{Client, Response};

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A client that goes nowhere by itself, and gives up after [`PATIENCE`].
///
/// # Panics
/// It cannot be built.
#[must_use]
pub fn client() -> Client {
    // Only the first of many tests in one process gets to install it.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

/// Waits until `condition` holds.
///
/// # Panics
/// It does not hold within [`PATIENCE`].
pub async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own patience is real time"
    )]
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "still not so: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// A header of an answer, if it is there and is text.
#[must_use]
pub fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}
