//! What runs beside requests: the heartbeat to central and the upkeep of the index.

use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::central::Call;
use crate::http::AppState;
use crate::replica::position::Gen;

/// How often the index of lists is brought up to date when nobody reads a list.
const INDEX_EVERY: Duration = Duration::from_millis(250);
/// Time for one heartbeat; the next one comes anyway.
const HEARTBEAT_WITHIN: Duration = Duration::from_secs(3);

/// The tasks, to be ended.
#[derive(Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Ends them and waits for it.
    pub async fn finish(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Starts them.
#[must_use]
pub fn start(state: &AppState) -> Tasks {
    let tasks = Tasks {
        tracker: TaskTracker::new(),
        stop: CancellationToken::new(),
    };
    if let Some(every) = state.config.heartbeat {
        let (state, stop) = (state.clone(), tasks.stop.clone());
        tasks.tracker.spawn(async move {
            while !ended(&stop, every).await {
                beat(&state).await;
            }
        });
    }
    let (state, stop) = (state.clone(), tasks.stop.clone());
    tasks.tracker.spawn(async move {
        let mut tip = state.live.watch();
        // What the cache held is there from the start.
        tip.mark_changed();
        while !ended(&stop, INDEX_EVERY).await {
            if !tip.has_changed().unwrap_or(false) {
                continue;
            }
            tip.mark_unchanged();
            if let Some(shown) = state.live.shown() {
                drop(tokio::task::spawn_blocking(move || shown.catalogue.maintain()).await);
            }
        }
    });
    tasks
}

/// Waits; answers whether the end came.
async fn ended(stop: &CancellationToken, wait: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(wait) => false,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Heartbeat {
    applied_offset: u64,
    r#gen: Gen,
    digest: String,
    breaker: &'static str,
    started_at: String,
    version: &'static str,
}

/// Tells central where this store stands. Not through the breaker: it is not a write that anybody
/// waits for, and central may well answer it while it refuses writes.
async fn beat(state: &AppState) {
    let Some(tip) = state.live.tip() else { return };
    let heartbeat = Heartbeat {
        applied_offset: tip.position.offset,
        r#gen: tip.position.r#gen,
        digest: format!("{:016x}", tip.summary.digest),
        breaker: state.central.guard().state().as_str(),
        started_at: state.started_at.to_string(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let body = serde_json::to_vec(&heartbeat).expect("plain fields are always JSON");
    let call = Call {
        method: Method::PUT,
        path: format!("v1/stores/{}/heartbeat", state.config.store_id),
        body: Some(Bytes::from(body)),
        key: None,
        is_repeatable: false,
        attempt: None,
        may_be_forbidden: false,
        correlation: None,
        traceparent: None,
        if_match: None,
    };
    match state
        .central
        .unguarded()
        .call(&call, HEARTBEAT_WITHIN)
        .await
    {
        Ok(reply) => tracing::debug!(status = reply.status.as_u16(), "heartbeat"),
        Err(fault) => tracing::debug!(%fault, "no heartbeat"),
    }
}
