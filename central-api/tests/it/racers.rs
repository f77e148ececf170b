//! Many callers who insist on the same version, and ledgers that share a log: the running ledger
//! over shared memory.

use std::collections::HashSet;
use std::sync::Arc;

use central_api::journal::LogGen;
use central_api::journal::memory::{MemoryJournal, MemoryLog};
use central_api::ledger::{
    Decided, Fold, KeyRetention, Ledger, LedgerOptions, LedgerThreads, Outcome, Request,
    SubmitError,
};
use futures_util::future::{join_all, poll_immediate};
use shared::domain::ids::IdempotencyKey;
use shared::domain::inventory::fingerprint;
use shared::domain::inventory::{Atomicity, Command, ItemResult, Move, Reason, Rejection};
use shared::domain::origin::Origin;
use shared::service::system_clock::SystemClock;

use crate::served::{PATIENCE, create, decide, id};

fn start(log: &Arc<MemoryLog>, log_gen: u64) -> (Ledger, LedgerThreads) {
    let keys = KeyRetention::default();
    let options = LedgerOptions {
        clock: Arc::new(SystemClock),
        log_gen: LogGen(log_gen),
        keys,
        homes: Vec::new(),
        fatal: Box::new(|error| panic!("{error}")),
    };
    let journal = Box::new(MemoryJournal::new(Arc::clone(log)));
    Ledger::start(journal, Fold::empty(keys), options).unwrap()
}

/// Sells one unit of `A` if that is at `version`.
fn sale(key: &str, version: u64) -> Request {
    let command = Command::Move {
        lines: vec![Move {
            product: id("A"),
            delta: -1,
            reason: Reason::Sale,
            expected_version: Some(version),
            reference: None,
            note: None,
        }],
        atomicity: Atomicity::PerItem,
    };
    Request {
        origin: Origin {
            key: Some(IdempotencyKey::parse(key).unwrap()),
            ..Origin::internal("test")
        },
        fingerprint: fingerprint(&command, None),
        command: command.into(),
    }
}

fn decided(outcome: Outcome) -> (Arc<Decided>, bool) {
    match outcome {
        Outcome::Decided { decided, replayed } => (decided, replayed),
        Outcome::KeyReused => panic!("every key is used once"),
    }
}

/// The version that a refused caller is told.
fn told(decided: &Decided) -> Option<u64> {
    match decided.decision.results.as_slice() {
        [ItemResult::Applied(_)] => None,
        [ItemResult::Refused(Rejection::VersionConflict { version, .. })] => Some(*version),
        other => panic!("{other:?}"),
    }
}

/// Races until it has won `wins` times; gives the versions that it made.
async fn race(ledger: Ledger, racer: usize, wins: usize) -> Vec<u64> {
    let (mut version, mut made, mut attempt) = (1, Vec::new(), 0);
    while made.len() < wins {
        attempt += 1;
        let request = sale(&format!("{racer}-{attempt}"), version);
        let (decided, replayed) = decided(ledger.decide(request).await.unwrap());
        assert!(!replayed);
        match told(&decided) {
            None => {
                version = decided.decision.events[0].product.version;
                made.push(version);
            }
            Some(present) => {
                assert!(present > version, "told {present} at {version}");
                let durable = ledger.view().get("A").unwrap().product.version;
                assert!(present <= durable, "told of what is not durable");
                version = present;
            }
        }
    }
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racers_for_one_version_win_one_at_a_time_until_all_have_won() {
    const RACERS: usize = 24;
    const WINS: usize = 5;
    let (ledger, threads) = start(&Arc::default(), 1);
    decide(&ledger, create(["A".to_owned()], 1_000)).await;
    let racers = (0..RACERS).map(|racer| tokio::spawn(race(ledger.clone(), racer, WINS)));
    let made = tokio::time::timeout(PATIENCE, join_all(racers))
        .await
        .expect("nobody starves");
    let made: Vec<u64> = made.into_iter().flat_map(Result::unwrap).collect();
    let versions: HashSet<u64> = made.iter().copied().collect();
    assert_eq!(made.len(), RACERS * WINS);
    assert_eq!(versions.len(), made.len(), "each version was made once");
    let product = ledger.view().get("A").unwrap().product.clone();
    assert_eq!(product.version, 1 + made.len() as u64);
    assert_eq!(product.available(), 1_000 - made.len() as i64);
    tokio::task::spawn_blocking(|| threads.stop())
        .await
        .unwrap();
}

#[tokio::test]
async fn whoever_waits_to_be_told_is_told_before_the_ledger_ends() {
    let (ledger, threads) = start(&Arc::default(), 1);
    decide(&ledger, create(["A".to_owned()], 10)).await;
    let requests = (0..32).map(|number| sale(&format!("k{number}"), 7));
    let mut late: Vec<_> = requests
        .map(|request| Box::pin(ledger.decide(request)))
        .collect();
    for caller in &mut late {
        assert!(poll_immediate(caller).await.is_none());
    }
    tokio::task::spawn_blocking(|| threads.stop())
        .await
        .unwrap();
    for outcome in join_all(late).await {
        let (decided, _) = decided(outcome.unwrap());
        assert_eq!(told(&decided), Some(1));
        assert_eq!(decided.seq, None, "a version conflict is not remembered");
    }
    let after = ledger.decide(sale("after", 1)).await;
    assert!(matches!(after, Err(SubmitError::Refused(_))));
}

#[tokio::test]
async fn a_repeat_gets_its_first_answer_although_its_version_is_long_past() {
    let (ledger, threads) = start(&Arc::default(), 1);
    decide(&ledger, create(["A".to_owned()], 10)).await;
    for version in 1..5 {
        let sold = ledger.decide(sale(&format!("k{version}"), version)).await;
        assert_eq!(told(&decided(sold.unwrap()).0), None);
    }
    let repeats = (0..8).map(|_| ledger.decide(sale("k1", 1)));
    for outcome in join_all(repeats).await {
        let (decided, replayed) = decided(outcome.unwrap());
        assert!(replayed);
        assert_eq!(decided.decision.events[0].product.version, 2);
    }
    tokio::task::spawn_blocking(|| threads.stop())
        .await
        .unwrap();
}

#[tokio::test]
async fn what_another_central_writes_shows_without_being_asked_for() {
    let log = Arc::default();
    let (one, threads_one) = start(&log, 1);
    let (other, threads_other) = start(&log, 2);
    let mut heads = one.published().watch();
    decide(&other, create(["A".to_owned()], 10)).await;
    let wanted = other.published().head();
    let shown = heads.wait_for(|head| *head == wanted);
    tokio::time::timeout(PATIENCE, shown)
        .await
        .expect("the other's commit is taken in")
        .unwrap();
    assert!(one.view().get("A").is_some());
    let stop = || {
        threads_one.stop();
        threads_other.stop();
    };
    tokio::task::spawn_blocking(stop).await.unwrap();
}
