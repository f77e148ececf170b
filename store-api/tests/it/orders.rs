//! Orders through central.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use shared::limits::ORDER_STREAMS;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fake_central::FakeCentral;
use crate::harness::{KEY, TestStore, eventually, header, settings};

/// Orders units of `PROD-001` at a store.
async fn order(store: &TestStore, quantity: i64, key: &str) -> Response {
    let body =
        json!({"customerId": "ann", "items": [{"productId": "PROD-001", "quantity": quantity}]});
    let request = store.client.post(format!("{}/v1/store/orders", store.url));
    let request = request
        .header("x-api-key", KEY)
        .header("idempotency-key", key);
    request.json(&body).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_reads_the_effect_of_its_own_orders() {
    let central = FakeCentral::start(2).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(2).await;
    for number in 1..=4 {
        let placed = order(&store, 2, &format!("k{number}")).await;
        assert_eq!(placed.status(), 201);
        assert_eq!(header(&placed, "x-sync-visible"), Some("true"));
        assert_eq!(header(&placed, "location"), Some("/v1/store/orders/ord-1"));
        assert_eq!(store.available("PROD-001").await, Some(10 - 2 * number));
    }
    // The control: with the feed hanging, waiting cannot help, and the answer says so.
    central.misbehave(|spoilt| spoilt.hang_feed = true);
    let placed = order(&store, 1, "k5").await;
    assert_eq!(placed.status(), 201);
    assert_eq!(header(&placed, "x-sync-visible"), Some("false"));
    assert_eq!(store.available("PROD-001").await, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_orders_in_its_own_name_and_under_its_own_keys() {
    let central = FakeCentral::start(1).await;
    let one = TestStore::start(&central.url()).await;
    let mut other = settings(&central.url());
    other.store_id = "store-s2".to_owned();
    let two = TestStore::with(other).await;
    one.live_at(1).await;
    two.live_at(1).await;
    for (store, name) in [(&one, "store-s1"), (&two, "store-s2")] {
        let placed = order(store, 3, "till-1-42").await;
        assert_eq!(header(&placed, "idempotent-replayed"), None);
        assert_eq!(placed.json::<Value>().await.unwrap()["storeId"], name);
    }
    assert_eq!(central.available("PROD-001"), 4, "they are two orders");
    let body =
        json!({"customerId": "ann", "storeId": "store-s2", "idempotencyKey": "k", "items": []});
    let refused = one.post("/v1/store/orders", &body).await;
    assert_eq!(refused.status(), 403);
    let refused = one.get("/v1/store/orders?storeId=store-s2").await;
    assert_eq!(refused.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_central_says_of_an_order_comes_back_as_it_is() {
    const REFUSAL: &str =
        r#"{"code":"payment_declined","orderId":"ord-1","requestId":"$REQUEST","order":{"a":1}}"#;
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    for (status, waits) in [
        (402, false),
        (409, false),
        (404, false),
        (422, false),
        (202, true),
    ] {
        central.misbehave(|spoilt| spoilt.refuse_updates = Some((1, status, REFUSAL)));
        let answer = order(&store, 1, "k").await;
        assert_eq!(answer.status(), status);
        assert_eq!(header(&answer, "retry-after").is_some(), waits, "{status}");
        let id = header(&answer, "x-request-id").unwrap().to_owned();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(
            (&answer["code"], &answer["order"]),
            (&json!("payment_declined"), &json!({"a": 1}))
        );
        if status >= 400 {
            assert_eq!(answer["requestId"], id);
        }
    }
    // Another shop's order is not this store's trouble with its key; a new order's 403 is.
    central.misbehave(|spoilt| spoilt.refuse_updates = Some((2, 403, REFUSAL)));
    assert_eq!(store.get("/v1/store/orders/ord-1").await.status(), 403);
    assert_eq!(order(&store, 1, "k").await.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_about_orders_reaches_its_place() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    let own = "storeId=store-s1";
    for (method, here, there) in [
        (
            Method::GET,
            "?status=paid&limit=2",
            format!("?status=paid&limit=2&{own}"),
        ),
        (Method::GET, "", format!("?{own}")),
        (Method::GET, "/ord-1", "/ord-1".to_owned()),
        (Method::GET, "/ord-1/events", "/ord-1/events".to_owned()),
        (
            Method::GET,
            "/ord-1/events?after=3&limit=2",
            "/ord-1/events?after=3&limit=2".to_owned(),
        ),
        (
            Method::GET,
            "/stats?from=2026-01-15T00:00:00.000Z",
            format!("/stats?from=2026-01-15T00:00:00.000Z&{own}"),
        ),
        (Method::POST, "/ord-1/confirm", "/ord-1/confirm".to_owned()),
        (Method::POST, "/ord-1/cancel", "/ord-1/cancel".to_owned()),
        (
            Method::POST,
            "/ord-1/complete",
            "/ord-1/complete".to_owned(),
        ),
        (Method::PUT, "/ord-1", "/ord-1".to_owned()),
        (Method::PUT, "/ord-1/status", "/ord-1/status".to_owned()),
    ] {
        let is_write = method != Method::GET;
        let url = format!("{}/v1/store/orders{here}", store.url);
        let request = store.client.request(method.clone(), url);
        let request = request.header("x-api-key", KEY);
        let request = if is_write {
            let body = r#"{"status":"completed"}"#;
            let request = request
                .header("content-type", "application/json")
                .body(body);
            request
                .header("idempotency-key", "k")
                .header("if-match", "\"3\"")
        } else {
            request
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{method} {here}");
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["asked"], format!("{method} /v1/orders{there}"));
        if is_write {
            assert_eq!(answer["key"], "store-s1:k");
            assert_eq!(answer["condition"], "\"3\"");
            assert_eq!(answer["body"], r#"{"status":"completed"}"#);
        }
    }
    // A step needs no body.
    let url = format!("{}/v1/store/orders/ord-1/confirm", store.url);
    let answer = store.client.post(url).header("x-api-key", KEY).send().await;
    assert_eq!(answer.unwrap().status(), 200);
}

/// A request as a person or an old client writes it, byte for byte, and what comes back: the status and the
/// body.
async fn as_written(store: &TestStore, request: &str) -> (u16, Value) {
    let address = store.url.strip_prefix("http://").unwrap();
    let mut line = TcpStream::connect(address).await.unwrap();
    line.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = line.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .unwrap()
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    (status, body)
}

/// A gateway that writes a body anew and leaves its length as it was hangs or cuts; one that looks for
/// headers by their spelling loses them.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_many_lines_and_headers_in_odd_case_arrive_whole() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    let written = |method: &str, path: &str, body: &str| {
        format!(
            "{method} /v1/store/orders{path} HTTP/1.1\r\nhOST: shop\r\nx-aPi-kEY: {KEY}\r\n\
            IDEMPOTENCY-key: till-1-42\r\niF-mATCH: \"3\"\r\n\
            CONTENT-type: APPLICATION/json; charset=UTF-8\r\ncontent-LENGTH: {}\r\n\
            cOnnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    // The store adds its name to it, so what central gets is longer than what came.
    let order = "{\r\n    \"customerId\" : \"Zoe\",\r\n\t\"items\" : [\r\n        \
        {\r\n            \"productId\" : \"PROD-001\",\r\n            \"quantity\" : 2\r\n        }\r\n    ]\r\n}\r\n";
    let (status, placed) = as_written(&store, &written("POST", "", order)).await;
    assert_eq!(status, 201, "{placed}");
    assert_eq!(placed["storeId"], "store-s1");
    assert_eq!(central.available("PROD-001"), 8);
    let (status, again) = as_written(&store, &written("POST", "", order)).await;
    assert_eq!((status, &again["orderId"]), (201, &placed["orderId"]));
    assert_eq!(central.available("PROD-001"), 8, "its key has arrived");
    // This one is passed on as it is.
    let body = "{\n  \"status\" : \"completed\"\n}\n";
    let (status, answer) = as_written(&store, &written("PUT", "/ord-1/status", body)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["asked"], "PUT /v1/orders/ord-1/status");
    assert_eq!(answer["key"], "store-s1:till-1-42");
    assert_eq!(answer["condition"], "\"3\"");
    let passed: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(passed, json!({"status": "completed"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_not_a_second_order() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    central.misbehave(|spoilt| spoilt.lose_answers = 1);
    let placed = order(&store, 1, "k").await;
    assert_eq!(placed.status(), 201);
    assert_eq!(header(&placed, "idempotent-replayed"), Some("true"));
    assert_eq!(central.available("PROD-001"), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_which_nobody_knows_is_settled_by_the_same_key() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    central.misbehave(|spoilt| spoilt.lose_answers = 3);
    let unknown = order(&store, 1, "k2").await;
    assert_eq!(unknown.status(), 504);
    assert_eq!(unknown.json::<Value>().await.unwrap()["code"], "timeout");
    let settled = order(&store, 1, "k2").await;
    assert_eq!(settled.status(), 201);
    assert_eq!(header(&settled, "idempotent-replayed"), Some("true"));
    assert_eq!(central.available("PROD-001"), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_may_take_longer_than_any_other_call() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    // The time for any other call is 500 ms here.
    central.misbehave(|spoilt| spoilt.payment = Duration::from_millis(700));
    let placed = order(&store, 1, "k").await;
    assert_eq!(placed.status(), 201);
    assert_eq!(
        header(&placed, "idempotent-replayed"),
        None,
        "it was sent once"
    );
    // But not for ever.
    central.misbehave(|spoilt| spoilt.hang_updates = true);
    assert_eq!(order(&store, 1, "k2").await.status(), 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_central_an_order_is_refused_at_once_and_nothing_has_happened() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    central.vanish().await;
    for number in 0..8 {
        let refused = order(&store, 1, &format!("k{number}")).await;
        assert_eq!(refused.status(), 503);
        assert!(header(&refused, "retry-after").is_some());
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["code"], "central_unavailable");
    }
    let breaker = store.get_json("/v1/circuit-breakers").await;
    assert!(
        breaker.to_string().contains(r#""state":"open""#),
        "{breaker}"
    );
    assert_eq!(store.get("/v1/store/orders/ord-1").await.status(), 503);
    assert_eq!(store.available("PROD-001").await, Some(10));
}

/// Watches an order at a store, having seen the event `last`.
async fn watch(store: &TestStore, last: &str) -> Response {
    let path = "/v1/store/orders/ord-1/events?after=3";
    let request = store.client.get(format!("{}{path}", store.url));
    let request = request
        .header("x-api-key", KEY)
        .header("accept", "text/event-stream")
        .header("last-event-id", last);
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orders_history_goes_through_a_store_as_it_happens() {
    let central = FakeCentral::start(1).await;
    let mut store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    let mut watching = watch(&store, "5").await;
    assert_eq!(watching.status(), 200);
    let kind = header(&watching, "content-type");
    assert_eq!(kind, Some("text/event-stream"));
    assert_eq!(header(&watching, "cache-control"), Some("no-store"));
    // It is there although central goes on.
    let event = watching.chunk().await.unwrap().unwrap();
    let expected = "id: 1\ndata: /v1/orders/ord-1/events?after=3 behind 5\n\n";
    assert_eq!(event, expected.as_bytes());
    // With central it ends, and well: the browser comes back.
    central.vanish().await;
    assert_eq!(watching.chunk().await.unwrap(), None);
    assert_eq!(watch(&store, "5").await.status(), 503);
    central.appear().await;
    // With the store it ends too, and does not hold its end.
    let mut watching = watch(&store, "6").await;
    assert_eq!(watching.status(), 200);
    assert!(watching.chunk().await.unwrap().is_some());
    store.stop().await;
    assert_eq!(watching.chunk().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_central_refuses_is_refused_and_only_so_many_are_open() {
    const REFUSAL: &str = r#"{"code":"order_not_found","requestId":"$REQUEST"}"#;
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    central.misbehave(|spoilt| spoilt.refuse_updates = Some((1, 404, REFUSAL)));
    let refused = watch(&store, "1").await;
    assert_eq!(refused.status(), 404);
    let id = header(&refused, "x-request-id").unwrap().to_owned();
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused, json!({"code": "order_not_found", "requestId": id}));
    // A page that is no stream is not central's.
    central.misbehave(|spoilt| spoilt.refuse_updates = Some((1, 200, REFUSAL)));
    assert_eq!(watch(&store, "1").await.status(), 504);
    let mut open = Vec::new();
    for _ in 0..ORDER_STREAMS {
        let watching = watch(&store, "1").await;
        assert_eq!(watching.status(), 200);
        open.push(watching);
    }
    let refused = watch(&store, "1").await;
    assert_eq!(refused.status(), 503);
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["code"], "overloaded");
    // Who goes makes room.
    open.pop();
    eventually("there is room again", async || {
        watch(&store, "1").await.status() == 200
    })
    .await;
}
