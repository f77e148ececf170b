//! What both feeds promise alike. The protocol is one, so its checks are.

use std::sync::Arc;

use axum::body::Body;
use central_api::http::{self, AppState};
use central_api::journal::Stream;
use central_api::ledger::Ledger;
use central_api::startup::open_ledger;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use shared::service::system_clock::SystemClock;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::harness::header;
use crate::served::{ADMIN, PATIENCE, Reply, Served, config, simulated};

/// What asks for a stream.
pub(crate) const STREAM: (&str, &str) = ("accept", "text/event-stream");

/// The events of an answer as they came.
pub(crate) fn texts(reply: &Reply) -> String {
    let body = std::str::from_utf8(&reply.bytes).unwrap();
    let inner = body.strip_prefix("{\"events\":[").unwrap();
    inner.rsplit_once("],\"nextOffset\"").unwrap().0.to_owned()
}

/// The offsets of an answer's events.
pub(crate) fn offsets(answer: &Value) -> Vec<u64> {
    let events = answer["events"].as_array().unwrap().iter();
    let offsets = events.map(|event| event["offset"].as_u64().unwrap());
    offsets.collect()
}

/// A whole answer, checked as a follower checks it. Returns the offsets of its events.
#[track_caller]
pub(crate) fn sound(central: &Served, reply: &Reply, from: u64, feed: Stream) -> Vec<u64> {
    let answer = reply.expect(200);
    let head = central.ledger.published().head();
    let end = match feed {
        Stream::Inventory => head.offset,
        Stream::Orders => head.orders,
    };
    let found = offsets(&answer);
    let next = from + found.len() as u64;
    assert_eq!(found, (from..next).collect::<Vec<_>>());
    assert_eq!(answer["nextOffset"], next);
    assert_eq!(answer["count"], found.len());
    assert_eq!(answer["hasMore"], next < end);
    assert_eq!(answer["headOffset"], end);
    assert_eq!(answer["oldestOffset"], 0);
    let log_gen = central.ledger.published().log_gen().to_string();
    assert_eq!(answer["gen"], log_gen);
    let at_end = (next == end).then_some(Value::Bool(true));
    assert_eq!(answer.get("upToDate"), at_end.as_ref());
    // A digest is of products.
    let digest = at_end.filter(|_| feed == Stream::Inventory);
    let digest = digest.map(|_| json!(format!("{:016x}", head.digest)));
    assert_eq!(answer.get("digest"), digest.as_ref());
    assert_eq!(reply.header("log-gen"), log_gen);
    assert_eq!(reply.header("log-head"), end.to_string());
    assert_eq!(reply.header("vary"), "Accept-Encoding");
    assert!(!reply.header("etag").is_empty());
    found
}

/// Asks `feed` with each query, and checks how many seconds that waits and how it ends.
///
/// After `begin` it has one event. For a test whose clock is paused: it jumps to the next timer as soon
/// as nothing else is to be done.
pub(crate) async fn waits(
    feed: &str,
    begin: impl AsyncFnOnce(&Ledger),
    cases: &[(&str, u64, u16)],
) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path().to_owned());
    let opened = open_ledger(&config, Vec::new(), Arc::new(SystemClock))
        .await
        .unwrap();
    begin(&opened.ledger).await;
    let shutdown = CancellationToken::new();
    let state = AppState::new(opened.ledger, &config, simulated(&config), shutdown);
    let router = http::router(state);
    for (query, seconds, status) in cases {
        let request = ::http::Request::get(format!("{feed}?{query}"))
            .header("x-api-key", ADMIN)
            .body(Body::empty())
            .unwrap();
        let begun = Instant::now();
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), *status, "{query}");
        assert_eq!(begun.elapsed().as_secs(), *seconds, "{query}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["headOffset"], 1, "{query}");
        if *status == 409 {
            assert_eq!(body["code"], "offset_ahead", "{query}");
        }
    }
    drop(router);
    let threads = opened.threads;
    let stopped = tokio::task::spawn_blocking(move || threads.stop());
    stopped.await.unwrap();
}

/// A stream of events, read as a browser reads it.
pub(crate) struct Streamed {
    response: reqwest::Response,
    text: String,
}

impl Streamed {
    pub(crate) async fn open(
        central: &Served,
        feed: &str,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let request = central.client.get(central.url(&format!("{feed}?{query}")));
        let mut request = request.header("x-api-key", ADMIN);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{query} {headers:?}");
        assert_eq!(header(&response, "content-type"), Some("text/event-stream"));
        assert_eq!(header(&response, "cache-control"), Some("no-store"));
        let text = String::new();
        Self { response, text }
    }

    /// Id and data of the next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<(u64, String)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let value = |name: &str| {
                    let mut lines = block.lines();
                    lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
                };
                let event = value("id: ").zip(value("data: "));
                self.text = rest.to_owned();
                match event {
                    Some((id, data)) => return Some((id.parse().unwrap(), data)),
                    None => continue,
                }
            }
            let part = timeout(PATIENCE, self.response.chunk()).await.unwrap();
            let part = part.unwrap()?;
            self.text.push_str(std::str::from_utf8(&part).unwrap());
        }
    }
}
