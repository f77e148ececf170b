use std::io;
use std::path::Path;
use std::sync::Arc;

use shared::clock::{Clock, ManualClock};
use shared::domain::ids::ProductId;
use shared::domain::inventory::{
    Atomicity, Command, Details, Move, NewProduct, Reason, fingerprint,
};
use shared::domain::origin::Origin;

use super::*;
use crate::config::Settings;
use crate::ledger::Request;
use crate::startup::{DataLock, OpenLedger, open_ledger};

const HOUR: i64 = 3_600_000;
const FEW: Every = Every {
    snapshot: 16 * 1024,
    index: 16 * 1024,
};

/// A life of a central without a service: its ledger, its upkeep, and a clock of its own.
struct Life {
    ledger: Ledger,
    upkeep: Upkeep,
    clock: Arc<ManualClock>,
    threads: crate::ledger::LedgerThreads,
    lock: DataLock,
}

impl Life {
    /// Over `dir`, which remembers keys and keeps events for an hour.
    async fn begin(dir: &Path) -> Self {
        let settings = Settings {
            data_dir: dir.to_owned(),
            segment_bytes: 1_024,
            event_retention_hours: 1,
            idempotency_retention_hours: 1,
            ..Settings::default()
        };
        let config = Config::check(settings).unwrap();
        let clock = Arc::new(ManualClock::default());
        let opened = open_ledger(&config, Vec::new(), Arc::clone(&clock) as Arc<dyn Clock>);
        let OpenLedger {
            ledger,
            threads,
            snapshot_seq,
            lock,
        } = opened.await.unwrap();
        let end: End = |error| panic!("{error}");
        let upkeep = Upkeep::new(ledger.clone(), snapshot_seq, 1, end, FEW);
        Self {
            ledger,
            upkeep,
            clock,
            threads,
            lock,
        }
    }

    async fn decide(&self, command: Command) {
        let request = Request {
            origin: Origin::internal("test"),
            fingerprint: fingerprint(&command, None),
            command: command.into(),
        };
        self.ledger.decide(request).await.unwrap();
    }

    async fn stock(&self) {
        let item = NewProduct {
            product: ProductId::parse("A").unwrap(),
            details: Details {
                name: "A".to_owned().into(),
                ..Details::default()
            },
            on_hand: 1_000_000,
        };
        let items = vec![item];
        let atomicity = Atomicity::All;
        self.decide(Command::Create { items, atomicity }).await;
    }

    /// Sells one unit, a good while after the last.
    async fn sell(&self) {
        self.clock.advance_millis(HOUR);
        let line = Move {
            product: ProductId::parse("A").unwrap(),
            delta: -1,
            reason: Reason::Sale,
            expected_version: None,
            reference: None,
            note: None,
        };
        let lines = vec![line];
        let atomicity = Atomicity::All;
        self.decide(Command::Move { lines, atomicity }).await;
    }

    /// Sells until so many bytes of log have come after record `seq`.
    async fn sell_bytes_after(&self, seq: u64, bytes: u64) {
        while self.upkeep.bytes_after(seq) < bytes {
            self.sell().await;
        }
    }

    /// Ends without a last round, as a kill does.
    async fn kill(self) {
        let threads = self.threads;
        let stop = tokio::task::spawn_blocking(move || threads.stop());
        stop.await.unwrap();
        drop(self.lock);
    }
}

#[tokio::test]
async fn snapshots_are_equally_far_apart_though_retention_shortens_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut life = Life::begin(dir.path()).await;
    life.stock().await;
    let mut taken = vec![0];
    while taken.len() < 6 {
        life.sell().await;
        life.upkeep.round(false).await;
        if taken.last() != Some(&life.upkeep.snapshot) {
            taken.push(life.upkeep.snapshot);
        }
        assert!(
            life.ledger.published().head().seq < 1_000,
            "no more snapshots after {taken:?}"
        );
    }
    let oldest = life.ledger.published().journal.oldest().seq;
    assert!(oldest > taken[2], "retention has dropped nothing");
    let apart = taken.windows(2).map(|two| two[1] - two[0]);
    let (least, most) = (apart.clone().min().unwrap(), apart.max().unwrap());
    // Record sizes and segments do not divide evenly.
    assert!(most * 4 < least * 5, "{taken:?}");
    life.kill().await;
}

#[tokio::test]
async fn what_lives_that_were_killed_have_written_counts_towards_the_next_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let mut life = Life::begin(dir.path()).await;
    life.stock().await;
    life.upkeep.round(true).await;
    let snapshot = life.upkeep.snapshot;
    assert!(snapshot > 0);
    life.sell_bytes_after(snapshot, FEW.snapshot / 2).await;
    life.kill().await;

    let mut life = Life::begin(dir.path()).await;
    life.upkeep.round(false).await;
    assert_eq!(life.upkeep.snapshot, snapshot, "it is not due yet");
    life.sell_bytes_after(snapshot, FEW.snapshot).await;
    life.kill().await;

    let mut life = Life::begin(dir.path()).await;
    assert_eq!(life.upkeep.snapshot, snapshot);
    life.upkeep.round(false).await;
    assert!(life.upkeep.snapshot > snapshot, "it was due long ago");
    life.kill().await;
}

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
