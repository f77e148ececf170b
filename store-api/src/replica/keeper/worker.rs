//! The thread itself: one task after the other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use shared::causes::chain;
use shared::view::Published;
use shared::wire::product::Encoder;
use tokio::sync::{Notify, mpsc};

use super::{KeeperStatus, Task};
use crate::replica::files::{Finished, Folder, Install, MergeFault, Summary};
use crate::replica::live::Tip;
use crate::replica::position::{Gen, Position};

/// Ticks between two attempts at something that failed and is large.
const HOLD_TICKS: u32 = 15;

pub(super) struct Worker {
    pub(super) folder: Folder,
    /// Where the live copy stood at the end of what was handed over.
    pub(super) at: Option<(Position, Summary)>,
    pub(super) status: Arc<KeeperStatus>,
    pub(super) merged: mpsc::WeakSender<Task>,
    pub(super) moved: Arc<Notify>,
    /// Ticks before anything large is tried again.
    pub(super) hold: u32,
}

impl Worker {
    pub(super) fn run(mut self, mut tasks: mpsc::Receiver<Task>) {
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

    pub(super) fn note(&self) {
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
