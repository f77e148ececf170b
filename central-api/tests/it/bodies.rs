//! What a body, an id and a header may be, for every call: the parts of section 1 of the contract
//! that are about single values. Each refusal is checked to have changed nothing.

use std::fmt::Write as _;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{ADMIN_KEY, KEY, TestCentral, fields, header, sorted_fields};

const UPDATES: &str = "/v1/inventory/updates";
const SALE: &str = r#"{"storeId":"store-s1","productId":"A","delta":-1,"idempotencyKey":"k"}"#;

async fn shop() -> TestCentral {
    let central = TestCentral::start().await;
    central.create("A", 100).await;
    central
}

fn text(request: RequestBuilder, body: impl Into<reqwest::Body>) -> RequestBuilder {
    request
        .header("content-type", "application/json")
        .body(body)
}

/// Sends a request that must be refused with 400 and change nothing; gives the problem.
async fn refused(central: &TestCentral, request: RequestBuilder, of: &str) -> Value {
    let before = central.head().await;
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(status, 400, "{of}: {problem}");
    assert_eq!(
        problem["requestId"].as_str().map(str::is_empty),
        Some(false)
    );
    assert_eq!(central.head().await, before, "something happened: {of}");
    problem
}

#[tokio::test]
async fn money_has_at_most_two_decimals_and_is_exact() {
    let central = shop().await;
    let create = |number: usize, price: &str| {
        let body = format!(r#"{{"productId":"P-{number}","name":"n","price":{price}}}"#);
        text(central.admin(Method::POST, "/v1/products"), body)
    };
    let good = [
        ("0", "0"),
        ("99.99", "99.99"),
        ("0.01", "0.01"),
        ("0.1", "0.1"),
        ("7.10", "7.1"),
        ("3.00", "3"),
        ("4503599627.37", "4503599627.37"),
        ("10000000000", "10000000000"),
        // An exponent is another way to write the same number.
        ("1e3", "1000"),
        ("1999e-2", "19.99"),
    ];
    for (number, (sent, kept)) in good.into_iter().enumerate() {
        let answer = create(number, sent).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{sent}");
        let product = central.get(&format!("/v1/products/P-{number}")).await;
        let product = product.text().await.unwrap();
        assert!(
            product.contains(&format!("\"price\":{kept},")),
            "{sent}: {product}"
        );
    }
    for price in [
        "99.999",
        "0.001",
        "-1",
        "-0.01",
        "1e-3",
        "\"9.99\"",
        "\"\"",
        "null",
        "true",
        "[]",
        "{}",
        "10000000000.01",
        "99999999999999999999",
    ] {
        let problem = refused(&central, create(900, price), price).await;
        assert_eq!(fields(&problem), ["price"], "{price}: {problem}");
        if price == "null" {
            // In seed 003 it stands for none.
            continue;
        }
        let body = format!(
            r#"{{"products":[{{"productId":"B","name":"n","available":1,"price":{price}}}]}}"#
        );
        let request = central.admin(Method::POST, "/v1/admin/products/create");
        let problem = refused(&central, text(request, body), price).await;
        assert_eq!(
            fields(&problem),
            ["products[0].price"],
            "{price}: {problem}"
        );
    }
    for price in [
        "1e400", "NaN", "Infinity", "+1", ".5", "1.", "01", "0x1", "1,5",
    ] {
        let problem = refused(&central, create(900, price), price).await;
        assert_eq!(problem["code"], "bad_request", "{price}: {problem}");
    }
}

#[tokio::test]
async fn unknown_fields_are_refused_in_new_bodies_and_named() {
    let central = shop().await;
    let version = json!({"price": 2, "version": null, "colour": "red"});
    for (method, path, body, field) in [
        (
            Method::POST,
            "/v1/products",
            json!({"productId": "N", "name": "n", "price": 1, "colour": "red"}),
            "colour",
        ),
        (Method::PUT, "/v1/products/A", version, "colour"),
        (
            Method::POST,
            "/v1/inventory/counts",
            json!({"countedBy": "Ada", "colour": "red", "lines": [{"productId": "A", "counted": 5}]}),
            "colour",
        ),
        (
            Method::POST,
            "/v1/inventory/counts",
            json!({"countedBy": "Ada", "lines": [{"productId": "A", "counted": 5, "colour": 1}]}),
            "lines[0].colour",
        ),
        (
            Method::POST,
            "/v1/inventory/check",
            json!({"items": [{"productId": "A", "quantity": 5}], "colour": "red"}),
            "colour",
        ),
        (
            Method::POST,
            "/v1/inventory/check",
            json!({"items": [{"productId": "A", "quantity": 5, "colour": "red"}]}),
            "items[0].colour",
        ),
        (
            Method::PUT,
            "/v1/stores/store-s1/heartbeat",
            json!({"appliedOffset": 0, "gen": "0000000000000000", "colour": "red"}),
            "colour",
        ),
    ] {
        let request = central.admin(method, path).header("idempotency-key", "k");
        let problem = refused(&central, request.json(&body), path).await;
        assert!(fields(&problem).contains(&field), "{path}: {problem}");
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored_in_batches_of_seed_003() {
    let central = shop().await;
    let line = json!({"productId": "A", "delta": -1, "idempotencyKey": "l1", "till": 4});
    let body = json!({"storeId": "store-s1", "updates": [line], "shift": {"late": true}});
    let answer: Value = central.post(UPDATES, &body).await.json().await.unwrap();
    assert_eq!(answer["summary"]["succeeded"], 1, "{answer}");
}

/// The text `SALE` in another shape, which is not JSON of one object in UTF-8.
fn spoilt() -> Vec<(&'static str, Vec<u8>)> {
    let utf16 = |text: &str| -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    };
    let mut invalid = SALE.as_bytes().to_vec();
    let at = SALE.find("store-s1").unwrap();
    invalid[at] = 0xff;
    let mut overlong = SALE.as_bytes().to_vec();
    overlong.splice(at..=at, [0xc1, 0xb3]);
    vec![
        ("UTF-16", utf16(SALE)),
        ("an invalid byte", invalid),
        ("an overlong sequence", overlong),
        (
            "a byte order mark",
            [b"\xef\xbb\xbf", SALE.as_bytes()].concat(),
        ),
        (
            "a lone surrogate",
            SALE.replace("store-s1", "\\ud800").into(),
        ),
        ("two values", format!("{SALE}{SALE}").into()),
        ("two lines", format!("{SALE}\n{SALE}\n").into()),
        ("a tail", format!("{SALE}x").into()),
        ("a NUL behind it", format!("{SALE}\0").into()),
        ("a trailing comma", SALE.replace('}', ",}").into()),
        ("a comment", format!("/* sale */{SALE}").into()),
        ("single quotes", SALE.replace('"', "'").into()),
        ("an open end", SALE.trim_end_matches('}').into()),
        (
            "a bare newline in a text",
            SALE.replace("store-s1", "store\n1").into(),
        ),
        ("only depth", "[".repeat(500_000).into()),
        ("a list", format!("[{SALE}]").into()),
        ("a text", serde_json::to_vec(SALE).unwrap()),
    ]
}

#[tokio::test]
async fn what_is_not_one_json_object_is_refused() {
    let central = shop().await;
    for (of, body) in spoilt() {
        let request = text(central.request(Method::POST, UPDATES, KEY), body.clone());
        let problem = refused(&central, request, of).await;
        assert_eq!(problem["code"], "bad_request", "{of}: {problem}");
        assert!(problem.to_string().len() < 2_000, "{of}: a short answer");
        // The other parser, of the bodies that are no hot path.
        let request = text(central.admin(Method::POST, "/v1/products"), body);
        let problem = refused(&central, request, of).await;
        assert_eq!(problem["code"], "bad_request", "{of}: {problem}");
    }
    // Space around it is nothing, and the sale was spoilt by nothing else.
    let request = central.request(Method::POST, UPDATES, KEY);
    let answer = text(request, format!(" \r\n\t{SALE} \n"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn depth_costs_nothing_and_ends_nothing() {
    let central = shop().await;
    for (number, (sign, end)) in [("[", "]"), ("{\"a\":", "}")].into_iter().enumerate() {
        let deep = sign.repeat(100_000) + "1" + &end.repeat(100_000);
        // Seed 003 passes over members that it does not know, whatever is in them.
        let body = SALE.replace("{\"storeId\"", &format!("{{\"x\":{deep},\"storeId\""));
        let body = body.replace("\"k\"", &format!("\"k{number}\""));
        let request = text(central.request(Method::POST, UPDATES, KEY), body);
        assert_eq!(request.send().await.unwrap().status(), 200);
        // Where a member is known, or none may be unknown, it is refused.
        let body = SALE.replace("-1", &deep);
        let request = text(central.request(Method::POST, UPDATES, KEY), body);
        refused(&central, request, "a deep delta").await;
        let body = format!("{{\"productId\":\"N\",\"name\":\"n\",\"price\":{deep}}}");
        let request = text(central.admin(Method::POST, "/v1/products"), body);
        let problem = refused(&central, request, "a deep price").await;
        assert_eq!(problem["code"], "bad_request");
    }
    // The process lives.
    assert_eq!(central.get("/health").await.status(), 200);
}

#[tokio::test]
async fn a_member_that_is_there_twice_is_refused() {
    let central = shop().await;
    for (from, to) in [
        ("\"delta\":-1", "\"delta\":-1,\"delta\":-2"),
        ("\"delta\":-1", "\"delta\":-1,\"delta\":-1"),
        ("\"delta\":-1", "\"delta\":-1,\"d\\u0065lta\":-2"),
        (
            "\"productId\":\"A\"",
            "\"productId\":\"A\",\"productId\":\"B\"",
        ),
    ] {
        let body = SALE.replace(from, to);
        let request = text(central.request(Method::POST, UPDATES, KEY), body);
        let problem = refused(&central, request, to).await;
        assert_eq!(problem["code"], "bad_request", "{to}: {problem}");
    }
    for body in [
        r#"{"productId":"N","name":"n","price":1,"price":2}"#,
        r#"{"productId":"N","productId":"N","name":"n","price":1}"#,
    ] {
        let request = text(central.admin(Method::POST, "/v1/products"), body);
        let problem = refused(&central, request, body).await;
        assert_eq!(problem["code"], "bad_request", "{body}: {problem}");
    }
    let body = r#"{"countedBy":"Ada","lines":[{"productId":"A","counted":1,"counted":2}]}"#;
    let request = central.admin(Method::POST, "/v1/inventory/counts");
    let request = request.header("idempotency-key", "c");
    let problem = refused(&central, text(request, body), body).await;
    assert_eq!(problem["code"], "bad_request", "{body}: {problem}");
}

/// Sends `request` as it is and returns status and body.
async fn raw(central: &TestCentral, request: &[u8]) -> (u16, String) {
    let address = central.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may answer and close before all is written.
    drop(stream.write_all(request).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

async fn raw_get(central: &TestCentral, path: &str) -> (u16, String) {
    let head = format!("GET {path} HTTP/1.1\r\nhost: c\r\nx-api-key: {KEY}\r\nconnection: close");
    raw(central, format!("{head}\r\n\r\n").as_bytes()).await
}

#[tokio::test]
async fn ids_in_paths_are_decoded_once_and_never_walk() {
    let central = shop().await;
    let ids = [
        "constructor",
        "__proto__",
        "..",
        ".",
        "%2e%2e",
        "a%2fb",
        "a+b",
        "a;b",
        "a?b#c",
        "~",
    ];
    for id in ids {
        central.create(id, 7).await;
        // Every byte escaped is the id; nothing is decoded twice or resolved.
        let escaped = id.bytes().fold(String::new(), |mut path, byte| {
            write!(path, "%{byte:02x}").unwrap();
            path
        });
        for path in ["/v1/inventory/", "/v1/products/"] {
            let (status, body) = raw_get(&central, &format!("{path}{escaped}")).await;
            assert_eq!(status, 200, "{id}: {body}");
            let product: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(product["productId"], id);
        }
    }
    let long = "x".repeat(128);
    central.create(&long, 7).await;
    assert_eq!(
        raw_get(&central, &format!("/v1/inventory/{long}")).await.0,
        200
    );
    for path in [
        "a%2Fb",
        "a%20b",
        "a%00b",
        "%C3%A9",
        "%ff",
        &format!("{long}x"),
    ] {
        let (status, body) = raw_get(&central, &format!("/v1/inventory/{path}")).await;
        assert_eq!(status, 400, "{path}: {body}");
    }
    for path in [
        "/v1/inventory/../info",
        "/v1/inventory/A/../B",
        "//v1/inventory/A",
        "/v1/inventory/",
    ] {
        let (status, body) = raw_get(&central, path).await;
        assert_eq!(status, 404, "{path}: {body}");
    }
}

#[tokio::test]
async fn a_chunked_body_is_bounded_though_it_says_no_length() {
    let central = shop().await;
    let before = central.head().await;
    let head = format!(
        "POST {UPDATES} HTTP/1.1\r\nhost: c\r\nx-api-key: {KEY}\r\nconnection: close\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let chunks = |count: usize| {
        let mut request = head.clone().into_bytes();
        for _ in 0..count {
            request.extend_from_slice(b"10000\r\n");
            request.extend_from_slice(&[b' '; 0x10000]);
            request.extend_from_slice(b"\r\n");
        }
        let sale = format!("{:x}\r\n{SALE}\r\n0\r\n\r\n", SALE.len());
        request.extend_from_slice(sale.as_bytes());
        request
    };
    let (status, body) = raw(&central, &chunks(16)).await;
    assert_eq!(status, 413, "{body}");
    assert_eq!(central.head().await, before);
    // The control: as many bytes as are allowed.
    let (status, body) = raw(&central, &chunks(15)).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn a_trace_is_echoed_if_it_is_one() {
    let central = shop().await;
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let send = async |value: &str| {
        let request = central.request(Method::GET, "/v1/inventory/A", KEY);
        let answer = request.header("traceparent", value).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        header(&answer, "traceparent").map(str::to_owned)
    };
    assert_eq!(send(good).await.as_deref(), Some(good));
    for bad in [
        "",
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
    ] {
        assert_eq!(send(bad).await, None, "{bad}");
    }
}

#[tokio::test]
async fn if_none_match_compares_weakly_and_knows_the_star() {
    let central = shop().await;
    for path in ["/v1/inventory/A", "/v1/products/A"] {
        for (tag, status) in [
            ("\"1\"", 304),
            ("W/\"1\"", 304),
            ("*", 304),
            ("\"7\",W/\"1\"", 304),
            ("\"2\"", 200),
            ("1", 200),
            ("\"11\"", 200),
            ("", 200),
            ("nonsense", 200),
        ] {
            let request = central.request(Method::GET, path, KEY);
            let answer = request.header("if-none-match", tag).send().await.unwrap();
            assert_eq!(answer.status(), status, "{path} {tag}");
            assert_eq!(header(&answer, "etag"), Some("\"1\""), "{path} {tag}");
            let body = answer.bytes().await.unwrap();
            assert_eq!(body.is_empty(), status == 304);
        }
        let request = central.request(Method::GET, "/v1/inventory/none", KEY);
        let answer = request.header("if-none-match", "*").send().await.unwrap();
        assert_eq!(answer.status(), 404);
    }
}

async fn keyed(central: &TestCentral, keys: &[&str], body: &str) -> Response {
    let mut request = text(central.request(Method::POST, UPDATES, KEY), body.to_owned());
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_key_in_the_header_is_one_good_key() {
    let central = shop().await;
    let bare = SALE.replace(",\"idempotencyKey\":\"k\"", "");
    let long = "x".repeat(128);
    let before = central.head().await;
    for keys in [
        &["two words"][..],
        &["a/b"],
        &["\"\""],
        &["one", "other"],
        &[&format!("{long}x")],
    ] {
        let answer = keyed(&central, keys, &bare).await;
        let status = answer.status();
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(status, 400, "{keys:?}: {problem}");
    }
    let empty = keyed(&central, &[""], &bare).await;
    assert_eq!(empty.status(), 400);
    assert_eq!(central.head().await, before);
    for key in [&long, "constructor", "7"] {
        let answer = keyed(&central, &[key], &bare).await;
        assert_eq!(answer.status(), 200, "{key}");
        assert_eq!(header(&answer, "idempotent-replayed"), None, "{key}");
    }
}

#[tokio::test]
async fn an_atomic_batch_has_one_key_and_its_lines_have_none() {
    let central = shop().await;
    let line = json!({"productId": "A", "delta": -1});
    let mut keyed_line = line.clone();
    keyed_line["idempotencyKey"] = "l".into();
    let all = json!({"storeId": "store-s1", "atomicity": "all", "updates": [line, keyed_line]});
    let request = central
        .request(Method::POST, UPDATES, KEY)
        .header("idempotency-key", "k");
    let problem = refused(&central, request.json(&all), "a line's key").await;
    assert_eq!(fields(&problem), ["updates[1].idempotencyKey"], "{problem}");
    let bare = json!({"storeId": "store-s1", "atomicity": "all", "updates": [line]});
    let request = central.request(Method::POST, UPDATES, KEY).json(&bare);
    let problem = refused(&central, request, "no key").await;
    assert_eq!(problem["code"], "idempotency_key_required", "{problem}");
    let send = || {
        let request = central.request(Method::POST, UPDATES, KEY);
        request.header("idempotency-key", "k").json(&bare).send()
    };
    assert_eq!(header(&send().await.unwrap(), "idempotent-replayed"), None);
    assert_eq!(
        header(&send().await.unwrap(), "idempotent-replayed"),
        Some("true")
    );
}

#[tokio::test]
async fn a_key_is_not_used_up_by_what_was_never_decided() {
    let central = shop().await;
    let send = async |key: &str, body: String| {
        let request = text(central.request(Method::POST, UPDATES, key), body);
        request.send().await.unwrap()
    };
    for (key, body, status) in [
        (KEY, SALE.replace("-1", "\"x\""), 400),
        (KEY, SALE.replace("-1", "0"), 400),
        ("nonsense", SALE.to_owned(), 401),
        (crate::harness::READ_KEY, SALE.to_owned(), 403),
        (KEY, SALE.replace("-1", "-1,\"version\":9"), 409),
    ] {
        assert_eq!(send(key, body.clone()).await.status(), status, "{body}");
    }
    let answer = send(KEY, SALE.to_owned()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "idempotent-replayed"), None);
    let again = send(KEY, SALE.to_owned()).await;
    assert_eq!(header(&again, "idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn the_fingerprint_is_of_the_command_and_not_of_the_text() {
    let central = shop().await;
    assert_eq!(keyed(&central, &[], SALE).await.status(), 200);
    for same in [
        format!(" {SALE}\n"),
        SALE.replace("\"A\"", "\"\\u0041\""),
        SALE.replace("-1", "-1,\"reason\":\"sale\""),
        SALE.replace("-1", "-1,\"till\":7"),
        r#"{"idempotencyKey":"k","delta":-1,"productId":"A","storeId":"store-s1"}"#.to_owned(),
    ] {
        let answer = keyed(&central, &[], &same).await;
        assert_eq!(answer.status(), 200, "{same}");
        assert_eq!(
            header(&answer, "idempotent-replayed"),
            Some("true"),
            "{same}"
        );
    }
    for other in [
        SALE.replace("-1", "-2"),
        SALE.replace("-1", "-1,\"version\":2"),
        SALE.replace("-1", "-1,\"note\":\"n\""),
        SALE.replace("-1", "-1,\"reference\":\"r\""),
        SALE.replace("-1", "1,\"reason\":\"returned\""),
    ] {
        let answer = keyed(&central, &[], &other).await;
        let status = answer.status();
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(status, 422, "{other}: {problem}");
        assert_eq!(problem["code"], "idempotency_key_reused");
    }
    let request = central.request(Method::POST, UPDATES, ADMIN_KEY);
    let answer = text(request, SALE).send().await.unwrap();
    assert_eq!(answer.status(), 200, "unbound keys share the store's scope");
}

#[tokio::test]
async fn every_fault_of_a_check_and_of_a_report_is_named() {
    let central = shop().await;
    let check = json!({"shop": 1, "items": [{"productId": "a/b", "quantity": 0, "colour": "red"}, {"quantity": 1.5}, 7]});
    let report = json!({"appliedOffset": -1, "gen": "x", "breaker": 4, "startedAt": "today"});
    for (method, path, body, named) in [
        (
            Method::POST,
            "/v1/inventory/check",
            check,
            &[
                "shop",
                "items[2]",
                "items[0].colour",
                "items[0].productId",
                "items[0].quantity",
                "items[1].productId",
                "items[1].quantity",
            ][..],
        ),
        (
            Method::POST,
            "/v1/inventory/check",
            json!({"items": []}),
            &["items"],
        ),
        (
            Method::PUT,
            "/v1/stores/a%20b/heartbeat",
            report,
            &[
                "path.id",
                "appliedOffset",
                "breaker",
                "digest",
                "gen",
                "startedAt",
                "version",
            ],
        ),
    ] {
        let problem = refused(&central, central.admin(method, path).json(&body), path).await;
        let mut named = named.to_vec();
        named.sort_unstable();
        assert_eq!(sorted_fields(&problem), named, "{problem}");
    }
}

#[tokio::test]
async fn a_version_in_a_header_is_a_precondition_of_one_movement() {
    let central = shop().await;
    let body = |key: &str| json!({"storeId": "store-s1", "productId": "A", "delta": -1, "idempotencyKey": key});
    let ask = |if_match: &str, body: Value| {
        let request = central.request(Method::POST, UPDATES, KEY);
        request.header("if-match", if_match).json(&body)
    };
    for if_match in ["\"1\"", "*"] {
        let answer = ask(if_match, body(if_match.trim_matches('"'))).send().await;
        assert_eq!(answer.unwrap().status(), 200, "{if_match}");
    }
    let late = ask("\"1\"", body("late")).send().await.unwrap();
    assert_eq!(late.status(), 412);
    let late: Value = late.json().await.unwrap();
    assert_eq!(late["code"], "precondition_failed", "{late}");
    assert_eq!(late["newVersion"], 3, "{late}");
    assert_eq!(late["newQuantity"], 98, "{late}");
    let mut both = body("both");
    both["version"] = json!(3);
    let line = json!({"productId": "A", "delta": -1, "idempotencyKey": "line"});
    for (if_match, body) in [
        ("\"2\"", both),
        ("3", body("bare")),
        ("\"3\"", json!({"storeId": "store-s1", "updates": [line]})),
    ] {
        let problem = refused(&central, ask(if_match, body), if_match).await;
        assert_eq!(fields(&problem), ["header.If-Match"], "{problem}");
    }
}
