//! The thread that owns the cache folder.
//!
//! The follower hands it what it applied and goes on; the disk never holds up a reader, and holds up
//! the follower only when the queue is full. Syncs happen on a tick, checkpoints on a second thread.
//!
//! After a failed write or sync the folder is *broken*: nothing is appended any more, the store goes
//! on in memory and says so, and the next tick asks the follower for everything it has, to begin
//! afresh ([`Keeper::rewrite`]). What must stay true: what is on disk is always some earlier state
//! of the live copy, never a mixture.

mod worker;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use shared::limits;
use shared::view::Published;
use tokio::sync::{Notify, mpsc, oneshot};

use self::worker::Worker;
use super::files::{Finished, Folder, Install, MergeFault, SnapshotWriter, Summary};
use super::live::Tip;
use super::position::{Gen, Position};

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
        let (queue, tasks) = mpsc::channel(limits::KEEPER_QUEUE);
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
        let sent = self.queue.send_timeout(task, limits::KEEPER_WAIT).await;
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
