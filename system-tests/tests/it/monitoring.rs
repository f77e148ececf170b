//! What operators look at works: Debian's Prometheus asks real services with our configuration, and every
//! expression of every panel, recording rule and alert is evaluated.
//!
//! A wrong expression is not an error that anybody sees: a panel that is empty looks like a quiet day, and
//! an alert over a metric that was renamed never fires. So an expression counts only if it has a value
//! while everything happens that it is about: sales, refusals, repetitions, orders that go well and badly,
//! a shop that is gone. An alert is empty as long as all is well; it is evaluated without its comparison,
//! and must have something to compare.
//!
//! Longer than most files, because the work that the figures are about is here as well: who changes a
//! panel sees at once what happens while it is looked at, and no other test needs that work.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use system_tests::process::{ADMIN_KEY, KEY, Service, client};
use system_tests::prometheus::Prometheus;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::scene::{PRODUCTS, SHORT};
use crate::till;

/// How long it may take until everything has a value: the first samples of a rate, and some rounds.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two rounds of work, and between two looks.
const PACE: Duration = Duration::from_millis(250);
/// What Grafana fills in, for samples that are a second apart.
const WINDOW: (&str, &str) = ("$__rate_interval", "15s");
/// Half of the work's payments are to go badly, without central ceasing to ask for them.
const STEADY: [(&str, &str); 2] = [
    ("BREAKER_MIN_CALLS", "10000"),
    ("BREAKER_CONSECUTIVE_FAILURES", "10000"),
];
/// The panels that the overview begins with.
const FIRST: [&str; 6] = [
    "Products short",
    "Stores offline",
    "Lag p99",
    "Drift",
    "Refused promises by reason",
    "Fsync latency",
];
const COMPARISONS: [&str; 6] = ["==", "!=", ">", "<", ">=", "<="];

/// The folder `name` of the repository.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join(name)
}

/// The text of every file in `folder`, with its name.
fn texts(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(read).collect()
}

/// A panel, and what it asks Prometheus.
struct Panel {
    name: String,
    question: String,
    expressions: Vec<String>,
}

/// Every panel of a dashboard, in order.
fn panels(dashboard: &str) -> Vec<Panel> {
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let panel = |panel: &Value| Panel {
        name: text(&panel["title"]),
        question: text(&panel["description"]),
        expressions: panel["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|target| text(&target["expr"]).replace(WINDOW.0, WINDOW.1))
            .collect(),
    };
    let list = dashboard["panels"].as_array().unwrap();
    list.iter().map(panel).collect()
}

/// `expression`, as Prometheus prints it, without its comparisons with a number: what an alert looks at.
fn without_comparisons(expression: &str) -> String {
    let mut words = expression.split_whitespace();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if !COMPARISONS.contains(&word) {
            kept.push(word.to_owned());
            continue;
        }
        let number = words.next().unwrap();
        let digits = number.trim_end_matches(')');
        let _: f64 = digits.parse().unwrap();
        // What closes after the number was opened before it.
        if let Some(last) = kept.last_mut() {
            last.push_str(number.get(digits.len()..).unwrap());
        }
    }
    kept.join(" ")
}

/// Everything that is asked of Prometheus, with the name of who asks.
async fn expressions(prometheus: &Prometheus) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (file, text) in texts(&folder("grafana/dashboards")) {
        for panel in panels(&text) {
            let name = format!("{file}, {}", panel.name);
            let of = |expression| (name.clone(), expression);
            all.extend(panel.expressions.into_iter().map(of));
        }
    }
    for rule in prometheus.rules().await.unwrap() {
        let (name, query) = (rule["name"].as_str(), rule["query"].as_str().unwrap());
        all.push((name.unwrap().to_owned(), without_comparisons(query)));
    }
    all
}

/// Those of `all` that have no number yet, with what was found instead.
async fn silent(prometheus: &Prometheus, all: &[(String, String)]) -> Vec<String> {
    let mut silent = Vec::new();
    for (name, expression) in all {
        match prometheus.query(expression).await {
            Ok(values) if values.iter().any(|value| value.is_finite()) => (),
            Ok(values) => silent.push(format!("{name}: {values:?}: {expression}")),
            Err(error) => panic!("{name}: {error}: {expression}"),
        }
    }
    silent
}

/// Waits until `check` has nothing to complain of any more.
async fn until_all_is_well(what: &str, mut check: impl AsyncFnMut() -> Vec<String>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let complaints = check().await;
        if complaints.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {complaints:#?}");
        sleep(PACE).await;
    }
}

/// Central and shops in which everything happens again and again.
struct Chain {
    client: Client,
    central: Service,
    stores: Vec<(&'static str, Service)>,
    _dir: TempDir,
}

impl Chain {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let client = client().unwrap();
        let folder = dir.path().join("central");
        let mut central = Service::central_with(&folder, &STEADY).await.unwrap();
        till::create(&client, &central, &PRODUCTS, 1_000_000).await;
        // An orderly stop leaves a snapshot, whose age is a metric then.
        assert!(central.stop(PATIENCE).await.unwrap());
        central.restart().await.unwrap();
        let mut stores = Vec::new();
        for id in ["store-s1", "store-s2"] {
            let folder = dir.path().join(id);
            let store = Service::store_with(id, &folder, central.address(), &SHORT).await;
            stores.push((id, store.unwrap()));
        }
        Self {
            client,
            central,
            stores,
            _dir: dir,
        }
    }

    fn work(&self) -> Work {
        let office = Office {
            client: self.client.clone(),
            central: self.central.url(""),
            shop: self.stores[0].1.url(""),
            requests: Arc::default(),
        };
        Work(tokio::spawn(async move {
            loop {
                office.round().await;
                sleep(PACE).await;
            }
        }))
    }
}

/// The work goes on until this is dropped.
struct Work(JoinHandle<()>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who sells, orders and puts aside.
struct Office {
    client: Client,
    central: String,
    shop: String,
    requests: Arc<AtomicU64>,
}

impl Office {
    /// Everything once.
    async fn round(&self) {
        let (shop, central) = (self.shop.as_str(), self.central.as_str());
        let updates = format!("{shop}/v1/store/inventory/updates");
        let sale = json!({"productId": "A", "delta": -1, "idempotencyKey": self.key()});
        assert_eq!(self.post(&updates, &sale).await.0, 200);
        assert_eq!(self.post(&updates, &sale).await.0, 200, "a repetition");
        let too_many =
            json!({"productId": "B", "delta": -900_000_000, "idempotencyKey": self.key()});
        assert_eq!(self.post(&updates, &too_many).await.0, 409);
        let list = format!("{shop}/v1/store/inventory?limit=10");
        assert_eq!(self.send(Method::GET, &list, None).await.0, 200);
        let feed = format!("{central}/v1/orders/events?offset=0&limit=1");
        assert_eq!(self.send(Method::GET, &feed, None).await.0, 200);
        self.orders().await;
        self.holds().await;
    }

    /// Orders that go well, badly, and are called off.
    async fn orders(&self) {
        let url = format!("{}/v1/orders", self.central);
        for (card, status) in [
            ("card", 201),
            ("card_declined", 402),
            ("card_lost_answer", 202),
            ("card_error", 202),
        ] {
            let (found, _) = self.post(&url, &order(card, true)).await;
            assert_eq!(found, status, "{card}");
        }
        let (status, placed) = self.post(&url, &order("card", false)).await;
        assert_eq!(status, 201, "{placed}");
        let cancel = format!("{url}/{}/cancel", placed["orderId"].as_str().unwrap());
        assert_eq!(self.post(&cancel, &json!({})).await.0, 200);
    }

    /// Units are put aside and given back.
    async fn holds(&self) {
        let url = format!("{}/v1/reservations", self.central);
        let body =
            json!({"owner": "ann", "ttlSeconds": 60, "lines": [{"productId": "C", "quantity": 2}]});
        let (status, held) = self.post(&url, &body).await;
        assert_eq!(status, 201, "{held}");
        let release = format!("{url}/{}/release", held["reservationId"].as_str().unwrap());
        assert_eq!(self.post(&release, &json!({})).await.0, 200);
    }

    fn key(&self) -> String {
        format!("request-{}", self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Status and body of the answer; a key of its own, unless the body has one.
    async fn post(&self, url: &str, body: &Value) -> (u16, Value) {
        self.send(Method::POST, url, Some(body)).await
    }

    async fn send(&self, method: Method, url: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
            if body.get("idempotencyKey").is_none() {
                request = request.header("Idempotency-Key", self.key());
            }
        }
        // Sales are a till's, and the rest an operator's.
        let key = if url.contains("/v1/store/") {
            KEY
        } else {
            ADMIN_KEY
        };
        let answer = request.header("X-API-Key", key).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap())
    }
}

fn order(card: &str, is_confirmed: bool) -> Value {
    json!({
        "customerId": "ann", "items": [{"productId": "D", "quantity": 1}],
        "paymentMethod": card, "confirm": is_confirmed,
    })
}

/// Goal: no panel, recording rule or alert is wrong or blind. Method: above. The alert for a shop that
/// does not answer is seen to wake up, so what is asked is what is acted upon.
#[tokio::test(flavor = "multi_thread")]
async fn every_expression_has_a_value() {
    let mut chain = Chain::start().await;
    let work = chain.work();
    let central = chain.central.metrics();
    let stores = chain.stores.iter();
    let stores: Vec<_> = stores.map(|(id, store)| (*id, store.metrics())).collect();
    let source = folder("prometheus");
    let started = Prometheus::start(&chain.client, &source, central, &stores).await;
    let prometheus = started.unwrap();
    let all = expressions(&prometheus).await;
    assert!(all.len() > 100, "only {} were found", all.len());
    let left: Vec<_> = all.iter().filter(|(_, text)| text.contains('$')).collect();
    assert!(left.is_empty(), "nobody fills in {left:?}");
    until_all_is_well("without a value", async || {
        assert!(
            !work.0.is_finished(),
            "the work has failed; it says above why"
        );
        silent(&prometheus, &all).await
    })
    .await;

    // The controls: what does not exist is silent, and what is wrong is an error.
    let unknown = (
        "control".to_owned(),
        "rate(holdfast_no_such_total[1m])".to_owned(),
    );
    assert_eq!(silent(&prometheus, &[unknown]).await.len(), 1);
    assert!(prometheus.query("sum by (").await.is_err());

    let state = async |name: &str| {
        let rules = prometheus.rules().await.unwrap();
        let rule = rules.into_iter().find(|rule| rule["name"] == name);
        rule.unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("StoreDown").await, "inactive");
    chain.stores[1].1.kill().unwrap();
    until_all_is_well("nobody notices that a shop is gone", async || {
        let noticed = state("StoreDown").await == "pending";
        if noticed {
            Vec::new()
        } else {
            vec![state("StoreDown").await]
        }
    })
    .await;
    assert_eq!(state("CentralDown").await, "inactive");
    for rule in prometheus.rules().await.unwrap() {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}

/// Every panel answers a question, which the list of panels has, and the overview begins with the six
/// that say whether all is well.
#[test]
fn every_panel_names_its_question() {
    let list = fs::read_to_string(folder("grafana/README.md")).unwrap();
    let mut count = 0;
    for (file, text) in texts(&folder("grafana/dashboards")) {
        let panels = panels(&text);
        count += panels.len();
        for panel in &panels {
            assert!(panel.question.contains('?'), "{file}: {}", panel.name);
            let row = format!("| {} | {} |\n", panel.name, panel.question);
            assert!(list.contains(&row), "{file}: {}", panel.name);
        }
        if file == "overview.json" {
            let first: Vec<_> = panels
                .iter()
                .take(FIRST.len())
                .map(|panel| &panel.name)
                .collect();
            assert_eq!(first, FIRST);
        }
    }
    assert!(count >= 33, "only {count} panels");
    assert!(
        list.contains(&format!(" {count} panels")),
        "the list says another number"
    );
}

/// Lines of `text` that begin with `before`, without it.
fn rest<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    text.lines()
        .filter_map(|line| line.trim_start().strip_prefix(before))
        .collect()
}

/// Every alert says how urgent it is and what it means, has an entry in the runbook, fires in a test, and
/// stays silent in another one; and the runbook has no entry without an alert.
#[test]
fn every_alert_is_explained_and_tested() {
    let rules = fs::read_to_string(folder("prometheus/rules/alerts.yml")).unwrap();
    let runbook = fs::read_to_string(folder("docs/runbook.md")).unwrap();
    let tests: String = texts(&folder("prometheus/tests"))
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let mut names = BTreeSet::new();
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap();
        for part in [
            "expr:",
            "for:",
            "labels: {severity: ",
            "summary:",
            "runbook_url:",
        ] {
            assert_eq!(rest(rule, part).len(), 1, "{name} has no {part}");
        }
        let severity = rest(rule, "labels: {severity: ")[0];
        assert!(
            ["page}", "ticket}"].contains(&severity),
            "{name}: {severity}"
        );
        let link = format!(" docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(rest(rule, "runbook_url:"), [link], "{name}");
        let fires = format!("alertname: {name}\n        exp_alerts:\n");
        assert!(tests.contains(&fires), "{name} fires in no test");
        let silent = format!("alertname: {name}, exp_alerts: []}}");
        assert!(tests.contains(&silent), "{name} is silent in no test");
        names.insert(name);
    }
    assert!(names.len() > 20, "only {} alerts were found", names.len());
    assert_eq!(BTreeSet::from_iter(rest(&runbook, "## ")), names);
}

#[test]
fn a_comparison_is_taken_away_and_nothing_else() {
    for (whole, kept) in [
        ("a > 1", "a"),
        ("a{b=\"c\"} == 0 or absent(a)", "a{b=\"c\"} or absent(a)"),
        ("count(a) >= 1e+06 and (b < 0.5)", "count(a) and (b)"),
        ("sum by (le) (rate(a[5m]))", "sum by (le) (rate(a[5m]))"),
    ] {
        assert_eq!(without_comparisons(whole), kept);
    }
}
