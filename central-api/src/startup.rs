//! From settings to a running service and back: the wiring and nothing else.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use shared::causes::chain;
use shared::clock::Clock;
use shared::disk::{Disk, FsDisk};
use shared::service::metrics::{Listeners, Scraped};
use shared::service::server::{self, Endpoint, ServerOptions};
use shared::service::system_clock::SystemClock;
use shared::service::workers::Workers;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::faults::Faults;
use crate::first_key::{self, FirstKeyError};
use crate::http::{self, AppState};
use crate::journal::embedded::EmbeddedOptions;
use crate::journal::{JournalError, LogGen};
use crate::ledger::open::recover;
use crate::ledger::{Ledger, LedgerOptions, LedgerThreads};
use crate::payments::{self, PaymentsFault};
use crate::{cli, metrics, tasks};

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process holds the data folder.
    #[error("another central-api is using the data folder {0}")]
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
    /// The journal cannot be opened.
    #[error("cannot open the journal")]
    Journal(#[from] JournalError),
    /// There is no key, and none can be made.
    #[error("cannot give out a first admin key")]
    FirstKey(#[from] FirstKeyError),
    /// The payment provider cannot be set up.
    #[error("cannot set up payments")]
    Payments(#[from] PaymentsFault),
    /// The first catalogue cannot be imported.
    #[error("cannot import the first catalogue: {0}")]
    Seed(String),
}

/// A data folder that is in use by this process for as long as this lives.
#[derive(Debug)]
pub struct DataLock(#[expect(dead_code, reason = "holds the lock until it is dropped")] File);

impl DataLock {
    /// Takes the folder, creating it if need be.
    ///
    /// # Errors
    /// It cannot be created, or another process has it.
    pub fn take(dir: &Path) -> Result<Self, StartError> {
        let folder = |source| StartError::Folder {
            path: dir.display().to_string(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(folder)?;
        let file = File::create(dir.join("lock")).map_err(folder)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StartError::Locked(dir.display().to_string())),
            Err(TryLockError::Error(source)) => Err(folder(source)),
        }
    }
}

/// A ledger over the files of a data folder.
#[derive(Debug)]
pub struct OpenLedger {
    /// The ledger.
    pub ledger: Ledger,
    /// Its threads.
    pub threads: LedgerThreads,
    /// The snapshot it was recovered from; 0 is none.
    pub snapshot_seq: u64,
    /// Keeps the folder from other processes; to be dropped last.
    pub lock: DataLock,
}

/// Recovers the ledger from its folder and begins a new life of the log. Requests come from the
/// runtimes `homes`, or from the present one if there are none; `clock` tells the time of decisions.
///
/// # Errors
/// See [`StartError`].
pub async fn open_ledger(
    config: &Config,
    homes: Vec<Handle>,
    clock: Arc<dyn Clock>,
) -> Result<OpenLedger, StartError> {
    let lock = DataLock::take(&config.data_dir)?;
    let options = EmbeddedOptions {
        dir: config.data_dir.clone(),
        segment_bytes: config.segment_bytes,
    };
    let retention = config.retention();
    let recovering = tokio::task::spawn_blocking(move || {
        let disk: Arc<dyn Disk> = Arc::new(FsDisk);
        recover(&disk, &options, retention)
    });
    let recovered = recovering.await.map_err(|_| JournalError::Poisoned)??;
    for error in &recovered.bad_snapshots {
        tracing::warn!(%error, "a snapshot does not check out and is passed over");
    }
    if recovered.opened.cut_bytes > 0 {
        let bytes = recovered.opened.cut_bytes;
        tracing::warn!(
            bytes,
            "a torn last frame, which nobody was told about, was cut"
        );
    }
    tracing::info!(
        records = recovered.fold.seq,
        next_offset = recovered.fold.next_offsets.inventory,
        products = recovered.fold.state.inventory.len(),
        snapshot = recovered.snapshot_seq,
        "the journal is recovered"
    );
    let options = LedgerOptions {
        clock,
        log_gen: LogGen(rand::random()),
        keys: retention.keys,
        homes,
        fatal: Box::new(end),
    };
    let snapshot_seq = recovered.snapshot_seq;
    let (ledger, threads) = Ledger::start(Box::new(recovered.journal), recovered.fold, options)?;
    if snapshot_seq > 0 {
        note_snapshot(&ledger, snapshot_seq).await;
    }
    Ok(OpenLedger {
        ledger,
        threads,
        snapshot_seq,
        lock,
    })
}

/// Tells the ledger how old the snapshot is that it was recovered from; for metrics alone, so a log
/// that cannot say is no reason not to start.
async fn note_snapshot(ledger: &Ledger, seq: u64) {
    let published = Arc::clone(ledger.published());
    let noted = tokio::task::spawn_blocking(move || published.found_snapshot(seq)).await;
    if let Ok(Err(error)) = noted {
        tracing::warn!(error = %chain(&error), "the snapshot's age is not known");
    }
}

/// Ends the process when the journal has failed: what is in memory may be ahead of what is durable,
/// and a disk that failed once may report success for bytes that are gone.
#[expect(
    clippy::exit,
    reason = "nothing may be answered any more, not even by a clean stop"
)]
fn end(error: &JournalError) {
    tracing::error!(
        error = %chain(error),
        "the journal has failed; the process ends, and no write that is under way is answered"
    );
    std::process::exit(70);
}

/// Imports the first catalogue, once. A mark in the data folder says that it is being imported, so
/// that a start that was interrupted is completed by the next; nobody is served before.
async fn import_first_catalogue(
    state: &AppState,
    data_dir: &Path,
    catalogue: &Path,
) -> Result<(), StartError> {
    let folder = |source| StartError::Folder {
        path: data_dir.display().to_string(),
        source,
    };
    let mark = data_dir.join("first-catalogue.unfinished");
    if state.ledger.view().known() != 0 && !mark.exists() {
        return Ok(());
    }
    let sync_folder = || File::open(data_dir).and_then(|folder| folder.sync_all());
    File::create(&mark)
        .and_then(|file| file.sync_all())
        .and_then(|()| sync_folder())
        .map_err(folder)?;
    let imported = http::import::import_file(state, catalogue).await;
    let report = match imported {
        Ok(report) => report,
        Err(fault) => {
            // Nothing was imported if the file is bad; the next start may have another file.
            if state.ledger.view().known() == 0 {
                std::fs::remove_file(&mark).map_err(folder)?;
            }
            return Err(StartError::Seed(fault));
        }
    };
    std::fs::remove_file(&mark)
        .and_then(|()| sync_folder())
        .map_err(folder)?;
    let (rows, created) = (report.rows, report.created);
    tracing::info!(rows, created, "the first catalogue is imported");
    Ok(())
}

/// Runs the service on `listeners` until `shutdown`, then drains it.
///
/// # Errors
/// See [`StartError`].
pub async fn run(
    mut config: Config,
    listeners: impl Into<Listeners>,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    let listeners = listeners.into();
    // One TLS provider for the process; a second call in one process finds it there.
    drop(rustls::crypto::ring::default_provider().install_default());
    let faults = Faults::if_allowed(config.fault_injection);
    let payments = payments::start(&config.payments, Arc::new(SystemClock), faults.clone())?;
    let payments = Arc::new(payments);
    let workers = Workers::start_one_per_core().map_err(StartError::Workers)?;
    let homes = workers.handles();
    let opened = open_ledger(&config, homes.clone(), Arc::new(SystemClock)).await?;
    let OpenLedger {
        ledger,
        threads,
        snapshot_seq,
        lock,
    } = opened;
    // Before anybody is served.
    tasks::report_room(ledger.look_for_room());
    let (dir, now) = (&config.data_dir, SystemClock.now());
    first_key::ensure(&FsDisk, dir, &mut config.keys, now, cli::show_first_key)?;
    let state = AppState::with_faults(ledger.clone(), &config, payments, faults, shutdown.clone());
    if let Some(file) = &config.seed_catalog {
        import_first_catalogue(&state, &config.data_dir, file).await?;
    }
    state.shared.orders.resume();
    let tasks = tasks::start(&ledger, snapshot_seq, &config, &shutdown, end);
    let scraped = Scraped::start(listeners.metrics, metrics::of(&state));
    if let Ok(address) = listeners.api.local_addr() {
        tracing::info!(%address, "listening");
    }
    let (router, options) = (http::router(state), ServerOptions::default());
    let endpoint = Endpoint {
        listener: listeners.api,
        tls: config.tls,
    };
    let report = server::serve(endpoint, router, shutdown, options, &homes).await;
    let (accepted, cut) = (report.accepted, report.cut);
    tracing::info!(accepted, cut, "no more requests are taken");
    tasks.finish().await;
    // Decides and answers what waits, and ends the threads.
    let stopping = tokio::task::spawn_blocking(move || threads.stop());
    stopping
        .await
        .unwrap_or_else(|error| tracing::error!(%error, "the ledger did not stop"));
    // To the very end, so that an end can be watched.
    scraped.finish().await;
    workers.stop();
    drop(lock);
    tracing::info!("stopped");
    Ok(())
}
