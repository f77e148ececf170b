//! API keys over HTTP: what each may do, and from when to when it counts.
//!
//! Longer than most files, because the table of who may call what stands at its end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use central_api::http;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::clock::{Clock, ManualClock, Timestamp};
use shared::testing::description::operations;
use tempfile::TempDir;

use crate::harness::{ADMIN_KEY, KEY, READ_KEY, TestCentral, eventually, sorted_fields};
use crate::served::{Reply, Served, create, decide, movement};

const KEYS: &str = "/v1/admin/api-keys";
const START: i64 = 1_768_473_000_123;

/// A central by a clock that is moved by hand.
async fn start(dir: &TempDir) -> (Served, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(START)));
    let by: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    (Served::start_by(dir, by, |_| {}).await, clock)
}

fn at(millis: i64) -> String {
    Timestamp::from_millis(START + millis).to_string()
}

async fn make(central: &Served, body: &Value) -> Value {
    central.post(KEYS, &[], body).await.expect(201)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name}: {value}"))
}

fn path_of(key: &Value) -> String {
    format!("{KEYS}/{}", text(key, "keyId"))
}

/// The status of a read with the secret.
async fn status(central: &Served, secret: &str) -> u16 {
    let answer = central
        .get_with("/v1/stores", &[("x-api-key", secret)])
        .await;
    answer.status.as_u16()
}

/// Sells one unit of `A` for `store` with the secret.
async fn sell(central: &Served, secret: &str, store: &str, key: &str) -> Reply {
    let sale = json!({"storeId": store, "productId": "A", "delta": -1, "idempotencyKey": key});
    let with = [("x-api-key", secret)];
    central.post("/v1/inventory/updates", &with, &sale).await
}

async fn revoke(central: &Served, key: &Value) -> Value {
    let path = path_of(key);
    let revoked = central.send(Method::DELETE, &path, &[], None).await;
    revoked.expect(200)
}

#[tokio::test]
async fn a_key_acts_for_its_store_alone_and_says_when_it_was_used() {
    let dir = tempfile::tempdir().unwrap();
    let (central, clock) = start(&dir).await;
    let wanted = json!({"name": "till-1", "scope": "store", "storeId": "store-s9"});
    let made = central.post(KEYS, &[], &wanted).await;
    assert_eq!(made.header("cache-control"), "no-store");
    let location = made.header("location").to_owned();
    let made = made.expect(201);
    assert_eq!(location, path_of(&made));
    assert_eq!(text(&made, "state"), "active");
    assert_eq!(text(&made, "createdBy"), "admin");
    let secret = text(&made, "secret");
    let begins = text(&made["secrets"][0], "beginsWith");
    assert!(secret.starts_with(begins), "{begins}");
    assert!(begins.len() < secret.len() - 32, "{begins}");

    decide(&central.ledger, create(["A".to_owned()], 5)).await;
    sell(&central, secret, "store-s9", "k1").await.expect(200);
    clock.advance_millis(7);
    let other = sell(&central, secret, "store-s1", "k2").await.expect(403);
    assert_eq!(text(&other, "code"), "forbidden");
    let shown = central.get(&path_of(&made)).await.expect(200);
    assert_eq!(text(&shown, "lastUsedAt"), at(7));
    central.stop().await;
}

#[tokio::test]
async fn a_replaced_secret_counts_for_the_overlap_and_both_have_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let (central, clock) = start(&dir).await;
    decide(&central.ledger, create(["A".to_owned()], 5)).await;
    let made = make(&central, &json!({"name": "till-1", "scope": "store"})).await;
    let secret = text(&made, "secret");
    sell(&central, secret, "store-s9", "k1").await.expect(200);
    let path = format!("{}/rotate", path_of(&made));
    let hour = json!({"overlapSeconds": 3_600});
    let rotated = central.post(&path, &[], &hour).await;
    assert_eq!(rotated.header("cache-control"), "no-store");
    let rotated = rotated.expect(200);
    let newer = text(&rotated, "secret");
    assert_ne!(newer, secret);
    for (millis, old) in [(3_599_999, 200), (1, 401)] {
        clock.advance_millis(millis);
        assert_eq!(status(&central, secret).await, old);
        assert_eq!(status(&central, newer).await, 200);
    }
    // The same sale with the new secret was sold before.
    let again = sell(&central, newer, "store-s9", "k1").await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    // Without an overlap the other one counts at once, and it alone.
    let now = json!({"overlapSeconds": 0});
    let newest = central.post(&path, &[], &now).await.expect(200);
    assert_eq!(status(&central, newer).await, 401);
    assert_eq!(status(&central, text(&newest, "secret")).await, 200);
    // If nobody says how long, it is a day; an empty body says nothing.
    let last = central
        .send(Method::POST, &path, &[], None)
        .await
        .expect(200);
    let until = Timestamp::from_millis(START + 3_600_000 + 24 * 3_600_000);
    assert_eq!(text(&last["secrets"][0], "validUntil"), until.to_string());
    central.stop().await;
}

#[tokio::test]
async fn a_revoked_key_counts_no_more_from_the_answer_on() {
    let dir = tempfile::tempdir().unwrap();
    let (central, clock) = start(&dir).await;
    let made = make(&central, &json!({"name": "till-1", "scope": "store"})).await;
    let secret = text(&made, "secret");
    assert_eq!(status(&central, secret).await, 200);
    clock.advance_millis(1_000);
    let revoked = revoke(&central, &made).await;
    assert_eq!(text(&revoked, "state"), "revoked");
    assert_eq!(revoked["secrets"], json!([]));
    assert_eq!(text(&revoked, "revokedAt"), at(1_000));
    assert_eq!(text(&revoked, "revokedBy"), "admin");
    assert_eq!(status(&central, secret).await, 401);
    // Once more changes nothing; a new secret cannot be had.
    clock.advance_millis(5);
    assert_eq!(text(&revoke(&central, &made).await, "revokedAt"), at(1_000));
    let path = format!("{}/rotate", path_of(&made));
    let late = central.post(&path, &[], &json!({})).await.expect(409);
    assert_eq!(text(&late, "code"), "api_key_ended");
    assert_eq!(text(&late, "endedAt"), at(1_000));
    central.stop().await;
}

#[tokio::test]
async fn keys_are_the_same_after_a_restart_with_and_without_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (central, clock) = start(&dir).await;
    let kept = make(&central, &json!({"name": "kept", "scope": "admin"})).await;
    let ended = make(&central, &json!({"name": "ended", "scope": "admin"})).await;
    revoke(&central, &ended).await;
    central.ledger.published().take_snapshot().unwrap();
    let later = make(&central, &json!({"name": "later", "scope": "read"})).await;
    let rotated = central
        .post(&format!("{}/rotate", path_of(&kept)), &[], &json!({}))
        .await;
    let rotated = rotated.expect(200);
    let shown = central.get(KEYS).await.expect(200);
    central.stop().await;

    let by: Arc<dyn Clock> = clock;
    let central = Served::start_by(&dir, by, |_| {}).await;
    for (key, expected) in [(&kept, 200), (&rotated, 200), (&ended, 401), (&later, 200)] {
        assert_eq!(
            status(&central, text(key, "secret")).await,
            expected,
            "{key}"
        );
    }
    assert_eq!(
        without_uses(central.get(KEYS).await.expect(200)),
        without_uses(shown)
    );
    central.stop().await;
}

/// Uses are no facts of the log.
fn without_uses(mut page: Value) -> Value {
    for key in page["apiKeys"].as_array_mut().unwrap() {
        key.as_object_mut().unwrap().remove("lastUsedAt");
    }
    page
}

#[tokio::test]
async fn a_key_counts_until_its_time_is_over_and_its_name_is_free_then() {
    let dir = tempfile::tempdir().unwrap();
    let (central, clock) = start(&dir).await;
    let wanted = json!({"name": "auditor", "scope": "read", "expiresAt": at(60_000)});
    let made = make(&central, &wanted).await;
    let secret = text(&made, "secret");
    let taken = central.post(KEYS, &[], &wanted).await.expect(409);
    assert_eq!(
        (text(&taken, "code"), &taken["keyId"]),
        ("api_key_exists", &made["keyId"])
    );
    clock.advance_millis(59_999);
    assert_eq!(status(&central, secret).await, 200);
    clock.advance_millis(1);
    let late = central
        .get_with("/v1/stores", &[("x-api-key", secret)])
        .await;
    assert_eq!(
        text(&late.expect(401), "detail"),
        format!("this API key's time was over at {}", at(60_000))
    );
    let ended = central.get(&path_of(&made)).await.expect(200);
    assert_eq!(
        (text(&ended, "state"), &ended["secrets"]),
        ("expired", &json!([]))
    );
    // It is too late for a key that ends now; one without an end gets the name.
    let past = central.post(KEYS, &[], &wanted).await.expect(400);
    assert_eq!(text(&past, "code"), "invalid_request");
    make(&central, &json!({"name": "auditor", "scope": "read"})).await;
    central.stop().await;
}

#[tokio::test]
async fn whoever_still_listens_under_a_key_is_let_go_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (central, _) = start(&dir).await;
    decide(&central.ledger, create(["A".to_owned()], 5)).await;
    let made = make(&central, &json!({"name": "screen", "scope": "read"})).await;
    let secret = text(&made, "secret");
    let open = async |path: &str, accept: &str| {
        let request = central.client.get(central.url(path));
        let request = request.header("x-api-key", secret).header("accept", accept);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer
    };
    let stream = "text/event-stream";
    let live = open("/v1/admin/live", stream).await;
    let feed = open("/v1/inventory/events?offset=1", stream).await;
    let poll = open("/v1/inventory/events?offset=1&wait=0", "application/json").await;
    drop(poll);
    let parked = central
        .client
        .get(central.url("/v1/inventory/events?offset=1&wait=20"));
    let parked = tokio::spawn(parked.header("x-api-key", secret).send());
    let published = central.ledger.published();
    eventually("all three wait", async || published.watchers() == 3).await;
    revoke(&central, &made).await;
    // Both streams end by themselves: their bodies are whole.
    live.bytes().await.unwrap();
    feed.bytes().await.unwrap();
    // What happens after that is not for the poll.
    decide(&central.ledger, movement("A", -1)).await;
    let parked = parked.await.unwrap().unwrap();
    assert_eq!(parked.status(), StatusCode::UNAUTHORIZED);
    central.stop().await;
}

#[tokio::test]
async fn a_bad_key_is_refused_with_every_fault_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (central, _) = start(&dir).await;
    for (body, expected) in [
        (json!({}), vec!["name", "scope"]),
        (
            json!({"name": "a b", "scope": "root", "expiresAt": "soon", "secret": "mine"}),
            vec!["expiresAt", "name", "scope", "secret"],
        ),
        (json!({"name": "store", "scope": 1}), vec!["name", "scope"]),
        (
            json!({"name": "x", "scope": "admin", "storeId": "store-s1"}),
            vec!["storeId"],
        ),
        (
            json!({"name": "x", "scope": "read", "storeId": "store-s1"}),
            vec!["storeId"],
        ),
    ] {
        let refused = central.post(KEYS, &[], &body).await.expect(400);
        assert_eq!(sorted_fields(&refused), expected, "{body}");
    }
    let made = make(&central, &json!({"name": "x", "scope": "read"})).await;
    for overlap in [json!(-1), json!(2_592_001), json!("1")] {
        let path = format!("{}/rotate", path_of(&made));
        let refused = central
            .post(&path, &[], &json!({"overlapSeconds": overlap}))
            .await;
        assert_eq!(sorted_fields(&refused.expect(400)), ["overlapSeconds"]);
    }
    for (method, path) in [
        (Method::GET, "/key-none"),
        (Method::DELETE, "/key-none"),
        (Method::POST, "/key-none/rotate"),
        (Method::GET, "/%20"),
        (Method::DELETE, "/%20"),
    ] {
        let unknown = central
            .send(method, &format!("{KEYS}{path}"), &[], None)
            .await;
        assert_eq!(
            text(&unknown.expect(404), "code"),
            "api_key_not_found",
            "{path}"
        );
    }
    assert_eq!(status(&central, text(&made, "secret")).await, 200);
    assert_eq!(
        central.get(KEYS).await.expect(200)["apiKeys"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    central.stop().await;
}

#[tokio::test]
async fn pages_of_keys_have_each_key_once_the_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let (central, clock) = start(&dir).await;
    for n in 0..5 {
        clock.advance_millis(1);
        make(
            &central,
            &json!({"name": format!("key-{n}"), "scope": "read"}),
        )
        .await;
    }
    let (mut names, mut path) = (Vec::new(), format!("{KEYS}?limit=2"));
    loop {
        let page = central.get(&path).await.expect(200);
        let keys = page["apiKeys"].as_array().unwrap();
        names.extend(keys.iter().map(|key| text(key, "name").to_owned()));
        let Some(next) = page["nextCursor"].as_str() else {
            break;
        };
        path = format!("{KEYS}?limit=2&cursor={next}");
    }
    assert_eq!(names, ["key-4", "key-3", "key-2", "key-1", "key-0"]);
    central.stop().await;
}

/// Every file of a folder, and of those in it.
fn files(dir: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let mut all: Vec<_> = files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    folders.iter().for_each(|dir| all.extend(self::files(dir)));
    all
}

#[tokio::test]
async fn a_secret_is_in_no_file_and_in_no_other_answer() {
    let mut central = TestCentral::start().await;
    let wanted = json!({"name": "till-1", "scope": "admin"});
    let made = central.admin_json(Method::POST, KEYS, &wanted).await;
    let made: Value = made.json().await.unwrap();
    let secret = text(&made, "secret").to_owned();
    let random = secret.rsplit('_').next().unwrap().to_owned();
    let mut answers = String::new();
    for path in [
        KEYS.to_owned(),
        path_of(&made),
        "/v1/info".to_owned(),
        "/health".to_owned(),
    ] {
        answers.push_str(
            &central
                .admin(Method::GET, &path)
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap(),
        );
    }
    let wrong = format!("{}0", &secret[..secret.len() - 1]);
    let refused = central
        .request(Method::GET, KEYS, &wrong)
        .send()
        .await
        .unwrap();
    answers.push_str(&refused.text().await.unwrap());
    // Not even most of it.
    assert!(!answers.contains(&random[8..]), "{answers}");
    central.stop().await;
    let dir = central.into_dir().await;
    let all = files(dir.path());
    assert!(
        all.iter().any(|file| find(file, b"till-1")),
        "the key is recorded"
    );
    for file in all {
        assert!(!find(&file, &random.as_bytes()[8..]));
    }
}

fn find(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

/// What the least key is that may do it. What is not named here, a key that reads may do.
const STORE: [&str; 15] = [
    "updateInventory",
    "countInventory",
    "reserveProduct",
    "releaseProduct",
    "createReservation",
    "commitReservation",
    "releaseReservation",
    "extendReservation",
    "placeOrder",
    "editOrder",
    "setOrderStatus",
    "confirmOrder",
    "cancelOrder",
    "completeOrder",
    "heartbeat",
];
const ADMIN: [&str; 22] = [
    "getLogLevel",
    "setLogLevel",
    "createProduct",
    "editProduct",
    "deleteProduct",
    "refundPayment",
    "settleRefund",
    "resetCircuitBreaker",
    "rateLimitStatus",
    "resetRateLimits",
    "getFaults",
    "setFaults",
    "listApiKeys",
    "createApiKey",
    "getApiKey",
    "rotateApiKey",
    "revokeApiKey",
    "adminCreateProducts",
    "adminSetProducts",
    "adminDeleteProducts",
    "importProducts",
    "exportProducts",
];
const PUBLIC: [&str; 4] = ["health", "healthLive", "healthReady", "info"];

/// Who may call what: every operation with no key, with one that reads, a store's and an admin's.
#[tokio::test]
async fn who_may_call_what() {
    let central = TestCentral::start().await;
    let mut table = BTreeMap::new();
    for operation in operations(http::document()) {
        let path = operation.path.replace(['{', '}'], "x");
        let mut may = Vec::new();
        for key in ["", READ_KEY, KEY, ADMIN_KEY] {
            let mut request = central
                .client
                .request(operation.method.clone(), format!("{}{path}", central.url));
            if !key.is_empty() {
                request = request.header("x-api-key", key);
            }
            // A body that is none, so that nothing happens to whoever may call.
            let request = request
                .header("content-type", "application/json")
                .body("no json");
            let answer = request.send().await.unwrap();
            let refused = matches!(answer.status().as_u16(), 401 | 403);
            may.push(!refused);
        }
        table.insert(operation.id().to_owned(), may);
    }
    for (id, may) in &table {
        let least = if PUBLIC.contains(&id.as_str()) {
            0
        } else if ADMIN.contains(&id.as_str()) {
            3
        } else if STORE.contains(&id.as_str()) {
            2
        } else {
            1
        };
        let expected: Vec<bool> = (0..4).map(|key| key >= least).collect();
        assert_eq!(*may, expected, "{id}: no key, read, store, admin");
    }
    let named = PUBLIC.iter().chain(&ADMIN).chain(&STORE);
    for id in named {
        assert!(table.contains_key(*id), "{id} is no operation");
    }
    assert_eq!(central.head().await, 0);
}
