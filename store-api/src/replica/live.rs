//! The live copy: the catalogue that readers see, and where it stands.
//!
//! One task publishes (the follower); everybody else reads. A batch of events goes in by
//! [`Live::apply`], another log by [`Live::swap`], which replaces the whole catalogue at once: a
//! reader that holds the old one goes on with it undisturbed.
//!
//! What must stay true: the events of one answer, which holds whole decisions, are seen by a list all or
//! none; when [`Live::watch`] says that the copy stands at an offset, every read that
//! begins afterwards sees everything below it; and events are given only to who asks for the copy
//! that they are of. Files, tail and tip are replaced one after the other, so the number of the copy
//! that is coming is raised before the first of them and looked at after each read.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::RwLock;
use shared::disk::Disk;
use shared::domain::inventory::EventKind;
use shared::limits;
use shared::view::{Catalogue, Change};
use shared::wire::event::FeedEvent;
use tokio::sync::watch;

use super::files::{Index, Summary};
use super::position::{Gen, Position};
use super::tail::{Tail, TailEvent};

/// An event as it came: what it says, and its bytes.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// What it says.
    pub event: FeedEvent,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Incoming {
    fn ends_batch(&self) -> bool {
        let batch = self.event.batch;
        batch.is_none_or(|batch| batch.index.saturating_add(1) >= batch.size)
    }
}

/// Where the live copy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its position.
    pub position: Position,
    /// What the catalogue can be compared by at that position.
    pub summary: Summary,
    /// Grows with each swap: offsets of two different copies are not comparable.
    pub copy: u64,
}

/// What readers see.
#[derive(Debug)]
pub struct Shown {
    /// The products.
    pub catalogue: Catalogue,
    generation: AtomicU64,
}

impl Shown {
    /// The generation that the catalogue's offset counts in. Read it after the offset: it is set
    /// before events of a new generation are published.
    #[must_use]
    pub fn generation(&self) -> Gen {
        Gen(self.generation.load(Ordering::Acquire))
    }
}

/// The live copy.
#[derive(Debug)]
pub struct Live {
    shown: ArcSwap<Shown>,
    tip: watch::Sender<Option<Tip>>,
    tail: Tail,
    disk: Arc<dyn Disk>,
    index: Arc<Index>,
    generations: RwLock<Vec<Position>>,
    /// The copy whose events the files and the tail hold, or are about to.
    coming: AtomicU64,
}

/// What there is from an offset on.
#[derive(Debug, PartialEq, Eq)]
pub enum Stretch {
    /// These events.
    Events(Vec<Bytes>),
    /// Nothing yet: the offset is the head.
    AtHead,
    /// The offset lies beyond the head.
    Ahead,
    /// The events before this offset are no longer here.
    Gone(u64),
    /// The copy that was asked about is giving way to another one.
    Replaced,
}

impl Live {
    /// A live copy of nothing, over the journals of a folder.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, index: Arc<Index>) -> Self {
        Self {
            shown: ArcSwap::from_pointee(Shown {
                catalogue: Catalogue::new(),
                generation: AtomicU64::new(0),
            }),
            tip: watch::Sender::new(None),
            tail: Tail::default(),
            disk,
            generations: RwLock::new(index.generations()),
            coming: AtomicU64::new(0),
            index,
        }
    }

    /// The generations that this copy went through, oldest first, each with the offset from which
    /// on it was the one in force *here*. Its true beginning lies at or after that.
    #[must_use]
    pub fn generations(&self) -> Vec<Position> {
        self.generations.read().clone()
    }

    /// What to read from; `None` before the first sync.
    #[must_use]
    pub fn shown(&self) -> Option<Arc<Shown>> {
        self.tip.borrow().as_ref()?;
        Some(self.shown.load_full())
    }

    /// Where the copy stands; `None` before the first sync.
    #[must_use]
    pub fn tip(&self) -> Option<Tip> {
        *self.tip.borrow()
    }

    /// Tells whenever the copy moves.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Tip>> {
        self.tip.subscribe()
    }

    /// Folds the events of one answer in; they continue the copy exactly. The whole answer becomes
    /// visible before anybody is told. Returns where the copy stands then.
    ///
    /// # Panics
    /// Before the first [`Live::swap`]; the follower has no position then and asks for no events.
    pub fn apply(&self, r#gen: Gen, events: &[Incoming]) -> Tip {
        let tip = self.tip().expect("events continue a copy");
        let shown = self.shown.load();
        shown.generation.store(r#gen.0, Ordering::Release);
        if r#gen != tip.position.r#gen {
            let mut generations = self.generations.write();
            generations.push(Position {
                r#gen,
                offset: tip.position.offset,
            });
            if generations.len() > limits::GENERATIONS_KEPT {
                generations.remove(0);
            }
        }
        let offset = tip.position.offset + events.len() as u64;
        let head = shown.catalogue.fold(changes(events), offset, offset);
        self.tail.push(events.iter().map(|incoming| TailEvent {
            bytes: incoming.bytes.clone(),
            ends_batch: incoming.ends_batch(),
        }));
        let tip = Tip {
            position: Position { r#gen, offset },
            summary: Summary {
                count: shown.catalogue.len() as u64,
                digest: head.digest,
            },
            copy: tip.copy,
        };
        self.tip.send_replace(Some(tip));
        tip
    }

    /// Says that another catalogue is about to take the place of this one: from now on the files
    /// may hold its events. [`Live::swap`] must follow.
    pub fn begin_swap(&self) {
        let coming = self.tip().map_or(0, |tip| tip.copy + 1);
        self.coming.store(coming, Ordering::Release);
    }

    /// Puts another catalogue in the place of this one. `recent` are the last events that led to
    /// it and `generations` where they came from, for those who follow us.
    pub fn swap(
        &self,
        catalogue: Catalogue,
        position: Position,
        recent: &[Incoming],
        generations: Vec<Position>,
    ) -> Tip {
        self.begin_swap();
        let copy = self.coming.load(Ordering::Acquire);
        let tip = Tip {
            position,
            summary: Summary {
                count: catalogue.len() as u64,
                digest: catalogue.head().digest,
            },
            copy,
        };
        self.shown.store(Arc::new(Shown {
            catalogue: catalogue.in_whole(),
            generation: AtomicU64::new(position.r#gen.0),
        }));
        *self.generations.write() = generations;
        self.tail.restart(position.offset - recent.len() as u64);
        self.tail.push(recent.iter().map(|incoming| TailEvent {
            bytes: incoming.bytes.clone(),
            ends_batch: incoming.ends_batch(),
        }));
        self.tip.send_replace(Some(tip));
        tip
    }

    /// What there is from `offset` on in the copy `of`, out of memory or the journals. Blocks on
    /// the disk for old offsets.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(&self, of: u64, offset: u64, limit: usize) -> io::Result<Stretch> {
        let Some(tip) = self.tip() else {
            return Ok(Stretch::Ahead);
        };
        match offset.cmp(&tip.position.offset) {
            std::cmp::Ordering::Equal => return Ok(Stretch::AtHead),
            std::cmp::Ordering::Greater => return Ok(Stretch::Ahead),
            std::cmp::Ordering::Less => {}
        }
        if let Some(found) = self.read_recent(of, offset, limit) {
            return Ok(found);
        }
        let found = self.index.read(&*self.disk, offset, limit)?;
        let oldest = || self.index.oldest().unwrap_or(tip.position.offset);
        let found = found
            .filter(|events| !events.is_empty())
            .map_or_else(|| Stretch::Gone(oldest()), Stretch::Events);
        Ok(self.still(of, found))
    }

    /// The same out of memory only, for callers that may not block.
    #[must_use]
    pub fn read_recent(&self, of: u64, offset: u64, limit: usize) -> Option<Stretch> {
        let events = self.tail.read(offset, limit)?;
        Some(self.still(of, Stretch::Events(events)))
    }

    /// What was found, if it is certain that it is of the copy `of`.
    fn still(&self, of: u64, found: Stretch) -> Stretch {
        if self.coming.load(Ordering::Acquire) == of {
            found
        } else {
            Stretch::Replaced
        }
    }

    /// The journals' index.
    #[must_use]
    pub const fn index(&self) -> &Arc<Index> {
        &self.index
    }
}

/// The changes in events; unknown types change nothing.
pub fn changes(events: &[Incoming]) -> impl Iterator<Item = Change<'_>> {
    events.iter().filter_map(|incoming| {
        let (kind, product) = incoming.event.change.as_ref()?;
        Some(Change {
            product,
            live: *kind != EventKind::Deleted,
            record: incoming.event.offset,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use shared::disk::FsDisk;
    use shared::view::{Head, ListRequest};

    use super::*;
    use crate::replica::files::{Folder, Install, row_of};
    use crate::replica::testing::{TestLog, products};

    #[test]
    fn nobody_gets_the_events_of_another_copy_while_it_is_replaced() {
        // The story: a relay took over another log. The files are replaced before the tip is, and a
        // poll in between was given the new log's events under the old log's name.
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(FsDisk);
        let (mut folder, _) = Folder::open(Arc::clone(&disk), Path::new(dir.path())).unwrap();
        let live = Live::new(disk, folder.index());
        let position = |of, offset| Position {
            r#gen: Gen(of),
            offset,
        };
        let logs = [1, 2].map(|seed| TestLog::default().fork(0, 20, seed));
        let mut install = |log: &TestLog, of: u64| {
            let start = log.boundary(5);
            let state = log.state(start);
            let rows = products(&state);
            let mut writer = folder
                .begin_install(position(of, start as u64), rows.len() as u64)
                .unwrap();
            for row in &rows {
                writer.row(&row_of(b"", row)).unwrap();
            }
            let snapshot = writer.finish(state.digest()).unwrap();
            let runs = vec![(Gen(of), log.events[start..].to_vec())];
            folder.install(&Install { snapshot, runs }).unwrap();
        };
        let swap = |log: &TestLog, of: u64| {
            let end = log.events.len() as u64;
            let head = Head {
                orders: 0,
                offset: end,
                digest: 0,
                seq: end,
            };
            let catalogue = Catalogue::load(std::iter::empty(), head);
            live.swap(catalogue, position(of, end), &[], vec![position(of, 0)])
        };
        let asked = |log: &TestLog| log.boundary(8);

        live.begin_swap();
        install(&logs[0], 1);
        let tip = swap(&logs[0], 1);
        let at = asked(&logs[0]);
        let first = Stretch::Events(vec![logs[0].events[at].clone()]);
        let read = |of, at: usize| match live.read(of, at as u64, 1).unwrap() {
            Stretch::Events(events) => Stretch::Events(events[..1].to_vec()),
            other => other,
        };
        assert_eq!(read(tip.copy, at), first);

        live.begin_swap();
        install(&logs[1], 2);
        assert_eq!(live.tip(), Some(tip), "not yet");
        assert_eq!(read(tip.copy, at), Stretch::Replaced);

        let tip = swap(&logs[1], 2);
        let at = asked(&logs[1]);
        let second = Stretch::Events(vec![logs[1].events[at].clone()]);
        assert_eq!(read(tip.copy, at), second);
        assert_eq!(read(tip.copy - 1, at), Stretch::Replaced);
        assert_ne!(first, second);
    }
    /// Goal: whatever moment a list is read at, it is what the log had made at the end of an answer.
    /// Method: one thread applies answers, another lists; the digest of each list must be that of such
    /// a state.
    #[test]
    fn a_list_is_a_prefix_of_the_log_while_answers_go_in() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(FsDisk);
        let (folder, _) = Folder::open(Arc::clone(&disk), Path::new(dir.path())).unwrap();
        let live = Live::new(disk, folder.index());
        let start = Position {
            r#gen: Gen(1),
            offset: 0,
        };
        let empty = Catalogue::load(std::iter::empty(), Head::default());
        live.swap(empty, start, &[], vec![start]);
        let log = TestLog::default().fork(0, 4_000, 7);
        let ends: Vec<usize> = (0..=80).map(|answer| log.boundary(answer * 50)).collect();
        let states = ends.iter().map(|end| log.state(*end).digest());
        let states: HashSet<u64> = states.collect();
        let limit = [("limit", "200")];
        let request = ListRequest::from_pairs(limit).unwrap();
        let digest = || {
            let page = live.shown().unwrap().catalogue.list(&request);
            let rows = page.products.iter().map(|row| row.product.digest());
            rows.fold(0, u64::wrapping_add)
        };
        let is_over = AtomicBool::new(false);
        let reads = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !is_over.load(Ordering::Acquire) {
                    assert!(states.contains(&digest()), "a part of an answer is seen");
                    reads.fetch_add(1, Ordering::AcqRel);
                }
            });
            for (at, answer) in ends.windows(2).enumerate() {
                // Not before the other thread has begun.
                while at == 1 && reads.load(Ordering::Acquire) == 0 && !reader.is_finished() {
                    std::thread::yield_now();
                }
                let incoming = |bytes: &Bytes| {
                    let text = std::str::from_utf8(bytes).unwrap();
                    let event = FeedEvent::parse(text).unwrap();
                    let bytes = bytes.clone();
                    Incoming { event, bytes }
                };
                let events = log.events[answer[0]..answer[1]].iter().map(incoming);
                live.apply(Gen(1), &events.collect::<Vec<_>>());
            }
            is_over.store(true, Ordering::Release);
        });
        assert_eq!(digest(), log.state(*ends.last().unwrap()).digest());
    }
}
