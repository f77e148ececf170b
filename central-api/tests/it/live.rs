//! What the console's page hears while it is open.

use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::State;
use central_api::http::{AppState, live};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use shared::limits;
use shared::service::auth::{Caller, Scope};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::served::{PATIENCE, READER, Served, config, create, decide, movement, simulated};
use crate::shop;

/// One event as a browser takes it.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    name: String,
    id: Option<u64>,
    data: Value,
}

fn parse(text: &str) -> Heard {
    let mut heard = Heard::default();
    for line in text.lines() {
        match line.split_once(": ").unwrap() {
            ("event", name) => name.clone_into(&mut heard.name),
            ("id", id) => heard.id = Some(id.parse().unwrap()),
            ("data", data) => heard.data = serde_json::from_str(data).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    heard
}

/// A page that is open.
struct Page {
    answer: reqwest::Response,
    rest: String,
}

impl Page {
    async fn open(central: &Served, last: Option<u64>) -> Self {
        let request = central.client.get(central.url("/v1/admin/live"));
        let mut request = request.header("x-api-key", READER);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            rest: String::new(),
        }
    }

    /// The next event; `None` at the end of the stream.
    async fn hears(&mut self) -> Option<Heard> {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let heard = parse(event);
                self.rest = rest.to_owned();
                return Some(heard);
            }
            let more = tokio::time::timeout(PATIENCE, self.answer.chunk());
            let more = more.await.unwrap().unwrap()?;
            self.rest.push_str(std::str::from_utf8(&more).unwrap());
        }
    }
}

#[tokio::test]
async fn a_page_hears_each_change_and_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    decide(&central.ledger, create(["A".to_owned()], 100)).await;
    let mut page = Page::open(&central, None).await;
    let sync = page.hears().await.unwrap();
    // From the first word on a page has a place to come back to.
    assert_eq!((sync.name.as_str(), sync.id), ("sync", Some(0)));
    assert_eq!(sync.data["headOffset"], 1);
    let log_gen = central.ledger.published().log_gen().to_string();
    assert_eq!(sync.data["gen"], log_gen);
    decide(&central.ledger, movement("A", -1)).await;
    let heard = page.hears().await.unwrap();
    assert_eq!((heard.name.as_str(), heard.id), ("product", Some(1)));
    assert_eq!(heard.data["data"]["available"], 99);
    drop(page);
    // More than one read of the log, and of the ring's chunks.
    for _ in 0..600 {
        decide(&central.ledger, movement("A", 1)).await;
    }
    let mut page = Page::open(&central, heard.id).await;
    assert_eq!(page.hears().await.unwrap().name, "sync");
    for offset in 2..602 {
        let heard = page.hears().await.unwrap();
        assert_eq!((heard.name.as_str(), heard.id), ("product", Some(offset)));
        assert_eq!(heard.data["offset"], offset);
    }
    central.shutdown.cancel();
    assert_eq!(page.hears().await, None, "the page is let go at once");
    drop(page);
    central.stop().await;
}

#[tokio::test]
async fn a_page_that_is_far_behind_or_of_another_log_is_told_to_load_anew() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let many = limits::LIVE_EVENTS_BEHIND + 10;
    for block in 0..=many / 1_000 {
        let ids = (block * 1_000..many.min((block + 1) * 1_000)).map(|one| format!("P-{one:05}"));
        decide(&central.ledger, create(ids, 1)).await;
    }
    for last in [0, many, u64::MAX] {
        let mut page = Page::open(&central, Some(last)).await;
        assert_eq!(page.hears().await.unwrap().name, "sync");
        let heard = page.hears().await.unwrap();
        let head = central.ledger.published().head().offset;
        assert_eq!(heard.name, "resync", "{last}");
        assert_eq!(
            (heard.id, &heard.data),
            (Some(head - 1), &json!({"offset": head}))
        );
    }
    // From the newest on it goes on.
    let mut page = Page::open(&central, Some(many - 1)).await;
    assert_eq!(page.hears().await.unwrap().name, "sync");
    decide(&central.ledger, movement("P-00000", 1)).await;
    let heard = page.hears().await.unwrap();
    assert_eq!((heard.name.as_str(), heard.id), ("product", Some(many)));
    // The control: as far behind as may be.
    let head = central.ledger.published().head().offset;
    let last = head - limits::LIVE_EVENTS_BEHIND - 1;
    let mut page = Page::open(&central, Some(last)).await;
    assert_eq!(page.hears().await.unwrap().name, "sync");
    let heard = page.hears().await.unwrap();
    assert_eq!((heard.name.as_str(), heard.id), ("product", Some(last + 1)));
    drop(page);
    central.stop().await;
}

#[tokio::test]
async fn a_page_hears_how_the_stores_follow() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    decide(&central.ledger, create(["A".to_owned()], 100)).await;
    let mut page = Page::open(&central, None).await;
    let none = json!({"known": 0, "online": 0, "behind": 0, "drifted": 0});
    assert_eq!(page.hears().await.unwrap().data["stores"], none);
    let digest = format!("{:016x}", central.ledger.published().head().digest);
    for (offset, digest, expected) in [
        (
            1,
            digest.as_str(),
            json!({"known": 1, "online": 1, "behind": 0, "drifted": 0}),
        ),
        (
            0,
            digest.as_str(),
            json!({"known": 1, "online": 1, "behind": 1, "drifted": 0}),
        ),
        (
            1,
            "00000000000000aa",
            json!({"known": 1, "online": 1, "behind": 0, "drifted": 1}),
        ),
    ] {
        let report = json!({
            "appliedOffset": offset, "gen": "8a7fd1e200aa31c4", "digest": digest,
            "breaker": "closed", "startedAt": "2026-01-15T08:00:00.000Z", "version": "0.1.0",
        });
        let path = "/v1/stores/store-s1/heartbeat";
        let answer = central.send(reqwest::Method::PUT, path, &[], Some(&report));
        answer.await.expect(200);
        let heard = page.hears().await.unwrap();
        assert_eq!(
            (heard.name.as_str(), &heard.data["stores"]),
            ("sync", &expected)
        );
    }
    drop(page);
    central.stop().await;
}

/// The clock stands still but for what the stream itself waits for.
#[tokio::test]
async fn a_quiet_page_hears_a_ping_every_ten_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let config = config(dir.path().to_owned());
    let state = AppState::new(
        central.ledger.clone(),
        &config,
        simulated(&config),
        CancellationToken::new(),
    );
    tokio::time::pause();
    let caller = Caller::new(Scope::Read, None, None);
    let mut headers = HeaderMap::new();
    headers.insert("last-event-id", HeaderValue::from_static("no number"));
    let answer = live::stream(State(state), caller, headers).await.unwrap();
    let mut body = answer.into_body();
    let begun = Instant::now();
    for (name, seconds) in [("sync", 0), ("ping", 10), ("ping", 20), ("ping", 30)] {
        let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx));
        let frame = frame.await.unwrap().unwrap().into_data().unwrap();
        let heard = parse(std::str::from_utf8(&frame).unwrap().trim_end());
        assert_eq!(heard.name, name);
        assert_eq!(begun.elapsed().as_secs(), seconds);
        assert!(begun.elapsed() < Duration::from_secs(seconds) + Duration::from_millis(50));
    }
    tokio::time::resume();
    central.stop().await;
}

#[tokio::test]
async fn a_page_hears_of_orders_and_misses_none_when_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let ledger = &central.ledger;
    shop::stocked(ledger, &["A"], 100).await;
    let mut page = Page::open(&central, None).await;
    assert_eq!(page.hears().await.unwrap().name, "sync");
    // The order before the product that became durable with it, under the id that the page has.
    shop::placed(ledger, shop::place("1", "ada", None)).await;
    let order = page.hears().await.unwrap();
    assert_eq!((order.name.as_str(), order.id), ("order", Some(0)));
    assert_eq!(order.data["eventType"], "order_reserved");
    let product = page.hears().await.unwrap();
    assert_eq!((product.name.as_str(), product.id), ("product", Some(1)));
    assert_eq!(product.data["cause"]["orderId"], "ord-1");
    // One without a product.
    shop::readdressed(ledger, "1", "1 Mill Lane").await;
    let order = page.hears().await.unwrap();
    assert_eq!((order.name.as_str(), order.id), ("order", Some(1)));
    drop(page);
    shop::readdressed(ledger, "1", "2 Mill Lane").await;
    decide(ledger, movement("A", -1)).await;
    // What it saw since the last product comes again; what it has not seen comes too.
    let mut page = Page::open(&central, Some(1)).await;
    assert_eq!(page.hears().await.unwrap().name, "sync");
    let mut heard = Vec::new();
    while heard.last() != Some(&("product".to_owned(), 2)) {
        let event = page.hears().await.unwrap();
        let place = event.data["offset"].as_u64().unwrap();
        heard.push((event.name, place));
    }
    let expected = [("order", 0), ("order", 1), ("order", 2), ("product", 2)];
    assert!(
        heard
            .iter()
            .map(|(name, at)| (name.as_str(), *at))
            .eq(expected),
        "{heard:?}"
    );
    central.stop().await;
}
