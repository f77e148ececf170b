//! From settings to a running service and back: the wiring and nothing else.
//!
//! Order: lock the folder → find the copy → serve it → follow. The end is the reverse: answer what
//! was begun → stop following → make the journal durable → let go of the lock.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::clock::Clock;
use shared::disk::{Disk, FsDisk};
use shared::domain::inventory::state::Entry;
use shared::limits;
use shared::policy::{Backoff, BackoffSettings, Breaker};
use shared::service::metrics::{HttpMetrics, Listeners, Scraped};
use shared::service::rate_limit::RateLimits;
use shared::service::server::{self, Endpoint, ServeReport, ServerOptions};
use shared::service::system_clock::SystemClock;
use shared::service::workers::Workers;
use shared::view::{Catalogue, Head};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::central::Central;
use crate::central::contact::ContactNote;
use crate::central::facts::FactsNote;
use crate::central::guarded::{GuardSettings, Guarded};
use crate::central::http::{ClientFault, HttpCentral};
use crate::config::Config;
use crate::http::{self, AppState, SharedState};
use crate::order_news::OrderNews;
use crate::replica::files::{Copy, Folder};
use crate::replica::follower::{Follower, Parts};
use crate::replica::follower_core::CoreSettings;
use crate::replica::freshness::{CacheStatus, Proof};
use crate::replica::keeper::Keeper;
use crate::replica::live::{Incoming, Live, changes};
use crate::replica::status::Status;
use crate::{metrics, tasks};

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process holds the data folder.
    #[error("another store-api is using the data folder {0}")]
    Locked(String),
    /// The data folder cannot be used.
    #[error("cannot use the data folder {path}")]
    Folder {
        /// Which folder.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system gives no threads.
    #[error("cannot start the threads that serve connections")]
    Workers(#[source] io::Error),
    /// Central's client cannot be made.
    #[error("cannot talk to central")]
    Central(#[from] ClientFault),
    /// The settings contradict each other.
    #[error("the settings make no {0}")]
    Settings(&'static str),
}

/// Takes the folder for this process, creating it if need be.
fn lock(dir: &Path) -> Result<File, StartError> {
    let folder = |source| StartError::Folder {
        path: dir.display().to_string(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(folder)?;
    let file = File::create(dir.join("lock")).map_err(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(dir.display().to_string())),
        Err(TryLockError::Error(source)) => Err(folder(source)),
    }
}

/// Shows the copy that the folder held; answers when it was certainly current.
fn show(live: &Live, copy: Copy) -> Option<Proof> {
    let Copy {
        products,
        events,
        snapshot,
        end,
        digest,
    } = copy;
    let proof = events.last().map(|(event, _)| event.timestamp);
    let proof = proof.or_else(|| products.iter().map(|product| product.last_updated).max());
    let entries = products.into_iter().map(|product| Entry {
        product,
        live: true,
        last_record: snapshot.offset,
    });
    let head = Head {
        orders: 0,
        offset: snapshot.offset,
        digest,
        seq: snapshot.offset,
    };
    let catalogue = Catalogue::load(entries, head);
    let events = events.into_iter();
    let events: Vec<_> = events
        .map(|(event, bytes)| Incoming { event, bytes })
        .collect();
    catalogue.fold(changes(&events), end.offset, end.offset);
    live.swap(catalogue, end, &events, live.index().generations());
    proof.map(Proof::Since)
}

/// Finds the copy in the folder and shows it. Blocking.
fn open(dir: &Path) -> Result<(Folder, Arc<Live>, Option<Proof>), StartError> {
    let disk: Arc<dyn Disk> = Arc::new(FsDisk);
    let opened = Folder::open(Arc::clone(&disk), dir);
    let (folder, copy) = opened.map_err(|source| StartError::Folder {
        path: dir.display().to_string(),
        source,
    })?;
    let live = Arc::new(Live::new(disk, folder.index()));
    let proof = match copy {
        Some(copy) => {
            let position = copy.end;
            let proof = show(&live, copy);
            let products = live.tip().map_or(0, |tip| tip.summary.count);
            tracing::info!(%position, products, "the cache is loaded");
            proof
        }
        None => {
            tracing::info!("there is no cache yet");
            None
        }
    };
    Ok((folder, live, proof))
}

/// The same from a task.
async fn find(dir: PathBuf) -> Result<(Folder, Arc<Live>, Option<Proof>), StartError> {
    let opening = tokio::task::spawn_blocking(move || open(&dir)).await;
    opening.map_err(|_| StartError::Settings("readable cache"))?
}

/// Runs the service on `listeners` until `shutdown`, then drains it.
///
/// # Errors
/// See [`StartError`].
pub async fn run(
    config: Config,
    listeners: impl Into<Listeners>,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    let listeners = listeners.into();
    warn_of_missing_keys(&config);
    // One TLS provider for the process; a second call in one process finds it there.
    drop(rustls::crypto::ring::default_provider().install_default());
    let lock = lock(&config.data_dir)?;
    let (folder, live, proof) = find(config.data_dir.clone()).await?;
    let keeper_wants = Arc::new(Notify::new());
    let keeper = keep(&config, folder, &live, &keeper_wants)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let contact = Arc::new(ContactNote::default());
    let status = Arc::new(Status::new(proof));
    let central = central(&config, &contact, &clock)?;
    let followed: Arc<dyn Central> = Arc::<Guarded>::clone(&central);
    let parts = Parts {
        central: followed,
        live: Arc::clone(&live),
        keeper: keeper.clone(),
        status: Arc::clone(&status),
        contact: Arc::clone(&contact),
        clock: Arc::clone(&clock),
        keeper_wants,
    };
    // The follower outlives the listener a little: drained requests may wait for it.
    let stop_following = CancellationToken::new();
    let (follower, handle) = Follower::new(parts, core_settings(&config)?, stop_following.clone());
    let state = AppState::new(SharedState {
        started_at: clock.now(),
        cache_status: CacheStatus::of(&config.store_id),
        limits: Arc::new(RateLimits::new(config.rate_limits.clone())),
        config,
        requests: HttpMetrics::default(),
        live,
        keeper: keeper.clone(),
        status,
        contact,
        facts: FactsNote::default(),
        central,
        order_news: OrderNews::default(),
        order_streams: Arc::new(Semaphore::new(limits::ORDER_STREAMS)),
        follower: handle,
        clock,
        shutdown: shutdown.clone(),
    });
    let following = tokio::spawn(follower.run());
    let tasks = tasks::start(&state);
    let scraped = Scraped::start(listeners.metrics, metrics::of(&state));
    if let Ok(address) = listeners.api.local_addr() {
        tracing::info!(%address, store = %state.config.store_id, "listening");
    }
    let workers = Workers::start_one_per_core().map_err(StartError::Workers)?;
    let tls = state.config.tls.clone();
    let (router, options) = (http::router(state), ServerOptions::default());
    let homes = workers.handles();
    let listener = listeners.api;
    let endpoint = Endpoint { listener, tls };
    let served = server::serve(endpoint, router, shutdown, options, &homes).await;
    let ServeReport { accepted, cut } = served;
    tracing::info!(accepted, cut, "no more requests are taken");
    stop_following.cancel();
    following
        .await
        .unwrap_or_else(|error| tracing::error!(%error, "the follower did not stop"));
    tasks.finish().await;
    keeper.stop().await;
    // To the very end, so that an end can be watched.
    scraped.finish().await;
    workers.stop();
    drop(lock);
    tracing::info!("stopped");
    Ok(())
}

/// Starts the thread that owns the folder.
fn keep(
    config: &Config,
    folder: Folder,
    live: &Live,
    wants: &Arc<Notify>,
) -> Result<Keeper, StartError> {
    let fsync_every = config.sync.fsync_every;
    let keeper = Keeper::start(folder, live.tip(), fsync_every, Arc::clone(wants));
    keeper.map_err(|source| StartError::Folder {
        path: config.data_dir.display().to_string(),
        source,
    })
}

/// Says what cannot work before somebody wonders about it at the till.
fn warn_of_missing_keys(config: &Config) {
    if config.keys.is_empty() {
        tracing::warn!("no API key is configured (API_KEYS): every request for data is refused");
    }
    if config.central.key.is_none() {
        tracing::warn!(
            "no key for central is configured (CENTRAL_API_KEY): central will refuse this store"
        );
    }
}

fn central(
    config: &Config,
    contact: &Arc<ContactNote>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<Guarded>, StartError> {
    let settings = &config.central;
    let http = HttpCentral::new(
        &settings.url,
        settings.key_text(),
        settings.timeout,
        config.store_id.clone(),
        &settings.roots,
        Arc::clone(contact),
    )?;
    let breaker =
        Breaker::try_new(settings.breaker).map_err(|_| StartError::Settings("breaker"))?;
    let guards = GuardSettings {
        attempt: settings.timeout,
        attempts: settings.attempts,
        backoff: settings.backoff,
    };
    let (contact, clock) = (Arc::clone(contact), Arc::clone(clock));
    Ok(Arc::new(Guarded::new(
        Arc::new(http),
        breaker,
        guards,
        contact,
        clock,
    )))
}

fn core_settings(config: &Config) -> Result<CoreSettings, StartError> {
    let backoff = Backoff::try_new(BackoffSettings {
        cap: limits::FOLLOW_AGAIN_MAX,
        ..BackoffSettings::default()
    });
    Ok(CoreSettings {
        wait: config.sync.wait,
        limit: config.sync.limit,
        check_every: config.sync.interval,
        plain_timeout: config.central.timeout,
        grace: limits::POLL_GRACE,
        backoff: backoff.map_err(|_| StartError::Settings("backoff"))?,
    })
}
