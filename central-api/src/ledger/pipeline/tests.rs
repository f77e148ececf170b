//! What becomes of a ledger whose threads panic or whose disk hangs.

use std::sync::mpsc::channel;

use shared::domain::ids::{IdempotencyKey, ProductId};
use shared::domain::inventory::fingerprint;
use shared::domain::inventory::{Atomicity, Command, Move, Reason};
use shared::domain::origin::Origin;
use shared::service::system_clock::SystemClock;

use super::*;
use crate::journal::memory::MemoryJournal;
use crate::journal::{Frame, JournalReader, LogGen};
use crate::ledger::{Fold, KeyRetention, Ledger, LedgerOptions, Request, SubmitError};

/// A journal that panics in one of the threads, once the ledger has started.
#[derive(Debug)]
struct Panicking {
    journal: MemoryJournal,
    thread: &'static str,
    commits: usize,
}

impl Journal for Panicking {
    fn begin(&mut self) -> Result<Vec<Frame>, JournalError> {
        self.journal.begin()
    }

    fn commit(&mut self, frame: Frame) -> Result<Flush, JournalError> {
        self.commits += 1;
        let flush = self.journal.commit(frame)?;
        match self.thread {
            // The first is the start's own.
            _ if self.commits == 1 => Ok(flush),
            "ledger-writer" => panic!("on purpose"),
            _ => Ok(Flush::new(|| panic!("on purpose"))),
        }
    }

    fn abandon(&mut self) {
        self.journal.abandon();
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        self.journal.reader()
    }
}

fn sale() -> Request {
    let command = Command::Move {
        lines: vec![Move {
            product: ProductId::parse("A").unwrap(),
            delta: -1,
            reason: Reason::Sale,
            expected_version: None,
            reference: None,
            note: None,
        }],
        atomicity: Atomicity::PerItem,
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

#[tokio::test]
async fn a_panic_in_either_thread_ends_the_process() {
    for thread in ["ledger-writer", "ledger-flusher"] {
        let (tell, told) = channel();
        let keys = KeyRetention::default();
        let options = LedgerOptions {
            clock: Arc::new(SystemClock),
            log_gen: LogGen(1),
            keys,
            homes: Vec::new(),
            fatal: Box::new(move |error| drop(tell.send(error.to_string()))),
        };
        let journal = Box::new(Panicking {
            journal: MemoryJournal::new(Arc::default()),
            thread,
            commits: 0,
        });
        let (ledger, threads) = Ledger::start(journal, Fold::empty(keys), options).unwrap();
        let answer = ledger.submit(vec![sale()]).await;
        assert_eq!(answer.unwrap_err(), SubmitError::Unknown);
        threads.stop();
        let told: Vec<String> = told.try_iter().collect();
        let expected = format!("the thread {thread} panicked: on purpose");
        assert!(told.contains(&expected), "{told:?}");
    }
}

/// A journal of which the first sync after the start's waits to be let go.
#[derive(Debug)]
struct Hanging {
    journal: MemoryJournal,
    commits: usize,
    syncing: std::sync::mpsc::Sender<()>,
    go_on: Option<Receiver<()>>,
}

impl Journal for Hanging {
    fn begin(&mut self) -> Result<Vec<Frame>, JournalError> {
        self.journal.begin()
    }

    fn commit(&mut self, frame: Frame) -> Result<Flush, JournalError> {
        self.commits += 1;
        let flush = self.journal.commit(frame)?;
        if self.commits != 2 {
            return Ok(flush);
        }
        let (syncing, go_on) = (self.syncing.clone(), self.go_on.take());
        Ok(Flush::new(move || {
            syncing.send(()).unwrap();
            go_on.unwrap().recv().unwrap();
            flush.run()
        }))
    }

    fn abandon(&mut self) {
        self.journal.abandon();
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        self.journal.reader()
    }
}

#[tokio::test]
async fn a_disk_that_does_not_answer_is_noticed_though_nothing_waits() {
    let (syncing, is_syncing) = channel();
    let (let_go, go_on) = channel();
    let keys = KeyRetention::default();
    let options = LedgerOptions {
        clock: Arc::new(SystemClock),
        log_gen: LogGen(1),
        keys,
        homes: Vec::new(),
        fatal: Box::new(|error| panic!("{error}")),
    };
    let journal = Box::new(Hanging {
        journal: MemoryJournal::new(Arc::default()),
        commits: 0,
        syncing,
        go_on: Some(go_on),
    });
    let (ledger, threads) = Ledger::start(journal, Fold::empty(keys), options).unwrap();
    let asking = ledger.clone();
    let asked = tokio::spawn(async move { asking.submit(vec![sale()]).await });
    tokio::task::spawn_blocking(move || is_syncing.recv().unwrap())
        .await
        .unwrap();
    assert_eq!(ledger.queue_depth(), 0);
    assert!(ledger.held_up() > Duration::ZERO);
    assert!(ledger.published().syncing_for() > Duration::ZERO);
    let_go.send(()).unwrap();
    asked.await.unwrap().unwrap();
    threads.stop();
    assert_eq!(ledger.held_up(), Duration::ZERO);
    assert_eq!(ledger.published().syncing_for(), Duration::ZERO);
}
