//! A central service under test.

use std::path::PathBuf;

use central_api::config::{Config, Settings};
use central_api::ledger::KeyRetention;
use central_api::startup::{self, StartError};
use central_api::verify::verify;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use shared::disk::FsDisk;
use shared::service::metrics::Listeners;
use shared::service::rate_limit::RateLimitArgs;
pub(crate) use shared::testing::{client, eventually, header};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A key with scope `store` for any store, as in seed 003.
pub(crate) const KEY: &str = "demo";
pub(crate) const ADMIN_KEY: &str = "admin-demo";
pub(crate) const READ_KEY: &str = "reader";

/// A running central service; its folder goes with it.
pub(crate) struct TestCentral {
    pub(crate) url: String,
    /// Of the port that is scraped.
    pub(crate) metrics_url: String,
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    dir: TempDir,
    stop: CancellationToken,
    running: Option<JoinHandle<Result<(), StartError>>>,
}

/// Limits that are there, and never in the way.
pub(crate) fn roomy() -> RateLimitArgs {
    RateLimitArgs {
        requests_per_minute: 1_000_000_000,
        admin_requests_per_minute: 1_000_000_000,
        ..RateLimitArgs::default()
    }
}

/// Settings for a test: nothing from the environment.
pub(crate) fn settings() -> Settings {
    Settings {
        api_keys: format!("{KEY},{READ_KEY}:read,s1-key@store-s1"),
        admin_api_keys: ADMIN_KEY.to_owned(),
        rate_limits: roomy(),
        ..Settings::default()
    }
}

impl TestCentral {
    /// A service with an empty catalogue.
    pub(crate) async fn start() -> Self {
        Self::with(settings()).await
    }

    /// A service by `settings`, in a fresh folder.
    pub(crate) async fn with(settings: Settings) -> Self {
        Self::in_folder(settings, tempfile::tempdir().unwrap()).await
    }

    async fn in_folder(mut settings: Settings, dir: TempDir) -> Self {
        settings.data_dir = dir.path().join("central");
        let config = Config::check(settings.clone()).unwrap();
        let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (api, metrics) = (listen().await, listen().await);
        let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let (url, metrics_url) = (url(&api), url(&metrics));
        let listeners = Listeners {
            api,
            metrics: Some(metrics),
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(startup::run(config, listeners, stop.clone()));
        Self {
            url,
            metrics_url,
            client: client(),
            settings,
            dir,
            stop,
            running: Some(running),
        }
    }

    /// Stops it as SIGTERM does; the folder stays, and nothing may be wrong with it.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap().unwrap();
            let keys = KeyRetention {
                millis: i64::from(self.settings.idempotency_retention_hours) * 3_600_000,
                ..KeyRetention::default()
            };
            let report = verify(&FsDisk, &self.folder(), keys).unwrap();
            assert_eq!(report.findings, []);
        }
    }

    /// Stops it, if it runs, and starts it again over the same folder.
    pub(crate) async fn restart(mut self) -> Self {
        self.stop().await;
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        Self::in_folder(self.settings.clone(), dir).await
    }

    /// How the service ended, if it could not start.
    pub(crate) async fn start_error(&mut self) -> StartError {
        let running = self.running.take().unwrap();
        running.await.unwrap().unwrap_err()
    }

    /// Stops it and gives the folder away.
    pub(crate) async fn into_dir(mut self) -> TempDir {
        self.stop().await;
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("central")
    }

    /// A request with `key`, to be completed.
    pub(crate) fn request(&self, method: Method, path: &str, key: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        request.header("x-api-key", key)
    }

    /// A request with the admin key, to be completed.
    pub(crate) fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path, ADMIN_KEY)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        let request = self.request(Method::GET, path, KEY);
        request.send().await.unwrap()
    }

    pub(crate) async fn get_json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    /// Sends `body` with the user key.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        let request = self.request(Method::POST, path, KEY);
        request.json(body).send().await.unwrap()
    }

    /// Sends `body` with the admin key.
    pub(crate) async fn admin_json(&self, method: Method, path: &str, body: &Value) -> Response {
        self.admin(method, path).json(body).send().await.unwrap()
    }

    /// Creates a product as seed 003 does.
    pub(crate) async fn create(&self, id: &str, available: i64) {
        let product = json!({"productId": id, "name": id, "available": available, "price": 1.5});
        let body = json!({"products": [product]});
        let answer = self
            .admin_json(Method::POST, "/v1/admin/products/create", &body)
            .await;
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["results"][0]["success"], true, "{answer}");
    }

    /// Moves stock under `key`.
    pub(crate) async fn update(&self, id: &str, delta: i64, key: &str) -> Response {
        let mut body = json!({
            "storeId": "store-s1", "productId": id, "delta": delta, "idempotencyKey": key,
        });
        if delta > 0 {
            body["reason"] = "received".into();
        }
        self.post("/v1/inventory/updates", &body).await
    }

    /// Offset of the next event.
    pub(crate) async fn head(&self) -> u64 {
        self.get_json("/v1/info").await["headOffset"]
            .as_u64()
            .unwrap()
    }
}

impl Drop for TestCentral {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The fields that a problem names, in its order.
pub(crate) fn fields(problem: &Value) -> Vec<&str> {
    let details = problem["details"].as_array().unwrap().iter();
    details
        .map(|detail| detail["field"].as_str().unwrap())
        .collect()
}

/// The fields that a problem names, for tests to which their order is nothing.
pub(crate) fn sorted_fields(problem: &Value) -> Vec<&str> {
    let mut fields = fields(problem);
    fields.sort_unstable();
    fields
}
