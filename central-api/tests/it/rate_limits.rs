//! How often somebody may ask: what is said, who is refused, and that nobody else is.
//!
//! What a limit lets through in which time is tested where the limit is, by a clock that the test moves.
//! Here the limits are so low that a test cannot be slow enough to be given a second request.

use central_api::config::Settings;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use shared::service::rate_limit::RateLimitArgs;
use shared::testing::exposition::Exposition;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{ADMIN_KEY, KEY, TestCentral, header, settings};
use crate::requests::problem;

/// One request, and the next a minute later: longer than any of these tests takes.
const ONE: u32 = 1;

async fn limited(requests: u32, admin: u32, proxies: &str) -> TestCentral {
    TestCentral::with(Settings {
        rate_limits: RateLimitArgs {
            requests_per_minute: requests,
            admin_requests_per_minute: admin,
            trusted_proxies: proxies.to_owned(),
            ..RateLimitArgs::default()
        },
        ..settings()
    })
    .await
}

/// `GET /v1/info` without a key, through a proxy that says on whose behalf.
async fn forwarded(central: &TestCentral, list: &str) -> u16 {
    let request = central.client.get(format!("{}/v1/info", central.url));
    let answer = request.header("x-forwarded-for", list).send().await;
    answer.unwrap().status().as_u16()
}

async fn status_of(central: &TestCentral, key: &str) -> Response {
    let request = central.request(Method::GET, "/v1/admin/rate-limit/status", key);
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_caller_that_asks_too_often_is_told_so_before_its_body_is_read() {
    let central = limited(ONE, 600, "").await;
    central.create("A", 10).await;
    assert_eq!(central.update("A", -1, "first").await.status(), 200);
    let refused = central.update("A", -1, "second").await;
    let named = |name: &str| header(&refused, name).map(str::to_owned);
    assert_eq!(named("ratelimit-policy").unwrap(), "\"write\";q=1;w=60");
    assert_eq!(named("x-ratelimit-remaining").unwrap(), "0");
    let wait: u64 = named("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let body = problem(refused, 429, "rate_limited", "too many").await;
    assert_eq!(body["retryable"], true);

    // Of this one the service gets a head that announces a body, and never the body.
    let address = central.url.strip_prefix("http://").unwrap();
    let mut wire = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/inventory/updates HTTP/1.1\r\nhost: c\r\nx-api-key: {KEY}\r\n\
         content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    );
    wire.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    wire.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, *b"HTTP/1.1 429");

    // Reads, followers and health are other matters; nothing happened, and the key is not spent.
    assert_eq!(central.get("/v1/inventory/A").await.status(), 200);
    let reset = central.admin(Method::POST, "/v1/admin/rate-limit/reset");
    assert_eq!(reset.send().await.unwrap().status(), 200);
    let sold = central.update("A", -1, "second").await;
    assert_eq!(sold.status(), 200);
    assert_eq!(header(&sold, "idempotent-replayed"), None);
}

/// Whatever else a store's key is used for, the store hears what is in stock.
#[tokio::test]
async fn who_follows_is_not_kept_from_it_by_what_else_its_key_asks_for() {
    let central = limited(ONE, 600, "").await;
    assert_eq!(central.get("/v1/inventory").await.status(), 200);
    assert_eq!(central.get("/v1/inventory").await.status(), 429);
    for _ in 0..500 {
        let events = central.get("/v1/inventory/events?offset=0").await;
        assert_eq!(events.status(), 200);
    }
    for _ in 0..100 {
        let url = format!("{}/health", central.url);
        let health = central.client.get(url).send().await.unwrap();
        assert_eq!(health.status(), 200);
        assert_eq!(header(&health, "ratelimit"), None);
    }
}

#[tokio::test]
async fn a_forged_address_changes_nothing_unless_it_comes_through_a_proxy_of_ours() {
    let central = limited(ONE, 600, "10.0.0.0/8").await;
    assert_eq!(forwarded(&central, "192.0.2.1").await, 200);
    assert_eq!(forwarded(&central, "192.0.2.2").await, 429);
    let central = limited(ONE, 600, "127.0.0.0/8").await;
    assert_eq!(forwarded(&central, "192.0.2.1").await, 200);
    assert_eq!(forwarded(&central, "192.0.2.1").await, 429);
    // What its client wrote on the left is not what the proxy saw.
    assert_eq!(forwarded(&central, "192.0.2.9, 192.0.2.1").await, 429);
    assert_eq!(forwarded(&central, "192.0.2.2").await, 200);
    let shown: Value = status_of(&central, ADMIN_KEY).await.json().await.unwrap();
    assert_eq!(shown["active_ip_limits"], 2, "{shown}");
}

#[tokio::test]
async fn guessing_keys_is_limited_and_a_made_key_goes_on_meanwhile() {
    let central = limited(ONE, 600, "").await;
    let body = json!({"name": "till", "scope": "read"});
    let made = central.admin_json(Method::POST, "/v1/admin/api-keys", &body);
    let made: Value = made.await.json().await.unwrap();
    let secret = made["secret"].as_str().unwrap();
    let ask = async |key: &str| {
        let request = central.request(Method::GET, "/v1/inventory", key);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("wrong").await, 401);
    assert_eq!(ask("wrong").await, 429);
    // Right or wrong, what can be guessed is not looked up; what cannot is.
    assert_eq!(ask(KEY).await, 429);
    assert_eq!(ask(secret).await, 200);
    assert_eq!(ask(&secret.replace('_', "-")).await, 429);
}

#[tokio::test]
async fn the_status_is_for_admins_and_says_who_has_used_up_what() {
    let central = limited(200, 50, "").await;
    assert_eq!(status_of(&central, KEY).await.status(), 403);
    assert_eq!(central.get("/v1/inventory").await.status(), 200);
    let answer = status_of(&central, ADMIN_KEY).await;
    assert_eq!(header(&answer, "x-ratelimit-limit"), Some("50"));
    let shown: Value = answer.json().await.unwrap();
    let about = |name: &str| shown[name].clone();
    assert_eq!(about("requests_per_minute"), 200);
    assert_eq!(about("admin_requests_per_minute"), 50);
    let callers = shown["callers"].as_array().unwrap();
    // Keys of the settings that have no name are told apart by their place.
    let used: Vec<_> = callers
        .iter()
        .map(|caller| (caller["policy"].as_str(), caller["principal"].as_str()))
        .collect();
    assert!(
        used.contains(&(Some("admin"), Some("ADMIN_API_KEYS[0]"))),
        "{shown}"
    );
    assert!(
        used.contains(&(Some("read"), Some("API_KEYS[0]"))),
        "{shown}"
    );
    assert_eq!(shown["policies"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn refusals_are_counted_by_policy_and_by_where_they_come_from() {
    let central = limited(ONE, 600, "127.0.0.1").await;
    for client in ["127.0.0.1", "10.0.0.7", "198.51.100.7"] {
        assert_eq!(forwarded(&central, client).await, 200);
        assert_eq!(forwarded(&central, client).await, 429);
        assert_eq!(forwarded(&central, client).await, 429);
    }
    let metrics = central
        .client
        .get(format!("{}/metrics", central.metrics_url));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    let metrics = Exposition::parse(&metrics).unwrap();
    for client in ["localhost", "internal", "external"] {
        let labels = [("client", client), ("policy", "anonymous")];
        let counted = metrics.value("holdfast_rate_limit_refusals_total", &labels);
        assert_eq!(counted, Some(2.0), "{client}");
    }
    let labels = [("client", "external"), ("policy", "write")];
    let counted = metrics.value("holdfast_rate_limit_refusals_total", &labels);
    assert_eq!(counted, Some(0.0));
}

/// The control of all other tests here: without limits there are none, and nobody speaks of them.
#[tokio::test]
async fn limits_can_be_switched_off() {
    let central = TestCentral::with(Settings {
        rate_limits: RateLimitArgs {
            enabled: false,
            requests_per_minute: ONE,
            admin_requests_per_minute: ONE,
            ..RateLimitArgs::default()
        },
        ..settings()
    })
    .await;
    for _ in 0..20 {
        let answer = central.get("/v1/inventory").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "ratelimit"), None);
    }
    let shown: Value = status_of(&central, ADMIN_KEY).await.json().await.unwrap();
    assert_eq!(shown["enabled"], false);
}
