//! Good requests for tests to spoil, and what every refusal must be.
//!
//! Whatever a request breaks, nothing may have happened: what sends bad ones checks that the head of
//! the log has not moved.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{KEY, TestCentral, header};

pub(crate) const UPDATES: &str = "/v1/inventory/updates";
/// A sale of one A, as text.
pub(crate) const SALE: &str =
    r#"{"storeId":"store-s1","productId":"A","delta":-1,"idempotencyKey":"k"}"#;

/// A sale of one A, for the tests to spoil.
pub(crate) fn sale(key: &str) -> Value {
    json!({"storeId": "store-s1", "productId": "A", "delta": -1, "idempotencyKey": key})
}

pub(crate) fn with(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    body[name] = value.into();
    body
}

pub(crate) async fn shop() -> TestCentral {
    let central = TestCentral::start().await;
    central.create("A", 100).await;
    central
}

pub(crate) fn text(request: RequestBuilder, body: impl Into<reqwest::Body>) -> RequestBuilder {
    request
        .header("content-type", "application/json")
        .body(body)
}

/// Sends a request that must be refused with 400 and change nothing; gives the problem.
pub(crate) async fn refused(central: &TestCentral, request: RequestBuilder, of: &str) -> Value {
    let before = central.head().await;
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(status, 400, "{of}: {problem}");
    assert_eq!(
        problem["requestId"].as_str().map(str::is_empty),
        Some(false)
    );
    assert_eq!(central.head().await, before, "something happened: {of}");
    problem
}

/// Sends the text `body`, expects `status` and `code`, and that nothing has happened. Returns the
/// problem.
pub(crate) async fn bad_text(
    central: &TestCentral,
    body: String,
    status: u16,
    code: &str,
) -> Value {
    let before = central.head().await;
    let request = central
        .request(Method::POST, UPDATES, KEY)
        .header("content-type", "application/json")
        .body(body.clone());
    let answer = request.send().await.unwrap();
    let problem = problem(answer, status, code, &body).await;
    assert_eq!(central.head().await, before, "something happened: {body}");
    problem
}

pub(crate) async fn bad(central: &TestCentral, body: Value, status: u16, code: &str) -> Value {
    bad_text(central, body.to_string(), status, code).await
}

/// Checks that `answer` has the shape of every refusal, and returns its body.
pub(crate) async fn problem(answer: Response, status: u16, code: &str, of: &str) -> Value {
    assert_eq!(answer.status(), status, "{of}");
    let kind = header(&answer, "content-type").unwrap();
    assert!(kind.starts_with("application/problem+json"), "{kind}: {of}");
    let request_id = header(&answer, "x-request-id").unwrap().to_owned();
    let later = header(&answer, "retry-after").map(str::to_owned);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["code"], code, "{of}: {body}");
    assert_eq!(body["status"], status, "{body}");
    assert_eq!(body["requestId"], request_id, "{body}");
    assert_eq!(body["message"], body["detail"], "{body}");
    for name in ["type", "title", "detail", "instance"] {
        assert!(
            body[name].as_str().is_some_and(|text| !text.is_empty()),
            "{name}: {body}"
        );
    }
    assert!(body["retryable"].is_boolean(), "{body}");
    assert_eq!(later.is_some(), matches!(status, 429 | 503), "{body}");
    body
}

pub(crate) async fn units(central: &TestCentral, id: &str) -> i64 {
    let path = format!("/v1/inventory/{id}");
    central.get_json(&path).await["available"].as_i64().unwrap()
}

/// Sends `request` as it is and returns status and body.
pub(crate) async fn raw(central: &TestCentral, request: &[u8]) -> (u16, String) {
    let address = central.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may answer and close before all is written.
    drop(stream.write_all(request).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}
