//! The stream of changes for the shop's page.

use futures_util::StreamExt as _;
use reqwest::Response;
use store_api::config::Settings;

use crate::fake_central::FakeCentral;
use crate::harness::{TestStore, eventually, settings};

/// Reads named events off a stream.
struct Events {
    stream:
        std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    text: String,
}

impl Events {
    async fn open(store: &TestStore, last: Option<u64>) -> Self {
        Self::open_as(store, "demo", last).await
    }

    async fn open_as(store: &TestStore, key: &str, last: Option<u64>) -> Self {
        let request = store.client.get(format!("{}/v1/store/events", store.url));
        let request = request.header("x-api-key", key);
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
    // From the first word on a page has a place to come back to.
    let (name, id, data) = events.next().await;
    assert_eq!((name.as_str(), id), ("sync", Some(1)));
    assert_eq!(data["state"], "live");
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

/// Central with an order feed, and a store that listens to it.
async fn shop_with_orders() -> (FakeCentral, TestStore) {
    let central = FakeCentral::start(2).await;
    central.take_orders();
    central.order_event("store-s1", "ord-before");
    let store = TestStore::start(&central.url()).await;
    store.live_at(2).await;
    listens(&central, 1).await;
    (central, store)
}

async fn listens(central: &FakeCentral, times: u64) {
    eventually("the store listens", async || {
        central.order_listeners() >= times
    })
    .await;
}

/// The order of the next event of one, and its id.
async fn next_order(events: &mut Events) -> (String, Option<u64>) {
    loop {
        let (name, id, data) = events.next().await;
        assert_ne!(name, "resync", "nothing was missed");
        if name == "order" {
            return (data["orderId"].as_str().unwrap().to_owned(), id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_the_shops_orders_reaches_its_page_and_a_reconnect_misses_nothing() {
    let (central, store) = shop_with_orders().await;
    let mut events = Events::open(&store, None).await;
    central.order_event("store-s2", "ord-of-another");
    central.order_event("store-s1", "ord-1");
    // The id is that of the last product event, of which there were two.
    assert_eq!(next_order(&mut events).await, ("ord-1".to_owned(), Some(1)));
    central.put("PROD-001", 3);
    assert_eq!(events.next_named("product").await.0, Some(2));
    drop(events);
    central.order_event("store-s1", "ord-2");
    central.put("PROD-001", 4);
    store.live_at(4).await;
    let mut events = Events::open(&store, Some(2)).await;
    assert_eq!(next_order(&mut events).await.0, "ord-2");
    assert_eq!(events.next_named("product").await.0, Some(3));
    // A line that breaks is taken up where it was, also over lives of the log.
    for (times, order) in [(2, "ord-3"), (3, "ord-4"), (4, "ord-5")] {
        central.vanish().await;
        central.new_generation();
        central.order_event("store-s1", order);
        central.appear().await;
        listens(&central, times).await;
        assert_eq!(next_order(&mut events).await.0, order);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_another_stores_key_hears_of_no_orders() {
    let central = FakeCentral::start(2).await;
    central.take_orders();
    let store = TestStore::with(Settings {
        api_keys: "demo,other@store-s2".to_owned(),
        ..settings(&central.url())
    })
    .await;
    store.live_at(2).await;
    listens(&central, 1).await;
    let mut own = Events::open(&store, None).await;
    let mut other = Events::open_as(&store, "other", None).await;
    central.order_event("store-s1", "ord-1");
    assert_eq!(next_order(&mut own).await.0, "ord-1");
    // What comes later is told first, so there was nothing before it.
    central.put("PROD-001", 3);
    loop {
        let (name, ..) = other.next().await;
        assert_ne!(name, "order");
        if name == "product" {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_loads_anew_where_news_of_orders_may_be_missing() {
    let (central, store) = shop_with_orders().await;
    let mut events = Events::open(&store, None).await;
    // The log is another one, or no longer goes back that far.
    central.vanish().await;
    central.lose_order_readers(1);
    central.appear().await;
    let (_, data) = events.next_named("resync").await;
    assert_eq!(data["offset"], 2);
    listens(&central, 2).await;
    central.order_event("store-s1", "ord-1");
    assert_eq!(next_order(&mut events).await.0, "ord-1");
    // Who was away meanwhile is told too.
    let mut late = Events::open(&store, Some(0)).await;
    late.next_named("resync").await;
}
