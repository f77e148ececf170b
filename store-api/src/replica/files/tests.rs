//! The folder over a simulated disk that stops at every single step.
//!
//! Goal: whatever the moment, the next start finds the exact state of one log at one offset, at a
//! batch border, no older than the last sync that was reported, and goes on from there to the end.
//! Method: one story (receive a snapshot, append, sync, change generation, checkpoint, meet another
//! log, receive its snapshot) is run once to count its steps, then once for each step with the end
//! of the world there, by power cut and by kill. The controls plant lies into the disk and into the
//! files and expect the same checks to fail.

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

/// Runs the story with the end of the world at `step`; answers what the checks say.
fn survive(story: &Story, seed: u64, faults: Faults) -> Result<(), String> {
    let disk = SimDisk::new(seed, faults);
    let mut durable = None;
    if let Err(error) = play(story, &disk, &mut durable)
        && !PowerCut::is(&error)
    {
        return Err(format!("another error: {error}"));
    }
    let disk = disk.restart();
    check(story, &disk, durable)?;
    // And from there to the end, as if nothing had happened.
    let disk = disk.restart();
    play(story, &disk, &mut durable).map_err(|error| format!("does not go on: {error}"))?;
    let disk = disk.restart();
    check(story, &disk, durable)
}

fn steps(story: &Story) -> u64 {
    let disk = SimDisk::new(0, Faults::default());
    play(story, &disk, &mut None).unwrap();
    disk.steps()
}

#[test]
fn a_crash_at_any_step_leaves_a_prefix_of_the_log() {
    for seed in 0..6 {
        let story = Story::new(seed);
        for step in 1..=steps(&story) {
            for cut in [Cut::Power, Cut::Kill] {
                let faults = Faults {
                    cut: Some((step, cut)),
                    ..Faults::default()
                };
                survive(&story, seed.wrapping_mul(1000) + step, faults)
                    .unwrap_or_else(|why| panic!("seed {seed}, {cut:?} at step {step}: {why}"));
            }
        }
    }
}

#[test]
fn the_simulation_notices_a_disk_that_lies() {
    for lie in [
        Faults {
            ignore_sync: true,
            ..Faults::default()
        },
        Faults {
            ignore_sync_dir: true,
            ..Faults::default()
        },
    ] {
        let noticed = (0..4).any(|seed| {
            let story = Story::new(seed);
            (1..=steps(&story)).any(|step| {
                let faults = Faults {
                    cut: Some((step, Cut::Power)),
                    ..lie
                };
                survive(&story, step, faults).is_err()
            })
        });
        assert!(noticed, "{lie:?}");
    }
}

fn played(seed: u64) -> (Story, SimDisk) {
    let story = Story::new(seed);
    let disk = SimDisk::new(seed, Faults::default());
    play(&story, &disk, &mut None).unwrap();
    (story, disk)
}

fn newest_snapshot(disk: &SimDisk) -> std::path::PathBuf {
    let (folder, _) = Folder::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
    folder.snapshots().remove(0).0
}

#[test]
fn a_flipped_bit_in_a_snapshot_is_noticed_and_the_one_before_is_used() {
    let (story, disk) = played(3);
    let path = newest_snapshot(&disk);
    let len = usize::try_from(disk.len(&path).unwrap()).unwrap();
    for byte in (0..len).step_by(13) {
        let disk = disk.restart();
        assert!(disk.flip_bit(&path, byte, 3));
        let (folder, copy) = Folder::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
        assert_ne!(folder.snapshots()[0].0, path, "byte {byte}");
        // The journals before and after it are all there, so nothing is lost at all.
        let copy = copy.unwrap();
        assert_eq!(
            copy.end,
            Position {
                r#gen: G3,
                offset: story.b.events.len() as u64
            }
        );
        assert_eq!(
            state_of(&copy),
            products(&story.b.state(story.b.events.len()))
        );
    }
}

#[test]
fn a_snapshot_under_another_ones_name_is_damage() {
    // A file that was copied or renamed by hand: its header is whole, and says something else.
    let (story, disk) = played(3);
    let path = newest_snapshot(&disk);
    let elsewhere = Position {
        r#gen: G3,
        offset: 1,
    };
    let renamed = Path::new(DIR).join(super::folder::snapshot_name(elsewhere));
    disk.rename(&path, &renamed).unwrap();
    let (folder, copy) = Folder::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
    let positions: Vec<_> = folder.snapshots().into_iter().map(|one| one.1).collect();
    assert!(!positions.contains(&elsewhere), "{positions:?}");
    assert!(disk.len(&renamed).is_err(), "it is removed");
    let end = story.b.events.len();
    assert_eq!(copy.unwrap().end.offset, end as u64, "nothing is lost");
}

#[test]
fn two_snapshots_of_one_state_are_served_with_the_same_bytes() {
    let story = Story::new(9);
    let disk = SimDisk::new(9, Faults::default());
    let (mut folder, _) = Folder::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
    let position = Position {
        r#gen: G1,
        offset: story.a.boundary(20) as u64,
    };
    let mut served = Vec::new();
    let mut kept = Vec::new();
    for _ in 0..2 {
        receive(&mut folder, &story.a, position, 20).unwrap();
        let path = folder.snapshots().remove(0).0;
        kept.push(disk.read(&path).unwrap());
        let Served {
            head,
            rows,
            tail,
            crc,
        } = Served::read(&disk, &path).unwrap();
        let len = usize::try_from(rows.end - rows.start).unwrap();
        let text = [head, disk.read_at(&path, rows.start, len).unwrap()].concat();
        assert_eq!(crc, format!("{:08x}", crc32c::crc32c(&text)));
        served.push([text, tail].concat());
    }
    assert_ne!(kept[0], kept[1], "each has its own serial");
    assert_eq!(served[0], served[1]);
    let text = String::from_utf8(served.remove(0)).unwrap();
    let header = format!("{{\"gen\":\"{G1}\",\"offset\":{},", position.offset);
    assert!(
        text.starts_with(&header) && !text.contains("serial"),
        "{text}"
    );
}

#[test]
fn a_flipped_bit_in_a_journal_cuts_it_there() {
    let (story, disk) = played(4);
    let (folder, copy) = Folder::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
    let whole = copy.unwrap().end.offset;
    let path = folder.journals.last().unwrap().path.clone();
    let len = usize::try_from(disk.len(&path).unwrap()).unwrap();
    for byte in (0..len).step_by(29) {
        let disk = disk.restart();
        assert!(disk.flip_bit(&path, byte, 1));
        check(&story, &disk, None).unwrap_or_else(|why| panic!("byte {byte}: {why}"));
        let (folder, _) = Folder::open(Arc::new(disk), Path::new(DIR)).unwrap();
        assert!(folder.end().offset < whole, "byte {byte} was not noticed");
    }
}

#[test]
fn a_full_disk_stops_the_journal_and_spoils_nothing() {
    let story = Story::new(5);
    for full_after in (500..40_000).step_by(777) {
        let faults = Faults {
            full_after: Some(full_after),
            ..Faults::default()
        };
        let disk = SimDisk::new(full_after, faults);
        let mut durable = None;
        drop(play(&story, &disk, &mut durable));
        check(&story, &disk.restart(), durable)
            .unwrap_or_else(|why| panic!("full after {full_after}: {why}"));
    }
}

#[test]
fn files_and_memory_that_disagree_are_found_by_the_merge() {
    let (story, disk) = played(6);
    let (mut folder, _) = Folder::open(Arc::new(disk), Path::new(DIR)).unwrap();
    let right = summary(&story.b.state(story.b.events.len()));
    let wrong = Summary {
        digest: right.digest ^ 1,
        ..right
    };
    let job = folder.begin_checkpoint(wrong).unwrap().unwrap();
    assert!(matches!(job.run(), Err(MergeFault::Disagrees { .. })));
    folder.abandon_checkpoint(job.serial());
    // The journal that was begun for it is still empty; the next attempt uses it.
    let job = folder.begin_checkpoint(right).unwrap().unwrap();
    folder.finish_checkpoint(&job.run().unwrap()).unwrap();
}

#[test]
fn the_generations_are_known_from_the_journals() {
    let story = Story::new(7);
    let disk = SimDisk::new(7, Faults::default());
    let (mut folder, _) = Folder::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
    let at = story.a.boundary(20);
    let start = Position {
        r#gen: G1,
        offset: at as u64,
    };
    receive(&mut folder, &story.a, start, 20).unwrap();
    append(&mut folder, &story.a, G1, 50, 3).unwrap();
    let changed = Position {
        r#gen: G2,
        offset: folder.end().offset,
    };
    append(&mut folder, &story.a, G2, 70, 3).unwrap();
    assert_eq!(folder.index().generations(), [start, changed]);
    folder.sync().unwrap();
    drop(folder);
    let (folder, copy) = Folder::open(Arc::new(disk.restart()), Path::new(DIR)).unwrap();
    assert_eq!(folder.index().generations(), [start, changed]);
    assert_eq!(copy.unwrap().end.r#gen, G2);
}

#[test]
fn an_empty_answer_with_a_new_generation_is_kept() {
    let story = Story::new(8);
    let disk = SimDisk::new(8, Faults::default());
    let (mut folder, _) = Folder::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
    let at = story.a.boundary(20) as u64;
    let position = |of| Position {
        r#gen: of,
        offset: at,
    };
    receive(&mut folder, &story.a, position(G1), 20).unwrap();
    let none: [Bytes; 0] = [];
    folder.append(G2, &none).unwrap();
    folder.sync().unwrap();
    let (_, copy) = Folder::open(Arc::new(disk.restart()), Path::new(DIR)).unwrap();
    assert_eq!(copy.unwrap().end, position(G2));
}
