//! The ledger over files and over shared memory, driven step by step.

use std::path::Path;
use std::sync::Arc;

use central_api::journal::embedded::EmbeddedOptions;
use central_api::journal::memory::{MemoryJournal, MemoryLog};
use central_api::journal::{Journal, LogGen};
use central_api::ledger::fold::Fold;
use central_api::ledger::open::recover;
use central_api::ledger::snapshot::{Copied, Cut, entries_of};
use central_api::ledger::{Answer, KeyRetention, Request, Writer};
use shared::clock::Timestamp;
use shared::disk::{Disk, FsDisk};
use shared::domain::ids::{IdempotencyKey, ProductId};
use shared::domain::inventory::fingerprint;
use shared::domain::inventory::{
    Atomicity, Command, Details, Inventory, ItemResult, Move, NewProduct, Reason,
};
use shared::domain::origin::Origin;

const NOW: Timestamp = Timestamp::from_millis(1_768_473_000_123);

/// A writer over some journal, flushed after each request.
struct Ledger<J> {
    journal: J,
    writer: Writer,
}

impl<J: Journal> Ledger<J> {
    fn ask(&mut self, request: &Request) -> Answer {
        let (mut draft, _) = self.writer.begin(&mut self.journal, NOW).unwrap();
        let answer = self.writer.decide(&mut draft, request);
        let (flush, _) = self.writer.finish(&mut self.journal, draft).unwrap();
        flush.run().unwrap();
        answer
    }

    fn begin_generation(&mut self, log_gen: u64) {
        let (mut draft, _) = self.writer.begin(&mut self.journal, NOW).unwrap();
        self.writer.begin_generation(&mut draft, LogGen(log_gen));
        let (flush, _) = self.writer.finish(&mut self.journal, draft).unwrap();
        flush.run().unwrap();
    }

    fn inventory(&self) -> &Inventory {
        &self.writer.fold().state.inventory
    }
}

fn over_files(dir: &Path) -> Ledger<central_api::journal::embedded::Embedded> {
    let disk: Arc<dyn Disk> = Arc::new(FsDisk);
    let options = EmbeddedOptions {
        dir: dir.to_owned(),
        segment_bytes: 4_096,
    };
    let recovered = recover(&disk, &options, KeyRetention::default()).unwrap();
    Ledger {
        journal: recovered.journal,
        writer: Writer::new(recovered.fold),
    }
}

fn over_memory(log: &Arc<MemoryLog>) -> Ledger<MemoryJournal> {
    let fold = Fold::empty(KeyRetention::default());
    Ledger {
        journal: MemoryJournal::new(Arc::clone(log)),
        writer: Writer::new(fold),
    }
}

fn request(key: &str, command: Command) -> Request {
    let key = Some(IdempotencyKey::parse(key).unwrap());
    let origin = Origin {
        key,
        ..Origin::internal("test")
    };
    let fingerprint = fingerprint(&command, None);
    Request {
        origin,
        command: command.into(),
        fingerprint,
    }
}

fn create(id: &str, on_hand: i64) -> Command {
    let details = Details {
        name: id.into(),
        ..Details::default()
    };
    let product = ProductId::parse(id).unwrap();
    Command::Create {
        items: vec![NewProduct {
            product,
            details,
            on_hand,
        }],
        atomicity: Atomicity::PerItem,
    }
}

fn sell(id: &str, units: i64) -> Command {
    let line = Move {
        product: ProductId::parse(id).unwrap(),
        delta: -units,
        reason: Reason::Sale,
        expected_version: None,
        reference: None,
        note: None,
    };
    Command::Move {
        lines: vec![line],
        atomicity: Atomicity::PerItem,
    }
}

fn applied(answer: &Answer) -> bool {
    matches!(answer, Answer::Decided(decided)
        if decided.decision.results.iter().all(|result| matches!(result, ItemResult::Applied(_))))
}

#[test]
fn what_was_decided_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = over_files(dir.path());
    ledger.begin_generation(7);
    assert!(applied(&ledger.ask(&request("c", create("A", 100)))));
    for sale in 0..60 {
        assert!(applied(
            &ledger.ask(&request(&format!("s{sale}"), sell("A", 1)))
        ));
    }
    let refused = ledger.ask(&request("too-many", sell("A", 50)));
    assert!(!applied(&refused));
    let head = ledger.writer.head();
    drop(ledger);

    let mut ledger = over_files(dir.path());
    assert_eq!(ledger.writer.head(), head);
    assert_eq!(ledger.inventory().get("A").unwrap().available(), 40);
    assert_eq!(
        ledger.inventory().digest(),
        ledger.inventory().recomputed_digest()
    );
    assert!(ledger.journal.reader().size().segments > 3);
    // Keys are remembered, those of refusals too, and a reused one is noticed.
    for key in ["c", "s0", "s59", "too-many"] {
        let command = match key {
            "c" => create("A", 100),
            "too-many" => sell("A", 50),
            _ => sell("A", 1),
        };
        assert!(
            matches!(ledger.ask(&request(key, command)), Answer::Replay { .. }),
            "{key}"
        );
    }
    assert!(matches!(
        ledger.ask(&request("s0", sell("A", 2))),
        Answer::KeyReused
    ));
    assert_eq!(ledger.writer.head(), head);
}

#[test]
fn a_snapshot_and_the_log_after_it_give_what_the_log_gives() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = over_files(dir.path());
    ledger.begin_generation(7);
    ledger.ask(&request("c", create("A", 100)));
    ledger.ask(&request("d", create("B", 3)));
    ledger.ask(&request("e", sell("B", 9)));
    for round in 0..3 {
        // The copy is made, and records come in before it is complete.
        let copied = Copied {
            entries: entries_of(ledger.writer.fold()),
            ..Copied::default()
        };
        let since = ledger.writer.head().seq;
        ledger.ask(&request(&format!("s{round}"), sell("A", 1)));
        ledger.ask(&request(
            &format!("n{round}"),
            create(&format!("N{round}"), 1),
        ));
        ledger.ask(&request(&format!("r{round}"), sell("B", 7)));
        let reader = ledger.journal.reader();
        let cut = Cut::complete(copied, since, &*reader, KeyRetention::default()).unwrap();
        assert_eq!(cut.seq(), ledger.writer.head().seq);
        reader.write_snapshot(cut.seq(), &mut cut.parts()).unwrap();
        ledger.ask(&request(&format!("t{round}"), sell("A", 1)));
    }
    assert_eq!(ledger.journal.reader().snapshots().unwrap().len(), 2);
    let live = entries_of(ledger.writer.fold());
    let head = ledger.writer.head();
    drop(ledger);

    let mut with_snapshot = over_files(dir.path());
    assert_eq!(with_snapshot.writer.head(), head);
    let sorted = |mut entries: Vec<shared::domain::inventory::state::Entry>| {
        entries.sort_by(|one, other| one.product.id.cmp(&other.product.id));
        entries
    };
    assert_eq!(
        sorted(entries_of(with_snapshot.writer.fold())),
        sorted(live.clone())
    );
    for key in ["c", "d", "e", "s0", "r2", "t2"] {
        let used = with_snapshot.writer.fold().keys.get(
            &Origin::internal("test").principal,
            &IdempotencyKey::parse(key).unwrap(),
        );
        assert!(used.is_some(), "{key}");
    }
    assert!(matches!(
        with_snapshot.ask(&request("s0", sell("A", 1))),
        Answer::Replay { .. }
    ));
    drop(with_snapshot);

    for entry in std::fs::read_dir(dir.path().join("snapshots")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let from_log = over_files(dir.path());
    assert_eq!(from_log.writer.head(), head);
    assert_eq!(sorted(entries_of(from_log.writer.fold())), sorted(live));
}

#[test]
fn two_centrals_over_one_log_both_write_catch_up_and_agree() {
    let log = Arc::new(MemoryLog::default());
    let (mut one, mut other) = (over_memory(&log), over_memory(&log));
    one.begin_generation(1);
    other.begin_generation(2);
    assert!(applied(&one.ask(&request("c", create("A", 10)))));
    let mut sold = 0;
    for round in 0..8 {
        let (first, second) = if round % 2 == 0 {
            (&mut one, &mut other)
        } else {
            (&mut other, &mut one)
        };
        sold += usize::from(applied(
            &first.ask(&request(&format!("a{round}"), sell("A", 1))),
        ));
        sold += usize::from(applied(
            &second.ask(&request(&format!("b{round}"), sell("A", 1))),
        ));
        // One key has one effect, whichever central is asked again.
        let again = second.ask(&request(&format!("a{round}"), sell("A", 1)));
        assert!(matches!(again, Answer::Replay { .. }));
    }
    assert_eq!(sold, 10);
    // Asking for nothing new brings the one that is behind up to date.
    one.ask(&request("c", create("A", 10)));
    other.ask(&request("c", create("A", 10)));
    assert_eq!(one.writer.head(), other.writer.head());
    assert_eq!(one.inventory().get("A"), other.inventory().get("A"));
    assert_eq!(one.inventory().get("A").unwrap().available(), 0);
}

#[test]
fn a_torn_last_frame_is_cut_and_damage_before_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = over_files(dir.path());
    ledger.ask(&request("c", create("A", 10)));
    ledger.ask(&request("s", sell("A", 1)));
    drop(ledger);
    let segment = dir.path().join("journal/00000000000000000001.ndjson");
    let whole = std::fs::read(&segment).unwrap();
    let first = whole
        .windows(9)
        .rposition(|window| window == b"{\"frame\":")
        .unwrap();

    for end in first..whole.len() {
        std::fs::write(&segment, &whole[..end]).unwrap();
        let ledger = over_files(dir.path());
        assert_eq!(ledger.writer.head().seq, 1, "cut at {end}");
        assert_eq!(std::fs::metadata(&segment).unwrap().len(), first as u64);
    }

    let mut damaged = whole;
    damaged[first / 2] ^= 1;
    std::fs::write(&segment, &damaged).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(FsDisk);
    let options = EmbeddedOptions {
        dir: dir.path().to_owned(),
        segment_bytes: 4_096,
    };
    let error = recover(&disk, &options, KeyRetention::default()).unwrap_err();
    assert!(error.to_string().contains("damaged at byte 0"), "{error}");
    // Nothing was cut: the bytes are there for whoever repairs them.
    assert_eq!(std::fs::read(&segment).unwrap(), damaged);
}
