//! An answer that is dropped on purpose, as the socket sees it: the connection ends without a byte, the
//! decision is in the log by then, and the same key gets the answer.

use central_api::config::Settings;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{KEY, TestCentral, header, settings};
use crate::served::PATIENCE;
use crate::verify::damage::Folder;

/// Everything that comes over a connection of its own on which `body` is posted twice, up to its end.
async fn posted(central: &TestCentral, path: &str, body: &Value) -> Vec<u8> {
    let address = central.url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let body = body.to_string();
    let length = body.len();
    let head = |connection: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nx-api-key: {KEY}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\
             connection: {connection}\r\n\r\n{body}"
        )
    };
    // Were the connection still open after the first, the second would be answered on it.
    let both = head("keep-alive") + &head("close");
    socket.write_all(both.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let end = timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
    match end.expect("the connection ends") {
        Ok(_) => {}
        // It was closed with the second request unread.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    answer
}

fn is_in_the_log(central: &TestCentral, key: &str) -> bool {
    let folder = Folder::read(&central.folder());
    let mut places = folder.places().into_iter();
    places.any(|place| folder.record(place)["key"] == key)
}

async fn plan(central: &TestCentral, rules: Value) {
    let plan = json!({"rules": rules});
    let answer = central
        .admin_json(Method::PUT, "/v1/admin/faults", &plan)
        .await;
    assert_eq!(answer.status(), 200);
}

/// Makes the body of a call with a key.
type Body = fn(&str) -> Value;

fn sale(key: &str) -> Value {
    json!({"storeId": "store-s1", "productId": "A", "delta": -1, "idempotencyKey": key})
}

fn order(key: &str) -> Value {
    let item = json!({"productId": "A", "quantity": 1});
    json!({"customerId": "ann", "storeId": "store-s1", "items": [item], "idempotencyKey": key})
}

#[tokio::test]
async fn a_dropped_answer_ends_the_connection_without_a_byte_and_its_key_is_answered_later() {
    let central = TestCentral::with(Settings {
        fault_injection: true,
        ..settings()
    })
    .await;
    central.create("A", 100).await;
    let calls: [(&str, &str, Body, u16); 2] = [
        ("updates", "/v1/inventory/updates", sale, 200),
        ("orders", "/v1/orders", order, 201),
    ];
    for (target, path, body, status) in calls {
        // The control: without a fault both are answered, the second as a repeat.
        plan(&central, json!([])).await;
        let answer = posted(&central, path, &body(&format!("{target}-plain"))).await;
        let answer = String::from_utf8(answer).unwrap();
        let said = format!("HTTP/1.1 {status} ");
        assert_eq!(answer.matches(&said).count(), 2, "{answer}");
        assert_eq!(answer.matches("idempotent-replayed").count(), 1, "{answer}");

        for (when, is_done) in [("before", false), ("after_commit", true)] {
            let key = format!("{target}-{when}");
            let rule =
                json!({"target": target, "everyNth": 1, "action": "drop_answer", "when": when});
            plan(&central, json!([rule])).await;
            let answer = posted(&central, path, &body(&key)).await;
            assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
            assert_eq!(is_in_the_log(&central, &key), is_done, "{key}");

            plan(&central, json!([])).await;
            let settled = central.post(path, &body(&key)).await;
            assert_eq!(settled.status(), status, "{key}");
            let replayed = header(&settled, "idempotent-replayed").is_some();
            assert_eq!(replayed, is_done, "{key}");
            let settled: Value = settled.json().await.unwrap();
            let again: Value = central.post(path, &body(&key)).await.json().await.unwrap();
            assert_eq!(settled, again, "{key}");
        }
    }
    // Three of each call, each once.
    assert_eq!(central.get_json("/v1/inventory/A").await["available"], 94);
}
