//! One product that everybody wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::StatusCode;
use serde_json::json;
use system_tests::process::{Service, client};

use crate::till;

const UNITS: u64 = 1_000;
const CLIENTS: u64 = 64;

/// Sixty-four tills sell the last thousand units of one product as fast as they can. Exactly as many
/// are sold as there are, nobody is told otherwise, and nobody has to ask twice.
#[tokio::test(flavor = "multi_thread")]
async fn exactly_as_many_units_are_sold_as_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let central = Service::central(dir.path()).await.unwrap();
    let client = client().unwrap();
    till::create(&client, &central, &["HOT"], i64::try_from(UNITS).unwrap()).await;
    let (sold, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tills: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (client, url) = (client.clone(), central.url("/v1/inventory/updates"));
            let (sold, asked) = (Arc::clone(&sold), Arc::clone(&asked));
            tokio::spawn(async move {
                for sale in 0.. {
                    let body = json!({
                        "storeId": "store-s1", "productId": "HOT", "delta": -1,
                        "idempotencyKey": format!("{number}-{sale}"),
                    });
                    let moved = till::send(&client, &url, &body).await.unwrap();
                    asked.fetch_add(1, Ordering::SeqCst);
                    let left = moved.body["newQuantity"].as_i64().unwrap();
                    assert!(left >= 0, "{moved:?}");
                    if moved.status == StatusCode::CONFLICT {
                        assert_eq!(moved.body["errorType"], "insufficient_inventory");
                        assert_eq!(left, 0);
                        return;
                    }
                    assert_eq!(moved.status, StatusCode::OK);
                    sold.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for till in tills {
        till.await.unwrap();
    }
    assert_eq!(sold.load(Ordering::SeqCst), UNITS);
    // Every sale took one request; every till was refused once.
    assert_eq!(asked.load(Ordering::SeqCst), UNITS + CLIENTS);
    let product = till::read(&client, &central, "HOT").await.unwrap();
    assert_eq!(product["available"], 0);
    assert_eq!(product["version"], 1 + UNITS);
}
