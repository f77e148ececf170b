//! `central-api verify`: reads the whole journal and says everything that is wrong, and where.
//!
//! It folds every record from the first again, with rules of its own beside the fold's ([`rules`]):
//! what the writer promises is checked on what it wrote. Each snapshot is compared with the state
//! that the log has there. Nothing is changed, not even a torn end that a start would cut.
//!
//! Where retention has dropped the beginning, the oldest snapshot is taken as given, and the records
//! before it are checked for their frames and numbers only.

mod access;
mod books;
mod held;
mod orders;
mod rules;

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use bytes::Bytes;
use shared::causes::chain;
use shared::disk::{Disk, FsDisk};
use shared::limits;

use self::held::Held;
use crate::cli::complain;
use crate::config::Config;
use crate::journal::embedded::{EmbeddedOptions, read_snapshot, segment_seq, snapshots};
use crate::journal::frame::{Counts, HEADER_BYTES};
use crate::journal::scan::{ScanEnd, peek, scan};
use crate::journal::{Body, First, Frame, JournalError, LogGen, Offsets, Record};
use crate::ledger::{Fold, Retention, snapshot};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which file, relative to the data folder.
    pub file: String,
    /// Where in the file.
    pub byte: u64,
    /// Which record, if it is about one.
    pub record: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} byte {}", self.file, self.byte)?;
        if let Some(record) = self.record {
            write!(f, " record {record}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Records read.
    pub records: u64,
    /// Offset that the next event gets.
    pub next_offset: u64,
    /// Products in the catalogue at the end.
    pub products: usize,
    /// Digest of the catalogue at the end.
    pub digest: u64,
    /// Snapshots compared with the log.
    pub snapshots: usize,
    /// First record whose effect was checked; later than 1 if the log's beginning is gone.
    pub checked_from: u64,
    /// Last record whose effect was checked, if damage hides what follows from it.
    pub checked_to: Option<u64>,
    /// Bytes of a torn end, which the next start cuts; nobody was told about them.
    pub torn_bytes: u64,
    /// What is wrong, in the order of the log; at most a hundred.
    pub findings: Vec<Finding>,
    /// How much is wrong.
    pub wrong: u64,
}

impl Report {
    fn find(&mut self, file: &str, byte: u64, record: Option<u64>, what: impl Into<String>) {
        self.wrong += 1;
        if self.findings.len() < limits::FINDINGS_LISTED {
            self.findings.push(Finding {
                file: file.to_owned(),
                byte,
                record,
                what: what.into(),
            });
        }
    }
}

/// What `central-api verify` does.
#[must_use]
pub fn main(config: &Config) -> ExitCode {
    let dir = &config.data_dir;
    let lock = File::open(dir.join("lock"));
    if lock.as_ref().is_ok_and(|lock| lock.try_lock().is_err()) {
        complain("a service is using this folder; its last frame may look torn");
    }
    let report = match verify(&FsDisk, dir, config.retention()) {
        Ok(report) => report,
        Err(error) => {
            complain(&chain(&error));
            return ExitCode::FAILURE;
        }
    };
    let mut out = std::io::stdout().lock();
    let said = say(&mut out, &report);
    if said.is_ok() && report.wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn say(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    if report.torn_bytes > 0 {
        let bytes = report.torn_bytes;
        writeln!(
            out,
            "a torn end of {bytes} bytes, which the next start cuts"
        )?;
    }
    if report.checked_from > 1 {
        let from = report.checked_from;
        writeln!(
            out,
            "effects are checked from record {from}, after a snapshot"
        )?;
    }
    if let Some(to) = report.checked_to {
        writeln!(
            out,
            "effects are checked up to record {to} only, since what follows builds on what is damaged"
        )?;
    }
    writeln!(
        out,
        "{} records, next offset {}, {} products, digest {}, {} snapshots: {}",
        report.records,
        report.next_offset,
        report.products,
        LogGen(report.digest),
        report.snapshots,
        match report.wrong {
            0 => "nothing is wrong".to_owned(),
            1 => "1 thing is wrong".to_owned(),
            wrong => format!("{wrong} things are wrong"),
        }
    )
}

/// Checks the journal and the snapshots in `dir`.
///
/// # Errors
/// A file cannot be read. What is in the files is never an error but a finding.
pub fn verify(
    disk: &dyn Disk,
    dir: &Path,
    retention: impl Into<Retention>,
) -> Result<Report, JournalError> {
    let retention = retention.into();
    let names = disk
        .list(&dir.join("journal"))
        .map_err(JournalError::io("list", "journal"))?;
    let options = EmbeddedOptions {
        dir: dir.to_owned(),
        segment_bytes: 0,
    };
    let mut segments: Vec<u64> = names.iter().filter_map(|name| segment_seq(name)).collect();
    segments.sort_unstable();
    let mut snapshots = snapshots(disk, &options)?;
    snapshots.reverse();
    let mut verifier = Verifier {
        disk,
        options,
        retention,
        fold: Fold::empty(retention),
        held: Held::default(),
        report: Report {
            checked_from: 1,
            ..Report::default()
        },
        snapshots,
        next_seq: 1,
        next_offsets: None,
        whole: true,
    };
    let Some(first) = segments.first().copied() else {
        verifier
            .report
            .find("journal", 0, None, "there are no segments");
        return Ok(verifier.report);
    };
    verifier.begin(first)?;
    for (index, seq) in segments.iter().enumerate() {
        if !verifier.segment(*seq, index + 1 == segments.len())? {
            verifier.whole = false;
            break;
        }
    }
    Ok(verifier.end())
}

struct Verifier<'a> {
    disk: &'a dyn Disk,
    options: EmbeddedOptions,
    retention: Retention,
    fold: Fold,
    held: Held,
    report: Report,
    /// Records of the snapshots that are still to be compared, oldest first.
    snapshots: Vec<u64>,
    next_seq: u64,
    next_offsets: Option<Offsets>,
    /// Whether every segment could be read to its end.
    whole: bool,
}

impl Verifier<'_> {
    /// Takes up the state before the first record there is.
    fn begin(&mut self, first: u64) -> Result<(), JournalError> {
        self.next_seq = first;
        if first == 1 {
            self.next_offsets = Some(Offsets::default());
            return Ok(());
        }
        let mut led = false;
        while !led && !self.snapshots.is_empty() {
            let seq = self.snapshots.remove(0);
            if let Some(fold) = self.load(seq)?.filter(|_| seq + 1 >= first) {
                // Nothing tells whether it is the log's, but it can contradict itself.
                let held = Held::of(fold.state.inventory.reservations());
                for what in books::standing(&fold.state, &held) {
                    self.report.find(&file_of(seq), 0, Some(seq), what);
                }
                (self.fold, self.held) = (fold, held);
                led = true;
            }
        }
        if !led {
            let what = format!("the log begins at record {first}, and no snapshot leads to it");
            self.report.find("journal", 0, None, what);
        }
        self.report.checked_from = self.fold.seq + 1;
        Ok(())
    }

    /// Loads the snapshot at `seq`, or says what is wrong with it.
    fn load(&mut self, seq: u64) -> Result<Option<Fold>, JournalError> {
        let bytes = read_snapshot(self.disk, &self.options, seq)?;
        let loaded = snapshot::load(&bytes, seq, self.retention);
        let found = loaded.map_err(|error| {
            let what = error.to_string();
            self.report.find(&file_of(seq), 0, Some(seq), what);
        });
        Ok(found.ok())
    }

    /// Reads one segment. `false` if what follows cannot be read in sequence.
    fn segment(&mut self, seq: u64, is_last: bool) -> Result<bool, JournalError> {
        let name = format!("journal/{seq:020}.ndjson");
        if seq != self.next_seq {
            let what = format!("record {} was expected to begin this file", self.next_seq);
            self.report.find(&name, 0, Some(seq), what);
            return Ok(false);
        }
        let path = self.options.dir.join(&name);
        let bytes = self.disk.read(&path);
        let bytes = Bytes::from(bytes.map_err(JournalError::io("read", &name))?);
        let offsets = self
            .next_offsets
            .or_else(|| peek(&bytes).map(|header| header.first.offsets))
            .unwrap_or_default();
        let found = scan(&bytes, First { seq, offsets });
        let mut at = 0;
        for frame in &found.frames {
            self.frame(&name, at, frame)?;
            at += frame.bytes.len() as u64;
        }
        let rest = bytes.len() as u64 - found.valid;
        let what = match found.end {
            ScanEnd::Clean => return Ok(true),
            ScanEnd::Torn if is_last => {
                self.report.torn_bytes = rest;
                return Ok(true);
            }
            ScanEnd::Torn => "not a frame".to_owned(),
            ScanEnd::FramesAfter(next) => format!("not a frame, though one begins at byte {next}"),
            ScanEnd::OutOfSequence => "a frame that does not follow the one before it".to_owned(),
        };
        let record = Some(self.next_seq);
        self.report.find(&name, found.valid, record, what);
        Ok(false)
    }

    fn frame(&mut self, file: &str, at: u64, frame: &Frame) -> Result<(), JournalError> {
        let mut byte = at + HEADER_BYTES as u64;
        let (mut counts, mut readable) = (Counts::default(), true);
        for line in frame.lines() {
            let seq = frame.header.first.seq + u64::from(counts.records);
            counts.records += 1;
            match Record::parse(line) {
                Ok(record) => {
                    let effect = record.seq == self.fold.seq + 1;
                    if record.seq != seq {
                        let what = format!("it is numbered {}", record.seq);
                        self.report.find(file, byte, Some(seq), what);
                    }
                    let Offsets { inventory, orders } = frame.header.first.offsets;
                    let offsets = Offsets {
                        inventory: inventory + u64::from(counts.events),
                        orders: orders + u64::from(counts.order_events),
                    };
                    let (events, order_events) = rules::events(&record);
                    counts.events += events;
                    counts.order_events += order_events;
                    let mut found = rules::shape(line, &record, offsets);
                    if effect {
                        found.extend(rules::effect(&self.fold, &record));
                        if let Body::Decision(body) = &record.body {
                            let before = self.fold.state.inventory.reservations();
                            self.held.apply(before, &body.decision);
                        }
                        self.fold.apply(&record);
                        if let Body::Decision(body) = &record.body {
                            let state = &self.fold.state;
                            found.extend(books::after(state, &self.held, &body.decision));
                        }
                    }
                    for what in found {
                        self.report.find(file, byte, Some(seq), what);
                    }
                    self.compare_snapshot()?;
                }
                Err(error) => {
                    readable = false;
                    self.report.find(file, byte, Some(seq), chain(&error));
                }
            }
            byte += line.len() as u64 + 1;
        }
        let header = frame.header;
        if readable && counts != header.counts {
            let Counts {
                records,
                events,
                order_events,
            } = counts;
            let what = format!(
                "the frame holds {records} records, {events} events and {order_events} of orders"
            );
            self.report.find(file, at, Some(header.first.seq), what);
        }
        self.report.records += u64::from(counts.records);
        self.next_seq = header.next_seq();
        self.next_offsets = Some(header.next_offsets());
        Ok(())
    }

    /// Compares the snapshot at the record that was just folded, if there is one.
    fn compare_snapshot(&mut self) -> Result<(), JournalError> {
        while self
            .snapshots
            .first()
            .is_some_and(|seq| *seq <= self.fold.seq)
        {
            let seq = self.snapshots.remove(0);
            if seq < self.fold.seq {
                continue;
            }
            self.report.snapshots += 1;
            if let Some(loaded) = self.load(seq)? {
                let keys = snapshot::keys(&read_snapshot(self.disk, &self.options, seq)?);
                for what in rules::differences(&self.fold, &loaded, &keys) {
                    self.report.find(&file_of(seq), 0, Some(seq), what);
                }
            }
        }
        Ok(())
    }

    fn end(mut self) -> Report {
        let last = self.next_seq - 1;
        if !self.whole || self.fold.seq < last {
            self.report.checked_to = Some(self.fold.seq);
        }
        for seq in std::mem::take(&mut self.snapshots) {
            // Where the log cannot be read on, nothing is known of what a snapshot is compared with.
            if self.whole && seq > last {
                let what = format!("the log ends before it, at record {last}");
                self.report.find(&file_of(seq), 0, Some(seq), what);
            }
        }
        let inventory = &self.fold.state.inventory;
        if inventory.digest() != inventory.recomputed_digest() {
            let what = "the digest that was kept is not that of the products";
            self.report.find("journal", 0, None, what);
        }
        self.report.next_offset = self.next_offsets.unwrap_or_default().inventory;
        self.report.products = inventory.len();
        self.report.digest = inventory.recomputed_digest();
        self.report
    }
}

fn file_of(seq: u64) -> String {
    format!("snapshots/snapshot-{seq:020}.ndjson")
}
