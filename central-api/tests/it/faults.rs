//! Faults on purpose: what each loses, what it leaves, and what it never touches.

use central_api::config::Settings;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, KEY, READ_KEY, TestCentral, eventually, settings, sorted_fields};

const FAULTS: &str = "/v1/admin/faults";
/// Longer than any test waits for what must happen.
const FOR_EVER_MS: u64 = 60_000;

async fn start() -> TestCentral {
    let central = TestCentral::with(Settings {
        fault_injection: true,
        ..settings()
    })
    .await;
    central.create("A", 100).await;
    central
}

async fn put(central: &TestCentral, plan: &Value) -> Value {
    let answer = central.admin_json(Method::PUT, FAULTS, plan).await;
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

async fn inject(central: &TestCentral, rule: Value) {
    put(central, &json!({"rules": [rule]})).await;
}

async fn nothing_fails(central: &TestCentral) {
    put(central, &json!({"rules": []})).await;
}

async fn counts(central: &TestCentral) -> Value {
    let answer = central.admin(Method::GET, FAULTS).send().await.unwrap();
    let shown: Value = answer.json().await.unwrap();
    shown["counts"].clone()
}

async fn available(central: &TestCentral) -> i64 {
    let shown = central.get_json("/v1/inventory/A").await;
    shown["available"].as_i64().unwrap()
}

/// A sale of one whose answer may not come.
async fn sell(central: &TestCentral, key: &str) -> Result<Response, reqwest::Error> {
    let body = json!({
        "storeId": "store-s1", "productId": "A", "delta": -1, "idempotencyKey": key,
    });
    let request = central.request(Method::POST, "/v1/inventory/updates", KEY);
    request.json(&body).send().await
}

fn replayed(answer: &Response) -> bool {
    answer.headers().contains_key("idempotent-replayed")
}

#[tokio::test]
async fn an_answer_lost_after_the_commit_is_settled_by_its_key() {
    let central = start().await;
    for action in ["drop_answer", "error"] {
        // The control: the same plan before the deed leaves nothing behind.
        for (when, sold) in [("before", 0), ("after_commit", 1)] {
            let key = format!("{action}-{when}");
            let before = available(&central).await;
            let rule = json!({
                "target": "updates", "everyNth": 1, "action": action, "when": when,
            });
            inject(&central, rule).await;
            match sell(&central, &key).await {
                Err(error) => assert!(action == "drop_answer" && !error.is_timeout(), "{error}"),
                Ok(answer) => {
                    assert_eq!((action, answer.status().as_u16()), ("error", 500));
                    let problem: Value = answer.json().await.unwrap();
                    assert_eq!(problem["code"], "injected_fault");
                    assert_eq!(problem["when"], when);
                    assert_eq!(problem["retryable"], true);
                }
            }
            assert_eq!(counts(&central).await, json!([{"calls": 1, "injected": 1}]));
            assert_eq!(available(&central).await, before - sold, "{key}");
            nothing_fails(&central).await;
            let again = sell(&central, &key).await.unwrap();
            assert_eq!(again.status(), 200);
            assert_eq!(replayed(&again), sold == 1, "{key}");
            assert_eq!(available(&central).await, before - 1, "{key}");
        }
    }
}

#[tokio::test]
async fn every_third_order_is_late_and_there_all_the_same() {
    let central = start().await;
    let preset = put(&central, &json!({"preset": "every-third-order-late"})).await;
    assert_eq!(
        preset["rules"],
        json!([{
            "target": "orders", "when": "after_commit", "action": "delay", "delayMs": 5_000,
            "everyNth": 3, "position": 3,
        }])
    );
    // The same, but so late that no test mistakes it for a slow machine.
    let mut rules = preset["rules"].clone();
    rules[0]["delayMs"] = FOR_EVER_MS.into();
    put(&central, &json!({"rules": rules})).await;
    let order = |key: &str| {
        let body = json!({
            "customerId": "ann", "items": [{"productId": "A", "quantity": 1}],
            "storeId": "store-s1", "idempotencyKey": key,
        });
        let request = central.request(Method::POST, "/v1/orders", KEY);
        request.json(&body)
    };
    for key in ["first", "second"] {
        let answer = order(key).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{key}");
    }
    let late = tokio::spawn(order("third").send());
    eventually("the third is done, and late", async || {
        counts(&central).await == json!([{"calls": 3, "injected": 1}])
    })
    .await;
    // Its customer gives up, and asks again.
    late.abort();
    assert!(late.await.unwrap_err().is_cancelled());
    let settled = order("third").send().await.unwrap();
    assert_eq!(settled.status(), 201);
    assert_eq!(available(&central).await, 97);
}

#[tokio::test]
async fn a_delay_does_not_hold_up_the_end() {
    let mut central = start().await;
    let rule = json!({
        "target": "updates", "everyNth": 1, "action": "delay", "delayMs": FOR_EVER_MS,
        "when": "after_commit",
    });
    inject(&central, rule).await;
    let body = json!({
        "storeId": "store-s1", "productId": "A", "delta": -1, "idempotencyKey": "slow",
    });
    let request = central.request(Method::POST, "/v1/inventory/updates", KEY);
    let asked = tokio::spawn(request.json(&body).send());
    eventually("the delay has begun", async || {
        counts(&central).await == json!([{"calls": 1, "injected": 1}])
    })
    .await;
    central.stop().await;
    assert_eq!(asked.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn who_looks_and_who_turns_it_off_is_never_touched() {
    let central = start().await;
    for action in ["error", "drop_answer"] {
        let rule = json!({
            "target": "all", "probability": 1, "action": action, "when": "before",
        });
        inject(&central, rule).await;
        let read = central.request(Method::GET, "/v1/info", KEY).send().await;
        assert!(read.is_err() || read.unwrap().status() == 500);
        for path in [
            "/health",
            "/health/live",
            "/health/ready",
            "/openapi.json",
            "/docs/",
            FAULTS,
        ] {
            let path = format!("{path}?simulateFailure=true");
            let answer = central.admin(Method::GET, &path).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
        }
        let health = central.admin(Method::GET, "/health").send().await.unwrap();
        let health: Value = health.json().await.unwrap();
        assert_eq!(health["status"], "degraded");
        assert_eq!(health["checks"]["faults"]["state"], "active");
        assert_eq!(health["checks"]["faults"]["rules"], 1);
    }
    nothing_fails(&central).await;
    assert_eq!(central.get("/v1/info").await.status(), 200);
}

#[tokio::test]
async fn seven_eight_and_nine_of_ten_fail() {
    let central = start().await;
    put(&central, &json!({"preset": "seven-eight-nine"})).await;
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(central.get("/v1/inventory/A").await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 500, 500, 500, 200]);
}

#[tokio::test]
async fn chaos_strikes_the_same_calls_again() {
    let central = start().await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        put(&central, &json!({"preset": "chaos"})).await;
        let mut statuses = Vec::new();
        for _ in 0..60 {
            statuses.push(central.get("/v1/inventory/A").await.status().as_u16());
        }
        assert!(
            statuses.contains(&200) && statuses.contains(&500),
            "{statuses:?}"
        );
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn an_order_gets_over_a_payment_call_that_fails() {
    let central = start().await;
    for (when, action) in [
        ("before", "drop_answer"),
        ("before", "error"),
        ("after_commit", "drop_answer"),
        ("after_commit", "error"),
    ] {
        let before = available(&central).await;
        // Or the breaker would open, as it should, at the third provider that fails.
        let reset = "/v1/circuit-breakers/payments/reset";
        let closed = central.admin(Method::POST, reset).send().await.unwrap();
        assert_eq!(closed.status(), 200);
        // The first call alone fails; the next, under the same key, settles it.
        let rule = json!({
            "target": "payments", "everyNth": 1_000, "position": 1, "action": action,
            "when": when,
        });
        inject(&central, rule).await;
        let body = json!({
            "customerId": "ann", "items": [{"productId": "A", "quantity": 1}],
            "storeId": "store-s1", "idempotencyKey": format!("{when}-{action}"),
        });
        let answer = central.post("/v1/orders", &body).await;
        assert!(
            [201, 202].contains(&answer.status().as_u16()),
            "{when} {action}"
        );
        eventually("it was asked again", async || {
            counts(&central).await[0]["calls"].as_u64() >= Some(2)
        })
        .await;
        eventually("it is settled", async || {
            let again = central.post("/v1/orders", &body).await;
            let again: Value = again.json().await.unwrap();
            again["status"] == "confirmed"
        })
        .await;
        assert_eq!(available(&central).await, before - 1);
    }
}

#[tokio::test]
async fn a_request_can_ask_to_fail() {
    let central = start().await;
    let path = "/v1/inventory/A?simulateFailure=true";
    let answer = central.get(path).await;
    assert_eq!(answer.status(), 500);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "injected_fault");
    // Or not to: also a call that refuses what it does not know.
    for path in ["/v1/inventory/A", "/v1/inventory", "/v1/orders?limit=1"] {
        let sign = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{sign}simulateFailure=false");
        assert_eq!(central.get(&path).await.status(), 200, "{path}");
    }
    for value in ["", "=", "=yes", "=TRUE", "=true&simulateFailure=true"] {
        let path = format!("/v1/orders?simulateFailure{value}");
        let answer = central.get(&path).await;
        assert_eq!(answer.status(), 400, "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(sorted_fields(&problem), ["query.simulateFailure"], "{path}");
    }
    // It needs a key, as the call itself does; any that is known.
    for key in ["", "nobody"] {
        let mut request = central.client.get(format!("{}{path}", central.url));
        if !key.is_empty() {
            request = request.header("x-api-key", key);
        }
        assert_eq!(request.send().await.unwrap().status(), 401, "{key}");
    }
    let public = format!("{}/v1/info?simulateFailure=true", central.url);
    let anybody = central.client.get(public).send().await.unwrap();
    assert_eq!(anybody.status(), 401);
    // The control: elsewhere it means nothing.
    let plain = TestCentral::start().await;
    plain.create("A", 1).await;
    assert_ne!(plain.get(path).await.status(), 500);
}

#[tokio::test]
async fn without_the_setting_there_is_nothing_here() {
    let central = TestCentral::start().await;
    let plan = json!({"preset": "chaos"});
    for (method, key, status) in [
        (Method::GET, ADMIN_KEY, 404),
        (Method::PUT, ADMIN_KEY, 404),
        (Method::PUT, KEY, 403),
    ] {
        let request = central.request(method, FAULTS, key).json(&plan);
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    let health = central.get_json("/health").await;
    assert!(health["checks"].get("faults").is_none(), "{health}");
    assert_eq!(central.get_json("/v1/info").await["faultInjection"], false);
}

#[tokio::test]
async fn a_service_that_allows_faults_says_so_before_there_are_any() {
    let central = start().await;
    assert_eq!(central.get_json("/v1/info").await["faultInjection"], true);
    let health = central.get_json("/health").await;
    assert_eq!(health["checks"]["faults"]["state"], "allowed");
    assert_eq!(health["status"], "healthy");
}

#[tokio::test]
async fn a_plan_is_refused_with_every_fault_and_the_one_before_stays() {
    let central = start().await;
    for key in [KEY, READ_KEY] {
        let answer = central.request(Method::GET, FAULTS, key).send().await;
        assert_eq!(answer.unwrap().status(), 403);
    }
    let good = json!({"rules": [{
        "target": "reads", "probability": 0.5, "seed": 7, "action": "error", "when": "before",
    }]});
    let shown = put(&central, &good).await;
    assert_eq!(shown["rules"], good["rules"]);
    let rule = |change: Value| {
        let mut rule = json!({
            "target": "reads", "everyNth": 3, "action": "error", "when": "before",
        });
        for (name, value) in change.as_object().unwrap() {
            rule[name] = value.clone();
        }
        json!({"rules": [rule]})
    };
    for (plan, expected) in [
        (json!({}), vec!["rules"]),
        (json!({"preset": "chaos", "rules": []}), vec!["preset"]),
        (json!({"preset": "mayhem"}), vec!["preset"]),
        (json!({"rules": 3, "more": 1}), vec!["more", "rules"]),
        (
            json!({"rules": [{}]}),
            vec![
                "rules[0].action",
                "rules[0].everyNth",
                "rules[0].target",
                "rules[0].when",
            ],
        ),
        (
            rule(json!({"target": "health", "when": "later", "action": "burn", "everyNth": 0})),
            vec![
                "rules[0].action",
                "rules[0].everyNth",
                "rules[0].target",
                "rules[0].when",
            ],
        ),
        (rule(json!({"position": 4})), vec!["rules[0].position"]),
        (
            rule(json!({"probability": 0.5})),
            vec!["rules[0].probability"],
        ),
        (rule(json!({"seed": 1})), vec!["rules[0].seed"]),
        (
            rule(json!({"everyNth": null, "probability": 1.5, "position": 1})),
            vec!["rules[0].position", "rules[0].probability"],
        ),
        (rule(json!({"action": "delay"})), vec!["rules[0].delayMs"]),
        (rule(json!({"delayMs": 5})), vec!["rules[0].delayMs"]),
        (
            rule(json!({"action": "delay", "delayMs": 60_001})),
            vec!["rules[0].delayMs"],
        ),
        (json!({"rules": vec![json!({}); 33]}), vec!["rules"]),
    ] {
        let answer = central.admin_json(Method::PUT, FAULTS, &plan).await;
        assert_eq!(answer.status(), 400, "{plan}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(sorted_fields(&problem), expected, "{plan}");
    }
    let answer = central.admin(Method::GET, FAULTS).send().await.unwrap();
    let shown: Value = answer.json().await.unwrap();
    assert_eq!(shown["rules"], good["rules"]);
}
