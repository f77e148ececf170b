//! A central whose ledger the test holds too: the real router over a real folder, on a free port.

use std::path::PathBuf;
use std::sync::Arc;

use central_api::config::{Config, PaymentConfig};
use central_api::http::{self, AppState};
use central_api::journal::LogGen;
use central_api::journal::memory::{MemoryJournal, MemoryLog};
use central_api::ledger::{
    Decided, Fold, KeyRetention, Ledger, LedgerOptions, LedgerThreads, Outcome, Request,
};
use central_api::payments::{self, Guarded};
use central_api::startup::{DataLock, OpenLedger, open_ledger};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use shared::clock::Clock;
use shared::domain::ids::ProductId;
use shared::domain::inventory::fingerprint;
use shared::domain::inventory::{Atomicity, Command, Deletion, Details, Move, NewProduct, Reason};
use shared::domain::origin::Origin;
use shared::service::auth::ApiKeys;
use shared::service::cors::Origins;
use shared::service::server::{self, ServeReport, ServerOptions};
use shared::service::system_clock::SystemClock;
use shared::service::telemetry::LogFormat;
use shared::service::traces::TracesConfig;
pub(crate) use shared::testing::PATIENCE;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{client, roomy};

/// The key of store `store-s1`.
pub(crate) const SHOP: &str = "shop-key";
/// A key that may only read.
pub(crate) const READER: &str = "reader-key";
/// A key that may do everything.
pub(crate) const ADMIN: &str = "admin-key";

/// A running central; stop it with [`Served::stop`].
pub(crate) struct Served {
    pub(crate) ledger: Ledger,
    pub(crate) client: reqwest::Client,
    base: String,
    threads: LedgerThreads,
    lock: Option<DataLock>,
    server: JoinHandle<ServeReport>,
    pub(crate) shutdown: CancellationToken,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&self.bytes));
        })
    }

    /// The body, which must have come with `status`.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{}",
            String::from_utf8_lossy(&self.bytes)
        );
        self.json()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .unwrap_or_else(|| panic!("no {name}"))
            .to_str()
            .unwrap()
    }
}

impl Served {
    /// Starts over the files in `dir`.
    pub(crate) async fn start(dir: &TempDir) -> Self {
        Self::start_with(dir, |_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(dir: &TempDir, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by(dir, Arc::new(SystemClock), change).await
    }

    /// The same by another clock.
    pub(crate) async fn start_by(
        dir: &TempDir,
        clock: Arc<dyn Clock>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = config(dir.path().to_owned());
        change(&mut config);
        let payments = simulated(&config);
        Self::start_all(config, payments, clock).await
    }

    /// The same with another way to move money.
    pub(crate) async fn start_paying(dir: &TempDir, payments: Arc<Guarded>) -> Self {
        Self::start_paying_by(dir, payments, Arc::new(SystemClock)).await
    }

    /// The same by another clock.
    pub(crate) async fn start_paying_by(
        dir: &TempDir,
        payments: Arc<Guarded>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::start_all(config(dir.path().to_owned()), payments, clock).await
    }

    async fn start_all(config: Config, payments: Arc<Guarded>, clock: Arc<dyn Clock>) -> Self {
        let OpenLedger {
            ledger,
            threads,
            lock,
            ..
        } = open_ledger(&config, Vec::new(), clock).await.unwrap();
        Self::serve(&config, payments, (ledger, threads), Some(lock)).await
    }

    /// Starts over a log in memory, where a test may hold the right to write.
    pub(crate) async fn start_in_memory(dir: &TempDir, log: &Arc<MemoryLog>) -> Self {
        let config = config(dir.path().to_owned());
        let keys = KeyRetention::default();
        let options = LedgerOptions {
            clock: Arc::new(SystemClock),
            log_gen: LogGen(1),
            keys,
            homes: Vec::new(),
            fatal: Box::new(|error| panic!("{error}")),
        };
        let journal = Box::new(MemoryJournal::new(Arc::clone(log)));
        let ledger = Ledger::start(journal, Fold::empty(keys), options).unwrap();
        let payments = simulated(&config);
        Self::serve(&config, payments, ledger, None).await
    }

    async fn serve(
        config: &Config,
        payments: Arc<Guarded>,
        (ledger, threads): (Ledger, LedgerThreads),
        lock: Option<DataLock>,
    ) -> Self {
        let shutdown = CancellationToken::new();
        let state = AppState::new(ledger.clone(), config, payments, shutdown.clone());
        state.shared.orders.resume();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = http::router(state);
        let stop = shutdown.clone();
        let server = tokio::spawn(async move {
            server::serve(listener, app, stop, ServerOptions::default(), &[]).await
        });
        Self {
            ledger,
            client: client(),
            base,
            threads,
            lock,
            server,
            shutdown,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends a request as the admin, with `headers` besides.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Reply {
        let mut request = self.client.request(method, self.url(path));
        if !headers.iter().any(|(name, _)| *name == "x-api-key") {
            request = request.header("x-api-key", ADMIN);
        }
        for (name, value) in headers {
            request = request.header(name.parse::<HeaderName>().unwrap(), *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        Reply {
            status: response.status(),
            headers: response.headers().clone(),
            bytes: response.bytes().await.unwrap().to_vec(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], None).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(Method::GET, path, headers, None).await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        self.send(Method::POST, path, headers, Some(body)).await
    }

    /// Stops, and gives the folder back.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        drop(self.client);
        self.server.await.unwrap();
        let threads = self.threads;
        tokio::task::spawn_blocking(move || threads.stop())
            .await
            .unwrap();
        drop(self.lock);
    }
}

/// Settings for a central over `data_dir`.
pub(crate) fn config(data_dir: PathBuf) -> Config {
    let api_keys = format!("{SHOP}@store-s1,{READER}:read");
    Config {
        origins: Origins::default(),
        host: "127.0.0.1".parse().unwrap(),
        port: 0,
        metrics_port: 0,
        data_dir,
        keys: ApiKeys::parse(&api_keys, ADMIN).unwrap(),
        log: (tracing::Level::ERROR, LogFormat::Json),
        idempotency_retention_hours: 168,
        event_retention_hours: 0,
        seed_catalog: None,
        currency: "USD".to_owned(),
        segment_bytes: 64 * 1024,
        fault_injection: false,
        ended_orders: shared::limits::ORDERS_ENDED_KEPT,
        tls: None,
        traces: TracesConfig::default(),
        rate_limits: roomy().check(&mut Vec::new()),
        payments: PaymentConfig::default(),
    }
}

/// The payments of `config`.
pub(crate) fn simulated(config: &Config) -> Arc<Guarded> {
    Arc::new(payments::start(&config.payments, Arc::new(SystemClock), None).unwrap())
}

/// Has `command` decided.
pub(crate) async fn decide(ledger: &Ledger, command: Command) -> Arc<Decided> {
    let fingerprint = fingerprint(&command, None);
    let origin = Origin::internal("test");
    let request = Request {
        origin,
        command: command.into(),
        fingerprint,
    };
    match ledger.decide(request).await.unwrap() {
        Outcome::Decided { decided, .. } => decided,
        Outcome::KeyReused => panic!("there was no key"),
    }
}

pub(crate) fn id(text: &str) -> ProductId {
    ProductId::parse(text).unwrap()
}

/// Products with so many units each.
pub(crate) fn create(ids: impl IntoIterator<Item = String>, on_hand: i64) -> Command {
    let item = |text: String| NewProduct {
        product: id(&text),
        details: Details {
            name: format!("Name of {text}").into(),
            ..Details::default()
        },
        on_hand,
    };
    Command::Create {
        items: ids.into_iter().map(item).collect(),
        atomicity: Atomicity::All,
    }
}

/// One movement: a sale, or a delivery.
pub(crate) fn movement(product: &str, delta: i64) -> Command {
    movements([(product, delta)])
}

/// Several in one decision.
pub(crate) fn movements<'a>(lines: impl IntoIterator<Item = (&'a str, i64)>) -> Command {
    let line = |(product, delta)| Move {
        product: id(product),
        delta,
        reason: if delta < 0 {
            Reason::Sale
        } else {
            Reason::Received
        },
        expected_version: None,
        reference: None,
        note: None,
    };
    Command::Move {
        lines: lines.into_iter().map(line).collect(),
        atomicity: Atomicity::All,
    }
}

pub(crate) fn delete(product: &str) -> Command {
    let item = Deletion {
        product: id(product),
        expected_version: None,
        force: false,
    };
    Command::Delete {
        items: vec![item],
        atomicity: Atomicity::All,
    }
}
