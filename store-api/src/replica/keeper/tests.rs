//! The keeper over a simulated disk: it follows, it survives a failing disk, it comes back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shared::disk::Disk;
use shared::disk::sim::{Faults, SimDisk};
use shared::view::{Catalogue, Head};

use super::*;
use crate::replica::live::{Incoming, Live};
use crate::replica::testing::{TestLog, fold, products, summary};
use shared::wire::event::FeedEvent;

const DIR: &str = "/cache";
const GEN: Gen = Gen(1);
const TICK: Duration = Duration::from_millis(5);

/// A live copy with its keeper, and the log that both follow.
struct Bench {
    log: TestLog,
    disk: SimDisk,
    live: Live,
    keeper: Keeper,
    wants: Arc<Notify>,
    at: usize,
}

impl Bench {
    /// Begins with an empty catalogue at offset 0.
    async fn new(events: usize) -> Self {
        let disk = SimDisk::new(1, Faults::default());
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (folder, copy) = Folder::open(Arc::clone(&shared), Path::new(DIR)).unwrap();
        assert!(copy.is_none());
        let live = Live::new(shared, folder.index());
        let wants = Arc::new(Notify::new());
        let keeper = Keeper::start(folder, None, TICK, Arc::clone(&wants)).unwrap();
        let position = Position {
            r#gen: GEN,
            offset: 0,
        };
        let writer = keeper.begin_install(position, 0).await.unwrap();
        let snapshot = writer.finish(0).unwrap();
        let install = Install {
            snapshot,
            runs: Vec::new(),
        };
        keeper
            .install(install, position, Summary::default())
            .await
            .unwrap();
        live.swap(
            Catalogue::load([], Head::default()),
            position,
            &[],
            vec![position],
        );
        let log = TestLog::default().fork(0, events, 3);
        Self {
            log,
            disk,
            live,
            keeper,
            wants,
            at: 0,
        }
    }

    /// Applies the next `count` events.
    async fn apply(&mut self, count: usize) {
        let until = self.log.boundary(self.at + count);
        let bytes = self.log.events[self.at..until].to_vec();
        let events: Vec<_> = bytes
            .iter()
            .map(|bytes| Incoming {
                event: FeedEvent::parse(std::str::from_utf8(bytes).unwrap()).unwrap(),
                bytes: bytes.clone(),
            })
            .collect();
        let tip = self.live.apply(GEN, &events);
        self.at = until;
        self.keeper.append(GEN, bytes, tip).await;
    }

    /// What the next process would find: where it stands, if it is right.
    fn found(&self) -> Option<usize> {
        let disk = self.disk.restart();
        let (_, copy) = Folder::open(Arc::new(disk), Path::new(DIR)).unwrap();
        let copy = copy?;
        let offset = usize::try_from(copy.end.offset).unwrap();
        let state = fold(&copy.products, copy.events.iter().map(|(event, _)| event));
        assert_eq!(products(&state), products(&self.log.state(offset)));
        Some(offset)
    }

    /// Does what the follower does when the keeper wants something.
    async fn rewrite_when_wanted(&self) {
        while !self.keeper.status().wants_rewrite() {
            self.wants.notified().await;
        }
        let tip = self.live.tip().unwrap();
        let products = self.live.shown().unwrap().catalogue.collect();
        self.keeper.rewrite(products, tip).await;
        self.keeper.flush().await;
    }
}

#[tokio::test]
async fn what_was_flushed_is_found_again() {
    let mut bench = Bench::new(200).await;
    for _ in 0..20 {
        bench.apply(7).await;
    }
    let at = bench.at;
    assert_eq!(
        bench.live.tip().unwrap().summary,
        summary(&bench.log.state(at))
    );
    bench.keeper.flush().await;
    assert_eq!(bench.found(), Some(at));
}

#[tokio::test]
async fn a_checkpoint_moves_the_snapshot_and_loses_nothing() {
    let mut bench = Bench::new(300).await;
    for round in 1..4 {
        bench.apply(60).await;
        bench.keeper.checkpoint().await;
        // The merge reports by itself; the tick that follows is not waited for.
        while bench.keeper.status().checkpoints() < round {
            tokio::time::sleep(TICK).await;
        }
        bench.apply(10).await;
    }
    bench.keeper.flush().await;
    let snapshots = bench.keeper.status().snapshots();
    assert_eq!(snapshots.len(), 2, "the one before stays");
    assert!(snapshots[0].1.offset > snapshots[1].1.offset && snapshots[1].1.offset > 0);
    assert_eq!(bench.live.index().oldest(), Some(snapshots[1].1.offset));
    assert_eq!(bench.found(), Some(bench.at));
}

#[tokio::test]
async fn a_failed_sync_ends_the_journal_and_a_rewrite_begins_it_afresh() {
    let mut bench = Bench::new(200).await;
    bench.apply(20).await;
    bench.keeper.flush().await;
    let durable = bench.at;
    bench.disk.plan(Faults {
        fail_sync: Some(bench.disk.syncs() + 1),
        ..Faults::default()
    });
    bench.apply(20).await;
    bench.keeper.flush().await;
    assert!(bench.keeper.status().is_broken());
    // Nothing more is written behind bytes that may be gone.
    bench.apply(20).await;
    bench.rewrite_when_wanted().await;
    assert!(!bench.keeper.status().is_broken());
    bench.apply(20).await;
    bench.keeper.flush().await;
    assert_eq!(bench.found(), Some(bench.at));
    assert!(bench.at > durable);
}

#[tokio::test]
async fn a_full_disk_is_survived_in_memory() {
    let mut bench = Bench::new(400).await;
    bench.apply(20).await;
    bench.keeper.flush().await;
    let written = bench.at;
    bench.disk.plan(Faults {
        full_after: Some(1),
        ..Faults::default()
    });
    for _ in 0..10 {
        bench.apply(10).await;
    }
    bench.keeper.flush().await;
    assert!(bench.keeper.status().is_broken());
    assert_eq!(
        bench.live.tip().unwrap().summary,
        summary(&bench.log.state(bench.at))
    );
    bench.rewrite_when_wanted().await;
    assert!(bench.keeper.status().is_broken(), "still full");
    // Somebody made room.
    bench.disk.plan(Faults::default());
    bench.rewrite_when_wanted().await;
    assert!(!bench.keeper.status().is_broken());
    assert!(bench.at > written);
    assert_eq!(bench.found(), Some(bench.at));
}
