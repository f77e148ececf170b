//! Files and frames: what a bad disk, a bad copy or a hand does to them.

use super::damage::{Folder, Place};
use super::{Expected, frame, lived_in, noticed, program, said, snapshot, verify};

/// Changes one bit in the midst of a frame.
fn flip(folder: &mut Folder, place: Place) {
    let mut bytes = folder.frame(place).sealed();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    folder.frame(place).bytes = Some(bytes);
}

/// About the log as a whole.
fn journal(what: &'static str) -> Expected {
    Expected {
        file: "journal".to_owned(),
        byte: 0,
        record: None,
        what,
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn damaged_frames_and_missing_files_are_noticed() {
    let (_dir, healthy) = lived_in().await;
    let noticed = |name: &str, damage: fn(&mut Folder) -> Expected| noticed(&healthy, name, damage);

    noticed("a flipped bit in a frame", |folder| {
        let place = Place(1, 0, 0);
        flip(folder, place);
        frame(folder, place, "not a frame, though one begins at byte")
    });
    noticed("a flipped bit in the last frame of a segment", |folder| {
        let place = Place(0, folder.segments[0].frames.len() - 1, 0);
        flip(folder, place);
        frame(folder, place, "not a frame")
    });
    noticed("a frame with its end cut off", |folder| {
        let place = folder.keyed("both");
        let mut bytes = folder.frame(place).sealed();
        bytes.truncate(bytes.len() / 2);
        folder.frame(place).bytes = Some(bytes);
        let next = Place(place.0, place.1 + 1, 0);
        match folder.segments[place.0].frames.len() > next.1 {
            true => frame(folder, place, "not a frame, though one begins at byte"),
            false => frame(folder, place, "not a frame"),
        }
    });
    noticed("garbage between two frames", |folder| {
        let place = Place(1, 0, 0);
        let mut bytes = folder.frame(place).sealed();
        let end = bytes.len() as u64;
        bytes.extend_from_slice(b"{\"frame\":{\"bytes\":\"garbage\n");
        folder.frame(place).bytes = Some(bytes);
        let seq = folder.frame(place).seq;
        Expected {
            byte: end,
            record: Some(seq + 1),
            ..frame(folder, place, "not a frame, though one begins at byte")
        }
    });
    noticed("a frame that is there twice", |folder| {
        let again = folder.segments[0].frames[1].clone();
        folder.segments[0].frames.insert(2, again);
        Expected {
            record: Some(folder.seq(Place(0, 1, 0)) + 1),
            ..frame(folder, Place(0, 2, 0), "does not follow the one before it")
        }
    });
    noticed("two frames in the wrong order", |folder| {
        folder.segments[0].frames.swap(1, 2);
        Expected {
            record: Some(2),
            ..frame(folder, Place(0, 1, 0), "does not follow the one before it")
        }
    });
    noticed("a frame that is gone", |folder| {
        folder.segments[0].frames.remove(2);
        Expected {
            record: Some(3),
            ..frame(folder, Place(0, 2, 0), "does not follow the one before it")
        }
    });
    noticed("an offset that is passed over", |folder| {
        let place = folder.keyed("sale");
        folder.frame(place).offset += 1;
        frame(folder, place, "does not follow the one before it")
    });
    noticed("a segment that is gone", |folder| {
        folder.segments.remove(1);
        let place = Place(1, 0, 0);
        frame(folder, place, "was expected to begin this file")
    });
    noticed("the last segment is gone", |folder| {
        let gone = folder.segments.pop().unwrap();
        assert!(gone.frames[0].seq <= folder.snapshots[1].seq());
        snapshot(
            folder,
            folder.snapshots.len() - 1,
            "the log ends before it, at record",
        )
    });
    noticed(
        "the beginning is gone, and nothing leads over it",
        |folder| {
            folder.segments.remove(0);
            folder.snapshots.clear();
            journal("the log begins at record")
        },
    );
    noticed("all segments are gone", |folder| {
        folder.segments.clear();
        journal("there are no segments")
    });
    noticed("the end is torn, and a snapshot knows of it", |folder| {
        let place = *folder.places().last().unwrap();
        let mut bytes = folder.frame(place).sealed();
        bytes.truncate(bytes.len() - 7);
        folder.frame(place).bytes = Some(bytes);
        snapshot(folder, 1, "the log ends before it, at record")
    });
    noticed(
        "a header that counts other records than there are",
        |folder| {
            let place = folder.keyed("sale");
            folder.frame(place).records = 2;
            frame(
                folder,
                place,
                "the frame holds 1 records, 1 events and 0 of orders",
            )
        },
    );
    noticed(
        "a header that counts other events than there are",
        |folder| {
            let place = folder.keyed("refused");
            folder.frame(place).events = 1;
            frame(
                folder,
                place,
                "the frame holds 1 records, 0 events and 0 of orders",
            )
        },
    );
}

#[tokio::test]
async fn a_torn_end_that_nobody_was_told_about_is_said_and_not_wrong() {
    let (_dir, healthy) = lived_in().await;
    let mut folder = Folder::read(&healthy);
    let mut next = folder
        .segments
        .last()
        .unwrap()
        .frames
        .last()
        .unwrap()
        .clone();
    next.seq += u64::from(next.records);
    next.offset += u64::from(next.events);
    let mut torn = next.sealed();
    torn.truncate(torn.len() / 2);
    let bytes = torn.len();
    folder.segments.last_mut().unwrap().rest = torn;
    let copy = tempfile::tempdir().unwrap();
    folder.write(copy.path());

    let output = program(copy.path());
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.starts_with(&format!(
            "a torn end of {bytes} bytes, which the next start cuts\n"
        )),
        "{text}"
    );
    // It is still there: verify changes nothing.
    assert_eq!(verify(copy.path()).torn_bytes, bytes as u64);
}
