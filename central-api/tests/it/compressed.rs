//! Long answers come packed to whoever takes them so, and unpack to the same bytes.

use std::io::{Read, Write};

use reqwest::Method;
use serde_json::json;

use crate::served::{Reply, Served, create, decide, movement};

fn unpacked(reply: &Reply) -> Vec<u8> {
    let mut text = Vec::new();
    match reply.header("content-encoding") {
        "gzip" => {
            let mut decoder = flate2::read::GzDecoder::new(reply.bytes.as_slice());
            decoder.read_to_end(&mut text).unwrap();
        }
        "zstd" => text = zstd::decode_all(reply.bytes.as_slice()).unwrap(),
        other => panic!("{other}"),
    }
    text
}

async fn shop(dir: &tempfile::TempDir) -> Served {
    let central = Served::start(dir).await;
    let ids = (0..600).map(|number| format!("P-{number:03}"));
    decide(&central.ledger, create(ids, 100)).await;
    for _ in 0..20 {
        decide(&central.ledger, movement("P-000", -1)).await;
    }
    central
}

#[tokio::test]
async fn a_long_answer_comes_packed_and_unpacks_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    for path in [
        "/v1/inventory?limit=200",
        "/v1/products?limit=200",
        "/v1/products/search?q=P-1",
        "/v1/inventory/P-000/history",
        "/v1/admin/products/export?format=csv",
        "/v1/admin/products/export?format=ndjson",
        "/v1/inventory/events?offset=0&limit=1000",
        "/v1/inventory/events?offset=600&limit=10",
        "/openapi.json",
    ] {
        let plain = central.get(path).await;
        assert!(!plain.headers.contains_key("content-encoding"), "{path}");
        assert_eq!(plain.header("vary"), "Accept-Encoding", "{path}");
        assert!(plain.bytes.len() > 1_024, "{path}");
        for coding in ["gzip", "zstd"] {
            let packed = central.get_with(path, &[("accept-encoding", coding)]).await;
            assert_eq!(packed.status, 200, "{path}");
            assert_eq!(packed.header("content-encoding"), coding, "{path}");
            assert_eq!(packed.header("vary"), "Accept-Encoding", "{path}");
            assert!(
                packed.bytes.len() * 2 < plain.bytes.len(),
                "{path} {coding}"
            );
            assert_eq!(unpacked(&packed), plain.bytes, "{path} {coding}");
            // A tag names bytes, and these are others.
            if let Some(tag) = plain.headers.get("etag") {
                assert_ne!(packed.headers.get("etag"), Some(tag), "{path}");
            }
        }
        let refusing = [("accept-encoding", "gzip;q=0, zstd;q=0")];
        let plain_again = central.get_with(path, &refusing).await;
        assert_eq!(plain_again.bytes, plain.bytes, "{path}");
    }
    central.stop().await;
}

#[tokio::test]
async fn a_short_answer_comes_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    for path in [
        "/v1/inventory?limit=1",
        "/v1/inventory/events?offset=619&limit=1",
        "/v1/inventory/events?offset=620",
    ] {
        let takes_all = [("accept-encoding", "gzip, zstd")];
        let answer = central.get_with(path, &takes_all).await;
        answer.expect(200);
        assert!(!answer.headers.contains_key("content-encoding"), "{path}");
        assert_eq!(answer.header("vary"), "Accept-Encoding", "{path}");
    }
    central.stop().await;
}

/// Its strong tag is the version that goes back as `If-Match`, and names one row of bytes.
#[tokio::test]
async fn a_product_with_its_tag_is_never_packed() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    let long = json!({"version": null, "description": "d".repeat(4_000)});
    let edit = central.client.put(central.url("/v1/products/P-001"));
    let edit = edit.header("x-api-key", crate::served::ADMIN).json(&long);
    assert_eq!(edit.send().await.unwrap().status(), 200);
    for path in ["/v1/inventory/P-001", "/v1/products/P-001"] {
        let takes_all = [("accept-encoding", "gzip, zstd")];
        let answer = central.get_with(path, &takes_all).await;
        assert_eq!(answer.header("etag"), "\"2\"", "{path}");
        assert!(!answer.headers.contains_key("content-encoding"), "{path}");
        assert_eq!(answer.expect(200)["description"], long["description"]);
    }
    central.stop().await;
}

#[tokio::test]
async fn the_same_stretch_is_right_in_every_answer_while_the_head_moves() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    for sold in 0..10_u64 {
        let path = "/v1/inventory/events?offset=600&limit=10";
        let packed = central.get_with(path, &[("accept-encoding", "gzip")]).await;
        let text = unpacked(&packed);
        let plain: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(plain["headOffset"], 620 + sold);
        assert_eq!(plain["nextOffset"], 610);
        decide(&central.ledger, movement("P-001", -1)).await;
    }
    central.stop().await;
}

/// The control is the first body: the same JSON, packed, that is short enough.
#[tokio::test]
async fn a_packed_body_is_read_and_a_bomb_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    let body = json!({"items": [{"productId": "P-001", "quantity": 1}]}).to_string();
    let bomb = format!("{body}{}", " ".repeat(64 * 1024 * 1024));
    for (text, status) in [(body, 200), (bomb, 413)] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(text.as_bytes()).unwrap();
        let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
        for (coding, packed) in [("gzip", gzip.finish().unwrap()), ("zstd", zstd)] {
            assert!(packed.len() < 128 * 1024);
            let request = central
                .client
                .request(Method::POST, central.url("/v1/inventory/check"))
                .header("x-api-key", crate::served::ADMIN)
                .header("content-type", "application/json")
                .header("content-encoding", coding);
            let answer = request.body(packed).send().await.unwrap();
            assert_eq!(answer.status(), status, "{coding}");
        }
    }
    central.stop().await;
}
