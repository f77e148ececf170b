//! Following this shop's orders at central.
//!
//! One stream, for as long as the store runs. Where to begin is asked of `GET /v1/info`; a line that
//! breaks is taken up behind the last event that was heard. Central says so when that is not possible
//! (another log, events that retention dropped): then the beginning is asked for anew, and pages are
//! told that something may be missing. Outside the breaker: nobody waits for it, and a stream that ends
//! says nothing about sales. A relay has no orders to tell of, so a store behind one never begins.
//!
//! What must stay true: nothing is heard before the place in the feed has been taken, and the place
//! never moves past what was not told.

use axum::http::Method;
use futures_util::StreamExt as _;
use serde::Deserialize;
use shared::limits;
use shared::policy::{Backoff, BackoffSettings};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::parse::{Parser, Told};
use crate::central::{Call, Reply, Streamed};
use crate::http::AppState;
use crate::http::order_reads::own_orders;
use crate::replica::position::Gen;

/// Where in central's feed of orders.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    /// The life of the log that the offset counts in.
    r#gen: Gen,
    /// The next event.
    #[serde(rename = "orderHeadOffset")]
    next: u64,
}

/// How one connection ended.
enum End {
    /// It broke, or could not be made.
    Broken,
    /// The place in the feed is no longer one.
    Lost,
}

/// Hears of this shop's orders until `stop`.
pub async fn follow(state: AppState, stop: CancellationToken) {
    let waits = Backoff::try_new(BackoffSettings {
        cap: limits::FOLLOW_AGAIN_MAX,
        ..BackoffSettings::default()
    });
    let Ok(waits) = waits else { return };
    tokio::select! {
        () = stop.cancelled() => {}
        () = hear(&state, &waits) => {}
    }
}

async fn hear(state: &AppState, waits: &Backoff) {
    let mut place: Option<Place> = None;
    let mut failures = 0;
    loop {
        if place.is_none() {
            place = begin(state).await;
        }
        if let Some(at) = &mut place {
            let begun = Instant::now();
            if matches!(listen(state, at).await, End::Lost) {
                place = None;
            }
            // A line that held is tried again soon, one that breaks at once ever later.
            if begun.elapsed() > limits::FOLLOW_AGAIN_MAX {
                failures = 0;
            }
        }
        tokio::time::sleep(waits.delay(failures, rand::random(), None)).await;
        failures = failures.saturating_add(1);
    }
}

/// Asks where the feed stands, and begins to listen there.
async fn begin(state: &AppState) -> Option<Place> {
    // Without a copy there is no page, and no offset to count in.
    state.live.tip()?;
    let call = call("v1/info".to_owned());
    let central = state.central.unguarded();
    let reply = central.call(&call, limits::HEARTBEAT).await.ok()?;
    let place: Place = serde_json::from_slice(&reply.body).ok()?;
    state.order_news.restart(|| tip(state));
    Some(place)
}

/// Listens from `at` on, which moves behind each event that is heard.
async fn listen(state: &AppState, at: &mut Place) -> End {
    let Place { r#gen, next } = *at;
    let query = format!("gen={gen}&offset={next}");
    let Ok(query) = own_orders(&query, &state.config.store_id) else {
        return End::Broken;
    };
    let call = call(format!("v1/orders/events?{query}"));
    let within = state.config.central.timeout;
    let mut bytes = match state.central.unguarded().stream(&call, None, within).await {
        Ok(Streamed::Going { log_gen, bytes }) => {
            // Central has let us go on, so what we heard is the beginning of this life of the log.
            at.r#gen = log_gen.unwrap_or(r#gen);
            bytes
        }
        Ok(Streamed::Answered(reply)) => return refused(&reply),
        Err(fault) => {
            tracing::debug!(%fault, "no news of orders");
            return End::Broken;
        }
    };
    let mut parser = Parser::default();
    while let Some(Ok(part)) = bytes.next().await {
        let Ok(told) = parser.push(&part) else {
            return End::Lost;
        };
        for Told { id, data } in told {
            // Events of other shops lie in between, but none comes twice.
            if id < at.next {
                return End::Lost;
            }
            at.next = id.saturating_add(1);
            if let Some(text) = data {
                state.order_news.heard(text, || tip(state));
            }
        }
    }
    End::Broken
}

fn refused(reply: &Reply) -> End {
    let status = reply.status.as_u16();
    tracing::debug!(status, "no news of orders");
    match status {
        409 | 410 => End::Lost,
        _ => End::Broken,
    }
}

fn tip(state: &AppState) -> u64 {
    state.live.tip().map_or(0, |tip| tip.position.offset)
}

fn call(path: String) -> Call {
    Call {
        method: Method::GET,
        path,
        body: None,
        key: None,
        if_match: None,
        is_repeatable: false,
        attempt: None,
        may_be_forbidden: true,
        correlation: None,
        traceparent: None,
    }
}
