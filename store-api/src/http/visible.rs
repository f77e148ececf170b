//! Waiting, for a moment, until the copy shows something.

use std::time::Duration;

use axum::http::HeaderMap;
use shared::limits;
use shared::wire::headers::MIN_OFFSET;
use shared::wire::problem::Detail;
use tokio::time::{Instant, timeout_at};

use super::AppState;
use crate::replica::live::Shown;

/// After how long the follower is asked to look, in case its long poll has gone deaf.
const NUDGE_AFTER: Duration = Duration::from_millis(150);

/// Waits until the copy satisfies `seen`; answers whether it does. Never longer than
/// [`limits::VISIBLE_WAIT`], and not at all when the service is stopping.
pub async fn until(state: &AppState, seen: impl Fn(&Shown) -> bool) -> bool {
    let mut tip = state.live.watch();
    let begun = Instant::now();
    let (nudge_at, deadline) = (begun + NUDGE_AFTER, begun + limits::VISIBLE_WAIT);
    let mut until = nudge_at;
    loop {
        // Marked as seen before looking, so that no change in between is missed.
        tip.mark_unchanged();
        if state.live.shown().is_some_and(|shown| seen(&shown)) {
            return true;
        }
        let woken = tokio::select! {
            woken = timeout_at(until, tip.changed()) => woken,
            () = state.shutdown.cancelled() => return false,
        };
        match woken {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return false,
            Err(_) if until < deadline => {
                state.follower.nudge();
                until = deadline;
            }
            Err(_) => return state.live.shown().is_some_and(|shown| seen(&shown)),
        }
    }
}

/// The offset that a read asks for in `X-Min-Offset`.
///
/// # Errors
/// A fault if it is not an offset.
pub fn asked_offset(headers: &HeaderMap) -> Result<Option<u64>, Detail> {
    let Some(value) = headers.get(MIN_OFFSET) else {
        return Ok(None);
    };
    let offset = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || Detail::new("header.X-Min-Offset", "must be an offset");
    offset.ok_or_else(wrong).map(Some)
}

/// Waits for the offset that a read asks for. The read is answered in any case; its `X-Sync-Offset`
/// says what it stands at.
pub async fn min_offset(state: &AppState, offset: Option<u64>) {
    if let Some(offset) = offset {
        until(state, |shown| shown.catalogue.head().offset >= offset).await;
    }
}
