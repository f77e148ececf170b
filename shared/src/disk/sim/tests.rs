//! The simulator's own promises. Chance is covered by many seeds: for each fate a test asks that
//! some seed shows it and that no seed shows anything else.

use std::collections::BTreeSet;

use super::*;

const SEEDS: u64 = 300;

fn disk(seed: u64) -> SimDisk {
    SimDisk::new(seed, Faults::default())
}

fn at(path: &str) -> &Path {
    Path::new(path)
}

/// A disk with a durable file `f` that holds `durable`, and an open handle to it.
fn with_file(seed: u64, faults: Faults, durable: &[u8]) -> (SimDisk, Box<dyn DiskFile>) {
    let disk = disk(seed);
    let mut file = disk.create(at("f")).unwrap();
    file.write_all(durable).unwrap();
    file.sync().unwrap();
    disk.sync_dir(at("")).unwrap();
    disk.plan(faults);
    (disk, file)
}

/// What may be left of `f` after power is lost, over many seeds.
fn leftovers(faults: Faults, act: impl Fn(&SimDisk, &mut dyn DiskFile)) -> BTreeSet<Vec<u8>> {
    (0..SEEDS)
        .filter_map(|seed| {
            let (disk, mut file) = with_file(seed, faults, b"old|");
            act(&disk, file.as_mut());
            disk.end(Cut::Power);
            disk.restart().read(at("f")).ok()
        })
        .collect()
}

#[test]
fn synced_bytes_survive_a_power_cut_and_unsynced_ones_meet_every_fate() {
    let found = leftovers(Faults::default(), |_, file| file.write_all(b"new").unwrap());
    let has = |content: &[u8]| found.contains(content);
    assert!(has(b"old|"), "lost");
    assert!(has(b"old|new"), "kept");
    assert!(has(b"old|n") && has(b"old|ne"), "torn");
    assert!(has(b"old|\0\0\0"), "zeroed");
    let odd = |content: &&Vec<u8>| {
        content.len() == 7 && !b"new".starts_with(content[4..].split(|b| *b == 0).next().unwrap())
    };
    assert!(found.iter().any(|content| odd(&content)), "scribbled");
    assert!(found.iter().all(|content| content.starts_with(b"old|")));
    assert!(found.iter().all(|content| content.len() <= 7));
}

#[test]
fn sectors_may_be_written_out_of_order() {
    let found = leftovers(Faults::default(), |_, file| {
        file.write_all(&[b'x'; 2 * 512]).unwrap();
    });
    let hole = |content: &Vec<u8>| {
        content.len() == 1_028 && content[4..512].iter().all(|b| *b == 0) && content[1_027] == b'x'
    };
    assert!(found.iter().any(hole));
}

#[test]
fn a_sync_makes_bytes_durable_and_the_lie_about_it_shows() {
    let act = |_: &SimDisk, file: &mut dyn DiskFile| {
        file.write_all(b"new").unwrap();
        file.sync().unwrap();
    };
    let honest = leftovers(Faults::default(), act);
    assert_eq!(honest, BTreeSet::from([b"old|new".to_vec()]));
    let lie = Faults {
        ignore_sync: true,
        ..Faults::default()
    };
    assert!(leftovers(lie, act).len() > 3);
}

/// Which of the names `a` and `b` there are after power is lost, over many seeds.
fn names(faults: Faults, act: impl Fn(&SimDisk)) -> BTreeSet<Vec<String>> {
    (0..SEEDS)
        .map(|seed| {
            let disk = disk(seed);
            disk.create(at("a")).unwrap();
            disk.sync_dir(at("")).unwrap();
            disk.plan(faults);
            act(&disk);
            disk.end(Cut::Power);
            disk.restart().list(at("")).unwrap()
        })
        .collect()
}

fn sets(of: &[&[&str]]) -> BTreeSet<Vec<String>> {
    let owned = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    of.iter().map(owned).collect()
}

#[test]
fn names_are_durable_after_a_folder_sync_and_not_before() {
    let create = |disk: &SimDisk| drop(disk.create(at("b")).unwrap());
    let rename = |disk: &SimDisk| disk.rename(at("a"), at("b")).unwrap();
    let remove = |disk: &SimDisk| disk.remove(at("a")).unwrap();
    let synced = |act: fn(&SimDisk)| {
        move |disk: &SimDisk| {
            act(disk);
            disk.sync_dir(at("")).unwrap();
        }
    };
    let honest = Faults::default();
    assert_eq!(names(honest, create), sets(&[&["a"], &["a", "b"]]));
    assert_eq!(names(honest, rename), sets(&[&["a"], &["b"]]));
    assert_eq!(names(honest, remove), sets(&[&["a"], &[]]));
    assert_eq!(names(honest, synced(create)), sets(&[&["a", "b"]]));
    assert_eq!(names(honest, synced(rename)), sets(&[&["b"]]));
    assert_eq!(names(honest, synced(remove)), sets(&[&[]]));
    let lie = Faults {
        ignore_sync_dir: true,
        ..Faults::default()
    };
    assert_eq!(names(lie, synced(create)), sets(&[&["a"], &["a", "b"]]));
}

#[test]
fn changes_of_names_are_kept_or_lost_independently() {
    let found = names(Faults::default(), |disk| {
        drop(disk.create(at("b")).unwrap());
        disk.remove(at("a")).unwrap();
    });
    assert_eq!(found, sets(&[&["a"], &["a", "b"], &["b"], &[]]));
}

#[test]
fn synced_data_of_a_lost_name_is_gone() {
    let lost = (0..SEEDS)
        .filter(|seed| {
            let disk = disk(*seed);
            let mut file = disk.create(at("f")).unwrap();
            file.write_all(b"data").unwrap();
            file.sync().unwrap();
            disk.end(Cut::Power);
            match disk.restart().read(at("f")) {
                Ok(bytes) => {
                    assert_eq!(bytes, b"data");
                    false
                }
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            }
        })
        .count();
    assert!(0 < lost && lost < 300, "{lost}");
}

#[test]
fn a_lost_rename_brings_back_what_it_replaced() {
    let contents: BTreeSet<Vec<u8>> = (0..SEEDS)
        .map(|seed| {
            let (disk, _) = with_file(seed, Faults::default(), b"old");
            let mut new = disk.create(at("f.tmp")).unwrap();
            new.write_all(b"new").unwrap();
            new.sync().unwrap();
            disk.rename(at("f.tmp"), at("f")).unwrap();
            disk.end(Cut::Power);
            disk.restart().read(at("f")).unwrap()
        })
        .collect();
    assert_eq!(contents, BTreeSet::from([b"new".to_vec(), b"old".to_vec()]));
}

#[test]
fn a_renamed_file_that_was_not_synced_may_be_empty_under_its_new_name() {
    let empty = (0..SEEDS).any(|seed| {
        let (disk, _) = with_file(seed, Faults::default(), b"old");
        let mut new = disk.create(at("f.tmp")).unwrap();
        new.write_all(b"new").unwrap();
        disk.rename(at("f.tmp"), at("f")).unwrap();
        disk.sync_dir(at("")).unwrap();
        disk.end(Cut::Power);
        disk.restart().read(at("f")).unwrap().is_empty()
    });
    assert!(empty);
}

#[test]
fn a_truncation_is_durable_when_it_returns_and_the_lie_about_it_shows() {
    let act = |disk: &SimDisk, _: &mut dyn DiskFile| disk.truncate(at("f"), 2).unwrap();
    assert_eq!(
        leftovers(Faults::default(), act),
        BTreeSet::from([b"ol".to_vec()])
    );
    let lie = Faults {
        ignore_truncate: true,
        ..Faults::default()
    };
    assert_eq!(leftovers(lie, act), BTreeSet::from([b"old|".to_vec()]));
}

#[test]
fn a_killed_process_loses_nothing_but_nothing_became_durable() {
    let mut after_power_loss = BTreeSet::new();
    for seed in 0..SEEDS {
        let (disk, mut file) = with_file(seed, Faults::default(), b"old|");
        file.write_all(b"new").unwrap();
        drop(disk.create(at("g")).unwrap());
        disk.end(Cut::Kill);
        let next = disk.restart();
        assert_eq!(next.read(at("f")).unwrap(), b"old|new");
        assert_eq!(next.list(at("")).unwrap(), ["f", "g"]);
        next.end(Cut::Power);
        let last = next.restart();
        after_power_loss.insert((last.read(at("f")).unwrap().len(), last.len(at("g")).is_ok()));
    }
    assert!(after_power_loss.contains(&(4, false)));
    assert!(after_power_loss.contains(&(7, true)));
}

#[test]
fn the_world_ends_at_the_planned_step_and_stays_ended() {
    for step in 1..=6 {
        let cut = Faults {
            cut: Some((step, Cut::Power)),
            ..Faults::default()
        };
        let disk = SimDisk::new(7, cut);
        let story = || -> io::Result<()> {
            let mut file = disk.create(at("f"))?;
            file.write_all(b"one")?;
            file.sync()?;
            disk.sync_dir(at(""))?;
            file.write_all(b"two")
        };
        let outcome = story();
        assert_eq!(outcome.is_err(), step <= 5);
        assert_eq!(disk.has_ended(), step <= 5);
        if let Err(error) = outcome {
            assert!(PowerCut::is(&error));
            assert_eq!(disk.steps(), step);
            assert!(PowerCut::is(&disk.list(at("")).unwrap_err()));
        }
        assert!(disk.restart().list(at("")).is_ok());
    }
}

#[test]
fn a_write_cut_short_leaves_a_part_of_it_even_if_only_the_process_died() {
    let lengths: BTreeSet<usize> = (0..SEEDS)
        .map(|seed| {
            let cut = Faults {
                cut: Some((5, Cut::Kill)),
                ..Faults::default()
            };
            let (disk, mut file) = with_file(seed, cut, b"");
            assert!(file.write_all(b"abc").is_err());
            disk.restart().read(at("f")).unwrap().len()
        })
        .collect();
    assert_eq!(lengths, BTreeSet::from([0, 1, 2, 3]));
}

#[test]
fn a_failed_sync_gives_its_bytes_up_for_good() {
    let (disk, mut file) = with_file(3, Faults::default(), b"old|");
    disk.plan(Faults {
        fail_sync: Some(2),
        ..Faults::default()
    });
    file.write_all(b"new|").unwrap();
    let error = file.sync().unwrap_err();
    assert!(!PowerCut::is(&error));
    file.write_all(b"more").unwrap();
    file.sync().unwrap();
    assert_eq!(disk.read(at("f")).unwrap(), b"old|new|more");
    disk.end(Cut::Power);
    assert_eq!(disk.restart().read(at("f")).unwrap(), b"old|\0\0\0\0more");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let (disk, mut file) = with_file(1, Faults::default(), b"");
    disk.plan(Faults {
        full_after: Some(5),
        ..Faults::default()
    });
    file.write_all(b"abc").unwrap();
    let error = file.write_all(b"def").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.read(at("f")).unwrap(), b"abcde");
    disk.plan(Faults::default());
    file.write_all(b"!").unwrap();
    assert_eq!(disk.read(at("f")).unwrap(), b"abcde!");
}

#[test]
fn a_bit_flips_in_place() {
    let (disk, _) = with_file(1, Faults::default(), b"abc");
    assert!(disk.flip_bit(at("f"), 1, 0));
    assert_eq!(disk.read(at("f")).unwrap(), b"acc");
    assert!(!disk.flip_bit(at("f"), 3, 0));
    assert!(!disk.flip_bit(at("g"), 0, 0));
}

#[test]
fn files_behave_like_files() {
    let disk = disk(1);
    assert_eq!(
        disk.create(at("d/f")).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    disk.create_dir(at("/data/d")).unwrap();
    let mut file = disk.create(at("/data/d/f")).unwrap();
    assert_eq!(
        disk.create(at("/data/d/f")).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
    file.write_all(b"abc").unwrap();
    disk.append(at("/data/d/f"))
        .unwrap()
        .write_all(b"def")
        .unwrap();
    assert_eq!(disk.read_at(at("/data/d/f"), 2, 2).unwrap(), b"cd");
    assert_eq!(disk.read_at(at("/data/d/f"), 5, 9).unwrap(), b"f");
    assert_eq!(disk.read_at(at("/data/d/f"), 9, 9).unwrap(), b"");
    assert_eq!(disk.len(at("/data/d/f")).unwrap(), 6);
    assert!(disk.list(at("/data")).unwrap().is_empty());
    assert_eq!(disk.list(at("/data/d")).unwrap(), ["f"]);
    disk.rename(at("/data/d/f"), at("/data/d/g")).unwrap();
    disk.remove(at("/data/d/g")).unwrap();
    file.write_all(b"into the void").unwrap();
    assert_eq!(
        disk.remove(at("/data/d/g")).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    assert!(disk.list(at("/elsewhere")).is_err());
}

#[test]
fn a_handle_of_a_dead_process_cannot_reach_the_next_life() {
    let (disk, mut file) = with_file(1, Faults::default(), b"abc");
    disk.end(Cut::Kill);
    let next = disk.restart();
    assert!(PowerCut::is(&file.write_all(b"ghost").unwrap_err()));
    assert_eq!(next.read(at("f")).unwrap(), b"abc");
}

#[test]
fn one_seed_tells_one_story() {
    let story = |seed| {
        let mut disk = disk(seed);
        let mut contents = Vec::new();
        for life in 0..20 {
            disk.plan(Faults {
                cut: Some((disk.steps() + 5 + life % 4, Cut::Power)),
                ..Faults::default()
            });
            let name = format!("f{life}");
            let grow = || -> io::Result<()> {
                let mut file = disk.create(at(&name))?;
                for _ in 0..5 {
                    file.write_all(&[b'x'; 700])?;
                    disk.sync_dir(at(""))?;
                }
                Ok(())
            };
            assert!(grow().is_err());
            disk = disk.restart();
            for name in disk.list(at("")).unwrap() {
                contents.push(disk.read(at(&name)).unwrap());
            }
        }
        contents
    };
    assert_eq!(story(42), story(42));
    assert_ne!(story(42), story(43));
}
