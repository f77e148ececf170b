//! The list of the stores that follow: in pages, as every list.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::TestCentral;

async fn report(central: &TestCentral, store: &str) {
    let report = json!({
        "appliedOffset": 0, "gen": "00000000000000ab", "digest": "00000000000000ab",
        "breaker": "closed", "startedAt": "2026-01-15T10:30:00.000Z", "version": "0.1.0",
    });
    let path = format!("/v1/stores/{store}/heartbeat");
    let sent = central.admin_json(Method::PUT, &path, &report).await;
    assert_eq!(sent.status(), 200);
}

fn ids(page: &Value) -> Vec<&str> {
    let stores = page["stores"].as_array().unwrap();
    stores
        .iter()
        .map(|store| store["storeId"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn stores_come_in_pages_and_a_walk_meets_each_once() {
    let central = TestCentral::start().await;
    central.create("A", 1).await;
    for store in ["g", "c", "e", "a", "f", "d", "b"] {
        report(&central, store).await;
    }
    let all = central.get_json("/v1/stores").await;
    assert_eq!(ids(&all), ["a", "b", "c", "d", "e", "f", "g"]);
    let whole = json!({"offset": 0, "limit": 50, "total_count": 7, "has_more": false});
    assert_eq!(all["pagination"], whole);
    assert_eq!(all["asOfOffset"], central.head().await);
    assert_eq!(all["nextCursor"], Value::Null);

    let some = central.get_json("/v1/stores?offset=2&limit=3").await;
    assert_eq!(ids(&some), ["c", "d", "e"]);
    let part = json!({"offset": 2, "limit": 3, "total_count": 7, "has_more": true});
    assert_eq!(some["pagination"], part);
    let last = central.get_json("/v1/stores?offset=5&limit=5000").await;
    assert_eq!(
        (ids(&last).len(), &last["pagination"]["limit"]),
        (2, &json!(200))
    );
    assert_eq!(
        ids(&central.get_json("/v1/stores?offset=99").await),
        [""; 0]
    );

    // Who is new behind the walk shifts nothing, and who is new before it is met.
    let mut met = Vec::new();
    let mut cursor = some["nextCursor"].as_str().unwrap().to_owned();
    for store in ["b2", "e2"] {
        report(&central, store).await;
    }
    loop {
        let path = format!("/v1/stores?limit=2&cursor={cursor}");
        let page = central.get_json(&path).await;
        assert_eq!(page["pagination"]["offset"], 5 + met.len(), "{page}");
        met.extend(ids(&page).into_iter().map(str::to_owned));
        match page["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(met, ["e2", "f", "g"]);
}

#[tokio::test]
async fn every_fault_of_a_question_about_stores_is_named() {
    let central = TestCentral::start().await;
    for (query, faults) in [
        ("offset=-1&limit=none&order=asc", 3),
        ("cursor=no-cursor&limit=0", 2),
        ("offset=1&cursor=", 1),
    ] {
        let answer = central.get(&format!("/v1/stores?{query}")).await;
        assert_eq!(answer.status(), 400, "{query}");
        let problem: Value = answer.json().await.unwrap();
        let details = problem["details"].as_array().unwrap();
        assert_eq!(details.len(), faults, "{problem}");
    }
}
