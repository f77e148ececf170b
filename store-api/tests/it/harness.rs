//! A store under test.

use std::path::PathBuf;

use reqwest::{Client, Response};
use serde_json::Value;
use shared::service::metrics::Listeners;
use shared::service::rate_limit::RateLimitArgs;
pub(crate) use shared::testing::{client, eventually, header};
use store_api::{Config, Settings};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const KEY: &str = "demo";
pub(crate) const ADMIN_KEY: &str = "admin-demo";

/// A running store.
pub(crate) struct TestStore {
    pub(crate) url: String,
    /// Of the port that is scraped.
    pub(crate) metrics_url: String,
    pub(crate) client: Client,
    settings: Settings,
    dir: TempDir,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

/// Settings for a test: everything short, nothing from the environment.
pub(crate) fn settings(central: &str) -> Settings {
    Settings {
        central_api_url: central.to_owned(),
        central_api_key: Some("store-key".to_owned()),
        api_keys: format!("{KEY},reader:read"),
        admin_api_keys: ADMIN_KEY.to_owned(),
        central_timeout_ms: 500,
        retry_deadline_ms: 1_500,
        order_timeout_ms: 2_000,
        retry_base_ms: 10,
        retry_cap_ms: 50,
        sync_interval_seconds: 1,
        event_wait_timeout_seconds: 5,
        heartbeat_seconds: 1,
        // There, and never in the way.
        rate_limits: RateLimitArgs {
            requests_per_minute: 1_000_000_000,
            admin_requests_per_minute: 1_000_000_000,
            ..RateLimitArgs::default()
        },
        ..Settings::default()
    }
}

impl TestStore {
    /// A store that follows `central`.
    pub(crate) async fn start(central: &str) -> Self {
        Self::with(settings(central)).await
    }

    /// A store by `settings`, in a fresh folder.
    pub(crate) async fn with(settings: Settings) -> Self {
        Self::in_folder(settings, tempfile::tempdir().unwrap()).await
    }

    async fn in_folder(mut settings: Settings, dir: TempDir) -> Self {
        settings.data_dir = Some(dir.path().join("store"));
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
        let token = stop.clone();
        let running = tokio::spawn(async move {
            store_api::run(config, listeners, token).await.unwrap();
        });
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

    /// Stops it as SIGTERM does; the folder stays.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }

    /// Stops it and starts it again over the same folder.
    pub(crate) async fn restart(mut self) -> Self {
        self.stop().await;
        Self::in_folder(
            self.settings.clone(),
            std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap()),
        )
        .await
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.url));
        request.header("x-api-key", KEY).send().await.unwrap()
    }

    pub(crate) async fn get_json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        let request = self.client.post(format!("{}{path}", self.url));
        request
            .header("x-api-key", KEY)
            .json(body)
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn update(&self, id: &str, delta: i64, key: &str) -> Response {
        let body = serde_json::json!({"productId": id, "delta": delta, "idempotencyKey": key});
        self.post("/v1/store/inventory/updates", &body).await
    }

    pub(crate) async fn status(&self) -> Value {
        self.get_json("/v1/store/sync/status").await
    }

    pub(crate) async fn state(&self) -> String {
        self.status().await["state"].as_str().unwrap().to_owned()
    }

    /// Waits until the copy stands at `offset` and says that it is live.
    pub(crate) async fn live_at(&self, offset: u64) {
        eventually(&format!("{} is live at {offset}", self.url), async || {
            let status = self.status().await;
            status["state"] == "live" && status["appliedOffset"] == offset
        })
        .await;
    }

    pub(crate) async fn available(&self, id: &str) -> Option<i64> {
        let answer = self.get(&format!("/v1/store/inventory/{id}")).await;
        if answer.status() != 200 {
            return None;
        }
        answer.json::<Value>().await.unwrap()["available"].as_i64()
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
