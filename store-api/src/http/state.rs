//! What a request may use; cheap to clone.

use std::ops::Deref;
use std::sync::Arc;

use axum::http::HeaderMap;
use shared::clock::{Clock, Timestamp};
use shared::service::auth::{Authenticate, Caller, presented_key};
use shared::service::metrics::HttpMetrics;
use shared::service::rate_limit::RateLimits;
use shared::wire::problem::{Problem, ProblemCode};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::central::contact::ContactNote;
use crate::central::facts::FactsNote;
use crate::central::guarded::Guarded;
use crate::config::Config;
use crate::http::seed_error::unauthorized;
use crate::order_news::OrderNews;
use crate::replica::follower::FollowerHandle;
use crate::replica::freshness::{CacheStatus, Freshness};
use crate::replica::keeper::Keeper;
use crate::replica::live::{Live, Shown};
use crate::replica::status::Status;

/// Handles to everything a request may use.
#[derive(Clone, Debug)]
pub struct AppState(Arc<SharedState>);

/// What all requests share.
#[derive(Debug)]
pub struct SharedState {
    /// The settings.
    pub config: Config,
    /// What is said in `Cache-Status`.
    pub cache_status: CacheStatus,
    /// When this process began.
    pub started_at: Timestamp,
    /// Requests, counted.
    pub requests: HttpMetrics,
    /// How often somebody may ask.
    pub limits: Arc<RateLimits>,
    /// What readers see.
    pub live: Arc<Live>,
    /// What is on disk.
    pub keeper: Keeper,
    /// How the sync goes.
    pub status: Arc<Status>,
    /// Whether central answers.
    pub contact: Arc<ContactNote>,
    /// What central says of itself.
    pub facts: FactsNote,
    /// Central, behind breaker and retry.
    pub central: Arc<Guarded>,
    /// What becomes of this shop's orders.
    pub order_news: OrderNews,
    /// Room for those who watch an order.
    pub order_streams: Arc<Semaphore>,
    /// The follower.
    pub follower: FollowerHandle,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Set when the service is stopping: whoever waits is answered at once.
    pub shutdown: CancellationToken,
}

impl AppState {
    /// The state of a service.
    #[must_use]
    pub fn new(shared: SharedState) -> Self {
        Self(Arc::new(shared))
    }

    /// The catalogue to read from.
    ///
    /// # Errors
    /// 503 before the very first sync: an empty list would be believed.
    pub fn shown(&self) -> Result<Arc<Shown>, Problem> {
        self.live.shown().ok_or_else(not_synced_yet)
    }

    /// What is said about a read at `offset`.
    #[must_use]
    pub fn freshness(&self, offset: u64) -> Freshness {
        let (phase, lag, proof) = self.status.brief();
        Freshness {
            offset,
            phase,
            lag,
            age: proof.map(|proof| proof.age(&*self.clock)),
            central_reachable: self.contact.is_reachable(),
        }
    }

    /// Says in an answer's headers how current it is.
    pub fn write_freshness(&self, offset: u64, headers: &mut HeaderMap) {
        self.freshness(offset).write(&self.cache_status, headers);
    }
}

/// The answer before the very first sync.
#[must_use]
pub(super) fn not_synced_yet() -> Problem {
    let sentence = "this store has not received the catalogue from central yet";
    Problem::new(ProblemCode::NotSyncedYet, sentence).retry_after(2)
}

impl Deref for AppState {
    type Target = SharedState;

    fn deref(&self) -> &SharedState {
        &self.0
    }
}

impl Authenticate for AppState {
    fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let caller = self.config.keys.authenticate(headers);
        caller.map_err(|problem| unauthorized(problem, presented_key(headers).is_err()))
    }
}
