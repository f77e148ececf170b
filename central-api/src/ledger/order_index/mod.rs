//! Where the log has what was last said of an order that is not in memory any more.
//!
//! Orders that ended long ago are forgotten, and the log still has them. Scanning it for one takes as
//! long as a start without a snapshot, so runs lie beside it ([`run`]): sorted files of hashes of order
//! ids and the last records with events of them. A run follows from the records that it covers and
//! from nothing else; a run is written after each snapshot, and runs of like size are merged, so that
//! there are few of them and each order is copied a few times only. What is newer than the runs is read
//! from the log when somebody asks, and remembered.
//!
//! What must stay true: an index may be stale, damaged or missing, and is never believed: what it leads
//! to is read, and must be about the order. What is missing is made from the log again. So nothing in
//! here is needed for a start, and nothing is lost with it.

mod run;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use shared::domain::ids::OrderId;
use shared::limits;

use self::run::{Entry, PAGE_BYTES, Run, hash};
use crate::journal::record::OrdersOfRecord;
use crate::journal::{JournalError, JournalReader, RunName};

/// Bytes of the log that are read at a time.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// The index, for many readers and one who writes it.
#[derive(Debug, Default)]
pub(super) struct OrderIndex {
    known: Mutex<Known>,
    /// Held while runs are written.
    writing: Mutex<()>,
    /// Whether a run did not check out, so that all have to be made again.
    damaged: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    /// Oldest first, each beginning where the one before ends; `None` until they were looked for.
    runs: Option<Vec<Run>>,
    /// Orders in the records after the runs, and the last of these records about each.
    recent: HashMap<OrderId, u64>,
    /// The record up to which `recent` has everything.
    looked_to: u64,
}

impl OrderIndex {
    /// Records that may be the last with an event of the order, latest first; for a log that ends at
    /// `head`. A record of another order may be among them.
    ///
    /// # Errors
    /// The log or a run cannot be read; [`JournalError::Busy`] if a run is damaged, or more of the log
    /// is to be indexed than one reader should read: the runs are written again soon.
    pub(super) fn candidates(
        &self,
        journal: &dyn JournalReader,
        head: u64,
        id: &OrderId,
    ) -> Result<Vec<u64>, JournalError> {
        let mut known = self.known.lock();
        let covered = covered(known.open(journal, head)?, journal);
        known.catch_up(journal, covered, head)?;
        let mut found: Vec<u64> = known.recent.get(id).copied().into_iter().collect();
        let hash = hash(id);
        let mut runs = known.runs.iter().flatten();
        let searched = runs.try_for_each(|run| run.search(journal, hash, &mut found));
        self.noting_damage(searched).map_err(|error| match error {
            JournalError::Damaged { .. } => JournalError::Busy,
            error => error,
        })?;
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.dedup();
        Ok(found)
    }

    /// Whether a run did not check out, so that they should be written again soon.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    fn noting_damage<T>(&self, read: Result<T, JournalError>) -> Result<T, JournalError> {
        if let Err(error @ JournalError::Damaged { .. }) = &read {
            tracing::error!(%error, "the index of old orders is damaged and is made again");
            self.damaged.store(true, Ordering::Relaxed);
        }
        read
    }

    /// Brings the runs up to `head`, where the log ends. Takes a while; readers go on.
    ///
    /// # Errors
    /// The log cannot be read or a run cannot be written; what there was is still there.
    pub(super) fn write(&self, journal: &dyn JournalReader, head: u64) -> Result<(), JournalError> {
        let _turn = self.writing.lock();
        loop {
            if self.damaged.swap(false, Ordering::Relaxed) {
                self.known.lock().give_up(journal, head)?;
            }
            let runs = self.known.lock().usable(journal, head)?;
            let covered = covered(&runs, journal);
            if covered >= head {
                return Ok(());
            }
            let mut recent = HashMap::new();
            let to = read(journal, covered, head, &mut recent)?;
            let written = write_run(journal, &runs, covered, &recent, to);
            let (run, kept) = self.noting_damage(written)?;
            let mut known = self.known.lock();
            let mut runs = runs;
            let merged: Vec<Run> = runs.drain(kept..).collect();
            runs.push(run);
            known.runs = Some(runs);
            known.recent.retain(|_, record| *record > to);
            // Whoever searches holds the lock, so nobody misses them.
            remove(journal, &merged)?;
        }
    }
}

/// The record up to which `runs` have everything that there is.
fn covered(runs: &[Run], journal: &dyn JournalReader) -> u64 {
    let dropped = journal.oldest().seq - 1;
    runs.last().map_or(dropped, |run| run.name.to.max(dropped))
}

impl Known {
    /// The runs, which are looked for the first time; those that do not fit are removed.
    fn open(&mut self, journal: &dyn JournalReader, head: u64) -> Result<&[Run], JournalError> {
        let runs = match self.runs.take() {
            Some(runs) => runs,
            None => look_for(journal, head)?,
        };
        Ok(self.runs.insert(runs))
    }

    /// A copy of the runs to go on from, without those that retention has made useless.
    fn usable(&mut self, journal: &dyn JournalReader, head: u64) -> Result<Vec<Run>, JournalError> {
        let oldest = journal.oldest().seq;
        let all = self.open(journal, head)?.iter().copied();
        let (stale, kept): (Vec<Run>, Vec<Run>) = all.partition(|run| run.name.to < oldest);
        self.runs = Some(kept.clone());
        remove(journal, &stale)?;
        Ok(kept)
    }

    /// Forgets and removes every run, so that the log alone is left to read.
    fn give_up(&mut self, journal: &dyn JournalReader, head: u64) -> Result<(), JournalError> {
        let all = self.open(journal, head)?.to_vec();
        *self = Self {
            runs: Some(Vec::new()),
            ..Self::default()
        };
        remove(journal, &all)
    }

    /// Reads the log after the record `covered`, or as far as was read before, up to `head`.
    fn catch_up(
        &mut self,
        journal: &dyn JournalReader,
        covered: u64,
        head: u64,
    ) -> Result<(), JournalError> {
        self.looked_to = self.looked_to.max(covered);
        if self.looked_to >= head {
            return Ok(());
        }
        let recent = &mut self.recent;
        match read(journal, self.looked_to, head, recent) {
            Ok(reached) => self.looked_to = reached,
            // Dropped by retention since `covered` was asked for.
            Err(JournalError::Gone { .. }) => return Err(JournalError::Busy),
            Err(error) => return Err(error),
        }
        if self.looked_to < head {
            // Whoever writes the runs is on the way to here.
            return Err(JournalError::Busy);
        }
        Ok(())
    }
}

fn remove(journal: &dyn JournalReader, runs: &[Run]) -> Result<(), JournalError> {
    let names: Vec<RunName> = runs.iter().map(|run| run.name).collect();
    journal.remove_runs(&names)
}

/// The runs that there are, if they fit each other and a log that ends at `head`; others are removed.
fn look_for(journal: &dyn JournalReader, head: u64) -> Result<Vec<Run>, JournalError> {
    let mut names = journal.runs()?;
    // Of those that begin together the longest first: a merge that was interrupted left the others.
    names.sort_unstable_by_key(|(name, _)| (name.from, std::cmp::Reverse(name.to)));
    let oldest = journal.oldest().seq;
    let mut next = oldest;
    let mut runs = Vec::new();
    let mut others = Vec::new();
    for (name, bytes) in names {
        let page = PAGE_BYTES as u64;
        let fits = name.from <= next && next <= name.to && name.to <= head && bytes % page == 0;
        if fits {
            next = name.to + 1;
            let pages = bytes / page;
            runs.push(Run { name, pages });
        } else {
            others.push(name);
        }
    }
    journal.remove_runs(&others)?;
    Ok(runs)
}

/// Adds to `found` the orders with events in the records after `after`, and the last of these records
/// about each, until `to` is reached or there are many. Returns the last record that was looked at,
/// or `to` if the log ends before.
fn read(
    journal: &dyn JournalReader,
    after: u64,
    to: u64,
    found: &mut HashMap<OrderId, u64>,
) -> Result<u64, JournalError> {
    let mut reached = after;
    while reached < to {
        let frames = journal.frames_from_seq(reached + 1, READ_BYTES)?;
        if frames.is_empty() {
            return Ok(to);
        }
        for frame in frames {
            if frame.header.counts.order_events > 0 {
                for line in frame.lines() {
                    let record = OrdersOfRecord::parse(line);
                    let record = record.map_err(|error| frame.damaged(error.to_string()))?;
                    let orders = record.orders.into_iter();
                    found.extend(orders.map(|order| (order, record.seq)));
                }
            }
            reached = frame.header.next_seq() - 1;
            if found.len() >= limits::ORDERS_INDEXED_AT_ONCE {
                return Ok(reached);
            }
        }
    }
    Ok(reached)
}

/// Writes a run of what `recent` says of the records from `covered` to `to`, together with the last of
/// `runs` that are not much larger. Returns it, and how many of `runs` are left before it.
fn write_run(
    journal: &dyn JournalReader,
    runs: &[Run],
    covered: u64,
    recent: &HashMap<OrderId, u64>,
    to: u64,
) -> Result<(Run, usize), JournalError> {
    let entry = |(id, record): (&OrderId, &u64)| Entry {
        hash: hash(id),
        record: *record,
    };
    let mut entries: Vec<Entry> = recent.iter().map(entry).collect();
    entries.sort_unstable();
    let mut pages = run::pages_of(entries.len());
    let mut kept = runs.len();
    for run in runs.iter().rev() {
        if run.pages > pages.saturating_mul(2) {
            break;
        }
        pages += run.pages;
        kept -= 1;
    }
    let merged = runs.get(kept..).unwrap_or_default();
    let from = merged.first().map_or(covered + 1, |run| run.name.from);
    let name = RunName { from, to };
    let oldest = journal.oldest().seq;
    let written = run::write(journal, name, merged, entries, oldest)?;
    Ok((written, kept))
}
