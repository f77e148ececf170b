//! The rules that hold for every call, one test for each: section 1 of the contract.
//!
//! Whatever a request breaks, nothing may have happened; the helper that sends bad ones checks that
//! the head of the log has not moved.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, KEY, READ_KEY, TestCentral, fields, header, sorted_fields};

const UPDATES: &str = "/v1/inventory/updates";

/// A sale of one A, for the tests to spoil.
fn sale(key: &str) -> Value {
    json!({"storeId": "store-s1", "productId": "A", "delta": -1, "idempotencyKey": key})
}

fn with(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    body[name] = value.into();
    body
}

async fn shop() -> TestCentral {
    let central = TestCentral::start().await;
    central.create("A", 100).await;
    central
}

/// Sends the text `body`, expects `status` and `code`, and that nothing has happened. Returns the
/// problem.
async fn bad_text(central: &TestCentral, body: String, status: u16, code: &str) -> Value {
    let before = central.head().await;
    let request = central
        .request(Method::POST, UPDATES, KEY)
        .header("content-type", "application/json")
        .body(body.clone());
    let answer = request.send().await.unwrap();
    let problem = problem(answer, status, code, &body).await;
    assert_eq!(central.head().await, before, "something happened: {body}");
    problem
}

async fn bad(central: &TestCentral, body: Value, status: u16, code: &str) -> Value {
    bad_text(central, body.to_string(), status, code).await
}

/// Checks that `answer` has the shape of every refusal, and returns its body.
async fn problem(answer: Response, status: u16, code: &str, of: &str) -> Value {
    assert_eq!(answer.status(), status, "{of}");
    let kind = header(&answer, "content-type").unwrap();
    assert!(kind.starts_with("application/problem+json"), "{kind}: {of}");
    let request_id = header(&answer, "x-request-id").unwrap().to_owned();
    let later = header(&answer, "retry-after").map(str::to_owned);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["code"], code, "{of}: {body}");
    assert_eq!(body["status"], status, "{body}");
    assert_eq!(body["requestId"], request_id, "{body}");
    assert_eq!(body["message"], body["detail"], "{body}");
    for name in ["type", "title", "detail", "instance"] {
        assert!(
            body[name].as_str().is_some_and(|text| !text.is_empty()),
            "{name}: {body}"
        );
    }
    assert!(body["retryable"].is_boolean(), "{body}");
    assert_eq!(later.is_some(), matches!(status, 429 | 503), "{body}");
    body
}

async fn units(central: &TestCentral, id: &str) -> i64 {
    let path = format!("/v1/inventory/{id}");
    central.get_json(&path).await["available"].as_i64().unwrap()
}

#[tokio::test]
async fn ids_are_visible_ascii_without_slash_and_of_bounded_length() {
    let central = shop().await;
    for id in [
        "a b",
        "a/b",
        "\u{e9}",
        "a\u{7f}",
        "\u{0}",
        "\t",
        &"x".repeat(129),
    ] {
        bad(
            &central,
            with(sale("k"), "productId", id),
            400,
            "invalid_request",
        )
        .await;
        bad(
            &central,
            with(sale("k"), "storeId", id),
            400,
            "invalid_request",
        )
        .await;
        bad(
            &central,
            with(sale("k"), "idempotencyKey", id),
            400,
            "invalid_request",
        )
        .await;
    }
    for id in [
        "constructor",
        "__proto__",
        "a",
        "~!@#$%^&*()",
        &"x".repeat(128),
    ] {
        central.create(id, 1).await;
        assert_eq!(central.update(id, -1, id).await.status(), 200, "{id}");
    }
    // Case matters: "a" is not "A".
    assert_eq!(units(&central, "A").await, 100);
}

#[tokio::test]
async fn quantities_are_integers_and_nothing_else() {
    let central = shop().await;
    for delta in [
        "\"-1\"",
        "-1.0",
        "-1.5",
        "-1e0",
        "-9223372036854775809",
        "true",
        "[]",
    ] {
        let text = sale("k")
            .to_string()
            .replace("\"delta\":-1", &format!("\"delta\":{delta}"));
        assert_ne!(text, sale("k").to_string());
        bad_text(&central, text, 400, "bad_request").await;
    }
    for delta in [0, -1_000_000_001, i64::MIN] {
        bad(
            &central,
            with(sale("k"), "delta", delta),
            400,
            "invalid_delta",
        )
        .await;
    }
    // The control: the same request with a good figure happens.
    assert_eq!(central.post(UPDATES, &sale("k")).await.status(), 200);
}

#[tokio::test]
async fn a_direction_needs_a_reason_that_fits() {
    let central = shop().await;
    bad(
        &central,
        with(sale("k"), "delta", 1),
        400,
        "invalid_request",
    )
    .await;
    bad(
        &central,
        with(sale("k"), "reason", "received"),
        400,
        "invalid_request",
    )
    .await;
    bad(
        &central,
        with(sale("k"), "reason", "because"),
        400,
        "invalid_request",
    )
    .await;
}

#[tokio::test]
async fn times_are_utc_with_milliseconds() {
    let central = shop().await;
    let body: Value = central.update("A", -1, "k").await.json().await.unwrap();
    let text = body["lastUpdated"].as_str().unwrap();
    let shape: String = text
        .chars()
        .map(|sign| if sign.is_ascii_digit() { '0' } else { sign })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{text}");
}

#[tokio::test]
async fn unknown_fields_are_ignored_where_seed_003_ignores_them() {
    let central = shop().await;
    let body = with(sale("k"), "till", json!({"number": [7]}));
    assert_eq!(central.post(UPDATES, &body).await.status(), 200);
}

#[tokio::test]
async fn every_fault_is_named_at_once() {
    let central = shop().await;
    let body = json!({"storeId": "a b", "productId": "c/d", "delta": 0, "reason": "no"});
    let problem = bad(&central, body, 400, "invalid_request").await;
    assert_eq!(
        sorted_fields(&problem),
        ["delta", "idempotencyKey", "productId", "reason", "storeId"]
    );
    let text = r#"{"storeId":1,"productId":2,"delta":"x","idempotencyKey":[]}"#;
    let problem = bad_text(&central, text.to_owned(), 400, "bad_request").await;
    assert_eq!(
        fields(&problem),
        ["storeId", "productId", "idempotencyKey", "delta"]
    );
    for text in ["", "{", "[]", "null", "\u{0}", "{\"delta\":NaN}"] {
        bad_text(&central, text.to_owned(), 400, "bad_request").await;
    }
}

#[tokio::test]
async fn a_key_is_needed_known_and_allowed() {
    let central = shop().await;
    let before = central.head().await;
    let url = format!("{}{UPDATES}", central.url);
    for (name, value) in [
        ("x-none", ""),
        ("x-api-key", "wrong"),
        ("authorization", "Bearer wrong"),
    ] {
        let request = central
            .client
            .post(&url)
            .header(name, value)
            .json(&sale("k"));
        let answer = request.send().await.unwrap();
        assert!(header(&answer, "www-authenticate").is_some());
        problem(answer, 401, "unauthorized", name).await;
    }
    let request = central
        .request(Method::POST, UPDATES, READ_KEY)
        .json(&sale("k"));
    problem(request.send().await.unwrap(), 403, "forbidden", "read key").await;
    let body = with(sale("k"), "storeId", "store-s2");
    let request = central.request(Method::POST, UPDATES, "s1-key").json(&body);
    problem(
        request.send().await.unwrap(),
        403,
        "forbidden",
        "another store",
    )
    .await;
    let request = central.request(Method::POST, UPDATES, KEY);
    let request = request.bearer_auth(ADMIN_KEY).json(&sale("k"));
    let answer = request.send().await.unwrap();
    let two = problem(answer, 400, "invalid_request", "two keys").await;
    assert_eq!(fields(&two), ["header.X-API-Key", "header.Authorization"]);
    assert_eq!(central.head().await, before);
    // The controls: a bearer key and a bound key are as good as any.
    let request = central.client.post(&url).bearer_auth(KEY).json(&sale("k1"));
    assert_eq!(request.send().await.unwrap().status(), 200);
    let request = central
        .request(Method::POST, UPDATES, "s1-key")
        .json(&sale("k2"));
    assert_eq!(request.send().await.unwrap().status(), 200);
    let health = central.client.get(format!("{}/health", central.url));
    assert_eq!(health.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn every_answer_carries_a_request_id() {
    let central = shop().await;
    let calls = [
        (Method::GET, "/v1/inventory/A", 200),
        (Method::GET, "/v1/inventory/none", 404),
        (Method::GET, "/nowhere", 404),
        (Method::DELETE, UPDATES, 405),
        (Method::POST, UPDATES, 400),
    ];
    for (method, path, status) in calls {
        let send = |id: Option<&'static str>| {
            let mut request = central.request(method.clone(), path, KEY);
            if method == Method::POST {
                request = request.header("content-type", "application/json").body("{");
            }
            if let Some(id) = id {
                request = request
                    .header("x-request-id", id)
                    .header("x-correlation-id", id);
            }
            request.send()
        };
        let kept = send(Some("till-7.42")).await.unwrap();
        assert_eq!(kept.status(), status, "{path}");
        assert_eq!(header(&kept, "x-request-id"), Some("till-7.42"), "{path}");
        assert_eq!(
            header(&kept, "x-correlation-id"),
            Some("till-7.42"),
            "{path}"
        );
        let replaced = send(Some("two words")).await.unwrap();
        let id = header(&replaced, "x-request-id").unwrap();
        assert!(id != "two words" && !id.is_empty(), "{path}: {id}");
        let made = send(None).await.unwrap();
        assert!(header(&made, "x-request-id").is_some_and(|made| !made.is_empty() && made != id));
    }
    let too_large = central
        .request(Method::POST, UPDATES, KEY)
        .header("content-type", "application/json")
        .body(vec![b' '; 2 << 20])
        .send()
        .await
        .unwrap();
    problem(too_large, 413, "body_too_large", "two megabytes").await;
}

#[tokio::test]
async fn the_journal_and_the_feed_know_who_asked() {
    let central = shop().await;
    let request = central
        .request(Method::POST, UPDATES, KEY)
        .header("x-request-id", "request-17")
        .header("x-correlation-id", "piece-of-work-4");
    assert_eq!(request.json(&sale("k")).send().await.unwrap().status(), 200);
    let feed = central.get_json("/v1/inventory/events?offset=1").await;
    let cause = &feed["events"][0]["cause"];
    assert_eq!(cause["correlationId"], "piece-of-work-4", "{feed}");
    assert_eq!(cause["idempotencyKey"], "k", "{feed}");
    let folder = std::fs::read_dir(central.folder().join("journal")).unwrap();
    let journal: String = folder
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    assert!(
        journal.contains("\"requestId\":\"request-17\""),
        "{journal}"
    );
}

#[tokio::test]
async fn the_key_is_in_the_header_or_in_the_body_and_needed() {
    let central = shop().await;
    let mut bare = sale("k");
    bare.as_object_mut().unwrap().remove("idempotencyKey");
    bad(&central, bare.clone(), 400, "idempotency_key_required").await;
    let send = |key: &'static str, body: &Value| {
        let request = central.request(Method::POST, UPDATES, KEY);
        request.header("idempotency-key", key).json(body).send()
    };
    let first = send("\"h1\"", &bare).await.unwrap();
    assert_eq!(first.status(), 200);
    let again = send("h1", &bare).await.unwrap();
    assert_eq!(
        header(&again, "idempotent-replayed"),
        Some("true"),
        "quoted is bare"
    );
    assert_eq!(send("same", &sale("same")).await.unwrap().status(), 200);
    let before = central.head().await;
    let both = send("one", &sale("other")).await.unwrap();
    problem(both, 400, "invalid_request", "two keys").await;
    assert_eq!(central.head().await, before);
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_also_after_a_restart() {
    let mut central = shop().await;
    let refused = with(sale("short"), "delta", -1_000);
    let unknown = with(sale("unknown"), "productId", "nothing");
    let asked = [(sale("k"), 200), (refused, 409), (unknown, 404)];
    let mut first = Vec::new();
    for (body, status) in &asked {
        let answer = central.post(UPDATES, body).await;
        assert_eq!(answer.status(), *status);
        assert_eq!(header(&answer, "idempotent-replayed"), None);
        first.push(stable(answer.json().await.unwrap()));
    }
    // What made the refusals true has changed since; what was said stays said.
    central.create("nothing", 5).await;
    assert_eq!(central.update("A", 10_000, "more").await.status(), 200);
    for _ in 0..2 {
        let before = central.head().await;
        for ((body, status), first) in asked.iter().zip(&first) {
            let answer = central.post(UPDATES, body).await;
            assert_eq!(answer.status(), *status);
            assert_eq!(header(&answer, "idempotent-replayed"), Some("true"));
            assert_eq!(stable(answer.json().await.unwrap()), *first);
        }
        assert_eq!(central.head().await, before);
        central = central.restart().await;
    }
}

/// An answer without the name of the request that fetched it.
fn stable(mut body: Value) -> Value {
    body.as_object_mut().unwrap().remove("requestId");
    body
}

#[tokio::test]
async fn a_key_stands_for_one_command_of_one_caller() {
    let central = shop().await;
    assert_eq!(central.post(UPDATES, &sale("k")).await.status(), 200);
    bad(
        &central,
        with(sale("k"), "delta", -2),
        422,
        "idempotency_key_reused",
    )
    .await;
    bad(
        &central,
        with(sale("k"), "productId", "B"),
        422,
        "idempotency_key_reused",
    )
    .await;
    // Another shop's key of the same name is another key.
    let other = with(sale("k"), "storeId", "store-s2");
    let answer = central.post(UPDATES, &other).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "idempotent-replayed"), None);
    assert_eq!(units(&central, "A").await, 98);
}

#[tokio::test]
async fn one_key_at_the_same_time_is_one_effect_and_one_answer() {
    let central = shop().await;
    let body = sale("k");
    let all = (0..32).map(|_| central.post(UPDATES, &body));
    let answers = futures_util::future::join_all(all).await;
    let mut bodies = Vec::new();
    for answer in answers {
        assert_eq!(answer.status(), 200);
        bodies.push(answer.json::<Value>().await.unwrap());
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert_eq!(units(&central, "A").await, 99);
}

#[tokio::test]
async fn a_version_conflict_is_not_remembered_and_says_where_things_stand() {
    let central = shop().await;
    let ahead = with(sale("k"), "version", 2);
    let problem = bad(&central, ahead.clone(), 409, "version_conflict").await;
    assert_eq!(
        (&problem["newVersion"], &problem["newQuantity"]),
        (&json!(1), &json!(100))
    );
    assert_eq!(central.update("A", -1, "other").await.status(), 200);
    // The very same request, now true.
    let answer = central.post(UPDATES, &ahead).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "idempotent-replayed"), None);
}

#[tokio::test]
async fn a_version_is_an_etag() {
    let central = shop().await;
    let answer = central.get("/v1/inventory/A").await;
    assert_eq!(header(&answer, "etag"), Some("\"1\""));
    let request = |tag: &'static str| {
        let request = central.request(Method::GET, "/v1/inventory/A", KEY);
        request.header("if-none-match", tag).send()
    };
    assert_eq!(request("\"1\"").await.unwrap().status(), 304);
    assert_eq!(request("\"0\", \"1\"").await.unwrap().status(), 304);
    assert_eq!(central.update("A", -1, "k").await.status(), 200);
    let answer = request("\"1\"").await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "etag"), Some("\"2\""));
}

#[tokio::test]
async fn pages_follow_each_other_and_nonsense_is_refused() {
    let central = TestCentral::start().await;
    let products: Vec<_> = (0..250)
        .map(|number| json!({"productId": format!("P-{number:03}"), "name": "n", "available": 1, "price": 1}))
        .collect();
    let body = json!({"products": products});
    let created = central
        .admin_json(Method::POST, "/v1/admin/products/create", &body)
        .await;
    assert_eq!(created.status(), 200);
    let first = central.get_json("/v1/inventory").await;
    let pagination = json!({"offset": 0, "limit": 50, "total_count": 250, "has_more": true});
    assert_eq!(first["pagination"], pagination);
    assert_eq!(first["asOfOffset"], 250);
    assert!(first["gen"].as_str().is_some_and(|text| text.len() == 16));
    let capped = central.get_json("/v1/inventory?limit=500").await;
    assert_eq!(capped["products"].as_array().unwrap().len(), 200);

    // Begun plainly, continued by cursor: everything once, and no cursor on the last page.
    let mut seen = Vec::new();
    let mut page = first;
    loop {
        let rows = page["products"].as_array().unwrap().iter();
        seen.extend(rows.map(|row| row["productId"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        page = central
            .get_json(&format!("/v1/inventory?limit=90&cursor={cursor}"))
            .await;
    }
    let expected: Vec<_> = (0..250).map(|number| format!("P-{number:03}")).collect();
    assert_eq!(seen, expected);
    for query in [
        "limit=-1",
        "limit=x",
        "offset=-1",
        "offset=1.5",
        "cursor=nonsense",
    ] {
        let answer = central.get(&format!("/v1/inventory?{query}")).await;
        problem(answer, 400, "invalid_request", query).await;
    }
}

#[tokio::test]
async fn an_admin_may_do_what_a_shop_may() {
    let central = shop().await;
    let request = central
        .request(Method::POST, UPDATES, ADMIN_KEY)
        .json(&sale("k"));
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn health_says_how_full_the_disk_is_and_how_far_behind_the_followers_are() {
    let central = shop().await;
    let report = json!({
        "appliedOffset": central.head().await, "gen": "00000000000000aa", "digest": "00000000000000bb",
        "breaker": "closed", "startedAt": "2026-01-15T10:30:00.123Z", "version": "0.1.0",
    });
    let path = "/v1/stores/store-s1/heartbeat";
    let sent = central.admin_json(Method::PUT, path, &report).await;
    assert_eq!(sent.status(), 200);
    central.create("B", 1).await;
    let checks = central.get_json("/health").await["checks"].clone();
    let followers = &checks["followers"];
    assert_eq!(followers["online"], 1, "{checks}");
    assert_eq!(followers["lagEventsMax"], 1, "{checks}");
    assert_eq!(followers["drifted"], 1, "{checks}");
    assert_eq!(followers["status"], "degraded", "{checks}");
    assert!(checks["disk"]["freeBytes"].is_u64(), "{checks}");
    for path in ["/v1/categories", "/v1/inventory/shortfalls"] {
        let list = central.get_json(path).await;
        assert_eq!(list["asOfOffset"], central.head().await, "{path}: {list}");
        assert!(
            list["gen"].is_string() && list.get("nextCursor").is_none(),
            "{list}"
        );
    }
}
