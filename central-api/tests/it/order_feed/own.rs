//! One shop's orders as a stream.

use serde_json::Value;
use shared::limits;
use tokio::time::timeout;

use super::{FEED, ask};
use crate::harness::fields;
use crate::served::{ADMIN, PATIENCE, SHOP, Served};
use crate::shop::{place, placed, stocked};

#[tokio::test]
async fn a_shop_hears_of_its_own_orders_and_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let ledger = &central.ledger;
    stocked(ledger, &["A"], 10_000).await;
    for number in 0..12 {
        let store = ["store-s1", "store-s2"][number % 2];
        placed(ledger, place(&number.to_string(), "ada", Some(store))).await;
    }
    placed(ledger, place("phone", "ada", None)).await;
    let all = ask(&central, "offset=0").await.expect(200);
    let all = all["events"].as_array().unwrap().clone();
    let own: Vec<&Value> = all
        .iter()
        .filter(|event| event["data"]["storeId"] == "store-s1")
        .collect();
    assert_eq!(own.len(), 6);
    // A bound key need not say whose; another one may.
    let seen = own[2]["offset"].as_u64().unwrap();
    for (key, query, last, expected) in [
        (SHOP, "offset=0", None, &own[..]),
        (SHOP, "offset=0&storeId=store-s1", Some(seen), &own[3..]),
        (ADMIN, "offset=0&storeId=store-s1", None, &own[..]),
    ] {
        let mut stream = listen(&central, key, query, last).await;
        for event in expected {
            let (id, data) = stream.next().await;
            assert_eq!(
                (Some(id), data.as_ref()),
                (event["offset"].as_u64(), Some(*event))
            );
        }
    }
    // As a page it would be a feed with gaps; another store's is nobody's business.
    let page = ask(&central, "offset=0&storeId=store-s1").await;
    assert_eq!(fields(&page.expect(400)), ["query.storeId"]);
    let url = central.url(&format!("{FEED}?offset=0&storeId=store-s2"));
    let other = central.client.get(url).header("x-api-key", SHOP);
    let other = other.header("accept", "text/event-stream").send().await;
    assert_eq!(other.unwrap().status(), 403);
    central.stop().await;
}

#[tokio::test]
async fn a_shop_that_was_quiet_is_told_how_far_the_others_came() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let ledger = &central.ledger;
    stocked(ledger, &["A"], 10_000).await;
    let mut stream = listen(&central, SHOP, "offset=0", None).await;
    let other = async |number: u64| {
        placed(ledger, place(&number.to_string(), "ada", Some("store-s2"))).await;
    };
    let enough = limits::STREAM_UNTOLD_EVENTS;
    futures_util::future::join_all((0..enough).map(other)).await;
    let (told, data) = stream.next().await;
    assert_eq!(data, None);
    assert!(told + 1 >= enough, "{told}");
    // Whoever goes on from there has missed nothing of its own.
    placed(ledger, place("own", "ada", Some("store-s1"))).await;
    let mut stream = listen(&central, SHOP, "offset=0", Some(told)).await;
    let (_, data) = stream.next().await;
    assert_eq!(data.unwrap()["data"]["storeId"], "store-s1");
    central.stop().await;
}

/// A stream of orders, as [`listen`] opens one.
struct Heard {
    answer: reqwest::Response,
    text: String,
}

async fn listen(central: &Served, key: &str, query: &str, last: Option<u64>) -> Heard {
    let request = central.client.get(central.url(&format!("{FEED}?{query}")));
    let mut request = request.header("x-api-key", key);
    request = request.header("accept", "text/event-stream");
    if let Some(last) = last {
        request = request.header("last-event-id", last.to_string());
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let log_gen = central.ledger.published().log_gen();
    assert_eq!(answer.headers()["log-gen"], log_gen.to_string());
    Heard {
        answer,
        text: String::new(),
    }
}

impl Heard {
    /// The next id, and the event if it has come with one.
    async fn next(&mut self) -> (u64, Option<Value>) {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name| event.lines().find_map(|line| line.strip_prefix(name));
                let id = field("id: ").map(|id| id.parse().unwrap());
                let data = field("data: ").map(|text| serde_json::from_str(text).unwrap());
                self.text = rest.to_owned();
                if let Some(id) = id {
                    return (id, data);
                }
            }
            let part = timeout(PATIENCE, self.answer.chunk()).await.unwrap();
            let part = part.unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&part).unwrap());
        }
    }
}
