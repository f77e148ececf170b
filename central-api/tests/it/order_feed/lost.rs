//! Readers of orders that cannot go on: what retention has dropped, and what there is not.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{FEED, STREAM, shop};
use crate::feed::continuity::age;
use crate::harness::{KEY, TestCentral, header, settings};

/// Places orders of one unit of `A` each; returns their ids.
async fn bought(central: &TestCentral, name: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        let item = json!({"productId": "A", "quantity": 1});
        let order = json!({
            "customerId": "ann", "items": [item], "idempotencyKey": format!("{name}-{number}"),
        });
        let placed = central.post("/v1/orders", &order).await;
        assert_eq!(placed.status(), 201);
        let placed: Value = placed.json().await.unwrap();
        ids.push(placed["orderId"].as_str().unwrap().to_owned());
    }
    ids
}

/// A refusal that sends the reader of orders to their list.
async fn lost(answer: Response, status: u16, code: &str) -> Value {
    assert_eq!(answer.status(), status);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["snapshotUrl"], "/v1/orders");
    problem
}

#[tokio::test]
async fn what_retention_has_dropped_is_gone_and_the_list_leads_over_it() {
    let mut settings = settings();
    settings.segment_bytes = 4_000;
    settings.event_retention_hours = 1;
    settings.idempotency_retention_hours = 1;
    let mut central = TestCentral::with(settings).await;
    // The inventory is further on than the orders: what counts are the orders' offsets.
    for product in ["A", "B", "C", "D"] {
        central.create(product, 100).await;
    }
    let feed = |offset: u64| format!("{FEED}?offset={offset}");
    let old = bought(&central, "old", 20).await;
    assert_eq!(central.get(&feed(0)).await.status(), 200);
    central.stop().await;
    age(&central.folder());
    // A snapshot at the end of each life; what lies before the last but one may go.
    central = central.restart().await;
    assert_eq!(
        central.get(&feed(0)).await.status(),
        200,
        "nothing may go yet"
    );
    bought(&central, "new", 20).await;
    central = central.restart().await;
    bought(&central, "last", 1).await;
    central = central.restart().await;

    // Each order has three events: reserved, and paid and confirmed together.
    let head = 3 * 41;
    let gone = central.get(&feed(0)).await;
    assert_eq!(header(&gone, "cache-control"), Some("no-store"));
    let problem = lost(gone, 410, "offset_gone").await;
    assert_eq!(problem["headOffset"], head);
    let oldest = problem["oldestOffset"].as_u64().unwrap();
    assert!(
        (1..=60).contains(&oldest),
        "old ones are gone, young ones are not: {oldest}"
    );
    lost(central.get(&feed(oldest - 1)).await, 410, "offset_gone").await;
    let answer = central.get_json(&feed(oldest)).await;
    assert_eq!(answer["oldestOffset"], oldest);
    assert_eq!(answer["events"][0]["offset"], oldest);
    let streamed = central.request(Method::GET, &feed(0), KEY);
    let streamed = streamed.header(STREAM.0, STREAM.1).send().await.unwrap();
    lost(streamed, 410, "offset_gone").await;

    // The list has every order, the old ones too, and says where to go on.
    let list = central.get_json("/v1/orders?limit=200").await;
    assert_eq!(list["orders"].as_array().unwrap().len(), 41);
    assert_eq!(list["asOfOffset"], head);
    let (offset, log_gen) = (&list["asOfOffset"], list["gen"].as_str().unwrap());
    let next = central
        .get_json(&format!("{FEED}?offset={offset}&gen={log_gen}"))
        .await;
    assert_eq!(next["upToDate"], true, "{next}");
    // What happened to an old one is gone with the log, and that is said.
    let past = central
        .get_json(&format!("/v1/orders/{}/events", old[0]))
        .await;
    assert_eq!(
        (&past["events"], &past["isCut"]),
        (&json!([]), &true.into())
    );
}

#[tokio::test]
async fn a_stream_that_cannot_go_on_is_refused_as_a_poll_is() {
    let dir = tempfile::tempdir().unwrap();
    let central = shop(&dir).await;
    let published = central.ledger.published();
    let (head, now) = (published.head().orders, published.log_gen().to_string());
    for (query, code) in [
        (format!("offset={}", head + 1), "offset_ahead"),
        (format!("offset={}&gen={now}", head + 1), "offset_ahead"),
        ("offset=0&gen=00000000000000aa".to_owned(), "log_diverged"),
    ] {
        for headers in [&[][..], &[STREAM][..]] {
            let reply = central.get_with(&format!("{FEED}?{query}"), headers).await;
            let problem = reply.expect(409);
            assert_eq!(problem["code"], code, "{query}: {problem}");
            assert_eq!(problem["gen"], now);
            assert_eq!(problem["headOffset"], head);
            assert_eq!(problem["snapshotUrl"], "/v1/orders");
        }
    }
    central.stop().await;
}
