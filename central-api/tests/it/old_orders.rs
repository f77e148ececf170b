//! Orders that are only in the log: found by their ids, repeated under their keys, and left as they are.

use central_api::config::Config;
use central_api::ledger::Retention;
use central_api::verify::verify;
use reqwest::Method;
use serde_json::{Value, json};
use shared::disk::FsDisk;
use tempfile::TempDir;

use crate::served::{Reply, SHOP, Served, config};
use crate::shop::stocked;

/// Ended orders that are kept in memory in these tests.
const KEPT: usize = 3;

fn keep_few(config: &mut Config) {
    config.ended_orders = KEPT;
}

async fn start(dir: &TempDir) -> Served {
    Served::start_with(dir, keep_few).await
}

/// Stops it and looks at the folder; then starts it again.
async fn restart(central: Served, dir: &TempDir) -> Served {
    central.stop().await;
    let mut config = config(dir.path().to_owned());
    keep_few(&mut config);
    let retention: Retention = config.retention();
    let report = verify(&FsDisk, dir.path(), retention).unwrap();
    assert_eq!(report.findings, []);
    start(dir).await
}

async fn place(central: &Served, key: &str, quantity: i64) -> Reply {
    let body = json!({
        "customerId": "ann", "storeId": "store-s1",
        "items": [{"productId": "A", "quantity": quantity}],
    });
    let headers = [("idempotency-key", key)];
    central.post("/v1/orders", &headers, &body).await
}

async fn step(central: &Served, id: &str, step: &str, key: &str) -> Reply {
    let path = format!("/v1/orders/{id}/{step}");
    let headers = [("idempotency-key", key)];
    central.post(&path, &headers, &json!({})).await
}

/// Status and body, without the id of the request.
fn said(reply: &Reply) -> (u16, Value) {
    let mut body = reply.json();
    body.as_object_mut().unwrap().remove("requestId");
    (reply.status.as_u16(), body)
}

/// What was said of an order when it ended.
struct Ended {
    id: String,
    key: String,
    placed: (u16, Value),
    last: Value,
    history: Value,
}

/// `count` orders that have ended: most are completed, and every fourth was never placed for want of
/// units.
async fn ended(central: &Served, from: usize, count: usize) -> Vec<Ended> {
    let mut orders = Vec::new();
    for number in from..from + count {
        let key = format!("place-{number}");
        let is_short = number % 4 == 3;
        let placed = place(central, &key, if is_short { 100_000 } else { 1 }).await;
        let (status, answer) = said(&placed);
        let order = if is_short { &answer["order"] } else { &answer };
        let id = order["orderId"].as_str().unwrap().to_owned();
        let last = if is_short {
            assert_eq!(status, 409);
            order.clone()
        } else {
            assert_eq!(status, 201);
            step(central, &id, "complete", &format!("complete-{number}"))
                .await
                .expect(200)
        };
        let history = central.get(&format!("/v1/orders/{id}/events")).await;
        orders.push(Ended {
            id,
            key,
            placed: (status, answer),
            last,
            history: history.expect(200),
        });
    }
    orders
}

/// Every order is what it was, wherever it is.
async fn check(central: &Served, orders: &[Ended]) {
    for order in orders {
        let path = format!("/v1/orders/{}", order.id);
        let found = central.get(&path).await;
        let version = format!("\"{}\"", order.last["version"]);
        assert_eq!(found.expect(200), order.last);
        assert_eq!(found.header("etag"), version);
        let known = central
            .get_with(&path, &[("if-none-match", &version)])
            .await;
        assert_eq!(known.status.as_u16(), 304);
        let history = central.get(&format!("{path}/events")).await;
        assert_eq!(history.expect(200), order.history);
        if let Some(payment) = order.last["payment"]["paymentId"].as_str() {
            let path = format!("/v1/payments/{payment}");
            let payment = central.get(&path).await.expect(200);
            assert_eq!(payment["orderId"], order.id.as_str());
        }
    }
    let listed = central.get("/v1/orders?limit=200").await.expect(200);
    assert_eq!(listed["orders"].as_array().unwrap().len(), KEPT);
}

/// Every request that was answered once is answered so again, and nothing happens.
async fn repeat(central: &Served, orders: &[Ended]) {
    let before = central.ledger.published().head();
    for order in orders {
        let quantity = if order.placed.0 == 409 { 100_000 } else { 1 };
        let again = place(central, &order.key, quantity).await;
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(said(&again), order.placed);
        if order.placed.0 == 201 {
            let key = order.key.replace("place", "complete");
            let again = step(central, &order.id, "complete", &key).await;
            assert_eq!(again.header("idempotent-replayed"), "true");
            assert_eq!(again.expect(200), order.last);
        }
    }
    assert_eq!(central.ledger.published().head(), before);
}

#[tokio::test]
async fn an_order_that_ended_long_ago_is_found_and_its_keys_are_answered_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut central = start(&dir).await;
    stocked(&central.ledger, &["A"], 1_000).await;
    let mut orders = ended(&central, 0, 9).await;
    check(&central, &orders).await;
    repeat(&central, &orders).await;
    // From the log alone.
    central = restart(central, &dir).await;
    check(&central, &orders).await;
    repeat(&central, &orders).await;
    for round in 1..4 {
        // From a snapshot and runs, which are merged, with some of it behind both.
        orders.extend(ended(&central, round * 20, 5).await);
        let published = central.ledger.published().clone();
        let written = tokio::task::spawn_blocking(move || {
            published.take_snapshot().unwrap();
            published.index_orders().unwrap();
        });
        written.await.unwrap();
        orders.extend(ended(&central, round * 20 + 5, 5).await);
        check(&central, &orders).await;
        central = restart(central, &dir).await;
        check(&central, &orders).await;
        repeat(&central, &orders).await;
    }
    // The index is worth nothing without the log, and the log needs no index.
    central.stop().await;
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    central = start(&dir).await;
    check(&central, &orders).await;
    central.stop().await;
}

#[tokio::test]
async fn an_old_order_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let central = start(&dir).await;
    stocked(&central.ledger, &["A"], 1_000).await;
    let orders = ended(&central, 0, 9).await;
    let old = &orders[0];
    let path = format!("/v1/orders/{}", old.id);
    let before = central.ledger.published().head().orders;

    let code = |reply: &Reply, status| reply.expect(status)["code"].clone();
    let cancelled = step(&central, &old.id, "cancel", "cancel-1").await;
    assert_eq!(code(&cancelled, 409), "illegal_transition");
    let again = step(&central, &old.id, "cancel", "cancel-1").await;
    assert_eq!(again.json()["detail"], cancelled.json()["detail"]);
    let completed = step(&central, &old.id, "complete", "complete-again").await;
    assert_eq!(completed.expect(200), old.last);
    let headers = [("if-match", "\"1\"")];
    let stale = central
        .post(&format!("{path}/complete"), &headers, &json!({}))
        .await;
    assert_eq!(code(&stale, 412), "precondition_failed");
    let body = json!({"shippingAddress": {"city": "York"}});
    let edited = central.send(Method::PUT, &path, &[], Some(&body)).await;
    assert_eq!(code(&edited, 409), "order_settled");
    let payment = old.last["payment"]["paymentId"].as_str().unwrap();
    let headers = [("idempotency-key", "refund-1")];
    let refund = format!("/v1/payments/{payment}/refund");
    let refund = central.post(&refund, &headers, &json!({})).await;
    assert_eq!(code(&refund, 409), "not_refundable");
    let problem = refund.json();
    let sentence = problem["detail"].as_str().unwrap();
    assert!(sentence.contains("at the payment provider"), "{sentence}");
    assert_eq!(problem["orderId"], old.id);
    let replayed = central
        .post(
            &format!("/v1/payments/{payment}/refund"),
            &headers,
            &json!({}),
        )
        .await;
    assert_eq!(replayed.expect(409)["detail"], *sentence);
    let headers = [("idempotency-key", "settle-1")];
    let settle = format!("/v1/payments/{payment}/refund/settle");
    let settle = central
        .post(&settle, &headers, &json!({"note": "by hand"}))
        .await;
    assert_eq!(code(&settle, 409), "not_refundable");

    assert_eq!(central.ledger.published().head().orders, before);
    check(&central, &orders).await;
    let central = restart(central, &dir).await;
    check(&central, &orders).await;
    let again = step(&central, &old.id, "cancel", "cancel-1").await;
    assert_eq!(code(&again, 409), "illegal_transition");
    central.stop().await;
}

#[tokio::test]
async fn an_old_order_is_shown_to_its_own_shop_and_streamed_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let central = start(&dir).await;
    stocked(&central.ledger, &["A"], 1_000).await;
    let orders = ended(&central, 0, 9).await;
    let path = format!("/v1/orders/{}", orders[0].id);
    let own = central.get_with(&path, &[("x-api-key", SHOP)]).await;
    assert_eq!(own.expect(200), orders[0].last);
    let foreign = json!({
        "customerId": "ann", "storeId": "store-s2", "items": [{"productId": "A", "quantity": 100_000}],
    });
    let headers = [("idempotency-key", "foreign")];
    let foreign = central
        .post("/v1/orders", &headers, &foreign)
        .await
        .expect(409);
    let foreign = foreign["order"]["orderId"].as_str().unwrap().to_owned();
    ended(&central, 20, 5).await;
    let shown = central
        .get_with(&format!("/v1/orders/{foreign}"), &[("x-api-key", SHOP)])
        .await;
    shown.expect(403);
    for unknown in ["ord-0", "ord-01kf0k8y20zzzzzzzzzzzzzzzz", "%20"] {
        central
            .get(&format!("/v1/orders/{unknown}"))
            .await
            .expect(404);
    }
    let headers = [("accept", "text/event-stream")];
    let told = central.get_with(&format!("{path}/events"), &headers).await;
    let text = String::from_utf8(told.bytes).unwrap();
    let events = orders[0].history["events"].as_array().unwrap().len();
    assert_eq!(text.matches("id:").count(), events, "{text}");
    assert!(text.contains("event: end"), "{text}");
    central.stop().await;
}

#[tokio::test]
async fn what_retention_has_dropped_is_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let few = |config: &mut Config| {
        keep_few(config);
        config.segment_bytes = 4_096;
    };
    let central = Served::start_with(&dir, few).await;
    stocked(&central.ledger, &["A"], 1_000).await;
    let orders = ended(&central, 0, 12).await;
    let published = central.ledger.published().clone();
    let newest = orders.len() - KEPT - 1;
    let kept = orders[newest].last["orderId"].as_str().unwrap().to_owned();
    let dropped = tokio::task::spawn_blocking(move || {
        published.index_orders().unwrap();
        published.take_snapshot().unwrap();
        let kept = shared::domain::ids::OrderId::parse(&kept).unwrap();
        let last = published.order_record(&kept).unwrap().unwrap();
        published.journal.drop_before(last).unwrap();
        published.journal.oldest().seq
    });
    assert!(dropped.await.unwrap() > 1);
    let path = |order: &Ended| format!("/v1/orders/{}", order.id);
    central.get(&path(&orders[0])).await.expect(404);
    assert_eq!(
        central.get(&path(&orders[newest])).await.expect(200),
        orders[newest].last
    );
    let published = central.ledger.published().clone();
    let indexed = tokio::task::spawn_blocking(move || published.index_orders().unwrap());
    indexed.await.unwrap();
    assert_eq!(
        central.get(&path(&orders[newest])).await.expect(200),
        orders[newest].last
    );
    central.stop().await;
}
