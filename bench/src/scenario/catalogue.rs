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

    lists(&central, products, "at once", "bench").await?;
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
    // By now the search index is built.
    lists(&central, products, "later", "product").await?;
    central.stop().await
}

/// Times pages and searches, each once; `word` is in the name of every product.
async fn lists(central: &Server, products: usize, when: &str, word: &str) -> io::Result<()> {
    let one = product_id(products / 2 + word.len());
    let mut connection = Connection::open(central.address).await?;
    for (name, question) in [
        ("first page", String::new()),
        ("deep page", format!("&offset={}", products / 2)),
        ("by price", "&sort=price".to_owned()),
        ("a common word", format!("&q={word}")),
        ("one product", format!("&q={one}")),
    ] {
        let path = format!("/v1/inventory?limit=50{question}");
        let began = Instant::now();
        let response = connection.exchange(&Template::get(&path, KEY)).await?;
        if !response.is_success() {
            return Err(io::Error::other(format!("{path}: {}", response.status)));
        }
        let took = millis(began.elapsed());
        say(format_args!(
            "{:<26} {took:>8.2} ms",
            format!("{name}, {when}")
        ));
    }
    Ok(())
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
