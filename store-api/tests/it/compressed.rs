//! Long answers of a store come packed to whoever takes them so, and unpack to the same bytes.

use std::io::Read;

use serde_json::{Value, json};

use crate::fake_central::{FakeCentral, WORDY};
use crate::harness::{KEY, TestStore, eventually, header};

async fn get_as(store: &TestStore, path: &str, coding: &str) -> reqwest::Response {
    let request = store.client.get(format!("{}{path}", store.url));
    let request = request.header("x-api-key", KEY);
    let sent = request.header("accept-encoding", coding).send().await;
    sent.unwrap()
}

fn unpacked(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match coding {
        "gzip" => {
            flate2::read::GzDecoder::new(bytes)
                .read_to_end(&mut text)
                .unwrap();
        }
        _ => text = zstd::decode_all(bytes).unwrap(),
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_batch_is_answered_packed_and_one_movement_plainly() {
    let (_central, store) = shop().await;
    let send = async |path: &str, coding: &str, body: &Value| {
        let request = store.client.post(format!("{}{path}", store.url));
        let request = request
            .header("x-api-key", KEY)
            .header("accept-encoding", coding);
        request.json(body).send().await.unwrap()
    };
    let lines: Vec<_> = (1..=40)
        .map(|line| json!({"productId": "PROD-002", "delta": -1, "idempotencyKey": format!("line-{line}")}))
        .collect();
    let batch = json!({"storeId": "store-s1", "updates": lines});
    for path in [
        "/v1/store/inventory/batch-updates",
        "/v1/store/inventory/updates",
        "/v1/inventory/updates",
    ] {
        // The keys make every answer after the first the same one.
        let plain = send(path, "identity", &batch).await;
        assert_eq!(plain.status(), 200, "{path}");
        assert_eq!(header(&plain, "content-encoding"), None, "{path}");
        let plain = plain.bytes().await.unwrap();
        assert!(plain.len() > 1_024, "{path}");
        for coding in ["gzip", "zstd"] {
            let packed = send(path, coding, &batch).await;
            assert_eq!(header(&packed, "content-encoding"), Some(coding), "{path}");
            assert_eq!(header(&packed, "vary"), Some("Accept-Encoding"), "{path}");
            let packed = packed.bytes().await.unwrap();
            assert!(packed.len() * 2 < plain.len(), "{path} {coding}");
            assert_eq!(unpacked(coding, &packed), plain, "{path} {coding}");
        }
    }
    let one = json!({"productId": "PROD-001", "delta": -1, "idempotencyKey": "one"});
    let one = send("/v1/store/inventory/updates", "gzip, zstd", &one).await;
    assert_eq!(one.status(), 200);
    assert_eq!(header(&one, "content-encoding"), None);
}

async fn shop() -> (FakeCentral, TestStore) {
    let central = FakeCentral::start(100).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(100).await;
    for units in 0..40 {
        central.put("PROD-001", units);
    }
    store.live_at(140).await;
    (central, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_of_a_store_comes_packed_and_unpacks_to_the_same_bytes() {
    let (_central, store) = shop().await;
    for path in [
        "/v1/store/inventory?limit=100",
        "/v1/inventory/events?offset=100&limit=40",
        "/openapi.json",
    ] {
        let plain = store.get(path).await;
        assert_eq!(header(&plain, "content-encoding"), None, "{path}");
        assert_eq!(header(&plain, "vary"), Some("Accept-Encoding"), "{path}");
        let tag = header(&plain, "etag").map(str::to_owned);
        let plain = plain.bytes().await.unwrap();
        assert!(plain.len() > 1_024, "{path}");
        for coding in ["gzip", "zstd"] {
            let packed = get_as(&store, path, coding).await;
            assert_eq!(packed.status(), 200, "{path}");
            assert_eq!(header(&packed, "content-encoding"), Some(coding), "{path}");
            assert_eq!(header(&packed, "vary"), Some("Accept-Encoding"), "{path}");
            // A tag names bytes, and these are others.
            if let Some(tag) = &tag {
                assert_ne!(header(&packed, "etag"), Some(tag.as_str()), "{path}");
            }
            let packed = packed.bytes().await.unwrap();
            assert!(packed.len() * 2 < plain.len(), "{path} {coding}");
            assert_eq!(unpacked(coding, &packed), plain, "{path} {coding}");
        }
    }
}

/// Its tag is weak, so that it goes with the packed answer as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_product_with_a_long_description_comes_packed_under_the_same_tag() {
    let (central, store) = shop().await;
    central.put(WORDY, 7);
    store.live_at(141).await;
    let path = format!("/v1/store/inventory/{WORDY}");
    let plain = store.get(&path).await;
    assert_eq!(header(&plain, "content-encoding"), None);
    assert_eq!(header(&plain, "etag"), Some("W/\"1\""));
    let plain = plain.bytes().await.unwrap();
    assert!(plain.len() > 1_024);
    for coding in ["gzip", "zstd"] {
        let packed = get_as(&store, &path, coding).await;
        assert_eq!(header(&packed, "content-encoding"), Some(coding));
        assert_eq!(header(&packed, "vary"), Some("Accept-Encoding"));
        assert_eq!(header(&packed, "etag"), Some("W/\"1\""));
        let packed = packed.bytes().await.unwrap();
        assert_eq!(unpacked(coding, &packed), plain, "{coding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_answer_of_a_store_comes_as_it_is() {
    let (_central, store) = shop().await;
    for path in [
        "/v1/store/inventory?limit=1",
        "/v1/inventory/events?offset=139&limit=1",
        "/v1/inventory/events?offset=140",
    ] {
        let answer = get_as(&store, path, "gzip, zstd").await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(header(&answer, "content-encoding"), None, "{path}");
        assert_eq!(header(&answer, "vary"), Some("Accept-Encoding"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_follows_a_feed_that_is_packed() {
    let central = FakeCentral::start(3).await;
    central.misbehave(|spoilt| spoilt.packed_feed = true);
    let store = TestStore::start(&central.url()).await;
    store.live_at(3).await;
    for units in 0..40 {
        central.put("PROD-001", units);
    }
    store.live_at(43).await;
    assert_eq!(store.available("PROD-001").await, Some(39));
    assert!(central.packed_answers() > 0, "the store took none packed");
    // A coding that it did not ask for is a fault, not silence.
    central.misbehave(|spoilt| spoilt.unknown_coding = true);
    central.put("PROD-001", 7);
    eventually("it says what is wrong", async || {
        let error = store.status().await["errorMessage"].clone();
        error
            .as_str()
            .is_some_and(|error| error.contains("unknown way"))
    })
    .await;
}
