//! The index over logs in memory: whatever was written when, what is lost, and what is damaged.

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use shared::disk::Disk;
use shared::disk::sim::{Cut, Faults, SimDisk};

use super::*;
use crate::journal::embedded::{Embedded, EmbeddedOptions};
use crate::journal::frame::{Counts, HEADER_BYTES};
use crate::journal::memory::{MemoryJournal, MemoryLog};
use crate::journal::{First, Frame, Journal, Offsets};

/// A log with events of orders, and what the index must say of them.
struct Log {
    log: Arc<dyn JournalReader>,
    journal: Box<dyn Journal>,
    next: First,
    last: HashMap<OrderId, u64>,
}

fn id(number: u32) -> OrderId {
    OrderId::parse(&format!("ord-{number}")).unwrap()
}

impl Log {
    /// In memory.
    fn new() -> Self {
        let log = Arc::<MemoryLog>::default();
        Self::over(Box::new(MemoryJournal::new(log)))
    }

    /// In the files of a disk, which has what `last` says.
    fn on(disk: &SimDisk, last: HashMap<OrderId, u64>) -> Self {
        let options = EmbeddedOptions {
            dir: "/data".into(),
            segment_bytes: 50_000,
        };
        let first = First {
            seq: 1,
            offsets: Offsets::default(),
        };
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let opened = Embedded::open::<JournalError>(disk, options, first, |_| Ok(()));
        let (journal, opened) = opened.unwrap();
        Self {
            next: opened.next,
            last,
            ..Self::over(Box::new(journal))
        }
    }

    fn over(journal: Box<dyn Journal>) -> Self {
        Self {
            log: journal.reader(),
            journal,
            next: First {
                seq: 1,
                offsets: Offsets::default(),
            },
            last: HashMap::new(),
        }
    }

    /// One frame with a record about each of `orders`, and one about none.
    fn append(&mut self, orders: &[u32]) {
        let mut bytes = vec![0; HEADER_BYTES];
        let mut seq = self.next.seq;
        for number in orders {
            let line = format!(
                "{{\"seq\":{seq},\"orders\":[{{\"data\":{{\"orderId\":\"ord-{number}\"}}}}]}}\n"
            );
            bytes.extend_from_slice(line.as_bytes());
            self.last.insert(id(*number), seq);
            seq += 1;
        }
        bytes.extend_from_slice(format!("{{\"seq\":{seq}}}\n").as_bytes());
        let count = u32::try_from(orders.len()).unwrap();
        let counts = Counts {
            records: count + 1,
            events: 0,
            order_events: count,
        };
        let frame = Frame::seal(bytes, self.next, counts);
        self.next = frame.header.next();
        self.journal.begin().unwrap();
        self.journal.commit(frame).unwrap().run().unwrap();
    }

    fn head(&self) -> u64 {
        self.next.seq - 1
    }

    fn runs(&self) -> Vec<RunName> {
        let runs = self.log.runs().unwrap().into_iter();
        let mut names: Vec<_> = runs.map(|(name, _)| name).collect();
        names.sort_unstable_by_key(|name| name.from);
        names
    }

    fn find(&self, index: &OrderIndex, id: &OrderId) -> Result<Option<u64>, JournalError> {
        let found = index.candidates(&*self.log, self.head(), id)?;
        assert!(found.is_sorted_by(|one, other| one > other), "{found:?}");
        Ok(found.first().copied())
    }

    #[track_caller]
    fn check(&self, index: &OrderIndex) {
        for (id, last) in &self.last {
            assert_eq!(self.find(index, id).unwrap(), Some(*last), "{id}");
        }
        assert_eq!(self.find(index, &id(u32::MAX)).unwrap(), None);
    }

    fn write(&self, index: &OrderIndex) {
        index.write(&*self.log, self.head()).unwrap();
    }
}

/// The runs follow each other from the first record to the last.
#[track_caller]
fn assert_whole(log: &Log) {
    let runs = log.runs();
    let next = runs.iter().fold(1, |next, run| {
        assert_eq!(run.from, next, "{runs:?}");
        run.to + 1
    });
    assert_eq!(next, log.head() + 1, "{runs:?}");
}

/// A log of `rounds` rounds, after each of which the index was written.
fn indexed(rounds: u32) -> (Log, OrderIndex) {
    let mut log = Log::new();
    let index = OrderIndex::default();
    for round in 0..rounds {
        let orders: Vec<u32> = (0..600).map(|number| number * (round + 1)).collect();
        log.append(&orders);
        log.write(&index);
    }
    (log, index)
}

#[test]
fn every_order_is_found_at_its_last_record_whenever_it_is_written_and_opened() {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut log = Log::new();
    let mut index = OrderIndex::default();
    for round in 0..60 {
        let count = rng.random_range(0..700);
        let orders: Vec<u32> = (0..count).map(|_| rng.random_range(0..20_000)).collect();
        log.append(&orders);
        if rng.random_bool(0.5) {
            log.write(&index);
        }
        if rng.random_bool(0.3) {
            index = OrderIndex::default();
        }
        if round % 10 == 9 {
            log.check(&index);
        }
    }
    assert!(log.runs().len() > 1);
}

#[test]
fn runs_are_few_and_cover_everything_once() {
    let (log, index) = indexed(100);
    let runs = log.runs();
    assert!(runs.len() < 10, "{runs:?}");
    assert_whole(&log);
    log.check(&index);
}

#[test]
fn what_is_missing_or_does_not_fit_is_made_again() {
    let (log, _) = indexed(40);
    let runs = log.runs();
    assert!(runs.len() > 2, "{runs:?}");
    let bytes = |name| log.log.read_run(name, 0, usize::MAX).unwrap();
    let put = |name, bytes: Vec<u8>| {
        let mut parts = std::iter::once(Ok(bytes));
        log.log.write_run(name, &mut parts).unwrap();
    };
    let kept: Vec<_> = runs.iter().map(|name| (*name, bytes(*name))).collect();
    let beyond = RunName {
        from: log.head() + 1,
        to: log.head() + 9,
    };
    let inside = RunName {
        from: runs[0].from,
        to: runs[0].to - 1,
    };
    let harm: [(&str, &dyn Fn()); 5] = [
        ("the first is missing", &|| {
            log.log.remove_runs(&runs[..1]).unwrap();
        }),
        ("the last is missing", &|| {
            log.log.remove_runs(&runs[runs.len() - 1..]).unwrap();
        }),
        ("a merge was interrupted", &|| put(inside, bytes(runs[0]))),
        ("one is of another log", &|| put(beyond, bytes(runs[1]))),
        ("one is cut", &|| put(runs[1], bytes(runs[1])[1..].to_vec())),
    ];
    for (what, harm) in harm {
        harm();
        println!("{what}");
        let index = OrderIndex::default();
        log.check(&index);
        log.write(&index);
        log.check(&index);
        let now = log.runs();
        assert!(!now.contains(&beyond) && !now.contains(&inside), "{now:?}");
        assert_whole(&log);
        log.log.remove_runs(&now).unwrap();
        kept.iter()
            .for_each(|(name, bytes)| put(*name, bytes.clone()));
    }
}

#[test]
fn damage_makes_questions_wait_until_the_index_is_made_again() {
    let (log, _) = indexed(40);
    let runs = log.runs();
    let mut bytes = log.log.read_run(runs[0], 0, usize::MAX).unwrap();
    bytes
        .iter_mut()
        .step_by(PAGE_BYTES)
        .for_each(|byte| *byte ^= 1);
    log.log
        .write_run(runs[0], &mut std::iter::once(Ok(bytes)))
        .unwrap();
    let index = OrderIndex::default();
    let found = log.find(&index, &id(1));
    assert!(matches!(found, Err(JournalError::Busy)), "{found:?}");
    assert!(index.is_damaged());
    // Before there are others, the log itself is read.
    let given_up = index.known.lock().give_up(&*log.log, log.head());
    given_up.unwrap();
    log.check(&index);
    log.write(&index);
    log.check(&index);
}

#[test]
fn runs_that_somebody_removes_are_made_again() {
    let disk = SimDisk::new(1, Faults::default());
    let mut log = Log::on(&disk, HashMap::new());
    let index = OrderIndex::default();
    log.append(&(0..900).collect::<Vec<_>>());
    log.write(&index);
    let path = format!("/data/index/{}", log.runs()[0]);
    disk.remove(path.as_ref()).unwrap();
    let found = log.find(&index, &id(1));
    assert!(matches!(found, Err(JournalError::Busy)), "{found:?}");
    assert!(index.is_damaged());
    log.write(&index);
    log.check(&index);
}

#[test]
fn a_run_that_cannot_be_merged_leaves_what_there_was() {
    let (mut log, _) = indexed(40);
    let runs = log.runs();
    let last = runs[runs.len() - 1];
    let mut bytes = log.log.read_run(last, 0, usize::MAX).unwrap();
    bytes[0] ^= 1;
    log.log
        .write_run(last, &mut std::iter::once(Ok(bytes)))
        .unwrap();
    log.append(&(0..2_000).collect::<Vec<_>>());
    let index = OrderIndex::default();
    let written = index.write(&*log.log, log.head());
    assert!(
        matches!(written, Err(JournalError::Damaged { .. })),
        "{written:?}"
    );
    assert_eq!(log.runs(), runs);
    log.write(&index);
    log.check(&index);
}

#[test]
fn no_cut_while_the_index_is_written_hides_an_order() {
    let mut ends = 0;
    for step in 1.. {
        let disk = SimDisk::new(step, Faults::default());
        let mut log = Log::on(&disk, HashMap::new());
        let index = OrderIndex::default();
        for round in 0..3 {
            log.append(&(round * 500..round * 700 + 900).collect::<Vec<_>>());
            log.write(&index);
        }
        log.append(&(0..2_000).step_by(3).collect::<Vec<_>>());
        let cut = [Cut::Power, Cut::Kill][usize::try_from(step % 2).unwrap()];
        disk.plan(Faults {
            cut: Some((disk.steps() + step, cut)),
            ..Faults::default()
        });
        let written = index.write(&*log.log, log.head());
        if !disk.has_ended() {
            written.unwrap();
            break;
        }
        ends += 1;
        let after = Log::on(&disk.restart(), log.last);
        let index = OrderIndex::default();
        after.check(&index);
        after.write(&index);
        after.check(&index);
        assert_whole(&after);
    }
    assert!(ends > 5, "{ends}");
}
