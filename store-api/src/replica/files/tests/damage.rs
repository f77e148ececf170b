//! Files that were spoilt by hand or by chance.

use super::*;

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
    let renamed = Path::new(DIR).join(crate::replica::files::folder::snapshot_name(elsewhere));
    disk.rename(&path, &renamed).unwrap();
    let (folder, copy) = Folder::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
    let positions: Vec<_> = folder.snapshots().into_iter().map(|one| one.1).collect();
    assert!(!positions.contains(&elsewhere), "{positions:?}");
    assert!(disk.len(&renamed).is_err(), "it is removed");
    let end = story.b.events.len();
    assert_eq!(copy.unwrap().end.offset, end as u64, "nothing is lost");
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
