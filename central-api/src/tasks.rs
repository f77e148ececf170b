//! Work in the background. Each task may run at any time, does nothing twice, and takes no input.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::http::refusal::chain;
use crate::journal::JournalError;
use crate::ledger::Ledger;

/// How often the index of the catalogue is brought up to date when nobody lists it.
const MAINTAIN_EVERY: Duration = Duration::from_millis(250);
/// How often it is looked whether a snapshot is due.
const SNAPSHOT_CHECK: Duration = Duration::from_secs(5);
/// Bytes of log after the last snapshot that make one due, unless the snapshot itself is larger:
/// about two seconds of a start.
const SNAPSHOT_LOG_BYTES: u64 = 256 * 1024 * 1024;

/// Bytes of log after which the orders in them are indexed: what the first question about an old order
/// reads at most.
const INDEX_LOG_BYTES: u64 = 64 * 1024 * 1024;

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
    let snapshots = tokio::spawn(snapshots(
        ledger.clone(),
        snapshot_seq,
        retention_hours,
        shutdown.clone(),
        end,
    ));
    Tasks(vec![maintain, snapshots])
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

/// Takes a snapshot whenever the log after the last one has grown long, and one at the end, so that
/// the next start is quick. Likewise indexes orders.
async fn snapshots(
    ledger: Ledger,
    mut last: u64,
    retention_hours: u32,
    stop: CancellationToken,
    end: End,
) {
    let mut bytes_at_last = match last {
        0 => 0,
        _ => ledger.published().journal.size().bytes,
    };
    let mut due_after = SNAPSHOT_LOG_BYTES;
    // Whether all was indexed before this process is for the index to see.
    let mut bytes_indexed = None;
    loop {
        let running = wait(SNAPSHOT_CHECK, &stop).await;
        let bytes = ledger.published().journal.size().bytes;
        let due = bytes.saturating_sub(bytes_at_last) >= due_after;
        let moved = ledger.published().head().seq > last;
        if moved && (due || !running) {
            let published = ledger.published().clone();
            match tokio::task::spawn_blocking(move || published.take_snapshot()).await {
                Ok(Ok((seq, snapshot_bytes))) => {
                    tracing::info!(seq, bytes = snapshot_bytes, "a snapshot is taken");
                    // So that no more is written for snapshots than for the log itself.
                    due_after = SNAPSHOT_LOG_BYTES.max(snapshot_bytes);
                    let before = std::mem::replace(&mut last, seq);
                    bytes_at_last = bytes;
                    if retention_hours > 0 {
                        drop_old_segments(&ledger, before, retention_hours, end).await;
                    }
                }
                Ok(Err(error)) => failed("a snapshot could not be taken", &error, end),
                Err(error) => tracing::error!(%error, "a snapshot could not be taken"),
            }
        }
        let grown = bytes_indexed.is_none_or(|then| bytes.saturating_sub(then) >= INDEX_LOG_BYTES);
        if grown || !running || ledger.published().is_index_damaged() {
            index_orders(&ledger, end).await;
            bytes_indexed = Some(ledger.published().journal.size().bytes);
        }
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_failed_sync_ends_the_process_and_a_full_disk_does_not() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        for (error, ends) in [
            (
                JournalError::sync("snapshots")(io::Error::other("EIO")),
                true,
            ),
            (JournalError::io("write", "a snapshot")(full()), false),
            (JournalError::io("remove", "a segment")(full()), false),
        ] {
            let mut ended = false;
            failed("a test", &error, |_| ended = true);
            assert_eq!(ended, ends, "{error}");
        }
    }
}
