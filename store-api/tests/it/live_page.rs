//! The stream of changes for the shop's page.

use futures_util::StreamExt as _;
use reqwest::Response;

use crate::fake_central::FakeCentral;
use crate::harness::{TestStore, eventually};

/// Reads named events off a stream.
struct Events {
    stream:
        std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    text: String,
}

impl Events {
    async fn open(store: &TestStore, last: Option<u64>) -> Self {
        let request = store.client.get(format!("{}/v1/store/events", store.url));
        let request = request.header("x-api-key", "demo");
        let request = match last {
            Some(last) => request.header("last-event-id", last.to_string()),
            None => request,
        };
        let response: Response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self {
            stream: Box::pin(response.bytes_stream()),
            text: String::new(),
        }
    }

    /// The next event: its name, id and data.
    async fn next(&mut self) -> (String, Option<u64>, serde_json::Value) {
        while !self.text.contains("\n\n") {
            let part = self.stream.next().await.unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&part).unwrap());
        }
        let (event, rest) = self.text.split_once("\n\n").unwrap();
        let field = |name: &str| {
            let prefix = format!("{name}: ");
            event
                .lines()
                .find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
        };
        let found = (
            field("event").unwrap(),
            field("id").map(|id| id.parse().unwrap()),
            serde_json::from_str(&field("data").unwrap()).unwrap(),
        );
        self.text = rest.to_owned();
        found
    }

    /// The next event of this name.
    async fn next_named(&mut self, name: &str) -> (Option<u64>, serde_json::Value) {
        loop {
            let (found, id, data) = self.next().await;
            if found == name {
                return (id, data);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_as_they_happen_and_a_reconnect_misses_nothing() {
    let central = FakeCentral::start(2).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(2).await;
    let mut events = Events::open(&store, None).await;
    let (name, _, data) = events.next().await;
    assert_eq!((name.as_str(), &data["state"]), ("sync", &"live".into()));
    central.put("PROD-001", 3);
    let (id, data) = events.next_named("product").await;
    assert_eq!(
        (id, &data["productId"], &data["data"]["available"]),
        (Some(2), &"PROD-001".into(), &3.into())
    );
    drop(events);
    central.put("PROD-001", 4);
    central.put("PROD-002", 5);
    store.live_at(5).await;
    let mut events = Events::open(&store, Some(2)).await;
    for offset in 3..5 {
        assert_eq!(events.next_named("product").await.0, Some(offset));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_told_when_central_goes_and_when_the_copy_is_replaced() {
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(3).await;
    let mut events = Events::open(&store, None).await;
    central.vanish().await;
    while events.next_named("sync").await.1["state"] != "stale" {}
    central.restore(1);
    central.appear().await;
    let (_, data) = events.next_named("resync").await;
    assert_eq!(data["offset"], 1);
    central.put("NEW", 1);
    assert_eq!(events.next_named("product").await.0, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_store_stops() {
    let central = FakeCentral::start(1).await;
    let mut store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    let mut events = Events::open(&store, None).await;
    events.next().await;
    let begun = tokio::time::Instant::now();
    store.stop().await;
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    eventually("the stream has ended", async || true).await;
}
