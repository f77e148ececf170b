//! The store follows central, in good times.

use serde_json::{Value, json};

use crate::fake_central::FakeCentral;
use crate::harness::{TestStore, eventually, header};
use crate::relay::follower_of;

#[tokio::test(flavor = "multi_thread")]
async fn a_store_has_what_central_has_and_says_how_current_it_is() {
    let central = FakeCentral::start(3).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(3).await;
    let answer = store.get("/v1/store/inventory/PROD-002").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "etag"), Some("W/\"1\""));
    assert_eq!(header(&answer, "x-sync-offset"), Some("3"));
    assert_eq!(header(&answer, "x-sync-lag"), Some("0"));
    assert_eq!(header(&answer, "x-central"), Some("reachable"));
    assert_eq!(header(&answer, "cache-status"), Some("\"store-s1\"; hit"));
    assert!(header(&answer, "age").is_some());
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["available"], 10);
    assert_eq!(body["price"], json!(99.99));

    central.put("PROD-002", 7);
    central.put("PROD-004", 1);
    central.delete("PROD-001");
    store.live_at(6).await;
    assert_eq!(store.available("PROD-002").await, Some(7));
    assert_eq!(store.available("PROD-004").await, Some(1));
    assert_eq!(store.available("PROD-001").await, None);
    let list = store
        .get_json("/v1/store/inventory?sort=available&limit=2")
        .await;
    assert_eq!(list["pagination"]["total_count"], 3);
    assert_eq!(list["products"][0]["productId"], "PROD-004");
    assert_eq!(list["asOfOffset"], 6);
    assert_eq!(list["gen"], "00000000000000a1");
    let categories = store.get_json("/v1/store/categories").await;
    assert_eq!(
        categories["categories"][0],
        json!({"category": "Audio", "products": 3})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_can_ask_for_an_offset_and_for_news_only() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    let get = |name: &'static str, value: String| {
        let request = store
            .client
            .get(format!("{}/v1/store/inventory/PROD-001", store.url));
        request
            .header("x-api-key", "demo")
            .header(name, value)
            .send()
    };
    assert_eq!(
        get("if-none-match", "W/\"1\"".into())
            .await
            .unwrap()
            .status(),
        304
    );
    assert_eq!(
        get("if-none-match", "\"7\"".into()).await.unwrap().status(),
        200
    );
    assert_eq!(
        get("x-min-offset", "soon".into()).await.unwrap().status(),
        400
    );
    central.put("PROD-001", 4);
    let answer = get("x-min-offset", "2".into()).await.unwrap();
    assert_eq!(header(&answer, "x-sync-offset"), Some("2"));
    // What does not come is not waited for without end, and the answer says what it stands at.
    let answer = get("x-min-offset", "99".into()).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "x-sync-offset")),
        (200, Some("2"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_asked_for_and_their_scope_is_kept() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    let ask = |method: &str, path: &str, key: Option<&str>| {
        let method = method.parse().unwrap();
        let request = store.client.request(method, format!("{}{path}", store.url));
        let request = match key {
            Some(key) => request.header("x-api-key", key),
            None => request,
        };
        let request =
            request.json(&json!({"productId": "PROD-001", "delta": -1, "idempotencyKey": "k"}));
        async { request.send().await.unwrap().status().as_u16() }
    };
    for (method, path, key, status) in [
        ("GET", "/v1/store/inventory", None, 401),
        ("GET", "/v1/store/inventory", Some("wrong"), 401),
        ("GET", "/v1/store/inventory", Some("reader"), 200),
        ("POST", "/v1/store/inventory/updates", Some("reader"), 403),
        (
            "POST",
            "/v1/circuit-breakers/central/reset",
            Some("demo"),
            403,
        ),
        (
            "POST",
            "/v1/circuit-breakers/central/reset",
            Some("admin-demo"),
            200,
        ),
        (
            "POST",
            "/v1/circuit-breakers/other/reset",
            Some("admin-demo"),
            404,
        ),
        ("GET", "/v1/admin/log-level", Some("demo"), 403),
        ("GET", "/v1/admin/log-level", Some("admin-demo"), 200),
        ("PUT", "/v1/admin/log-level", Some("admin-demo"), 400),
        ("GET", "/v1/admin/rate-limit/status", Some("demo"), 403),
        (
            "GET",
            "/v1/admin/rate-limit/status",
            Some("admin-demo"),
            200,
        ),
        ("POST", "/v1/admin/rate-limit/reset", Some("demo"), 403),
        (
            "POST",
            "/v1/admin/rate-limit/reset",
            Some("admin-demo"),
            200,
        ),
        ("GET", "/health", None, 200),
        ("GET", "/v1/info", None, 200),
        ("GET", "/openapi.json", None, 200),
        ("GET", "/nothing/here", Some("demo"), 404),
        ("DELETE", "/v1/store/inventory", Some("demo"), 405),
    ] {
        assert_eq!(
            ask(method, path, key).await,
            status,
            "{method} {path} {key:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_in_the_description() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    let document = store.get_json("/openapi.json").await;
    let paths: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    insta::assert_snapshot!(paths.join("\n"));
    let docs = store.get("/docs/").await;
    assert_eq!(docs.status(), 200);
    assert!(!docs.text().await.unwrap().contains("//cdn"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_continues_where_the_files_end() {
    let central = FakeCentral::start(5).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(5).await;
    for units in 0..20 {
        central.put("PROD-001", units);
    }
    store.live_at(25).await;
    let snapshots = central.snapshots();
    let store = store.restart().await;
    store.live_at(25).await;
    assert_eq!(
        central.snapshots(),
        snapshots,
        "a restart costs no full sync"
    );
    assert_eq!(store.available("PROD-001").await, Some(19));
}

#[tokio::test(flavor = "multi_thread")]
async fn central_restarting_costs_no_full_sync() {
    let central = FakeCentral::start(2).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(2).await;
    for _ in 0..3 {
        central.vanish().await;
        central.new_generation();
        central.appear().await;
        central.put("PROD-001", 1);
    }
    store.live_at(5).await;
    assert_eq!(store.status().await["fullSyncs"], 1);
    assert_eq!(store.status().await["gen"], "00000000000000d1");
    let store = store.restart().await;
    store.live_at(5).await;
    assert_eq!(central.snapshots(), 1, "the generations survive a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn central_hears_how_far_the_store_is() {
    let central = FakeCentral::start(2).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(2).await;
    central.put("PROD-002", 3);
    eventually("a heartbeat says 3", async || {
        let heartbeat = central.heartbeat_of("store-s1").unwrap_or_default();
        heartbeat["appliedOffset"] == 3
            && heartbeat["digest"] == central.digest()
            && heartbeat["breaker"] == "closed"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_folder_has_one_store() {
    let central = FakeCentral::start(1).await;
    let store = TestStore::start(&central.url()).await;
    store.live_at(1).await;
    let mut settings = crate::harness::settings(&central.url());
    settings.data_dir = Some(store.folder());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = store_api::Config::check(settings).unwrap();
    let second = store_api::run(config, listener, tokio_util::sync::CancellationToken::new()).await;
    assert!(
        second
            .unwrap_err()
            .to_string()
            .contains("another store-api")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_snapshot_a_short_log_is_read_from_its_beginning() {
    let central = FakeCentral::start(3).await;
    central.misbehave(|spoilt| spoilt.no_snapshot = true);
    for units in 0..2_500 {
        central.put("PROD-001", units);
    }
    let store = TestStore::start(&central.url()).await;
    store.live_at(2_503).await;
    assert_eq!(store.available("PROD-001").await, Some(2_499));
    let store = store.restart().await;
    store.live_at(2_503).await;
    assert_eq!(store.status().await["fullSyncs"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_store_of_a_chain_says_what_central_says_of_itself() {
    let central = FakeCentral::absent(1).await;
    let one = TestStore::start(&central.url()).await;
    let before = one.get_json("/v1/info").await;
    assert_eq!(before["currency"], "USD", "the setting, for want of better");
    assert_eq!(before["retention"], Value::Null);
    assert_eq!(before["oldestOffset"], Value::Null);
    central.appear().await;
    let two = TestStore::with(follower_of(&one, "store-s2")).await;
    for store in [&one, &two] {
        eventually("central's words are known", async || {
            store.get_json("/v1/info").await["retention"]["idempotencyKeys"] == 1_000
        })
        .await;
        let info = store.get_json("/v1/info").await;
        let retention = json!({"idempotencyHours": 24, "idempotencyKeys": 1_000, "eventHours": 48});
        assert_eq!(info["retention"], retention);
        assert_eq!(info["currency"], "EUR");
        assert_eq!(info["headOffset"], 1);
        assert!(info["oldestOffset"].is_u64(), "{info}");
        let features = info["features"].as_array().unwrap();
        assert!(features.contains(&json!("orders")), "{info}");
    }
}
