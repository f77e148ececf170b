//! Central, a proxy in which faults are made, and a store behind it that is read all the time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use system_tests::process::{KEY, Service, client, until};
use system_tests::proxy::Proxy;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::till;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const PRODUCTS: [&str; 4] = ["A", "B", "C", "D"];
pub(crate) const UNITS: i64 = 1_000;
/// Time between two reads of a [`Watch`].
const PACE: Duration = Duration::from_millis(5);

/// Everything short, so that a fault is noticed and over within seconds.
pub(crate) const SHORT: [(&str, &str); 9] = [
    ("SYNC_INTERVAL_SECONDS", "1"),
    ("EVENT_WAIT_TIMEOUT_SECONDS", "1"),
    ("CENTRAL_TIMEOUT_MS", "500"),
    ("RETRY_DEADLINE_MS", "1500"),
    ("ORDER_TIMEOUT_MS", "1500"),
    ("RETRY_BASE_MS", "10"),
    ("RETRY_CAP_MS", "50"),
    ("BREAKER_OPEN_MS", "200"),
    ("HEARTBEAT_SECONDS", "1"),
];

/// Central ← proxy ← store.
pub(crate) struct Scene {
    pub(crate) central: Service,
    pub(crate) proxy: Proxy,
    pub(crate) store: Service,
    pub(crate) client: Client,
    pub(crate) dir: TempDir,
}

impl Scene {
    /// All three, with products, and the store live.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let central = Service::central(&dir.path().join("central")).await.unwrap();
        let client = client().unwrap();
        till::create(&client, &central, &PRODUCTS, UNITS).await;
        let proxy = Proxy::start(central.address()).await.unwrap();
        let store = store("store-s1", dir.path(), &proxy).await;
        let scene = Self {
            central,
            proxy,
            store,
            client,
            dir,
        };
        scene.converges().await;
        scene
    }

    /// Sells a unit at the store, once. Answers status, headers and body.
    pub(crate) async fn try_sale(&self, key: &str) -> (StatusCode, HeaderMap, Value) {
        let body = json!({"productId": "A", "delta": -1, "idempotencyKey": key});
        let request = self
            .client
            .post(self.store.url("/v1/store/inventory/updates"))
            .header("X-API-Key", KEY)
            .json(&body);
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        (status, headers, answer.json().await.unwrap())
    }

    /// A sale is refused in these words.
    pub(crate) async fn refuses(&self, key: &str, status: u16, code: &str) {
        let (found, headers, body) = self.try_sale(key).await;
        assert_eq!(
            (found.as_u16(), body["code"].as_str()),
            (status, Some(code)),
            "{body}"
        );
        assert_eq!(body["applied"], false);
        assert_eq!(headers.contains_key(RETRY_AFTER), status == 503, "{body}");
    }

    /// The breaker opens: a sale is refused at once, with nothing sent.
    pub(crate) async fn breaker_opens(&self) {
        let mut number = 0;
        loop {
            let (status, headers, body) = self.try_sale(&format!("breaker-{number}")).await;
            if status == StatusCode::SERVICE_UNAVAILABLE {
                assert_eq!(body["code"], "central_unavailable");
                assert!(headers.contains_key(RETRY_AFTER));
                return;
            }
            assert_eq!(body["code"], "timeout", "{body}");
            number += 1;
            assert!(number < 10, "the breaker stays closed");
        }
    }

    /// The same key sells in the end, now that the fault is over.
    pub(crate) async fn sells(&self, key: &str) {
        until("a sale", PATIENCE, || async {
            self.try_sale(key).await.0 == StatusCode::OK
        })
        .await
        .unwrap();
    }

    /// Sells units at central itself, whatever stands between it and the store.
    pub(crate) async fn sell_at_central(&self, name: &str, sales: usize) {
        let url = self.central.url("/v1/inventory/updates");
        for sale in 0..sales {
            let body = json!({
                "productId": PRODUCTS[sale % PRODUCTS.len()], "delta": -1,
                "idempotencyKey": format!("{name}-{sale}"),
            });
            let moved = till::send(&self.client, &url, &body).await.unwrap();
            assert_eq!(moved.status, StatusCode::OK, "{moved:?}");
        }
    }

    /// Waits until the store has central's catalogue, byte for byte, and says that it is live.
    pub(crate) async fn converges(&self) {
        converges(&self.client, &self.central, &self.store).await;
    }

    /// Units of `A` that were sold.
    pub(crate) async fn sold(&self) -> i64 {
        let product = till::read(&self.client, &self.central, "A").await.unwrap();
        UNITS - product["available"].as_i64().unwrap()
    }

    pub(crate) async fn status(&self) -> Value {
        status(&self.client, &self.store).await.unwrap()
    }

    /// Begins to read from the store without a pause.
    pub(crate) fn watch(&self) -> Watch {
        Watch::start(self.client.clone(), &self.store)
    }
}

/// A store with short settings, behind `proxy`.
pub(crate) async fn store(id: &str, dir: &Path, proxy: &Proxy) -> Service {
    Service::store_with(id, &dir.join(id), proxy.address(), &SHORT)
        .await
        .unwrap()
}

/// How the sync of a store stands.
pub(crate) async fn status(client: &Client, store: &Service) -> Option<Value> {
    let request = client
        .get(store.url("/v1/store/sync/status"))
        .header("X-API-Key", KEY);
    request.send().await.ok()?.json().await.ok()
}

/// Waits until `store` has central's catalogue, byte for byte, and says that it is live.
pub(crate) async fn converges(client: &Client, central: &Service, store: &Service) {
    let equal = || async {
        let truth = catalogue(client, central, "/v1/inventory").await;
        let copy = catalogue(client, store, "/v1/store/inventory").await;
        let live = status(client, store).await;
        truth.is_some() && truth == copy && live.is_some_and(|live| live["state"] == "live")
    };
    if let Err(error) = until("the store equals central", PATIENCE, equal).await {
        let status = status(client, store).await;
        panic!("{error}: {status:?}");
    }
}

/// The bytes of every product, in order, and the digest and offset of the head.
type Catalogue = (Vec<String>, String, u64);

/// What `service` has, if it stands still meanwhile.
async fn catalogue(client: &Client, service: &Service, path: &str) -> Option<Catalogue> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page<'a> {
        #[serde(borrow)]
        products: Vec<&'a RawValue>,
        next_cursor: Option<String>,
        as_of_offset: u64,
    }
    let get = async |path: &str| {
        let request = client.get(service.url(path)).header("X-API-Key", KEY);
        let answer = request.send().await.ok()?;
        (answer.status() == StatusCode::OK).then_some(())?;
        answer.bytes().await.ok()
    };
    let body = get(&format!("{path}?limit=1000")).await?;
    let page: Page<'_> = serde_json::from_slice(&body).unwrap();
    assert!(page.next_cursor.is_none(), "one page is enough here");
    let products = page.products.iter().map(|row| row.get().to_owned());
    let offset = page.as_of_offset;
    let feed = get(&format!("/v1/inventory/events?offset={offset}")).await?;
    let feed: Value = serde_json::from_slice(&feed).unwrap();
    let digest = feed["digest"].as_str()?.to_owned();
    Some((products.collect(), digest, offset))
}

/// What reads found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) reads: u64,
    /// Reads that were not answered by 200.
    failed: Vec<String>,
    /// Reads that did not say how current they are.
    silent: u64,
    /// The last read said `fwd=stale`.
    pub(crate) is_stale: bool,
    /// The last read said that central cannot be reached.
    pub(crate) is_unreachable: bool,
    /// The last `Age`.
    pub(crate) age: u64,
}

/// Somebody who reads from a store without a pause.
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    reading: JoinHandle<()>,
}

impl Watch {
    fn start(client: Client, store: &Service) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let urls = ["/v1/store/inventory", "/v1/store/inventory/A"].map(|path| store.url(path));
        let notes = Arc::clone(&seen);
        let reading = tokio::spawn(async move {
            for url in urls.iter().cycle() {
                let answer = client.get(url).header("X-API-Key", KEY).send().await;
                notes.lock().read(answer);
                tokio::time::sleep(PACE).await;
            }
        });
        Self { seen, reading }
    }

    /// What was found until now.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().clone()
    }

    /// Waits until what was found is as `condition` wants it.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Seen) -> bool) {
        let so = || async { condition(&self.seen()) };
        if let Err(error) = until(what, PATIENCE, so).await {
            panic!("{error}: {:?}", self.seen());
        }
    }

    /// The store notices, says so, and says how the age of its answers grows.
    pub(crate) async fn says_that_it_is_cut_off(&self) {
        self.until("stale, unreachable", |seen| {
            seen.is_stale && seen.is_unreachable
        })
        .await;
        let before = self.seen().age;
        self.until("it grows older", |seen| {
            seen.age > before && seen.is_stale && seen.is_unreachable
        })
        .await;
    }

    /// Ends the reading. Every read was answered, and said how current it was.
    pub(crate) async fn every_read_was_answered(self) {
        self.until("the last reads are current", |seen| {
            seen.reads > 20 && !seen.is_stale && !seen.is_unreachable
        })
        .await;
        self.reading.abort();
        let seen = self.seen();
        assert!(seen.failed.is_empty(), "{:?}", seen.failed);
        assert_eq!(seen.silent, 0);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Seen {
    fn read(&mut self, answer: reqwest::Result<Response>) {
        self.reads += 1;
        match answer {
            Ok(answer) if answer.status() == StatusCode::OK => self.note(answer.headers()),
            other => self.failed.push(format!("{other:?}")),
        }
    }

    fn note(&mut self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (cache, central) = (text("cache-status"), text("x-central"));
        let age = text("age").and_then(|age| age.parse().ok());
        let (Some(cache), Some(central), Some(age)) = (cache, central, age) else {
            self.silent += 1;
            return;
        };
        self.is_stale = cache.ends_with("; fwd=stale");
        self.is_unreachable = central == "unreachable";
        self.age = age;
    }
}
