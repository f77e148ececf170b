//! How the sync goes, and asking for a full one.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use shared::service::auth::{Caller, Scope};
use shared::wire::problem::{Problem, ProblemCode};
use utoipa::ToSchema;

use super::seed_error::Refusal;
use super::{AppState, examples};
use crate::replica::follower::ForceFault;

shared::problem_set! {
    /// Why there was no full sync.
    ForceProblems = CentralUnavailable | ShuttingDown;
}

/// How the sync goes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// Whether a full sync is under way.
    in_progress: bool,
    /// When something good was last heard from central.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_sync_time: Option<String>,
    /// Whether the last attempt went well.
    last_sync_success: bool,
    product_count: u64,
    /// Milliseconds that the last full sync took.
    sync_duration: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    applied_offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    central_head_offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lag_events: Option<u64>,
    /// Milliseconds since the copy was last proved to stand at central's head.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lag_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    r#gen: Option<String>,
    /// starting, `catching_up`, live or stale.
    state: &'static str,
    breaker: &'static str,
    full_syncs: u64,
    events_applied: u64,
    /// Whether the copy is on disk too.
    persistent: bool,
}

/// How the sync goes, for the page and for events.
#[must_use]
pub fn sync_status(state: &AppState) -> SyncStatus {
    let sync = state.status.get();
    let tip = state.live.tip();
    let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    SyncStatus {
        in_progress: sync.in_progress,
        last_sync_time: sync.last_sync_at.map(|at| at.to_string()),
        last_sync_success: sync.last_success,
        product_count: tip.map_or(0, |tip| tip.summary.count),
        sync_duration: sync.last_full_sync.map_or(0, millis),
        error_message: sync.error,
        applied_offset: tip.map(|tip| tip.position.offset),
        central_head_offset: sync.head,
        lag_events: sync.lag,
        lag_ms: sync.proof.map(|proof| millis(proof.age(&*state.clock))),
        r#gen: tip.map(|tip| tip.position.r#gen.to_string()),
        state: sync.phase.as_str(),
        breaker: state.central.guard().state().as_str(),
        full_syncs: sync.full_syncs,
        events_applied: sync.events_applied,
        persistent: !state.keeper.status().is_broken(),
    }
}

/// How the sync goes.
///
/// # Errors
/// 401 without a key.
#[utoipa::path(
    get, path = "/v1/store/sync/status", tag = "sync", operation_id = "syncStatus", security(("apiKey" = [])),
    responses((status = 200, body = SyncStatus, example = json!(examples::sync_status())))
)]
pub async fn status(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<SyncStatus>, Refusal> {
    caller.require(Scope::Read)?;
    Ok(Json(sync_status(&state)))
}

/// What a forced sync answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Forced {
    message: &'static str,
    status: SyncStatus,
}

/// Loads the whole catalogue from central anew.
///
/// # Errors
/// 503 when central cannot be reached; the copy stays as it is.
#[utoipa::path(
    post, path = "/v1/store/sync/force", tag = "sync", operation_id = "forceSync", security(("apiKey" = [])),
    responses((status = 200, description = "The copy is new.", body = Forced, example = json!(examples::forced())), ForceProblems)
)]
pub async fn force(State(state): State<AppState>, caller: Caller) -> Result<Json<Forced>, Refusal> {
    caller.require(Scope::Store)?;
    let forced = tokio::select! {
        forced = state.follower.force_sync() => forced,
        () = state.shutdown.cancelled() => {
            return Err(Problem::new(ProblemCode::ShuttingDown, "the store is stopping").into());
        }
    };
    forced.map_err(|ForceFault(fault)| {
        let sentence = format!(
            "the full sync failed, the copy stays as it is: {}",
            fault.what
        );
        let problem = Problem::new(ProblemCode::CentralUnavailable, sentence).retry_after(5);
        let details = json!({"error": fault.what});
        Refusal::worded(problem, "sync_failed", "Force sync failed", &details)
    })?;
    Ok(Json(Forced {
        message: "Force sync completed successfully",
        status: sync_status(&state),
    }))
}

/// How large the copy is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheStats {
    product_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_sync_time: Option<String>,
    /// Bytes on disk.
    storage_size: u64,
    /// Bytes of memory that the process has resident; 0 where the system does not say.
    memory_usage: u64,
    initialized_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_update_time: Option<String>,
    /// Checkpoints since the start.
    checkpoints: u64,
}

/// How large the copy is.
///
/// # Errors
/// 401 without a key.
#[utoipa::path(
    get, path = "/v1/store/cache/stats", tag = "sync", operation_id = "cacheStats", security(("apiKey" = [])),
    responses((status = 200, body = CacheStats, example = json!(examples::cache_stats())))
)]
pub async fn cache_stats(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<CacheStats>, Refusal> {
    caller.require(Scope::Read)?;
    let sync = state.status.get();
    let files = state.keeper.status();
    Ok(Json(CacheStats {
        product_count: state.live.tip().map_or(0, |tip| tip.summary.count),
        last_sync_time: sync.last_sync_at.map(|at| at.to_string()),
        storage_size: files.bytes(),
        memory_usage: resident_bytes().unwrap_or(0),
        initialized_at: state.started_at.to_string(),
        last_update_time: sync.last_update_at.map(|at| at.to_string()),
        checkpoints: files.checkpoints(),
    }))
}

/// Resident memory, as Linux says it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}
