//! Readers beside the writer and beside retention, over a disk that lets a test step in between.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use parking_lot::Mutex;
use shared::disk::sim::{Cut, Faults, SimDisk};
use shared::disk::{Disk, DiskFile};
use shared::limits::DISK_RESERVE;

use super::{Embedded, EmbeddedOptions, Opened};
use crate::journal::frame::{Counts, HEADER_BYTES};
use crate::journal::{First, Frame, Journal, JournalError, Offsets, Stream};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

type Hook = Box<dyn FnOnce() + Send>;

/// A disk that does something once, before or after the next read of a part of a file.
#[derive(Clone)]
struct Hooked {
    disk: SimDisk,
    before: Arc<Mutex<Option<Hook>>>,
    after: Arc<Mutex<Option<Hook>>>,
    reads: Arc<AtomicUsize>,
    /// Folders that were synced, by their last names.
    synced: Arc<Mutex<Vec<String>>>,
    fails_to_sync_folders: Arc<AtomicBool>,
    /// Bytes that are said to be free.
    free: Arc<AtomicU64>,
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}

impl Hooked {
    fn new() -> Self {
        Self {
            disk: SimDisk::new(1, Faults::default()),
            before: Arc::default(),
            after: Arc::default(),
            reads: Arc::default(),
            synced: Arc::default(),
            fails_to_sync_folders: Arc::default(),
            free: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

impl Disk for Hooked {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(path)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.append(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let before = self.before.lock().take();
        if let Some(hook) = before {
            hook();
        }
        let read = self.disk.read_at(path, offset, len);
        let after = self.after.lock().take();
        if let Some(hook) = after {
            hook();
        }
        read
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        self.disk.len(path)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.disk.truncate(path, len)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.fails_to_sync_folders.load(Ordering::SeqCst) {
            return Err(io::Error::other("simulated input/output error"));
        }
        let name = dir.file_name().unwrap_or_default();
        self.synced.lock().push(name.to_string_lossy().into_owned());
        self.disk.sync_dir(dir)
    }

    fn free(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.free.load(Ordering::SeqCst))
    }
}

/// Where the frame of record `seq` begins: each holds one record, two events and one of an order.
const fn first(seq: u64) -> First {
    let before = seq - 1;
    First {
        seq,
        offsets: Offsets {
            inventory: before * 2,
            orders: before,
        },
    }
}

fn frame(seq: u64) -> Frame {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(format!("{{\"seq\":{seq}}}\n").as_bytes());
    let counts = Counts {
        records: 1,
        events: 2,
        order_events: 1,
    };
    Frame::seal(bytes, first(seq), counts)
}

fn append(journal: &mut Embedded, seq: u64) {
    journal.commit(frame(seq)).unwrap().run().unwrap();
}

fn open(disk: &Hooked, segment_bytes: u64, from: u64) -> Embedded {
    let options = EmbeddedOptions {
        dir: "/data".into(),
        segment_bytes,
    };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let opened = Embedded::open::<JournalError>(disk, options, first(from), |_| Ok(()));
    opened.unwrap().0
}

/// Opens a journal of one segment without a snapshot.
fn try_open(disk: &Hooked) -> Result<(Embedded, Opened), JournalError> {
    let options = EmbeddedOptions {
        dir: "/data".into(),
        segment_bytes: 1_000_000,
    };
    Embedded::open(Arc::new(disk.clone()), options, first(1), |_| Ok(()))
}

/// A journal of `frames` frames, opened anew from a snapshot at its end, so that only its last
/// segment has been read.
fn aged(disk: &Hooked, segment_bytes: u64, frames: u64) -> Embedded {
    let mut journal = open(disk, segment_bytes, 1);
    (1..=frames).for_each(|seq| append(&mut journal, seq));
    drop(journal);
    open(disk, segment_bytes, frames + 1)
}

#[test]
fn a_reader_of_an_old_segment_does_not_hold_up_the_writer() {
    let disk = Hooked::new();
    let mut journal = aged(&disk, 1_000, 20);
    let reader = journal.reader();
    let (tell_reading, reading) = channel();
    let (release, released) = channel::<()>();
    *disk.before.lock() = Some(Box::new(move || {
        tell_reading.send(()).unwrap();
        // Ends when the test drops its side.
        released.recv().ok();
    }));
    let slow = Arc::clone(&reader);
    let slow = std::thread::spawn(move || slow.frames_from_seq(2, 1).unwrap());
    reading.recv_timeout(PATIENCE).unwrap();
    let (tell_done, done) = channel();
    let writer = std::thread::spawn(move || {
        append(&mut journal, 21);
        let (oldest, segments) = (reader.oldest().seq, reader.size().segments);
        tell_done.send((oldest, segments > 1)).unwrap();
    });
    let written = done.recv_timeout(PATIENCE);
    drop(release);
    assert_eq!(written, Ok((1, true)), "the writer waits for a reader");
    writer.join().unwrap();
    let frames = slow.join().unwrap();
    assert_eq!(frames.first().unwrap().header.first, first(2));
}

#[test]
fn a_segment_is_walked_in_large_steps_and_once() {
    let disk = Hooked::new();
    let frames = 2_000;
    let journal = aged(&disk, 300_000, frames);
    let reader = journal.reader();
    assert_eq!(reader.size().segments, 2);
    let before = disk.reads();
    for seq in [1, 700, 900] {
        let found = reader.frames_from_seq(seq, 1).unwrap();
        assert_eq!(found.first().unwrap().header.first, first(seq));
    }
    // Two for the walk and one for each frame.
    let reads = disk.reads() - before;
    assert!(reads <= 5, "{reads}");
}

#[test]
fn every_record_and_offset_of_old_segments_is_found() {
    let disk = Hooked::new();
    let frames = 40;
    let journal = aged(&disk, 1_000, frames);
    let reader = journal.reader();
    for seq in 1..=frames {
        let by_seq = reader.frames_from_seq(seq, 1).unwrap();
        assert_eq!(by_seq.first().unwrap().header.first, first(seq));
        for (stream, offset) in [
            (Stream::Inventory, (seq - 1) * 2),
            (Stream::Inventory, (seq - 1) * 2 + 1),
            (Stream::Orders, seq - 1),
        ] {
            let by_offset = reader.frames_from_offset(stream, offset, 1).unwrap();
            assert_eq!(by_offset.first().unwrap().header.first, first(seq));
        }
    }
    assert!(reader.frames_from_seq(frames + 1, 1).unwrap().is_empty());
    let everything = reader.frames_from_seq(1, usize::MAX).unwrap();
    assert_eq!(everything.len() as u64, frames);
}

#[test]
fn what_retention_takes_from_under_a_reader_is_gone_and_not_damaged() {
    /// When the files go: before or after a read that the reader makes.
    #[derive(Clone, Copy, Debug)]
    enum Moment {
        Before,
        After,
    }
    // The first read walks the segment, the second reads the frame.
    for walked in [false, true] {
        for moment in [Moment::Before, Moment::After] {
            let disk = Hooked::new();
            let journal = aged(&disk, 1_000, 40);
            let reader = journal.reader();
            if walked {
                reader.frames_from_seq(2, 1).unwrap();
            }
            let retention = journal.reader();
            let hook: Hook = Box::new(move || retention.drop_before(30).unwrap());
            match moment {
                Moment::Before => *disk.before.lock() = Some(hook),
                Moment::After => *disk.after.lock() = Some(hook),
            }
            let found = reader.frames_from_offset(Stream::Orders, 1, usize::MAX);
            let oldest = reader.oldest().offsets.orders;
            assert!(oldest > 1, "the files were dropped");
            assert!(
                matches!(found, Err(JournalError::Gone { wanted: 1, oldest: told }) if told == oldest),
                "{walked} {moment:?}: {found:?}"
            );
        }
    }
}

#[test]
fn where_the_log_begins_is_known_without_reading() {
    let disk = Hooked::new();
    let journal = aged(&disk, 1_000, 40);
    let reader = journal.reader();
    let before = disk.reads();
    assert_eq!(reader.oldest(), first(1));
    reader.drop_before(20).unwrap();
    let oldest = reader.oldest();
    assert!((2..=20).contains(&oldest.seq), "{oldest:?}");
    assert_eq!(oldest, first(oldest.seq));
    assert_eq!(disk.reads(), before);
}

#[test]
fn how_much_log_follows_a_record_does_not_change_when_what_is_before_it_is_dropped() {
    let disk = Hooked::new();
    let length = |seq| frame(seq).header.frame_bytes();
    let journal = aged(&disk, 1_000, 40);
    let reader = journal.reader();
    let all = reader.size().bytes;
    assert_eq!(reader.bytes_from(1), all);
    reader.drop_before(20).unwrap();
    let begins = reader.oldest().seq;
    let (dropped, left): (u64, u64) = (
        (1..begins).map(length).sum(),
        (begins..=40).map(length).sum(),
    );
    assert!(dropped > 0);
    assert_eq!(all, dropped + left);
    assert_eq!(reader.bytes_from(begins), left);
    // Between two entries of a table it counts from the one before.
    let exact: u64 = (30..=40).map(length).sum();
    assert!((exact..exact + 1_000).contains(&reader.bytes_from(30)));
    assert!(reader.bytes_from(41) <= 1_000);
}

/// Writes a snapshot at `seq`.
fn snapshot(journal: &Embedded, seq: u64) -> Result<(), JournalError> {
    let mut parts = std::iter::once(vec![b'x'; 4_096]);
    journal.reader().write_snapshot(seq, &mut parts)
}

#[test]
fn a_sync_that_fails_beside_the_log_is_told_from_a_full_disk() {
    let disk = Hooked::new();
    let journal = aged(&disk, 1_000, 20);
    disk.disk.plan(Faults {
        full_after: Some(0),
        ..Faults::default()
    });
    let full = snapshot(&journal, 20);
    assert!(matches!(full, Err(JournalError::Io { .. })), "{full:?}");
    disk.disk.plan(Faults {
        fail_sync: Some(disk.disk.syncs() + 1),
        ..Faults::default()
    });
    let failed = snapshot(&journal, 20);
    assert!(
        matches!(failed, Err(JournalError::Sync { .. })),
        "{failed:?}"
    );
    disk.disk.plan(Faults::default());
    disk.fails_to_sync_folders.store(true, Ordering::SeqCst);
    let failed = snapshot(&journal, 20);
    assert!(
        matches!(failed, Err(JournalError::Sync { .. })),
        "{failed:?}"
    );
    let failed = journal.reader().drop_before(20);
    assert!(
        matches!(failed, Err(JournalError::Sync { .. })),
        "{failed:?}"
    );
}

#[test]
fn what_can_be_made_again_leaves_room_for_the_log() {
    let disk = Hooked::new();
    let mut journal = open(&disk, 1_000_000, 1);
    append(&mut journal, 1);
    disk.free.store(DISK_RESERVE, Ordering::SeqCst);
    let refused = snapshot(&journal, 1);
    assert!(
        matches!(refused, Err(JournalError::Io { .. })),
        "{refused:?}"
    );
    assert_eq!(disk.list(Path::new("/data/snapshots")).unwrap(), [""; 0]);
    // The room is the log's, and a start's, which writes the last segment anew.
    append(&mut journal, 2);
    drop(journal);
    let journal = open(&disk, 1_000_000, 1);
    disk.free.store(2 * DISK_RESERVE, Ordering::SeqCst);
    snapshot(&journal, 2).unwrap();
}

#[test]
fn snapshots_that_are_removed_stay_removed() {
    let disk = Hooked::new();
    let journal = aged(&disk, 1_000, 20);
    (10..13).for_each(|seq| snapshot(&journal, seq).unwrap());
    assert_eq!(journal.reader().snapshots().unwrap(), [12, 11]);
    let leftover = Path::new("/data/snapshots/snapshot-1.ndjson.tmp");
    drop(disk.create(leftover).unwrap());
    drop(journal);
    disk.synced.lock().clear();
    drop(open(&disk, 1_000, 21));
    assert!(disk.synced.lock().contains(&"snapshots".to_owned()));
    // Nothing that was removed comes back when the power fails now.
    disk.disk.end(Cut::Power);
    let after = disk.disk.restart();
    let names = after.list(Path::new("/data/snapshots")).unwrap();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn what_a_failed_sync_has_left_is_not_built_upon_before_it_is_durable() {
    let mut found = 0;
    for seed in 0..40 {
        let mut disk = Hooked::new();
        disk.disk = SimDisk::new(seed, Faults::default());
        let mut journal = open(&disk, 1_000_000, 1);
        (1..=3).for_each(|seq| append(&mut journal, seq));
        // The frame is written, its sync fails, and the process is killed while it cuts the frame off.
        disk.disk.plan(Faults {
            fail_sync: Some(disk.disk.syncs() + 1),
            cut: Some((disk.disk.steps() + 3, Cut::Kill)),
            ..Faults::default()
        });
        journal.commit(frame(4)).unwrap().run().unwrap_err();
        // The next one cannot sync either, and the one after it builds upon what it finds.
        disk.disk = disk.disk.restart();
        disk.disk.plan(Faults {
            fail_sync: Some(1),
            ..Faults::default()
        });
        let opened = try_open(&disk);
        assert!(
            matches!(opened, Err(JournalError::Sync { .. })),
            "{opened:?}"
        );
        disk.disk = disk.disk.restart();
        let (mut journal, opened) = try_open(&disk).unwrap();
        found += opened.next.seq - 4;
        append(&mut journal, opened.next.seq);
        disk.disk.end(Cut::Power);
        disk.disk = disk.disk.restart();
        let (_, after) = try_open(&disk).unwrap();
        assert_eq!(after.next.seq, opened.next.seq + 1, "{seed}");
    }
    assert!((1..40).contains(&found), "{found}");
}
