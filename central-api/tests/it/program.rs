//! The program itself: its export of a stopped service's folder, and what it writes to its log.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use central_api::startup::DataLock;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::harness::{TestCentral, client, eventually, header};
use crate::served::PATIENCE;

const PRODUCTS: &str = "productId,name,description,category,sku,barcode,price,lowStockThreshold,onHand\n\
    B-2,\"Two\nlines, and \"\"quotes\"\"\",,Light,,4006381333931,12.5,3,7\n\
    A-1,=1+1,\"a, b\",,S-1,,0.99,,0\n\
    C-3,Ünïcode,,,,,1000,,12\n";

fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_central-api"));
    command.env_clear().env("DATA_DIR", dir);
    command
}

fn export(dir: &Path, form: &[&str]) -> Output {
    program(dir).arg("export").args(form).output().unwrap()
}

#[track_caller]
fn text(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    assert_eq!(error, "");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it says of a failure, which must be one line and nothing else.
#[track_caller]
fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// A service with the products above and one that is deleted again.
async fn stocked() -> TestCentral {
    let central = TestCentral::start().await;
    let import = central.admin(Method::POST, "/v1/admin/products/import");
    let import = import.header("content-type", "text/csv").body(PRODUCTS);
    let report: Value = import.send().await.unwrap().json().await.unwrap();
    assert_eq!(report["created"], 3, "{report}");
    central.create("GONE", 1).await;
    let body = json!({"productIds": ["GONE"]});
    let deleted = central
        .admin_json(Method::DELETE, "/v1/admin/products/delete", &body)
        .await;
    assert_eq!(deleted.status(), 200);
    assert_eq!(central.update("C-3", -2, "sale").await.status(), 200);
    central
}

#[tokio::test]
async fn an_export_of_a_stopped_service_is_its_catalogue_in_order() {
    let mut central = stocked().await;
    let mut served = Vec::new();
    for form in ["csv", "ndjson"] {
        let path = format!("/v1/admin/products/export?format={form}");
        let answer = central.admin(Method::GET, &path).send().await.unwrap();
        served.push(answer.text().await.unwrap());
    }
    let page = central.get_json("/v1/inventory?sort=productId").await;
    central.stop().await;
    let folder = central.folder();

    let csv = text(&export(&folder, &["--format", "csv"]));
    let header = PRODUCTS.lines().next().unwrap();
    assert_eq!(csv.lines().next(), Some(header));
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    let mut expected = csv::Reader::from_reader(PRODUCTS.as_bytes());
    let mut expected: Vec<Vec<String>> = expected
        .records()
        .map(|row| row.unwrap().iter().map(str::to_owned).collect())
        .collect();
    expected.sort_unstable();
    expected[2][8] = "10".to_owned();
    // As it was imported, down to the cell that looks like a formula, but for what was sold.
    assert_eq!(rows, expected);
    assert_eq!(served[0].lines().next(), Some(header));
    assert_eq!(served[0].len(), csv.len());

    let ndjson = text(&export(&folder, &["--format", "ndjson"]));
    let lines = ndjson
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    assert_eq!(json!(lines), page["products"]);
    assert_eq!(served[1].len(), ndjson.len());
    assert_eq!(text(&export(&folder, &[])), ndjson, "which is the default");
    // Any number of times, and the service starts afterwards.
    assert_eq!(text(&export(&folder, &["--format", "csv"])), csv);
    let central = central.restart().await;
    assert_eq!(central.get("/v1/inventory/A-1").await.status(), 200);
}

/// An export and a snapshot are of the catalogue: what is held shows in its figures alone.
#[tokio::test]
async fn what_is_held_shows_in_the_figures_of_an_export_and_nowhere_else() {
    let mut central = TestCentral::start().await;
    central.create("A", 10).await;
    let lines = json!([{"productId": "A", "quantity": 3}]);
    let hold = json!({"owner": "ann", "lines": lines, "idempotencyKey": "hold"});
    assert_eq!(central.post("/v1/reservations", &hold).await.status(), 201);
    let items = json!([{"productId": "A", "quantity": 2}]);
    let order =
        json!({"customerId": "bo", "items": items, "confirm": false, "idempotencyKey": "buy"});
    assert_eq!(central.post("/v1/orders", &order).await.status(), 201);
    let place = central.get("/v1/inventory/snapshot").await;
    let place = header(&place, "location").unwrap().to_owned();
    let snapshot = central.get(&place).await.text().await.unwrap();
    central.stop().await;
    let folder = central.folder();

    let ndjson = text(&export(&folder, &["--format", "ndjson"]));
    assert_eq!(ndjson.lines().count(), 1);
    assert_eq!(snapshot.lines().count(), 3, "header, product, trailer");
    for line in [ndjson.lines().next(), snapshot.lines().nth(1)] {
        let product: Value = serde_json::from_str(line.unwrap()).unwrap();
        let figures = ["onHand", "reserved", "available"].map(|name| product[name].as_i64());
        assert_eq!(figures, [10, 5, 5].map(Some));
    }
    // Whoever takes it in elsewhere has the units that are in the house, held for nobody.
    for (form, kind) in [("csv", "text/csv"), ("ndjson", "application/x-ndjson")] {
        let other = TestCentral::start().await;
        let file = text(&export(&folder, &["--format", form]));
        let import = other
            .admin(Method::POST, "/v1/admin/products/import")
            .header("content-type", kind)
            .body(file);
        assert_eq!(import.send().await.unwrap().status(), 200, "{form}");
        let product = other.get_json("/v1/inventory/A").await;
        let figures = ["onHand", "reserved", "available"].map(|name| product[name].as_i64());
        assert_eq!(figures, [10, 0, 10].map(Some), "{form}");
        let orders = other.get_json("/v1/orders").await;
        assert_eq!(orders["orders"], json!([]), "{form}");
    }
}

#[tokio::test]
async fn what_cannot_be_exported_is_said_in_one_line() {
    let mut central = stocked().await;
    // The service answers, so it holds its folder.
    let error = complaint(&export(&central.folder(), &[]));
    assert!(
        error.contains("another central-api is using the data folder"),
        "{error}"
    );
    central.stop().await;
    let folder = central.folder();
    // The control: nobody holds it, and then somebody does.
    text(&export(&folder, &[]));
    let lock = DataLock::take(&folder).unwrap();
    complaint(&export(&folder, &["--format", "csv"]));
    drop(lock);

    let nowhere = folder.join("nowhere");
    let error = complaint(&export(&nowhere, &[]));
    assert!(error.contains("there is no journal in"), "{error}");
    assert!(!nowhere.exists(), "nothing is made by looking");

    let name = "journal/00000000000000000001.ndjson";
    let segment = folder.join(name);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[30] ^= 1;
    fs::write(&segment, bytes).unwrap();
    fs::remove_dir_all(folder.join("snapshots")).unwrap();
    let error = complaint(&export(&folder, &[]));
    assert!(error.contains(name) && error.contains("byte 0"), "{error}");

    let output = export(&folder, &["--format", "xml"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("csv") && error.contains("ndjson"), "{error}");
}

/// A running program; dropping it kills it.
struct Running(Child);

impl Running {
    /// Asks it to stop, and waits for its good end.
    async fn stopped(&mut self) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.unwrap().success());
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return assert!(status.success());
            }
            assert!(Instant::now() < end, "it ends");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn lines(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap();
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    whole.lines().map(parse).collect()
}

#[tokio::test]
async fn the_log_is_json_with_ids_and_tells_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let output = File::create(&log).unwrap();
    let mut program = program(&dir.path().join("data"));
    program
        .env("PORT", "0")
        .env("METRICS_PORT", "0")
        .env("LOG_LEVEL", "debug")
        .env("API_KEYS", "hidden-store@store-s1,hidden-reader:read")
        .env("ADMIN_API_KEYS", "hidden-admin")
        .stdin(Stdio::null())
        .stderr(output.try_clone().unwrap())
        .stdout(output);
    let mut running = Running(program.spawn().unwrap());
    let address = || {
        let listening = lines(&log)
            .into_iter()
            .find(|line| line["message"] == "listening")?;
        listening["address"].as_str()?.parse::<SocketAddr>().ok()
    };
    eventually("it listens", async || address().is_some()).await;
    let url = format!("http://{}", address().unwrap());
    let client = client();
    for (key, path) in [
        ("hidden-admin", "/v1/inventory?q=hidden-query"),
        ("hidden-reader", "/v1/inventory/hidden-path"),
        ("hidden-wrong", "/v1/inventory/hidden-path"),
        ("hidden-store", "/v1/inventory/a%20b"),
    ] {
        let request = client.get(format!("{url}{path}")).bearer_auth(key);
        let request = request.header("x-request-id", format!("for-{key}").replace("hidden-", ""));
        let request = request.header("x-correlation-id", "work-7");
        request.send().await.unwrap();
    }
    let body = json!({"storeId": "store-s1", "productId": "hidden-product", "delta": -1,
                      "idempotencyKey": "hidden-key"});
    let request = client.post(format!("{url}/v1/inventory/updates"));
    let request = request.header("x-api-key", "hidden-store").json(&body);
    assert_eq!(request.send().await.unwrap().status(), 404);

    running.stopped().await;
    let text = fs::read_to_string(&log).unwrap();
    assert!(!text.contains("hidden-"), "{text}");
    let lines = lines(&log);
    let said = |message: &str| {
        lines
            .iter()
            .find(|line| line["message"] == message)
            .unwrap()
    };
    assert_eq!(said("stopping")["signal"], "SIGTERM");
    said("stopped");
    let wrong = said("a key was presented that opens nothing");
    assert_eq!(wrong["client"], "127.0.0.1");
    assert_eq!(wrong["request_id"], "for-wrong");
    for (id, status) in [
        ("for-admin", 200),
        ("for-reader", 404),
        ("for-wrong", 401),
        ("for-store", 400),
    ] {
        let of_request = |line: &&Value| line["request_id"] == id && line["status"].is_number();
        let line = lines.iter().find(of_request).unwrap();
        assert_eq!(
            (&line["status"], &line["correlation_id"]),
            (&status.into(), &"work-7".into())
        );
    }
    lines.iter().for_each(is_whole);
}

/// Whether a line of the log has what every line must have.
#[track_caller]
fn is_whole(line: &Value) {
    for member in ["timestamp", "level", "message", "target"] {
        assert!(line[member].is_string(), "{line}");
    }
}

#[test]
fn every_fault_of_the_settings_is_named_at_once_and_nothing_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let output = program(&data)
        .envs([("PORT", "http"), ("IDEMPOTENCY_RETENTION_HOURS", "-1")])
        .envs([("EVENT_RETENTION_HOURS", ""), ("HOST", "nowhere")])
        .env("METRICS_PORT", "8081")
        .envs([("API_KEYS", "se cret"), ("CURRENCY", "gold")])
        .envs([
            ("RATE_LIMIT_ENABLED", "perhaps"),
            ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ])
        .env("RATE_LIMIT_REQUESTS_PER_MINUTE", "0")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let complaints = String::from_utf8(output.stderr).unwrap();
    for variable in [
        "PORT: ",
        "METRICS_PORT: ",
        "IDEMPOTENCY_RETENTION_HOURS: ",
        "EVENT_RETENTION_HOURS: ",
        "HOST: ",
        "API_KEYS[0]: ",
        "CURRENCY: ",
        "RATE_LIMIT_ENABLED: ",
        "RATE_LIMIT_REQUESTS_PER_MINUTE: ",
        "TRUSTED_PROXIES[0]: ",
    ] {
        let line = format!("  {variable}");
        assert_eq!(
            complaints.matches(&line).count(),
            1,
            "{variable}{complaints}"
        );
    }
    assert!(!complaints.contains("se cret"), "a secret is shown");
    assert!(!data.exists());
}
