//! Central is killed without warning, again and again, while everybody writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::StatusCode;
use serde_json::{Value, json};
use system_tests::process::{Service, client, until};
use tokio::sync::watch;

use crate::scene::converges;
use crate::till;

const KILLS: u64 = 20;
const WRITERS: usize = 64;
const PRODUCTS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];
const UNITS: i64 = 1_000_000;
/// Answers between two kills.
const ANSWERS: u64 = 300;
const PATIENCE: Duration = Duration::from_secs(60);

/// What the writers share.
struct Shop {
    client: reqwest::Client,
    url: String,
    /// Keys of acknowledged sales, with the first answer.
    acknowledged: Mutex<HashMap<String, (Value, Value)>>,
    answers: AtomicU64,
    done: AtomicBool,
}

/// Goal: nothing that was acknowledged is lost, nothing happens twice, and stores end up with
/// central's bytes. Method: 64 writers with a key for every sale, who ask again with the same key
/// until they are answered; central is killed and started again 20 times in their midst.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_lose_nothing_and_repeat_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut central = Service::central(&dir.path().join("central")).await.unwrap();
    let client = client().unwrap();
    till::create(&client, &central, &PRODUCTS, UNITS).await;
    let mut stores = Vec::new();
    for id in ["store-s1", "store-s2"] {
        stores.push(
            Service::store(id, &dir.path().join(id), central.address())
                .await
                .unwrap(),
        );
    }
    let shop = Arc::new(Shop {
        client: client.clone(),
        url: central.url("/v1/inventory/updates"),
        acknowledged: Mutex::default(),
        answers: AtomicU64::new(0),
        done: AtomicBool::new(false),
    });
    let (up, is_up) = watch::channel(0_u64);
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| tokio::spawn(write(Arc::clone(&shop), number, is_up.clone())))
        .collect();
    for kill in 1..=KILLS {
        let enough = kill * ANSWERS;
        until("enough answers", PATIENCE, || async {
            shop.answers.load(Ordering::SeqCst) >= enough
        })
        .await
        .unwrap();
        central.kill().unwrap();
        central.restart().await.unwrap();
        up.send_replace(kill);
    }
    shop.done.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }

    let acknowledged = shop.acknowledged.lock().clone();
    assert!(acknowledged.len() as u64 >= KILLS * ANSWERS);
    let all = till::everything(&client, &central.url("/v1/inventory"))
        .await
        .unwrap();
    let left: i64 = all
        .iter()
        .map(|product| product["available"].as_i64().unwrap())
        .sum();
    let missing = i64::try_from(PRODUCTS.len()).unwrap() * UNITS - left;
    assert_eq!(
        missing,
        i64::try_from(acknowledged.len()).unwrap(),
        "units missing = sales"
    );

    for (key, (request, first)) in &acknowledged {
        let again = till::send(&client, &shop.url, request).await.unwrap();
        assert_eq!(again.status, StatusCode::OK, "{key}");
        assert!(again.replayed, "{key}");
        assert_eq!(again.body, *first, "{key}");
    }
    for store in &stores {
        converges(&client, &central, store).await;
    }
}

/// Sells one unit after the other, each under its own key, until it is told to stop.
async fn write(shop: Arc<Shop>, number: usize, mut is_up: watch::Receiver<u64>) {
    for sale in 0.. {
        if shop.done.load(Ordering::SeqCst) {
            return;
        }
        let key = format!("w{number}-{sale}");
        let request = json!({
            "storeId": "store-s1", "productId": PRODUCTS[(number + sale) % PRODUCTS.len()],
            "delta": -1, "idempotencyKey": key,
        });
        loop {
            let seen = *is_up.borrow_and_update();
            if let Some(moved) = till::send(&shop.client, &shop.url, &request).await {
                assert_eq!(moved.status, StatusCode::OK, "{moved:?}");
                shop.acknowledged.lock().insert(key, (request, moved.body));
                shop.answers.fetch_add(1, Ordering::SeqCst);
                break;
            }
            // No answer: it may have happened or not. Ask again once central is back.
            if *is_up.borrow() == seen {
                drop(tokio::time::timeout(Duration::from_secs(1), is_up.changed()).await);
            }
        }
    }
}
