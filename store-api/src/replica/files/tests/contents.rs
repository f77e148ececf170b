//! What the files say: bytes that are served, generations, and figures that must agree.

use super::*;

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
