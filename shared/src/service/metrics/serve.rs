//! `GET /metrics` on a port of its own, without a key: Prometheus has none, and what is served is for
//! whoever runs the service. The port is for the inside of a network only.
//!
//! It answers while the service drains, so that an end can be watched, and takes few connections: a
//! scraper has one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Metrics;
use crate::limits;
use crate::service::problem_response::{method_not_allowed, not_found};
use crate::service::request_context::RequestContextLayer;
use crate::service::server::{self, ServerOptions};
use crate::wire::problem::{Problem, ProblemCode};

/// The text format, and the one version of it that there is.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Where a service listens.
#[derive(Debug)]
pub struct Listeners {
    /// For everybody.
    pub api: TcpListener,
    /// For whoever scrapes; `None` serves no metrics, as in most tests.
    pub metrics: Option<TcpListener>,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}{hint}")]
pub struct ListenersFault {
    address: SocketAddr,
    hint: &'static str,
    source: io::Error,
}

impl Listeners {
    /// Listens on both ports of `host`.
    ///
    /// # Errors
    /// A port is taken, or the address is not ours.
    pub fn open(host: IpAddr, port: u16, metrics_port: u16) -> Result<Self, ListenersFault> {
        let listen = |port: u16, hint: &'static str| {
            let address = SocketAddr::from((host, port));
            server::listen(address).map_err(|source| ListenersFault {
                address,
                hint,
                source,
            })
        };
        Ok(Self {
            api: listen(port, "")?,
            metrics: Some(listen(metrics_port, " (METRICS_PORT)")?),
        })
    }
}

impl From<TcpListener> for Listeners {
    fn from(api: TcpListener) -> Self {
        Self { api, metrics: None }
    }
}

/// Metrics that are being served.
#[derive(Debug)]
pub struct Scraped {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Scraped {
    /// Serves `metrics` on `listener`, if there is one, in the present runtime.
    #[must_use]
    pub fn start(listener: Option<TcpListener>, metrics: Metrics) -> Self {
        let stop = CancellationToken::new();
        let task = listener.map(|listener| {
            let metrics = Arc::new(metrics);
            tokio::spawn(serve(listener, metrics, stop.clone()))
        });
        Self { stop, task }
    }

    /// Ends it.
    pub async fn finish(self) {
        self.stop.cancel();
        let Some(task) = self.task else { return };
        task.await.unwrap_or_else(
            |error| tracing::error!(%error, "the metrics were not served to the end"),
        );
    }
}

async fn serve(listener: TcpListener, metrics: Arc<Metrics>, shutdown: CancellationToken) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "metrics listening");
    }
    let app = Router::new()
        .route("/metrics", get(scrape))
        .with_state(metrics)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(<RequestContextLayer>::default());
    let options = ServerOptions {
        connections: limits::SCRAPERS,
        drain: limits::SCRAPE_DRAIN,
        ..ServerOptions::default()
    };
    server::serve(listener, app, shutdown, options, &[]).await;
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Result<Response, Problem> {
    let text = tokio::task::spawn_blocking(move || metrics.text()).await;
    match text {
        Ok(Ok(text)) => Ok(([(CONTENT_TYPE, TEXT)], text).into_response()),
        Ok(Err(error)) => Err(unwritable(&error)),
        Err(error) => Err(unwritable(&error)),
    }
}

fn unwritable(error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "the metrics cannot be written");
    Problem::new(ProblemCode::Internal, "the metrics cannot be written")
}
