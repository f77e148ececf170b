//! `PUT /v1/stores/{id}/heartbeat`: who follows, how far behind, and whether what they hold is what we
//! hold. [`store_list`](super::store_list) shows it.
//!
//! A heartbeat is a report, not a decision: it is kept in memory and forgotten at a restart, after
//! which every store reports again within seconds.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use parking_lot::Mutex;
use serde::Serialize;
use shared::clock::{Clock, Timestamp};
use shared::domain::ids::StoreId;
use shared::limits;
use shared::service::auth::{Caller, Scope};
use shared::service::extract::read_body;
use shared::service::system_clock::SystemClock;
use shared::wire::problem::{Detail, Problem, ProblemCode};
use shared::wire::unique::object;

use utoipa::ToSchema;

use super::fields::Fields;
use super::{AppState, examples};
use crate::journal::LogGen;

/// What a store reports.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Heartbeat {
    applied_offset: u64,
    #[serde(rename = "gen")]
    #[schema(pattern = "^[0-9a-f]{16}$")]
    log_gen: String,
    #[schema(pattern = "^[0-9a-f]{16}$")]
    digest: String,
    #[schema(max_length = 64)]
    breaker: String,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(max_length = 64)]
    version: String,
}

/// Whether a store holds what central held at the same offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// It does.
    None,
    /// It does not: a defect, or a file that was changed by hand.
    Drifted,
    /// Central no longer knows what it held then.
    Unknown,
}

/// What is known of one store.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreView {
    #[schema(value_type = String)]
    store_id: StoreId,
    online: bool,
    #[schema(value_type = String, format = DateTime)]
    last_heartbeat: Timestamp,
    applied_offset: u64,
    lag_events: u64,
    lag_seconds: f64,
    #[serde(rename = "gen")]
    log_gen: String,
    digest: String,
    drift: Drift,
    breaker: String,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    version: String,
}

/// A part of the stores, by id.
#[derive(Debug)]
pub(super) struct StorePage {
    pub(super) stores: Vec<StoreView>,
    /// Whether some come behind them.
    pub(super) has_more: bool,
    /// All stores that are known.
    pub(super) total: usize,
}

/// How the stores follow, in four figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct StoresSummary {
    /// That have reported since central started.
    pub known: usize,
    /// Of those, that have reported lately.
    pub online: usize,
    /// Of those, that had not everything when they last reported.
    pub behind: usize,
    /// That hold something else than central held.
    pub drifted: usize,
}

/// How one store follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Which one.
    pub store: StoreId,
    /// Whether it has reported lately.
    pub online: bool,
    /// Events between what it had and the head.
    pub lag_events: u64,
    /// Time since it was last seen at the head.
    pub lag: Duration,
    /// Whether it holds something else than central held.
    pub drifted: bool,
}

impl StoreView {
    /// Which one.
    pub(super) const fn store_id(&self) -> &StoreId {
        &self.store_id
    }
}

impl Stores {
    /// At most `limit` of them from `from` on, by id, but the first `passed_over`, as they follow a
    /// log that stands at `head`.
    pub(super) fn page(
        &self,
        from: Bound<&StoreId>,
        passed_over: usize,
        limit: usize,
        head: u64,
        now: Timestamp,
    ) -> StorePage {
        let stores = self.0.lock();
        let mut rest = stores
            .range::<StoreId, _>((from, Bound::Unbounded))
            .skip(passed_over);
        let page = rest.by_ref().take(limit);
        let page = page.map(|(id, known)| view(id, known, head, now)).collect();
        StorePage {
            stores: page,
            has_more: rest.next().is_some(),
            total: stores.len(),
        }
    }

    /// How they follow a log that stands at `head`.
    #[must_use]
    pub fn summary(&self, head: u64, now: Timestamp) -> StoresSummary {
        let stores = self.0.lock();
        let mut summary = StoresSummary::default();
        for known in stores.values() {
            let online = is_online(known, now);
            // Between two reports the head goes on; that alone is no lag.
            let behind = known.heartbeat.applied_offset < known.head.min(head);
            summary.known += 1;
            summary.online += usize::from(online);
            summary.behind += usize::from(online && behind);
            summary.drifted += usize::from(known.drift == Drift::Drifted);
        }
        summary
    }

    /// Each of the first `most` by id.
    #[must_use]
    pub fn followers(&self, head: u64, now: Timestamp, most: usize) -> Vec<Follower> {
        let stores = self.0.lock();
        let followers = stores.iter().take(most).map(|(id, known)| Follower {
            store: id.clone(),
            online: is_online(known, now),
            lag_events: known.lag_events(head),
            lag: known.lag(head, now),
            drifted: known.drift == Drift::Drifted,
        });
        followers.collect()
    }

    /// Events that the last of them, of those that reported lately, is behind a log at `head`.
    #[must_use]
    pub fn lag_max(&self, head: u64, now: Timestamp) -> u64 {
        let stores = self.0.lock();
        let online = stores.values().filter(|known| is_online(known, now));
        let lags = online.map(|known| known.lag_events(head));
        lags.max().unwrap_or(0)
    }
}

/// The stores that have reported.
#[derive(Debug, Default)]
pub struct Stores(Mutex<BTreeMap<StoreId, Known>>);

#[derive(Clone, Debug)]
struct Known {
    heartbeat: Heartbeat,
    /// Where the log stood when it reported.
    head: u64,
    at: Timestamp,
    drift: Drift,
    /// When the store was last seen at the head.
    in_sync_at: Timestamp,
}

impl Known {
    fn lag_events(&self, head: u64) -> u64 {
        head.saturating_sub(self.heartbeat.applied_offset)
    }

    /// Nothing for one that is at the head, however long ago it reported.
    fn lag(&self, head: u64, now: Timestamp) -> Duration {
        if self.lag_events(head) == 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(now.millis_since(self.in_sync_at).unsigned_abs())
    }
}

fn is_online(known: &Known, now: Timestamp) -> bool {
    now.millis_since(known.at) < limits::STORE_SILENCE_MS
}

shared::problem_set! {
    /// What a report can be refused for.
    HeartbeatProblems = InvalidRequest;
}

/// Takes a store's report.
///
/// # Errors
/// 400 for a malformed report, 403 from a key that is bound to another store.
#[utoipa::path(
    put, path = "/v1/stores/{id}/heartbeat", tag = "stores", operation_id = "heartbeat", security(("apiKey" = [])),
    params(("id" = String, Path, example = "store-s1")),
    request_body(content = Heartbeat, example = json!(examples::heartbeat())),
    responses((status = 200, description = "What is known of the store now.", body = StoreView, example = json!(examples::store())), HeartbeatProblems)
)]
pub async fn heartbeat(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<StoreView>, Problem> {
    caller.require(Scope::Store)?;
    let body = read_body(request).await?;
    let (store, heartbeat) = parse_report(&id, &body)?;
    caller.check_store(Some(&store))?;
    let published = state.ledger.published();
    let now = SystemClock.now();
    let drift = match published.ring.digest_at(heartbeat.applied_offset) {
        Some(digest) if LogGen(digest).to_string() == heartbeat.digest => Drift::None,
        Some(_) => Drift::Drifted,
        None => Drift::Unknown,
    };
    if drift == Drift::Drifted {
        tracing::warn!(store = %store, offset = heartbeat.applied_offset, "a store has drifted");
    }
    let head = published.head().offset;
    let mut stores = state.shared.stores.0.lock();
    let before = stores
        .get(&store)
        .map_or(heartbeat.started_at, |known| known.in_sync_at);
    let in_sync_at = if heartbeat.applied_offset >= head {
        now
    } else {
        before
    };
    let known = Known {
        heartbeat,
        head,
        at: now,
        drift,
        in_sync_at,
    };
    let answer = view(&store, &known, head, now);
    stores.insert(store, known);
    if stores.len() > limits::STORES_KNOWN
        && let Some(silent) = stores
            .iter()
            .min_by_key(|(_, known)| known.at)
            .map(|(id, _)| id.clone())
    {
        stores.remove(&silent);
    }
    Ok(Json(answer))
}

/// A report of the store `id`, or everything that is wrong with it.
fn parse_report(id: &str, body: &[u8]) -> Result<(StoreId, Heartbeat), Problem> {
    let members = object(body)?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    let store =
        StoreId::parse(id).map_err(|error| fields.add(Detail::new("path.id", error.to_string())));
    fields.only(&[
        "appliedOffset",
        "gen",
        "digest",
        "breaker",
        "startedAt",
        "version",
    ]);
    let applied_offset = fields.integer("appliedOffset", 0, limits::EXACT_MAX);
    let applied_offset = fields.required("appliedOffset", applied_offset);
    let [log_gen, digest, breaker, started_at, version] =
        ["gen", "digest", "breaker", "startedAt", "version"].map(|name| {
            let text = fields.text(name, limits::REPORT_TEXT_BYTES);
            fields.required(name, text)
        });
    for (name, text) in [("gen", log_gen), ("digest", digest)] {
        if let Some(Err(error)) = text.map(str::parse::<LogGen>) {
            fields.fault(name, error.to_string());
        }
    }
    let started_at = started_at.and_then(|text| {
        let parsed = text.parse::<Timestamp>();
        parsed
            .map_err(|error| fields.fault("startedAt", error.to_string()))
            .ok()
    });
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    match (store, applied_offset, started_at) {
        (Ok(store), Some(applied_offset), Some(started_at)) if faults.is_empty() => {
            let heartbeat = Heartbeat {
                applied_offset: applied_offset.unsigned_abs(),
                log_gen: text(log_gen),
                digest: text(digest),
                breaker: text(breaker),
                started_at,
                version: text(version),
            };
            Ok((store, heartbeat))
        }
        _ => Err(Problem::with_details(ProblemCode::InvalidRequest, faults)),
    }
}

fn view(id: &StoreId, known: &Known, head: u64, now: Timestamp) -> StoreView {
    let Known {
        heartbeat,
        head: _,
        at,
        drift,
        in_sync_at: _,
    } = known;
    StoreView {
        store_id: id.clone(),
        online: is_online(known, now),
        last_heartbeat: *at,
        applied_offset: heartbeat.applied_offset,
        lag_events: known.lag_events(head),
        lag_seconds: known.lag(head, now).as_secs_f64(),
        log_gen: heartbeat.log_gen.clone(),
        digest: heartbeat.digest.clone(),
        drift: *drift,
        breaker: heartbeat.breaker.clone(),
        started_at: heartbeat.started_at,
        version: heartbeat.version.clone(),
    }
}
