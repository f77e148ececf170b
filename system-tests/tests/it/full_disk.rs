//! A disk that fills up under a central that sells, and has room again.

use std::fs::{self, File};
use std::io::Write as _;

use reqwest::Client;
use serde_json::{Value, json};
use system_tests::process::{KEY, Service, client, until};

use crate::scene::PATIENCE;
use crate::till;

/// What central keeps for finishing what was begun, and as much again, in MiB.
const DISK_MIB: u32 = 512;

/// Sells a unit; the status and the code of a refusal.
async fn sell(client: &Client, central: &Service, key: u32) -> (u16, Value) {
    let body = json!({"storeId": "store-s1", "productId": "A", "delta": -1, "idempotencyKey": key.to_string()});
    let request = client.post(central.url("/v1/inventory/updates"));
    let answer = request
        .header("X-API-Key", KEY)
        .json(&body)
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (
        status,
        answer.json::<Value>().await.unwrap()["code"].clone(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_stops_sales_and_nothing_else_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let central = Service::central_on_a_small_disk(dir.path(), DISK_MIB).await;
    let mut central = central.expect("user namespaces, as Debian has them");
    let client = client().unwrap();
    till::create(&client, &central, &["A"], 1_000).await;
    assert_eq!(sell(&client, &central, 0).await.0, 200);

    // Somebody else's file takes all but what is kept, and then some.
    let filler = central.small_disk().join("filler");
    let mut file = File::create(&filler).unwrap();
    let megabyte = vec![b'x'; 1024 * 1024];
    (0..DISK_MIB - 200).for_each(|_| file.write_all(&megabyte).unwrap());
    let sold = std::sync::atomic::AtomicU32::new(1);
    let next = || sold.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    until("sales are refused", PATIENCE, async || {
        let key = next();
        match sell(&client, &central, key).await {
            (200, _) => false,
            (503, code) if code == "storage_full" => {
                // It was not sold; its key is free.
                sold.store(key, std::sync::atomic::Ordering::Relaxed);
                true
            }
            other => panic!("{other:?}"),
        }
    })
    .await
    .unwrap();
    let sold = sold.into_inner();
    let now = till::read(&client, &central, "A").await.unwrap();
    assert_eq!(now["available"], 1_000 - sold);
    let feed = client.get(central.url("/v1/inventory/events?offset=0&limit=1"));
    let feed = feed.header("X-API-Key", KEY).send().await.unwrap();
    assert_eq!(feed.status(), 200);

    fs::remove_file(&filler).unwrap();
    drop(file);
    // The refused sale, sent again with its key, is made once.
    let again = async || sell(&client, &central, sold).await.0 == 200;
    until("sales go on", PATIENCE, again).await.unwrap();
    assert_eq!(sell(&client, &central, sold).await.0, 200);
    let now = till::read(&client, &central, "A").await.unwrap();
    assert_eq!(now["available"], 1_000 - sold - 1);
    assert!(central.stop(PATIENCE).await.unwrap());
}
