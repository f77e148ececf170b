//! What a request may use; cheap to clone.

use std::ops::Deref;
use std::sync::Arc;

use http::HeaderMap;
use shared::service::auth::{ApiKeys, Authenticate, Caller, CreatedKey, presented_key};
use shared::service::cors::Origins;
use shared::service::metrics::HttpMetrics;
use shared::service::rate_limit::RateLimits;
use shared::wire::problem::{Problem, ProblemCode};
use tokio_util::sync::CancellationToken;

use super::refusal;
use super::stores::Stores;
use crate::config::Config;
use crate::faults::Faults;
use crate::feed::exports::Exports;
use crate::feed::packed::PackedSlices;
use crate::journal::JournalError;
use crate::ledger::{Ledger, NotOpened, Published};
use crate::orders::Runner;
use crate::payments::Guarded;

/// Handles to everything a request may use. Every request clones this, several times over, so it is
/// one reference count.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Handles>);

/// The handles themselves.
#[derive(Debug)]
pub struct Handles {
    /// Decides, and shows what was decided.
    pub ledger: Ledger,
    /// Set when the service is stopping: long polls answer at once.
    pub shutdown: CancellationToken,
    /// The rest, which changes rarely or not at all.
    pub shared: SharedState,
}

/// What all requests share.
#[derive(Debug)]
pub struct SharedState {
    /// The keys of the settings.
    pub keys: ApiKeys,
    /// Origins whose pages may call from a browser.
    pub origins: Origins,
    /// Currency of all prices.
    pub currency: String,
    /// Requests, counted.
    pub requests: HttpMetrics,
    /// How often somebody may ask.
    pub limits: Arc<RateLimits>,
    /// Calls that fail on purpose, where that is allowed.
    pub faults: Option<Arc<Faults>>,
    /// Moves money, behind its breaker.
    pub payments: Arc<Guarded>,
    /// Takes orders to where they come to rest.
    pub orders: Arc<Runner>,
    /// Who follows the feed.
    pub stores: Stores,
    /// Snapshots of the catalogue for followers.
    pub exports: Arc<Exports>,
    /// Stretches of the feed, packed for all who read them.
    pub packed: PackedSlices,
    /// Hours for which an idempotency key is remembered.
    pub idempotency_retention_hours: u32,
    /// Hours after which events may be dropped; 0 keeps everything.
    pub event_retention_hours: u32,
    /// The data folder.
    pub data_dir: std::path::PathBuf,
}

impl AppState {
    /// The state of a service over `ledger`.
    #[must_use]
    pub fn new(
        ledger: Ledger,
        config: &Config,
        payments: Arc<Guarded>,
        shutdown: CancellationToken,
    ) -> Self {
        Self::with_faults(ledger, config, payments, None, shutdown)
    }

    /// The same, whose calls can fail on purpose.
    #[must_use]
    pub fn with_faults(
        ledger: Ledger,
        config: &Config,
        payments: Arc<Guarded>,
        faults: Option<Arc<Faults>>,
        shutdown: CancellationToken,
    ) -> Self {
        let shared = SharedState {
            keys: config.keys.clone(),
            origins: config.origins.clone(),
            currency: config.currency.clone(),
            requests: HttpMetrics::default(),
            limits: Arc::new(RateLimits::new(config.rate_limits.clone())),
            orders: Arc::new(Runner::new(
                ledger.clone(),
                Arc::clone(&payments),
                shutdown.clone(),
            )),
            payments,
            faults,
            stores: Stores::default(),
            packed: PackedSlices::default(),
            exports: Arc::new(Exports::new(config.data_dir.join("exports"))),
            idempotency_retention_hours: config.idempotency_retention_hours,
            event_retention_hours: config.event_retention_hours,
            data_dir: config.data_dir.clone(),
        };
        Self(Arc::new(Handles {
            ledger,
            shutdown,
            shared,
        }))
    }
}

impl Deref for AppState {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.0
    }
}

impl AppState {
    /// Reads old parts of the log: on a thread that may wait for a disk, and with few others.
    ///
    /// # Errors
    /// 503 if too many wait already; what the log says otherwise.
    pub async fn read_log<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Published) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, Problem> {
        let read = self.ledger.published().read_old(read).await;
        read.map_err(|error| refusal::unreadable(&error))
    }
}

impl Authenticate for AppState {
    fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let presented = presented_key(headers)?;
        if let Some(created) = CreatedKey::parse(presented) {
            let now = self.ledger.now();
            match self.ledger.published().access.find(created, now) {
                Ok(caller) => return Ok(caller),
                Err(NotOpened::Ended(at)) => {
                    let sentence = format!("this API key's time was over at {at}");
                    return Err(Problem::new(ProblemCode::Unauthorized, sentence));
                }
                // A key of the settings may look like one of ours.
                Err(NotOpened::Unknown) => {}
            }
        }
        self.shared.keys.authenticate(headers)
    }
}
