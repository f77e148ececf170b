//! How often a till may ask its store, and what is never refused. What a limit lets through in which
//! time is tested where the limits are, in `shared`.

use serde_json::Value;
use shared::service::rate_limit::RateLimitArgs;
use store_api::Settings;

use crate::fake_central::FakeCentral;
use crate::harness::{ADMIN_KEY, TestStore, header, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_till_that_asks_too_often_is_told_so_and_who_follows_is_not() {
    let central = FakeCentral::start(1).await;
    // One at once, and the next a minute later: longer than this test takes.
    let store = TestStore::with(Settings {
        rate_limits: RateLimitArgs {
            requests_per_minute: 1,
            ..RateLimitArgs::default()
        },
        ..settings(&central.url())
    })
    .await;
    let first = store.get("/v1/store/sync/status").await;
    assert_eq!(first.status(), 200);
    assert_eq!(
        header(&first, "ratelimit-policy"),
        Some("\"read\";q=1;w=60")
    );
    let second = store.get("/v1/store/sync/status").await;
    assert_eq!(second.status(), 429);
    assert!(header(&second, "retry-after").is_some());
    let problem: Value = second.json().await.unwrap();
    assert_eq!(problem["code"], "rate_limited", "{problem}");
    // A sale counts by another limit, a follower by a third, and health by none.
    assert_ne!(store.update("PROD-001", -1, "sale").await.status(), 429);
    assert_eq!(store.update("PROD-001", -1, "next").await.status(), 429);
    for _ in 0..50 {
        let events = store.get("/v1/inventory/events?offset=0").await;
        assert_ne!(events.status(), 429);
        let url = format!("{}/health", store.url);
        let health = store.client.get(url).send().await.unwrap();
        assert_ne!(health.status(), 429);
        assert_eq!(header(&health, "ratelimit"), None);
    }
    let url = format!("{}/v1/admin/rate-limit/status", store.url);
    let shown = store.client.get(url).header("x-api-key", ADMIN_KEY);
    let shown: Value = shown.send().await.unwrap().json().await.unwrap();
    let refused = |policy: &str| {
        let policies = shown["policies"].as_array().unwrap();
        let about = policies.iter().find(|about| about["policy"] == policy);
        about.unwrap()["refused"].as_u64()
    };
    assert_eq!((refused("read"), refused("write")), (Some(1), Some(1)));
    assert_eq!(refused("journal_drain"), Some(0));
}
