//! Writes through central.

use serde_json::{Value, json};

use crate::fake_central::FakeCentral;
use crate::harness::{KEY, TestStore, header, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_reads_its_own_writes() {
    let central = FakeCentral::start(2).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(2).await;
    for sale in 1..=8 {
        let answer = store.update("PROD-001", -1, &format!("k{sale}")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "x-sync-visible"), Some("true"));
        assert_eq!(store.available("PROD-001").await, Some(10 - sale));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_the_copy_cannot_show_yet_is_answered_all_the_same() {
    // The control of the test above: with the feed hanging, waiting cannot help, and the answer
    // says so.
    let central = FakeCentral::start(2).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(2).await;
    central.misbehave(|spoilt| spoilt.hang_feed = true);
    let answer = store.update("PROD-001", -1, "k").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-sync-visible"), Some("false"));
    assert_eq!(store.available("PROD-001").await, Some(10));
    central.misbehave(|spoilt| spoilt.hang_feed = false);
    store.live_at(3).await;
    assert_eq!(store.available("PROD-001").await, Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_have_the_shape_of_seed_003() {
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(3).await;
    let body = json!({"storeId": "store-s1", "productId": "PROD-002", "delta": -1, "version": 1, "idempotencyKey": "s1"});
    let answer = store.post("/v1/store/inventory/updates", &body).await;
    let mut answer: Value = answer.json().await.unwrap();
    answer.as_object_mut().unwrap().remove("lastUpdated");
    assert_eq!(
        answer,
        json!({"productId": "PROD-002", "newQuantity": 9, "newVersion": 2, "delta": -1, "idempotencyKey": "s1", "applied": true, "offset": 3})
    );
    let refused = store.update("PROD-003", -50, "s3").await;
    assert_eq!(refused.status(), 409);
    assert_eq!(
        refused.json::<Value>().await.unwrap()["errorType"],
        "insufficient_inventory"
    );
    assert_eq!(store.update("NOPE", -1, "s4").await.status(), 404);
    let body = json!({"storeId": "store-s1", "updates": [
        {"productId": "PROD-002", "delta": -1, "idempotencyKey": "s5"},
        {"productId": "NOPE", "delta": -2, "idempotencyKey": "s6"},
    ]});
    let answer = store.post("/v1/store/inventory/batch-updates", &body).await;
    assert_eq!(header(&answer, "x-sync-visible"), Some("true"));
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["storeId"], "store-s1");
    assert_eq!(
        (
            &answer["totalCount"],
            &answer["successCount"],
            &answer["failureCount"]
        ),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(
        (
            &answer["results"][0]["delta"],
            &answer["results"][0]["idempotencyKey"]
        ),
        (&json!(-1), &json!("s5"))
    );
    assert_eq!(
        (
            &answer["results"][1]["delta"],
            &answer["results"][1]["applied"]
        ),
        (&json!(-2), &json!(false))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_cannot_speak_for_another() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    let body =
        json!({"storeId": "store-s2", "productId": "PROD-001", "delta": -1, "idempotencyKey": "k"});
    let answer = store.post("/v1/store/inventory/updates", &body).await;
    assert_eq!(answer.status(), 403);
    assert!(central.applied_keys().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_may_use_the_same_key() {
    let central = FakeCentral::start(1).await;
    let one = TestStore::start(&central.url()).await;
    let mut other = settings(&central.url());
    other.store_id = "store-s2".to_owned();
    let two = TestStore::with(other).await;
    one.live_at(1).await;
    two.live_at(1).await;
    assert_eq!(one.update("PROD-001", -1, "till-1-42").await.status(), 200);
    assert_eq!(two.update("PROD-001", -2, "till-1-42").await.status(), 200);
    assert_eq!(central.available("PROD-001"), 7);
    assert_eq!(
        central.applied_keys(),
        ["store-s1:till-1-42", "store-s2:till-1-42"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_not_a_second_sale() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    central.misbehave(|spoilt| spoilt.lose_answers = 1);
    let answer = store.update("PROD-001", -1, "k").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        header(&answer, "idempotent-replayed"),
        Some("true"),
        "it was sent twice"
    );
    assert_eq!(answer.json::<Value>().await.unwrap()["newQuantity"], 9);
    assert_eq!(central.available("PROD-001"), 9);
    // The control: another key is another sale.
    store.update("PROD-001", -1, "k2").await;
    assert_eq!(central.available("PROD-001"), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_called_unknown_and_the_same_key_settles_it() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    central.misbehave(|spoilt| spoilt.lose_answers = 3);
    let answer = store.update("PROD-001", -1, "k").await;
    assert_eq!(answer.status(), 504);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(
        (&body["code"], &body["retryable"]),
        (&json!("timeout"), &json!(true))
    );
    let answer = store.update("PROD-001", -1, "k").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(central.available("PROD-001"), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_central_costs_the_caller_no_more_than_its_deadline() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    central.misbehave(|spoilt| spoilt.hang_updates = true);
    let begun = tokio::time::Instant::now();
    let answer = store.update("PROD-001", -1, "k").await;
    assert_eq!(answer.status(), 504);
    assert!(begun.elapsed().as_millis() < 3_000, "{:?}", begun.elapsed());
    // Reads do not notice.
    assert_eq!(store.available("PROD-001").await, Some(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn centrals_busy_is_passed_on_as_nothing_happened() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    let busy = r#"{"code":"overloaded","message":"x"}"#;
    central.misbehave(|spoilt| spoilt.refuse_updates = Some((3, 503, busy)));
    let answer = store.update("PROD-001", -1, "k").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "overloaded");
    // Once only: the store tries again by itself.
    store
        .client
        .post(format!("{}/v1/circuit-breakers/central/reset", store.url))
        .header("x-api-key", "admin-demo")
        .send()
        .await
        .unwrap();
    central.misbehave(|spoilt| spoilt.refuse_updates = Some((1, 503, busy)));
    assert_eq!(store.update("PROD-001", -1, "k").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_central_does_not_know_is_the_stores_trouble_and_not_the_tills() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    central.misbehave(|spoilt| spoilt.refuse_updates = Some((1, 401, "{}")));
    let answer = store.update("PROD-001", -1, "k").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(
        answer.json::<Value>().await.unwrap()["code"],
        "central_unavailable"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_is_passed_on_names_the_request_that_the_caller_made() {
    const REFUSAL: &str = r#"{"code":"version_conflict","requestId":"$REQUEST","version":7}"#;
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    for path in ["/v1/store/inventory/updates", "/v1/inventory/updates"] {
        central.misbehave(|spoilt| spoilt.refuse_updates = Some((1, 409, REFUSAL)));
        let body = json!({"productId": "PROD-001", "delta": -1, "idempotencyKey": "k", "storeId": "store-s1"});
        let answer = store.post(path, &body).await;
        assert_eq!(answer.status(), 409, "{path}");
        let id = header(&answer, "x-request-id").unwrap().to_owned();
        let answer: Value = answer.json().await.unwrap();
        let expected = json!({"code": "version_conflict", "requestId": id, "version": 7});
        assert_eq!(answer, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_on_a_write_reaches_central_and_its_refusal_the_till() {
    // Dropped on the way, it would turn a compare-and-set into a blind change.
    const REFUSAL: &str = r#"{"code":"precondition_failed","asked":"$CONDITION"}"#;
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    for path in ["/v1/store/inventory/updates", "/v1/inventory/updates"] {
        for condition in [Some("\"7\""), None] {
            central.misbehave(|spoilt| spoilt.refuse_updates = Some((1, 412, REFUSAL)));
            let request = store.client.post(format!("{}{path}", store.url));
            let request = request.header("x-api-key", KEY);
            let request = match condition {
                Some(condition) => request.header("if-match", condition),
                None => request,
            };
            let body = json!({"productId": "PROD-001", "delta": -1, "idempotencyKey": "k", "storeId": "store-s1"});
            let answer = request.json(&body).send().await.unwrap();
            assert_eq!(answer.status(), 412, "{path}");
            let answer: Value = answer.json().await.unwrap();
            let expected = if condition.is_some() { "7" } else { "none" };
            assert_eq!(answer["asked"], expected, "{path}");
        }
    }
}
