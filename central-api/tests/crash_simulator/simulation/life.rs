//! One process: recover, serve, end.

use std::path::PathBuf;
use std::sync::Arc;

use central_api::journal::LogGen;
use central_api::journal::embedded::{Embedded, EmbeddedOptions};
use central_api::journal::{Flush, Frame, Journal, JournalError, JournalReader, Record};
use central_api::ledger::open::recover;
use central_api::ledger::snapshot::{Copied, Cut, entries_of};
use central_api::ledger::writer::Draft;
use central_api::ledger::{Answer, Books, KeyRetention, Publication, Request, Writer};
use rand::Rng;
use shared::causes::chain;
use shared::clock::Timestamp;
use shared::disk::Disk;
use shared::disk::sim::{Faults, SimDisk};
use shared::domain::inventory::state::Entry;
use shared::view::Catalogue;

use super::plant::{Plant, PlantedDisk};
use super::{Stop, World};

/// Lives until the work is done, or until the machine stops.
pub(super) fn live(world: &mut World, disk: &SimDisk, faults: Faults) -> Result<(), Stop> {
    let mut process = Process::start(world, disk, faults)?;
    let turns = process.world.rng.random_range(0..25);
    for _ in 0..turns {
        match process.world.rng.random_range(0..20) {
            0 => process.take_snapshot()?,
            1 => process.drop_old_segments()?,
            _ => process.turn()?,
        }
    }
    if process.world.rng.random() {
        process.settle()?;
    }
    Ok(())
}

/// Lives a while without faults, and takes two snapshots on the way.
pub(super) fn work(world: &mut World, disk: &SimDisk) -> Result<(), Stop> {
    let mut process = Process::start(world, disk, Faults::default())?;
    for turn in 0..60 {
        process.turn()?;
        if turn % 25 == 24 {
            process.take_snapshot()?;
        }
    }
    process.settle()
}

/// Where the files are.
pub(super) fn options(segment_bytes: u64) -> EmbeddedOptions {
    EmbeddedOptions {
        dir: PathBuf::from("/data"),
        segment_bytes,
    }
}

struct Process<'w> {
    world: &'w mut World,
    disk: SimDisk,
    faults: Faults,
    journal: Embedded,
    reader: Arc<dyn JournalReader>,
    writer: Writer,
    view: Catalogue,
    books: Books,
    in_flight: Option<InFlight>,
}

/// A frame that the flusher has, and the answers that wait for it.
struct InFlight {
    flush: Flush,
    publication: Publication,
    answers: Vec<(Request, Answer)>,
}

impl<'w> Process<'w> {
    fn start(world: &'w mut World, disk: &SimDisk, faults: Faults) -> Result<Self, Stop> {
        let planted: Arc<dyn Disk> = Arc::new(PlantedDisk {
            disk: disk.clone(),
            plant: world.plant,
        });
        let options = options(world.segment_bytes);
        let mut recovered = match recover(&planted, &options, world.retention) {
            Ok(recovered) => recovered,
            Err(error) => {
                world.stats.cut_while_recovering += 1;
                return Err(world.stop(disk, faults, &error));
            }
        };
        if let Some(error) = recovered.bad_snapshots.first() {
            return Err(Stop::Broken(chain(error)));
        }
        let reader = recovered.journal.reader();
        // The auditor's own reads are not part of the story.
        let steps = disk.steps();
        disk.plan(world.plant.faults());
        let found = world.promises.audit(&recovered.fold, &*reader)?;
        let cut = faults.cut.map(|(at, cut)| (at + disk.steps() - steps, cut));
        disk.plan(Faults { cut, ..faults });

        world.stats.kept_unanswered += found.kept_untold;
        world.stats.lost_unanswered += found.lost_untold;
        world.stats.cut_tails += u64::from(recovered.opened.cut_bytes > 0);
        world.stats.snapshot_starts += u64::from(recovered.snapshot_seq > 0);
        world.tell(|| {
            format!(
                "recovered from snapshot {} at call {steps}: {:?}, {found:?}",
                recovered.snapshot_seq, recovered.opened
            )
        });
        if world.plant == Plant::KeysForgotten {
            recovered.fold.keys =
                central_api::ledger::keys::KeyWindow::new(KeyRetention::default());
        }
        let mut process = Self {
            disk: disk.clone(),
            faults: Faults { cut, ..faults },
            journal: recovered.journal,
            reader,
            writer: Writer::new(recovered.fold),
            view: Catalogue::new(),
            books: Books::default(),
            in_flight: None,
            world,
        };
        process.begin_generation()?;
        Ok(process)
    }

    /// As the ledger starts: the first frame of a life is its generation, and then it serves.
    fn begin_generation(&mut self) -> Result<(), Stop> {
        let mut draft = self.begin()?;
        let log_gen = LogGen(self.world.rng.random());
        self.writer.begin_generation(&mut draft, log_gen);
        self.hand_over(draft, Vec::new())?;
        self.settle()?;
        self.view = Catalogue::load(entries_of(self.writer.fold()), self.writer.head());
        self.books = Books::of(&self.writer.fold().state);
        Ok(())
    }

    /// Decides a frame while the one before it is in flight, and hands it over once that is durable.
    fn turn(&mut self) -> Result<(), Stop> {
        let mut draft = self.begin()?;
        let mut answers = Vec::new();
        self.decide_some(&mut draft, &mut answers);
        self.settle()?;
        if self.world.rng.random_bool(0.3) {
            self.decide_some(&mut draft, &mut answers);
        }
        self.hand_over(draft, answers)?;
        if self.world.rng.random() {
            self.settle()?;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<Draft, Stop> {
        // Clocks go back now and then.
        self.world.now += self.world.rng.random_range(-20..100);
        let now = Timestamp::from_millis(self.world.now);
        let begun = self.writer.begin(&mut self.journal, now);
        let (draft, _) = begun.map_err(|error| self.stop(&error))?;
        Ok(draft)
    }

    fn decide_some(&mut self, draft: &mut Draft, answers: &mut Vec<(Request, Answer)>) {
        for _ in 0..self.world.rng.random_range(1..4) {
            let request = self.world.customers.request(&mut self.world.rng);
            let answer = self.writer.decide(draft, &request);
            answers.push((request, answer));
        }
    }

    fn hand_over(&mut self, draft: Draft, answers: Vec<(Request, Answer)>) -> Result<(), Stop> {
        let finished = self.writer.finish(&mut self.journal, draft);
        let (flush, publication) = finished.map_err(|error| self.stop(&error))?;
        if let Some((frame, _)) = &publication.frame {
            let records = records(frame)?;
            self.world.promises.written(records);
        }
        self.in_flight = Some(InFlight {
            flush,
            publication,
            answers,
        });
        Ok(())
    }

    /// Makes the frame in flight durable, shows it, and answers.
    fn settle(&mut self) -> Result<(), Stop> {
        let Some(InFlight {
            flush,
            publication,
            answers,
        }) = self.in_flight.take()
        else {
            return Ok(());
        };
        if self.world.plant == Plant::AnswerBeforeSync {
            self.answer(&answers)?;
        }
        flush.run().map_err(|error| self.stop(&error))?;
        publication.show(&self.view, &self.books, |_| {});
        self.answer(&answers)
    }

    fn answer(&mut self, answers: &[(Request, Answer)]) -> Result<(), Stop> {
        let told = self.world.promises.told();
        self.world.promises.tell()?;
        for (request, answer) in answers {
            self.world.promises.check_answer(request, answer)?;
            self.world.stats.replays += u64::from(matches!(answer, Answer::Replay { .. }));
        }
        self.world.stats.answered += (self.world.promises.told() - told) as u64;
        Ok(())
    }

    /// Takes a snapshot while the writer goes on.
    fn take_snapshot(&mut self) -> Result<(), Stop> {
        let since = self.view.head().seq;
        let mut copied = Copied::default();
        if self.world.plant == Plant::SnapshotAheadOfLog {
            copied.entries = entries_of(self.writer.fold());
        } else {
            let mut places = Vec::new();
            self.view.for_each(|published, last_record| {
                places.push((published.product.id.clone(), published.live, last_record));
            });
            // One product after the other, with the writer's turns in between.
            for (id, _, _) in places {
                if let Some(published) = self.view.published(id.as_str()) {
                    copied.entries.push(Entry {
                        product: published.product.clone(),
                        live: published.live,
                        last_record: self.view.last_record(id.as_str()).unwrap_or(0),
                    });
                }
                if self.world.rng.random_bool(0.2) {
                    self.turn()?;
                }
            }
        }
        if self.world.plant != Plant::SnapshotAheadOfLog {
            copied.reservations = self.books.copy_reservations();
            self.turn()?;
            copied.orders = self.books.copy_orders();
        }
        let cut = Cut::complete(copied, since, &*self.reader, self.world.retention);
        let cut = cut.map_err(|error| self.stop(&error))?;
        let parts: Vec<Vec<u8>> = cut.parts().collect();
        let bytes = parts.concat();
        // In small parts, with the writer's turns in between.
        let mut stopped = None;
        let reader = Arc::clone(&self.reader);
        let size = bytes.len() / 3 + 1;
        let mut parts = bytes.chunks(size).map_while(|part| {
            if stopped.is_none() && self.world.rng.random_bool(0.2) {
                stopped = self.turn().err();
            }
            stopped.is_none().then(|| part.to_vec())
        });
        let mut written = reader.write_snapshot(cut.seq(), &mut parts);
        if let Some(stop) = stopped {
            return Err(stop);
        }
        if written.is_err() && self.faults.full_after.is_some() && !self.disk.has_ended() {
            // A full disk costs a snapshot, not the process; there is room again later.
            self.faults.full_after = None;
            self.disk.plan(self.faults);
            written = reader.write_snapshot(cut.seq(), &mut cut.parts());
        }
        match written {
            Ok(()) => {
                self.world.stats.snapshots += 1;
                self.world
                    .tell(|| format!("snapshot {} is written", cut.seq()));
                Ok(())
            }
            Err(error) => Err(self.stop(&error)),
        }
    }

    /// Drops the segments that not even the older snapshot needs.
    fn drop_old_segments(&mut self) -> Result<(), Stop> {
        let snapshots = self.reader.snapshots();
        let snapshots = snapshots.map_err(|error| self.stop(&error))?;
        let [.., older] = snapshots.as_slice() else {
            return Ok(());
        };
        if snapshots.len() < 2 {
            return Ok(());
        }
        let before = self.reader.size().segments;
        let dropped = self.reader.drop_before(older + 1);
        dropped.map_err(|error| self.stop(&error))?;
        let after = self.reader.size().segments;
        self.world.stats.dropped += (before - after) as u64;
        if after < before {
            self.world
                .tell(|| format!("{} segments before {older} are dropped", before - after));
        }
        Ok(())
    }

    fn stop(&mut self, error: &JournalError) -> Stop {
        self.world.stop(&self.disk, self.faults, error)
    }
}

fn records(frame: &Frame) -> Result<Vec<Record>, String> {
    let parse = |line| Record::parse(line).map_err(|error| error.to_string());
    frame.lines().map(parse).collect()
}
