//! What runs beside requests: the heartbeat to central, asking what it says of itself, hearing of the
//! shop's orders, and the upkeep of the index.

use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use serde::Serialize;
use shared::limits;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::central::facts::Facts;
use crate::central::{Call, CallFault, Reply};
use crate::http::AppState;
use crate::order_news;
use crate::replica::position::Gen;

/// How often the index of lists is brought up to date when nobody reads a list.
const INDEX_EVERY: Duration = Duration::from_millis(250);
/// How often somebody looks whether central is to be asked about itself.
const LEARN_EVERY: Duration = Duration::from_millis(500);
/// Time until it is asked again after it did not say.
const LEARN_AGAIN: Duration = Duration::from_secs(5);

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
    let tracker = &tasks.tracker;
    tracker.spawn(learn(state.clone(), tasks.stop.clone()));
    tracker.spawn(order_news::follow(state.clone(), tasks.stop.clone()));
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
    let path = format!("v1/stores/{}/heartbeat", state.config.store_id);
    match ask(state, Method::PUT, path, Some(Bytes::from(body))).await {
        Ok(reply) => tracing::debug!(status = reply.status.as_u16(), "heartbeat"),
        Err(fault) => tracing::debug!(%fault, "no heartbeat"),
    }
}

/// Asks central about itself, once in each life of its log.
async fn learn(state: AppState, stop: CancellationToken) {
    let mut asked: Option<Gen> = None;
    let mut wait = LEARN_EVERY;
    while !ended(&stop, wait).await {
        wait = LEARN_EVERY;
        let r#gen = state.live.tip().map(|tip| tip.position.r#gen);
        if r#gen.is_none() || r#gen == asked || !state.contact.is_reachable() {
            continue;
        }
        let reply = ask(&state, Method::GET, "v1/info".to_owned(), None).await;
        let facts = reply.ok().filter(|reply| reply.status.is_success());
        let facts = facts.and_then(|reply| Facts::parse(&reply.body));
        let Some(facts) = facts else {
            wait = LEARN_AGAIN;
            continue;
        };
        let own = &state.config.currency;
        if let Some(theirs) = facts.currency.as_ref().filter(|theirs| *theirs != own) {
            tracing::warn!(%theirs, %own, "prices are in central's currency; CURRENCY names another");
        }
        // A relay that has not been told yet is asked again.
        if facts.retention.is_some() {
            asked = r#gen;
        } else {
            wait = LEARN_AGAIN;
        }
        state.facts.learned(facts);
    }
}

/// Asks central for what nobody waits for.
async fn ask(
    state: &AppState,
    method: Method,
    path: String,
    body: Option<Bytes>,
) -> Result<Reply, CallFault> {
    let call = Call {
        method,
        path,
        body,
        key: None,
        is_repeatable: false,
        attempt: None,
        may_be_forbidden: false,
        correlation: None,
        traceparent: None,
        if_match: None,
    };
    let central = state.central.unguarded();
    central.call(&call, limits::HEARTBEAT).await
}
