//! Readers of the log beside others.

use shared::domain::ids::{IdempotencyKey, ProductId};
use shared::domain::inventory::fingerprint;
use shared::domain::inventory::{Atomicity, Command, Details, NewProduct};
use shared::domain::origin::Origin;
use shared::service::system_clock::SystemClock;

use super::*;
use crate::feed::answer::{self, FeedHead};
use crate::journal::memory::{MemoryJournal, MemoryLog};
use crate::ledger::{Ledger, LedgerOptions, LedgerThreads, Outcome, Request, SubmitError};

fn start(log: &Arc<MemoryLog>) -> (Ledger, LedgerThreads) {
    let keys = KeyRetention::default();
    let options = LedgerOptions {
        clock: Arc::new(SystemClock),
        log_gen: LogGen(1),
        keys,
        homes: Vec::new(),
        fatal: Box::new(|error| panic!("{error}")),
    };
    let journal = Box::new(MemoryJournal::new(Arc::clone(log)));
    Ledger::start(journal, Fold::empty(keys), options).unwrap()
}

fn creation() -> Request {
    let command = Command::Create {
        items: vec![NewProduct {
            product: ProductId::parse("A").unwrap(),
            details: Details {
                name: "A".to_owned().into(),
                ..Details::default()
            },
            on_hand: 1,
        }],
        atomicity: Atomicity::All,
    };
    Request {
        origin: Origin {
            key: Some(IdempotencyKey::parse("key").unwrap()),
            ..Origin::internal("test")
        },
        fingerprint: fingerprint(&command, None),
        command: command.into(),
    }
}

#[tokio::test(start_paused = true)]
async fn old_events_and_repeats_take_turns_with_all_who_read_the_log() {
    let log = Arc::default();
    let (before, threads) = start(&log);
    before.decide(creation()).await.unwrap();
    threads.stop();
    // This one has the event in its log only.
    let (ledger, threads) = start(&log);
    let published = ledger.published();
    let head = FeedHead::of(published.head(), Stream::Inventory);
    let everybody = u32::try_from(limits::LOG_READERS).unwrap();
    let turns = published.log_readers.acquire_many(everybody).await.unwrap();
    let read = answer::read(published, 0, 10, head).await;
    assert!(matches!(read, Err(JournalError::Busy)), "{read:?}");
    let repeated = ledger.decide(creation()).await;
    assert!(
        matches!(repeated, Err(SubmitError::Unknown)),
        "{repeated:?}"
    );
    drop(turns);
    assert_eq!(answer::read(published, 0, 10, head).await.unwrap().count, 1);
    let repeated = ledger.decide(creation()).await;
    assert!(
        matches!(repeated, Ok(Outcome::Decided { replayed: true, .. })),
        "{repeated:?}"
    );
    threads.stop();
}
