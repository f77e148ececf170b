//! A large catalogue, from the import to a store that restarts with it: how long each step takes and
//! how much memory it needs.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::compare::mebibytes;
use super::say;
use super::world::{Site, serves};
use crate::client::Connection;
use crate::request::Template;
use crate::server::Server;
use crate::workload::{KEY, product_id};

/// Times the life of a catalogue of `products` products.
///
/// # Errors
/// If a server cannot be started, or refuses something.
pub async fn catalogue(site: &Site, products: usize) -> io::Result<()> {
    let began = Instant::now();
    let central = site.central(products).await?;
    report("import", began.elapsed(), &central, products);
    let (central, took) = central.restart().await?;
    report("central, start", took, &central, products);

    let mut connection = Connection::open(central.address).await?;
    for (name, path) in [
        ("first page", "/v1/inventory?limit=50".to_owned()),
        ("the same again", "/v1/inventory?limit=50".to_owned()),
        (
            "first by price",
            "/v1/inventory?limit=50&sort=price".to_owned(),
        ),
        (
            "search, a common word",
            "/v1/inventory?limit=50&q=bench".to_owned(),
        ),
        (
            "search, one product",
            format!("/v1/inventory?limit=50&q={}", product_id(products / 2)),
        ),
    ] {
        let began = Instant::now();
        let response = connection.exchange(&Template::get(&path, KEY)).await?;
        if !response.is_success() {
            return Err(io::Error::other(format!("{path}: {}", response.status)));
        }
        let took = began.elapsed();
        say(format_args!("{name:<26} {:>8.1} ms", millis(took)));
    }

    let began = Instant::now();
    let store = site.store("store-s1", central.address, products).await?;
    report("store, first sync", began.elapsed(), &store, products);
    let began = Instant::now();
    let second = site.store("store-s2", central.address, products).await?;
    report(
        "another, the same snapshot",
        began.elapsed(),
        &second,
        products,
    );
    second.stop().await?;
    let (store, took) = store.restart().await?;
    // It listens when it serves what it had.
    serves(store.address, products).await?;
    report("store, start", took, &store, products);
    store.stop().await?;
    central.stop().await
}

fn report(name: &str, took: Duration, server: &Server, products: usize) {
    let took = took.as_secs_f64();
    let memory = server.memory().unwrap_or(0);
    let each = memory / u64::try_from(products.max(1)).unwrap_or(u64::MAX);
    say(format_args!(
        "{name:<26} {took:>8.2} s   {:.0} MiB, {each} B a product",
        mebibytes(memory)
    ));
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
