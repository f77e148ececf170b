//! Work in the background. Each task may run at any time, does nothing twice, and takes no input.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared::causes::chain;
use shared::disk::FsDisk;
use shared::limits;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::journal::JournalError;
use crate::key_use::KeyUse;
use crate::ledger::Ledger;

/// How often the index of the catalogue is brought up to date when nobody lists it.
const MAINTAIN_EVERY: Duration = Duration::from_millis(250);
/// How often it is looked whether a snapshot is due.
const SNAPSHOT_CHECK: Duration = Duration::from_secs(5);
/// How often it is written down when API keys were used.
const KEY_USES_EVERY: Duration = Duration::from_secs(60);

/// Ends the process.
pub(crate) type End = fn(&JournalError);

/// The running tasks.
#[derive(Debug)]
pub(crate) struct Tasks(Vec<JoinHandle<()>>);

impl Tasks {
    /// Waits for the tasks, which end by themselves at shutdown.
    pub(crate) async fn finish(self) {
        for task in self.0 {
            if let Err(error) = task.await {
                tracing::error!(%error, "a background task has failed");
            }
        }
    }
}

/// Starts every task. `snapshot_seq` is the record that the newest snapshot was taken at; `end` is
/// called when going on would build upon what may be gone.
#[must_use]
pub(crate) fn start(
    ledger: &Ledger,
    snapshot_seq: u64,
    config: &Config,
    shutdown: &CancellationToken,
    end: End,
) -> Tasks {
    let retention_hours = config.event_retention_hours;
    let maintain = tokio::spawn(maintain(ledger.clone(), shutdown.clone()));
    let upkeep = Upkeep::new(ledger.clone(), snapshot_seq, retention_hours, end, EVERY);
    let upkeep = tokio::spawn(keep_up(upkeep, shutdown.clone()));
    let uses = tokio::spawn(key_uses(
        ledger.clone(),
        config.data_dir.clone(),
        shutdown.clone(),
    ));
    let room = tokio::spawn(watch_room(ledger.clone(), shutdown.clone()));
    Tasks(vec![maintain, upkeep, uses, room])
}

/// Writes down when API keys were used, every minute and at the end.
async fn key_uses(ledger: Ledger, dir: PathBuf, shutdown: CancellationToken) {
    let published = Arc::clone(ledger.published());
    let restore = move || KeyUse::restore(&FsDisk, &dir, &published.access);
    let Ok(mut uses) = tokio::task::spawn_blocking(restore).await else {
        return;
    };
    loop {
        let running = wait(KEY_USES_EVERY, &shutdown).await;
        let published = Arc::clone(ledger.published());
        let save = move || {
            let saved = uses.save(&FsDisk, &published.access);
            (uses, saved)
        };
        let Ok((kept, saved)) = tokio::task::spawn_blocking(save).await else {
            return;
        };
        uses = kept;
        if let Err(error) = saved {
            tracing::warn!(%error, "when API keys were used last could not be written down");
        }
        if !running {
            return;
        }
    }
}

/// Looks how much room the log has.
async fn watch_room(ledger: Ledger, shutdown: CancellationToken) {
    while wait(limits::DISK_LOOK, &shutdown).await {
        let looking = ledger.clone();
        match tokio::task::spawn_blocking(move || looking.look_for_room()).await {
            Ok(changed) => report_room(changed),
            Err(error) => tracing::error!(%error, "the disk could not be looked at"),
        }
    }
}

/// Says that the disk has become full, or has room again.
pub(crate) fn report_room(changed: Option<bool>) {
    match changed {
        Some(true) => tracing::error!("the disk is full: nothing new is taken until there is room"),
        Some(false) => tracing::info!("the disk has room again"),
        None => {}
    }
}

/// Keeps the backlog of the catalogue's index small.
async fn maintain(ledger: Ledger, shutdown: CancellationToken) {
    // At once after the start, so that the first list finds an index.
    loop {
        let ledger = ledger.clone();
        let work = tokio::task::spawn_blocking(move || ledger.view().maintain());
        if let Err(error) = work.await {
            tracing::error!(%error, "the catalogue's index could not be maintained");
        }
        if !wait(MAINTAIN_EVERY, &shutdown).await {
            return;
        }
    }
}

/// After how many bytes of log something is due.
#[derive(Clone, Copy, Debug)]
struct Every {
    snapshot: u64,
    index: u64,
}

const EVERY: Every = Every {
    snapshot: limits::SNAPSHOT_LOG_BYTES,
    index: limits::INDEX_LOG_BYTES,
};

/// What keeps the next start and the first question about an old order quick.
///
/// How much log has come since is asked of the log, by record: its size is no measure, because
/// retention takes from it at the other end, and a start finds what earlier lives left.
struct Upkeep {
    ledger: Ledger,
    retention_hours: u32,
    end: End,
    every: Every,
    /// The record of the newest snapshot; 0 is none.
    snapshot: u64,
    /// Bytes of log after it that make the next one due.
    due_after: u64,
    /// The record that orders are indexed up to; of what was indexed before this process only the
    /// index knows.
    indexed: Option<u64>,
}

impl Upkeep {
    const fn new(
        ledger: Ledger,
        snapshot: u64,
        retention_hours: u32,
        end: End,
        every: Every,
    ) -> Self {
        Self {
            ledger,
            retention_hours,
            end,
            every,
            snapshot,
            due_after: every.snapshot,
            indexed: None,
        }
    }

    /// Bytes of log after record `seq`.
    fn bytes_after(&self, seq: u64) -> u64 {
        self.ledger.published().journal.bytes_from(seq + 1)
    }

    /// Takes a snapshot and indexes orders if that is due, or if this is the `last` round.
    async fn round(&mut self, last: bool) {
        let head = self.ledger.published().head().seq;
        if head > self.snapshot && (last || self.bytes_after(self.snapshot) >= self.due_after) {
            self.take_snapshot().await;
        }
        let grown = self
            .indexed
            .is_none_or(|seq| self.bytes_after(seq) >= self.every.index);
        if grown || last || self.ledger.published().is_index_damaged() {
            index_orders(&self.ledger, self.end).await;
            self.indexed = Some(head);
        }
    }

    async fn take_snapshot(&mut self) {
        let published = self.ledger.published().clone();
        match tokio::task::spawn_blocking(move || published.take_snapshot()).await {
            Ok(Ok((seq, snapshot_bytes))) => {
                tracing::info!(seq, bytes = snapshot_bytes, "a snapshot is taken");
                // So that no more is written for snapshots than for the log itself.
                self.due_after = self.every.snapshot.max(snapshot_bytes);
                let before = std::mem::replace(&mut self.snapshot, seq);
                if self.retention_hours > 0 {
                    drop_old_segments(&self.ledger, before, self.retention_hours, self.end).await;
                }
            }
            Ok(Err(error)) => failed("a snapshot could not be taken", &error, self.end),
            Err(error) => tracing::error!(%error, "a snapshot could not be taken"),
        }
    }
}

/// Takes a snapshot whenever the log after the last one has grown long, and one at the end, so that
/// the next start is quick. Likewise indexes orders.
async fn keep_up(mut upkeep: Upkeep, stop: CancellationToken) {
    loop {
        let running = wait(SNAPSHOT_CHECK, &stop).await;
        upkeep.round(!running).await;
        if !running {
            return;
        }
    }
}

/// Indexes the orders of the log, so that those that ended long ago are found.
async fn index_orders(ledger: &Ledger, end: End) {
    let published = ledger.published().clone();
    match tokio::task::spawn_blocking(move || published.index_orders()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => failed("old orders could not be indexed", &error, end),
        Err(error) => tracing::error!(%error, "old orders could not be indexed"),
    }
}

/// Drops segments that are older than the retention and than the snapshot before the newest.
async fn drop_old_segments(ledger: &Ledger, snapshot_before: u64, retention_hours: u32, end: End) {
    let published = ledger.published().clone();
    let work = tokio::task::spawn_blocking(move || {
        let Some(newest) = published.record(published.head().seq)? else {
            return Ok(());
        };
        let horizon = newest
            .at
            .plus_millis(-i64::from(retention_hours) * 3_600_000);
        let seq = published
            .first_seq_at_or_after(horizon)?
            .min(snapshot_before);
        published.journal.drop_before(seq)
    });
    match work.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => failed("old segments could not be dropped", &error, end),
        Err(error) => tracing::error!(%error, "old segments could not be dropped"),
    }
}

/// Says `what` has failed, to be tried again; but not after a failed sync, which ends the process. A
/// full disk is a write that failed: the next try may find room.
fn failed(what: &str, error: &JournalError, end: impl FnOnce(&JournalError)) {
    tracing::error!(error = %chain(error), "{what}");
    if matches!(error, JournalError::Sync { .. }) {
        end(error);
    }
}

/// Waits for `period`; `false` if the service is stopping.
async fn wait(period: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(period) => true,
    }
}
