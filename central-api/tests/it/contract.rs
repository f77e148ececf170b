//! The rules that hold for every call, one test for each: section 1 of the contract. Keys, headers
//! and bodies have files of their own.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, KEY, READ_KEY, TestCentral, fields, header, sorted_fields};
use crate::requests::{UPDATES, bad, bad_text, problem, sale, shop, units, with};

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
    let mixed = json!({"productId": "a/b", "delta": "x"});
    let problem = bad(&central, mixed, 400, "bad_request").await;
    assert_eq!(
        sorted_fields(&problem),
        ["delta", "idempotencyKey", "productId"]
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
    for path in ["/v1/categories", "/v1/inventory/shortfalls", "/v1/stores"] {
        let list = central.get_json(path).await;
        assert_eq!(list["asOfOffset"], central.head().await, "{path}: {list}");
        assert!(
            list["gen"].is_string() && list.get("nextCursor").is_none(),
            "{list}"
        );
    }
}

#[tokio::test]
async fn every_refused_movement_has_the_members_of_seed_003() {
    let central = shop().await;
    for (body, status, word, figures) in [
        (
            with(sale("k"), "version", 9),
            409,
            "version_conflict",
            (100, 1),
        ),
        (
            with(sale("k"), "delta", -999),
            409,
            "insufficient_inventory",
            (100, 1),
        ),
        (
            with(sale("l"), "productId", "none"),
            404,
            "product_not_found",
            (0, 0),
        ),
        (
            with(sale("k"), "productId", ""),
            400,
            "missing_product_id",
            (0, 0),
        ),
        (with(sale("k"), "delta", 0), 400, "invalid_delta", (0, 0)),
        (
            with(sale("k"), "reason", "because"),
            400,
            "invalid_request",
            (0, 0),
        ),
        (
            with(sale("k"), "storeId", "a b"),
            400,
            "invalid_request",
            (0, 0),
        ),
    ] {
        let answer = central.post(UPDATES, &body).await;
        assert_eq!(answer.status(), status, "{body}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["applied"], false, "{problem}");
        assert_eq!(problem["errorType"], word, "{problem}");
        assert_eq!(problem["code"], word, "{problem}");
        let found = (&problem["newQuantity"], &problem["newVersion"]);
        assert_eq!(found, (&figures.0.into(), &figures.1.into()), "{problem}");
        for name in ["lastUpdated", "errorMessage"] {
            assert!(problem[name].is_string(), "{name}: {problem}");
        }
        if word != "missing_product_id" {
            assert_eq!(problem["productId"], body["productId"], "{problem}");
        }
    }
}

#[tokio::test]
async fn a_batch_that_happens_whole_or_not_at_all_says_why_not() {
    let central = shop().await;
    let line = |id: &str, delta: i64| json!({"productId": id, "delta": delta});
    // A conflict is a conflict, whatever else is wrong before or after it.
    let lines = [
        line("none", -1),
        line("A", -1),
        line("A", -100),
        line("gone", -1),
    ];
    let body =
        json!({"storeId": "store-s1", "atomicity": "all", "idempotencyKey": "k", "updates": lines});
    let problem = bad(&central, body, 409, "insufficient_inventory").await;
    // The second line only went along: it would have been applied.
    let named = ["updates[0]", "updates[2]", "updates[3]"];
    assert_eq!(fields(&problem), named, "{problem}");
    let rows = problem["results"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row["applied"] == false), "{problem}");
    // Lines that name nothing are no conflict by themselves; that nothing was applied is one.
    let lines = [line("A", -1), line("none", -1), line("gone", -1)];
    let body =
        json!({"storeId": "store-s1", "atomicity": "all", "idempotencyKey": "l", "updates": lines});
    for _ in 0..2 {
        let problem = bad(&central, body.clone(), 409, "batch_refused").await;
        assert_eq!(fields(&problem), ["updates[1]", "updates[2]"], "{problem}");
        let words = problem["results"].as_array().unwrap()[1..].iter();
        let words: Vec<_> = words
            .map(|row| row["errorType"].as_str().unwrap())
            .collect();
        assert_eq!(words, ["product_not_found"; 2], "{problem}");
        assert_eq!(problem["summary"]["succeeded"], 0, "{problem}");
    }
    assert_eq!(units(&central, "A").await, 100);
}
