//! The folder over a simulated disk that stops at every single step.
//!
//! Goal: whatever the moment, the next start finds the exact state of one log at one offset, at a
//! batch border, no older than the last sync that was reported, and goes on from there to the end.
//! Method: one story (receive a snapshot, append, sync, change generation, checkpoint, meet another
//! log, receive its snapshot) is run once to count its steps, then once for each step with the end
//! of the world there, by power cut and by kill. The controls plant lies into the disk and into the
//! files and expect the same checks to fail.

mod contents;
mod crashes;
mod damage;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use shared::disk::Disk;
use shared::disk::sim::{Cut, Faults, PowerCut, SimDisk};

use super::{Copy, Finished, Folder, Install, MergeFault, Served, Summary, row_of};
use crate::replica::position::{Gen, Position};
use crate::replica::testing::{TestLog, fold, products, summary};

const DIR: &str = "/cache";
const G1: Gen = Gen(0x1111);
const G2: Gen = Gen(0x2222);
const G3: Gen = Gen(0x3333);
/// Where the second generation of log A begins.
const G2_AT: usize = 60;
/// Where log B leaves log A.
const FORK_AT: usize = 40;

struct Story {
    a: TestLog,
    b: TestLog,
}

impl Story {
    fn new(seed: u64) -> Self {
        let a = TestLog::default().fork(0, 120, seed);
        let keep = a.boundary(FORK_AT);
        let b = a.fork(keep, 60, seed ^ 0xb);
        Self { a, b }
    }

    fn log(&self, of: Gen) -> &TestLog {
        if of == G3 { &self.b } else { &self.a }
    }
}

/// What was reported durable: an offset of a log.
type Durable = Option<(Gen, u64)>;

fn receive(
    folder: &mut Folder,
    log: &TestLog,
    position: Position,
    tail: usize,
) -> std::io::Result<()> {
    let at = usize::try_from(position.offset).unwrap();
    let state = log.state(at);
    let rows = products(&state);
    let mut writer = folder.begin_install(position, rows.len() as u64)?;
    for row in &rows {
        let text = row_of(b"", row).into_owned();
        writer.row(&text)?;
    }
    let snapshot: Finished = writer.finish(state.digest())?;
    let runs = vec![(position.r#gen, log.events[at..log.boundary(tail)].to_vec())];
    folder.install(&Install { snapshot, runs })
}

fn append(
    folder: &mut Folder,
    log: &TestLog,
    of: Gen,
    to: usize,
    step: usize,
) -> std::io::Result<()> {
    loop {
        let from = usize::try_from(folder.end().offset).unwrap();
        if from >= log.boundary(to) {
            return Ok(());
        }
        let until = log.boundary((from + step).min(to));
        folder.append(of, &log.events[from..until])?;
    }
}

fn checkpoint(folder: &mut Folder, log: &TestLog) -> std::io::Result<()> {
    let state = log.state(usize::try_from(folder.end().offset).unwrap());
    let Some(job) = folder.begin_checkpoint(summary(&state))? else {
        return Ok(());
    };
    match job.run() {
        Ok(finished) => folder.finish_checkpoint(&finished),
        Err(MergeFault::Io(error)) => Err(error),
        Err(fault) => panic!("{fault:?}"),
    }
}

/// Plays the story from where the folder stands to its end.
fn play(story: &Story, disk: &SimDisk, durable: &mut Durable) -> std::io::Result<()> {
    let (mut folder, copy) = Folder::open(Arc::new(disk.clone()), Path::new(DIR))?;
    let mut note = |folder: &Folder| *durable = Some((folder.end().r#gen, folder.end().offset));
    let (a, b) = (&story.a, &story.b);
    let on_a = copy.as_ref().is_none_or(|copy| copy.end.r#gen != G3);
    if on_a {
        if copy.is_none() {
            let at = a.boundary(20) as u64;
            let position = Position {
                r#gen: G1,
                offset: at,
            };
            receive(&mut folder, a, position, 25)?;
            note(&folder);
        }
        append(&mut folder, a, G1, G2_AT - 10, 4)?;
        folder.sync()?;
        note(&folder);
        checkpoint(&mut folder, a)?;
        append(&mut folder, a, G2, 80, 7)?;
        checkpoint(&mut folder, a)?;
        append(&mut folder, a, G2, 100, 3)?;
        folder.sync()?;
        note(&folder);
        checkpoint(&mut folder, a)?;
        append(&mut folder, a, G2, 110, 3)?;
        // Central was restored from a backup: its snapshot is older than we are.
        let at = b.boundary(FORK_AT + 5) as u64;
        let position = Position {
            r#gen: G3,
            offset: at,
        };
        receive(&mut folder, b, position, FORK_AT + 12)?;
        note(&folder);
    }
    append(&mut folder, b, G3, 80, 5)?;
    checkpoint(&mut folder, b)?;
    append(&mut folder, b, G3, b.events.len(), 5)?;
    folder.sync()?;
    note(&folder);
    Ok(())
}

fn state_of(copy: &Copy) -> Vec<shared::domain::inventory::Product> {
    products(&fold(
        &copy.products,
        copy.events.iter().map(|(event, _)| event),
    ))
}

/// Whether what a start finds is a whole, recent enough state of one log.
fn check(story: &Story, disk: &SimDisk, durable: Durable) -> Result<(), String> {
    let (folder, copy) = Folder::open(Arc::new(disk.clone()), Path::new(DIR))
        .map_err(|error| format!("does not open: {error}"))?;
    let Some(copy) = copy else {
        return match durable {
            None => Ok(()),
            Some(durable) => Err(format!("nothing left, though {durable:?} was durable")),
        };
    };
    if folder.end() != copy.end {
        return Err(format!("{:?} is not {:?}", folder.end(), copy.end));
    }
    let log = story.log(copy.end.r#gen);
    let offset = usize::try_from(copy.end.offset).unwrap();
    if log.boundary(offset) != offset {
        return Err(format!("half a batch at {offset}"));
    }
    if state_of(&copy) != products(&log.state(offset)) {
        return Err(format!("not the state of the log at {}", copy.end));
    }
    for (at, (event, bytes)) in copy.events.iter().enumerate() {
        if *bytes != log.events[usize::try_from(event.offset).unwrap()] {
            return Err(format!("event {at} has other bytes"));
        }
    }
    if let Some((of, reached)) = durable {
        let same_log = (of == G3) == (copy.end.r#gen == G3);
        // A newer log may have been taken over since; an older one must not come back.
        if (of == G3 && !same_log) || (same_log && copy.end.offset < reached) {
            return Err(format!("{of}-{reached} was durable, found {}", copy.end));
        }
    }
    check_index(&folder, log)
}

/// Whether every offset that the index holds can be read back.
fn check_index(folder: &Folder, log: &TestLog) -> Result<(), String> {
    let index = folder.index();
    let Some(oldest) = index.oldest() else {
        return Err("no index".into());
    };
    for from in oldest..folder.end().offset {
        let at = usize::try_from(from).unwrap();
        let read = index
            .read(&*folder.disk, from, 4)
            .map_err(|error| error.to_string())?;
        let Some(read) = read else {
            return Err(format!("offset {from} is not there"));
        };
        let expected = &log.events[at..at + read.len()];
        let ends = log.boundary(at + read.len()) == at + read.len();
        if read != expected || !ends || read.is_empty() {
            return Err(format!("offset {from} reads back wrongly"));
        }
    }
    Ok(())
}

fn played(seed: u64) -> (Story, SimDisk) {
    let story = Story::new(seed);
    let disk = SimDisk::new(seed, Faults::default());
    play(&story, &disk, &mut None).unwrap();
    (story, disk)
}
