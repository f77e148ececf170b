//! Import and export of the catalogue.

use std::fmt::Write as _;
use std::io::Write as _;

use central_api::startup::StartError;
use futures_util::{StreamExt as _, stream};
use proptest::prelude::*;
use reqwest::{Body, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::harness::{KEY, TestCentral, eventually, header, settings};

const CSV: &str = "text/csv";
const NDJSON: &str = "application/x-ndjson";

fn import(central: &TestCentral, query: &str, form: &str, file: impl Into<Body>) -> RequestBuilder {
    let path = format!("/v1/admin/products/import{query}");
    let request = central.admin(Method::POST, &path).body(file);
    request.header("content-type", form)
}

async fn imported(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn export(central: &TestCentral, form: &str) -> Response {
    let path = format!("/v1/admin/products/export?format={form}");
    let answer = central.admin(Method::GET, &path).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer
}

/// Created, updated, unchanged, rejected.
fn counts(report: &Value) -> [u64; 4] {
    ["created", "updated", "unchanged", "rejected"].map(|name| report[name].as_u64().unwrap())
}

fn rows(count: usize, on_hand: usize) -> String {
    let mut file = String::new();
    for number in 0..count {
        let row = json!({"productId": format!("P-{number:05}"), "name": format!("Product {number}"),
                         "price": 1.25, "onHand": on_hand});
        writeln!(file, "{row}").unwrap();
    }
    file
}

#[tokio::test]
async fn good_rows_are_taken_and_bad_ones_named_by_line_and_column() {
    let central = TestCentral::start().await;
    let file = "onHand,price,productId,name\n\
                5,1.50,A,\"Two\nlines\"\n\
                -1,1.555,B,Bad\n\
                ,,C,\n\
                2,3,D,Good\n\
                1,2\n";
    let (status, report) = imported(import(&central, "", CSV, file)).await;
    assert_eq!(status, 200, "{report}");
    assert_eq!(report["rows"], 5);
    assert_eq!(counts(&report), [2, 0, 0, 3]);
    assert_eq!(report["complete"], true);
    let errors = report["errors"].as_array().unwrap().iter();
    let named: Vec<(u64, &str, &str)> = errors
        .map(|error| {
            let text = |name: &str| error[name].as_str().unwrap();
            (
                error["line"].as_u64().unwrap(),
                text("column"),
                text("value"),
            )
        })
        .collect();
    assert_eq!(
        named,
        [
            (4, "onHand", "-1"),
            (4, "price", "1.555"),
            (5, "productId", "C"),
            (7, "", "")
        ]
    );
    let product = central.get_json("/v1/products/A").await;
    assert_eq!(
        (&product["name"], &product["onHand"]),
        (&json!("Two\nlines"), &json!(5))
    );
}

#[tokio::test]
async fn stock_is_kept_unless_it_is_to_be_set() {
    let central = TestCentral::start().await;
    central.create("P-00000", 9).await;
    let (_, report) = imported(import(&central, "", NDJSON, rows(2, 4))).await;
    assert_eq!(counts(&report), [1, 1, 0, 0]);
    assert_eq!(central.get_json("/v1/products/P-00000").await["onHand"], 9);
    assert_eq!(central.get_json("/v1/products/P-00001").await["onHand"], 4);
    // The same again changes nothing.
    let head = central.head().await;
    let (_, report) = imported(import(&central, "?stock=keep", NDJSON, rows(2, 6))).await;
    assert_eq!(counts(&report), [0, 0, 2, 0]);
    assert_eq!(central.head().await, head);
    let (status, refused) = imported(import(&central, "?stock=set", NDJSON, rows(2, 6))).await;
    assert_eq!(
        (status, &refused["code"]),
        (400, &json!("idempotency_key_required"))
    );
    let request = import(&central, "?stock=set", NDJSON, rows(2, 6));
    let (_, report) = imported(request.header("idempotency-key", "i-1")).await;
    assert_eq!(counts(&report), [0, 2, 0, 0]);
    assert_eq!(central.get_json("/v1/products/P-00000").await["onHand"], 6);
}

#[tokio::test]
async fn mode_create_leaves_what_exists_alone() {
    let central = TestCentral::start().await;
    central.create("P-00001", 9).await;
    let (_, report) = imported(import(&central, "?mode=create", NDJSON, rows(3, 4))).await;
    assert_eq!(counts(&report), [2, 0, 0, 1]);
    assert_eq!(report["errors"][0]["line"], 2);
    assert_eq!(
        central.get_json("/v1/products/P-00001").await["name"],
        "P-00001"
    );
}

#[tokio::test]
async fn mode_all_takes_every_row_or_none() {
    let central = TestCentral::start().await;
    let bad = format!("{}{{\"productId\":\"X\",\"price\":-1}}\n", rows(1_500, 1));
    let (status, problem) = imported(import(&central, "?mode=all", NDJSON, bad)).await;
    assert_eq!(
        (status, &problem["code"]),
        (400, &json!("validation_error"))
    );
    assert_eq!(problem["errors"][0]["line"], 1_501);
    assert_eq!(problem["detail"], "nothing was imported: 1 row is wrong");
    // A row that only the catalogue can refuse: it creates a product without a name.
    let nameless = format!("{}{{\"productId\":\"X\"}}\n", rows(1_500, 1));
    let (status, problem) = imported(import(&central, "?mode=all", NDJSON, nameless)).await;
    assert_eq!(
        (status, &problem["code"]),
        (400, &json!("validation_error"))
    );
    // More rows than one decision may have: refused before any of them is decided.
    let (status, _) = imported(import(&central, "?mode=all", NDJSON, rows(10_001, 1))).await;
    assert_eq!(status, 400);
    assert_eq!(central.head().await, 0);
    // The control: without the bad row the file is taken.
    let (status, report) = imported(import(&central, "?mode=all", NDJSON, rows(1_500, 1))).await;
    assert_eq!((status, counts(&report)), (200, [1_500, 0, 0, 0]));
}

#[tokio::test]
async fn the_same_key_goes_on_where_an_import_was_cut() {
    let mut central = TestCentral::start().await;
    let file = rows(3_500, 3);
    let send = |central: &TestCentral, file: String| {
        import(central, "?stock=set", NDJSON, file).header("idempotency-key", "i-1")
    };
    // The connection breaks after two and a half chunks.
    let half = file
        .lines()
        .take(2_500)
        .fold(String::new(), |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        });
    let (cut, pulled) = tokio::sync::oneshot::channel::<()>();
    let end = stream::once(async {
        pulled.await.ok();
        Err(std::io::Error::other("the cable is pulled"))
    });
    let broken = stream::iter([Ok(half)]).chain(end);
    let request = import(&central, "?stock=set", NDJSON, Body::wrap_stream(broken));
    let request = request.header("idempotency-key", "i-1");
    let sending = tokio::spawn(request.send());
    let decided = async || central.head().await == 2_000;
    eventually("two chunks are decided", decided).await;
    cut.send(()).unwrap();
    sending.await.unwrap().unwrap_err();
    // What was decided before stays, so that units sold meanwhile stay sold.
    central.update("P-00007", -1, "sale-1").await;
    central = central.restart().await;
    let (status, report) = imported(send(&central, file.clone())).await;
    assert_eq!(
        (status, counts(&report)),
        (200, [3_500, 0, 0, 0]),
        "{report}"
    );
    assert_eq!(central.get_json("/v1/products/P-00007").await["onHand"], 2);
    assert_eq!(central.head().await, 3_501);
    let again = send(&central, file.clone()).send().await.unwrap();
    assert_eq!(header(&again, "idempotent-replayed"), Some("true"));
    assert_eq!(again.json::<Value>().await.unwrap(), report);
    // Another file under the same key is refused.
    assert_eq!(imported(send(&central, rows(10, 3))).await.0, 422);
}

#[tokio::test]
async fn an_export_is_an_import_of_the_same_catalogue() {
    let central = TestCentral::start().await;
    let file = "productId,name,description,category,sku,barcode,price,lowStockThreshold,onHand\n\
                A,=1+1,\"say \"\"hi\"\", twice\",,,0012,0.07,3,5\n\
                B,\"new\nline\",,Caté,S-1,,12,,0\n";
    imported(import(&central, "", CSV, file)).await;
    for (form, content_type) in [("csv", CSV), ("ndjson", NDJSON)] {
        let answer = export(&central, form).await;
        assert_eq!(header(&answer, "log-head"), Some("2"));
        let exported = answer.text().await.unwrap();
        if form == "csv" {
            assert_eq!(exported, file);
        }
        let other = TestCentral::start().await;
        let (_, report) = imported(import(&other, "", content_type, exported.clone())).await;
        assert_eq!(counts(&report), [2, 0, 0, 0], "{report}");
        assert_eq!(
            export(&other, form).await.text().await.unwrap().len(),
            exported.len()
        );
        for id in ["A", "B"] {
            let path = format!("/v1/products/{id}");
            let (mut one, mut two) = (central.get_json(&path).await, other.get_json(&path).await);
            one["lastUpdated"] = Value::Null;
            two["lastUpdated"] = Value::Null;
            assert_eq!(one, two);
        }
    }
}

#[tokio::test]
async fn compressed_files_are_taken() {
    let central = TestCentral::start().await;
    let file = rows(1_200, 1);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(file.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(file.as_bytes(), 1).unwrap();
    for (encoding, bytes, expected) in [
        ("gzip", gzip, [1_200, 0, 0, 0]),
        ("zstd", zstd, [0, 0, 1_200, 0]),
    ] {
        let request = import(&central, "", NDJSON, bytes);
        let (status, report) = imported(request.header("content-encoding", encoding)).await;
        assert_eq!(
            (status, counts(&report)),
            (200, expected),
            "{encoding}: {report}"
        );
    }
}

#[tokio::test]
async fn a_file_that_makes_no_sense_is_refused_whole() {
    let central = TestCentral::start().await;
    for (query, form, file, expected) in [
        ("", "text/html", "<p>", 415),
        ("?mode=upset", CSV, "productId,name\nA,a\n", 400),
        ("", CSV, "name\nA\n", 400),
        ("", CSV, "productId,available\nA,1\n", 400),
    ] {
        let (status, problem) = imported(import(&central, query, form, file)).await;
        assert_eq!(status, expected, "{problem}");
    }
    let path = "/v1/admin/products/import";
    let request = central.request(Method::POST, path, KEY).body("productId\n");
    let answer = request.header("content-type", CSV).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert_eq!(central.head().await, 0);
}

#[tokio::test]
async fn a_row_beyond_the_limit_does_not_end_up_in_memory() {
    let central = TestCentral::start().await;
    let long = "x".repeat(70_000);
    let file = format!("{}{{\"productId\":\"{long}\"}}\n{}", rows(1, 1), rows(1, 1));
    let (_, report) = imported(import(&central, "", NDJSON, file)).await;
    assert_eq!(counts(&report), [1, 0, 1, 1], "{report}");
    // A quote that is never closed: what came before is taken, and the answer says where it ended.
    let mut file = String::from("productId,name\n");
    for number in 0..1_000 {
        writeln!(file, "C-{number},n").unwrap();
    }
    write!(file, "OPEN,\"{}", "x\n".repeat(200_000)).unwrap();
    let (status, report) = imported(import(&central, "", CSV, file)).await;
    assert_eq!(
        (status, counts(&report)),
        (200, [1_000, 0, 0, 1]),
        "{report}"
    );
    assert_eq!(report["complete"], false);
    assert_eq!(report["errors"][0]["line"], 1_002);
}

#[tokio::test]
async fn the_first_catalogue_is_imported_once() {
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    std::fs::write(file.path(), "productId,name,onHand\nA,Apple,5\n").unwrap();
    let mut options = settings();
    options.seed_catalog = Some(file.path().to_owned());
    let mut central = TestCentral::with(options).await;
    assert_eq!(central.get_json("/v1/products/A").await["onHand"], 5);
    central.update("A", -2, "sale").await;
    central = central.restart().await;
    assert_eq!(central.get_json("/v1/products/A").await["onHand"], 3);
    // A start that was interrupted in the middle of the import is completed by the next.
    central.stop().await;
    std::fs::write(file.path(), "productId,name,onHand\nA,Apple,5\nB,Pear,1\n").unwrap();
    std::fs::write(central.folder().join("first-catalogue.unfinished"), "").unwrap();
    central = central.restart().await;
    assert_eq!(central.get_json("/v1/products/B").await["onHand"], 1);
}

#[tokio::test]
async fn a_bad_first_catalogue_is_a_clear_start_error_and_leaves_nothing_behind() {
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    std::fs::write(
        file.path(),
        "productId,name,onHand\nA,Apple,5\nB,Pear,many\n",
    )
    .unwrap();
    let mut options = settings();
    options.seed_catalog = Some(file.path().to_owned());
    let mut central = TestCentral::with(options).await;
    let error = central.start_error().await;
    assert!(
        matches!(&error, StartError::Seed(text) if text.contains("line 3, onHand")),
        "{error}"
    );
    std::fs::write(file.path(), "productId,name,onHand\nA,Apple,5\n").unwrap();
    central = central.restart().await;
    assert_eq!(central.head().await, 1);
}

/// Bytes that look like a file often enough to get somewhere.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"productId,name,onHand\n".to_vec()),
        Just(b"{\"productId\":\"A\",\"price\":-1}\n".to_vec()),
        Just(b"{\"productId\":\"A\",\"name\":\"".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"A,b,-1\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Whatever is sent, an import answers, and the log moves exactly by what it says it did.
#[test]
fn arbitrary_bytes_are_answered_and_change_nothing_that_is_not_reported() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let central = runtime.block_on(TestCentral::start());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let input = (
        bytes(),
        any::<bool>(),
        prop::sample::select(vec!["", "?mode=all"]),
    );
    runner
        .run(&input, |(file, csv, query)| {
            runtime.block_on(async {
                let head = central.head().await;
                let form = if csv { CSV } else { NDJSON };
                let (status, report) = imported(import(&central, query, form, file)).await;
                let done = if status == 200 {
                    counts(&report)[0] + counts(&report)[1]
                } else {
                    prop_assert_eq!(status, 400, "{}", report);
                    0
                };
                prop_assert_eq!(central.head().await, head + done);
                Ok(())
            })
        })
        .unwrap();
    runtime.block_on(async {
        let mut central = central;
        central.stop().await;
    });
}
