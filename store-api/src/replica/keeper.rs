//! The thread that owns the cache folder.
//!
//! The follower hands it what it applied and goes on; the disk never holds up a reader, and holds up
//! the follower only when the queue is full. Syncs happen on a tick, checkpoints on a second thread.
//!
//! After a failed write or sync the folder is *broken*: nothing is appended any more, the store goes
//! on in memory and says so, and the next tick asks the follower for everything it has, to begin
//! afresh ([`Keeper::rewrite`]). What must stay true: what is on disk is always some earlier state
//! of the live copy, never a mixture.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use shared::view::Published;
use shared::wire::product::Encoder;
use tokio::sync::{Notify, mpsc, oneshot};

use super::files::{Finished, Folder, Install, MergeFault, SnapshotWriter, Summary};
use super::live::Tip;
use super::position::{Gen, Position};

/// Answers that may wait for the disk.
const QUEUE: usize = 256;
/// How long the follower waits for a place in the queue before it counts the disk as broken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Ticks between two attempts at something that failed and is large.
const HOLD_TICKS: u32 = 15;

/// What others may know about the folder.
#[derive(Debug, Default)]
pub struct KeeperStatus {
    broken: AtomicBool,
    wants_rewrite: AtomicBool,
    bytes: AtomicU64,
    disagreed: AtomicBool,
    checkpoints: AtomicU64,
    snapshots: parking_lot::RwLock<Vec<(std::path::PathBuf, Position)>>,
}

impl KeeperStatus {
    /// Whether the copy is only in memory at the moment.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Checkpoints since the start.
    #[must_use]
    pub fn checkpoints(&self) -> u64 {
        self.checkpoints.load(Ordering::Acquire)
    }

    /// The snapshot files and where they stand, newest first.
    #[must_use]
    pub fn snapshots(&self) -> Vec<(std::path::PathBuf, Position)> {
        self.snapshots.read().clone()
    }

    /// Whether it is time to write the copy afresh; asking resets it.
    #[must_use]
    pub fn wants_rewrite(&self) -> bool {
        self.wants_rewrite.swap(false, Ordering::AcqRel)
    }

    /// Whether a checkpoint found that the files and the live copy differ; asking resets it.
    #[must_use]
    pub fn take_disagreed(&self) -> bool {
        self.disagreed.swap(false, Ordering::AcqRel)
    }
}

enum Task {
    Append {
        r#gen: Gen,
        events: Vec<Bytes>,
        tip: Tip,
    },
    Tick,
    Checkpoint,
    Merged(u64, Result<Finished, MergeFault>),
    BeginInstall {
        position: Position,
        count: u64,
        reply: oneshot::Sender<io::Result<SnapshotWriter>>,
    },
    Install {
        install: Install,
        tip: (Position, Summary),
        reply: oneshot::Sender<io::Result<()>>,
    },
    Rewrite {
        products: Vec<Arc<Published>>,
        tip: Tip,
    },
    MarkBroken,
    Flush(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

/// What the rest of the store may ask of the folder's thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keeper {
    queue: mpsc::Sender<Task>,
    status: Arc<KeeperStatus>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Task")
    }
}

impl Keeper {
    /// Starts the thread. `sync_every` is the time within which what was appended becomes durable;
    /// `moved` is told when the follower should look at the status.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        folder: Folder,
        live: Option<Tip>,
        sync_every: Duration,
        moved: Arc<Notify>,
    ) -> io::Result<Self> {
        let (queue, tasks) = mpsc::channel(QUEUE);
        let status = Arc::new(KeeperStatus::default());
        let keeper = Self {
            queue,
            status: Arc::clone(&status),
        };
        let worker = Worker {
            at: live.map(|tip| (tip.position, tip.summary)),
            folder,
            status,
            merged: keeper.queue.downgrade(),
            moved,
            hold: 0,
        };
        worker.note();
        std::thread::Builder::new()
            .name("cache-keeper".to_owned())
            .spawn(move || worker.run(tasks))?;
        let ticks = keeper.queue.downgrade();
        tokio::spawn(async move {
            let mut interval = tokio::time::interval(sync_every);
            loop {
                interval.tick().await;
                let Some(queue) = ticks.upgrade() else { break };
                // A full queue syncs soon enough by itself.
                if matches!(
                    queue.try_send(Task::Tick),
                    Err(mpsc::error::TrySendError::Closed(_))
                ) {
                    break;
                }
            }
        });
        Ok(keeper)
    }

    /// What is known about the folder.
    #[must_use]
    pub const fn status(&self) -> &Arc<KeeperStatus> {
        &self.status
    }

    /// Has the events of one answer written, after which the live copy stands at `tip`.
    pub async fn append(&self, r#gen: Gen, events: Vec<Bytes>, tip: Tip) {
        self.put(Task::Append { r#gen, events, tip }).await;
    }

    async fn put(&self, task: Task) {
        let sent = self.queue.send_timeout(task, PATIENCE).await;
        if let Err(mpsc::error::SendTimeoutError::Timeout(_)) = sent {
            // What could not be queued is missing in the journal, so it must not be continued.
            if !self.status.broken.swap(true, Ordering::AcqRel) {
                tracing::error!("the disk is too slow; the copy is kept in memory only");
            }
            let queue = self.queue.clone();
            drop(tokio::spawn(async move {
                queue.send(Task::MarkBroken).await.ok()
            }));
        }
    }

    /// Begins to receive a snapshot.
    ///
    /// # Errors
    /// The disk's.
    pub async fn begin_install(
        &self,
        position: Position,
        count: u64,
    ) -> io::Result<SnapshotWriter> {
        let (reply, answer) = oneshot::channel();
        let task = Task::BeginInstall {
            position,
            count,
            reply,
        };
        self.queue.send(task).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Puts a received snapshot in the place of everything in the folder.
    ///
    /// # Errors
    /// The disk's; the folder is broken then.
    pub async fn install(
        &self,
        install: Install,
        position: Position,
        summary: Summary,
    ) -> io::Result<()> {
        let (reply, answer) = oneshot::channel();
        let task = Task::Install {
            install,
            tip: (position, summary),
            reply,
        };
        self.queue.send(task).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Says that the live copy is no longer a continuation of the folder.
    pub async fn mark_broken(&self) {
        self.status.broken.store(true, Ordering::Release);
        self.put(Task::MarkBroken).await;
    }

    /// Begins the folder afresh with the whole live copy.
    pub async fn rewrite(&self, products: Vec<Arc<Published>>, tip: Tip) {
        self.put(Task::Rewrite { products, tip }).await;
    }

    /// Begins a checkpoint whatever the size of the journals.
    pub async fn checkpoint(&self) {
        self.put(Task::Checkpoint).await;
    }

    /// Returns when everything handed over before is durable, or the folder is broken.
    pub async fn flush(&self) {
        let (reply, answer) = oneshot::channel();
        self.put(Task::Flush(reply)).await;
        drop(answer.await);
    }

    /// Makes everything durable and ends the thread.
    pub async fn stop(&self) {
        let (reply, answer) = oneshot::channel();
        self.put(Task::Stop(reply)).await;
        drop(answer.await);
    }
}

fn stopped() -> io::Error {
    io::Error::other("the cache folder's thread has ended")
}

struct Worker {
    folder: Folder,
    /// Where the live copy stood at the end of what was handed over.
    at: Option<(Position, Summary)>,
    status: Arc<KeeperStatus>,
    merged: mpsc::WeakSender<Task>,
    moved: Arc<Notify>,
    /// Ticks before anything large is tried again.
    hold: u32,
}

impl Worker {
    fn run(mut self, mut tasks: mpsc::Receiver<Task>) {
        while let Some(task) = tasks.blocking_recv() {
            match task {
                Task::Append { r#gen, events, tip } => self.append(r#gen, &events, tip),
                Task::Tick => self.tick(),
                Task::Checkpoint => self.checkpoint(),
                Task::Merged(serial, result) => self.merged(serial, result),
                Task::BeginInstall {
                    position,
                    count,
                    reply,
                } => {
                    drop(reply.send(self.folder.begin_install(position, count)));
                }
                Task::Install {
                    install,
                    tip,
                    reply,
                } => {
                    let result = self.folder.install(&install);
                    self.at = Some(tip);
                    self.outcome("install a snapshot", &result);
                    drop(reply.send(result));
                }
                Task::Rewrite { products, tip } => {
                    let result = rewrite(&mut self.folder, &products, tip);
                    self.at = Some((tip.position, tip.summary));
                    self.outcome("write the copy afresh", &result);
                }
                Task::MarkBroken => self.status.broken.store(true, Ordering::Release),
                Task::Flush(reply) => {
                    self.sync();
                    reply.send(()).ok();
                }
                Task::Stop(reply) => {
                    self.sync();
                    reply.send(()).ok();
                    break;
                }
            }
            self.note();
        }
    }

    fn note(&self) {
        self.status
            .bytes
            .store(self.folder.bytes(), Ordering::Release);
        *self.status.snapshots.write() = self.folder.snapshots();
    }

    /// Notes whether the folder works.
    fn outcome(&self, what: &str, result: &io::Result<()>) {
        match result {
            Ok(()) => {
                if self.status.broken.swap(false, Ordering::AcqRel) {
                    tracing::info!("the copy is on disk again");
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot {what}; the copy is kept in memory only");
                self.status.broken.store(true, Ordering::Release);
            }
        }
    }

    fn append(&mut self, r#gen: Gen, events: &[Bytes], tip: Tip) {
        self.at = Some((tip.position, tip.summary));
        if self.status.is_broken() {
            return;
        }
        let result = self.folder.append(r#gen, events);
        if result.is_err() {
            self.outcome("append to the journal", &result);
        }
    }

    fn sync(&mut self) {
        if self.status.is_broken() {
            return;
        }
        let result = self.folder.sync();
        if result.is_err() {
            self.outcome("make the journal durable", &result);
        }
    }

    fn tick(&mut self) {
        self.sync();
        if self.hold > 0 {
            self.hold -= 1;
        } else if self.status.is_broken() {
            self.hold = HOLD_TICKS;
            self.status.wants_rewrite.store(true, Ordering::Release);
            self.moved.notify_one();
        } else if self.folder.wants_checkpoint() {
            self.checkpoint();
        }
    }

    fn checkpoint(&mut self) {
        let Some((_, summary)) = self.at.filter(|_| !self.status.is_broken()) else {
            return;
        };
        match self.folder.begin_checkpoint(summary) {
            Ok(None) => {}
            Ok(Some(job)) => {
                let merged = self.merged.clone();
                let thread = std::thread::Builder::new().name("cache-merge".to_owned());
                let serial = job.serial();
                let started = thread.spawn(move || {
                    let result = job.run();
                    if let Some(queue) = merged.upgrade() {
                        drop(queue.blocking_send(Task::Merged(serial, result)));
                    }
                });
                if started.is_err() {
                    self.folder.abandon_checkpoint(serial);
                }
            }
            Err(error) => self.outcome("begin a checkpoint", &Err(error)),
        }
    }

    fn merged(&mut self, serial: u64, result: Result<Finished, MergeFault>) {
        match result {
            Ok(finished) => {
                let result = self.folder.finish_checkpoint(&finished);
                if result.is_err() {
                    self.outcome("finish a checkpoint", &result);
                } else {
                    self.status.checkpoints.fetch_add(1, Ordering::AcqRel);
                    tracing::debug!(
                        position = %finished.header.position(),
                        products = finished.summary.count,
                        "checkpoint"
                    );
                }
            }
            Err(fault) => {
                tracing::error!(fault = %chain(&fault), "a checkpoint failed");
                self.folder.abandon_checkpoint(serial);
                self.hold = HOLD_TICKS;
                match fault {
                    // A full disk, perhaps: the journal may still work.
                    MergeFault::Io(_) => {}
                    MergeFault::Snapshot(_) | MergeFault::Journal => {
                        self.status.broken.store(true, Ordering::Release);
                    }
                    MergeFault::Disagrees { .. } => {
                        self.status.disagreed.store(true, Ordering::Release);
                        self.moved.notify_one();
                    }
                }
            }
        }
    }
}

/// An error and what led to it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

fn rewrite(folder: &mut Folder, products: &[Arc<Published>], tip: Tip) -> io::Result<()> {
    let mut writer = folder.begin_install(tip.position, products.len() as u64)?;
    let mut encoder = Encoder::new();
    let mut row = Vec::new();
    for product in products {
        row.clear();
        encoder.product(&mut row, product);
        writer.row(&row)?;
    }
    let snapshot = writer.finish(tip.summary.digest)?;
    folder.install(&Install {
        snapshot,
        runs: Vec::new(),
    })
}
