//! Central loses its power ten thousand times, and keeps every promise.
//!
//! A failure prints its seed; `cargo run -p central-api --example crash-sim -- --seed N` tells the
//! story of that one run again.

#![expect(
    clippy::cast_possible_truncation,
    reason = "a number of threads or bits is small"
)]

mod simulation;

use clap::ValueEnum;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use shared::disk::Disk;
use simulation::damage::{Aged, Tally, Verdict, flip_bits};
use simulation::{Plant, Stats, run};

/// Seeds of the main test.
const RUNS: u64 = 10_000;
/// Seeds within which every planted mistake must be found.
const SEEDS_TO_CATCH: u64 = 4_000;
/// Seeds are shared out among this many threads.
const THREADS: u64 = 2;

#[test]
fn no_crash_breaks_a_promise() {
    let mut total = Stats::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|worker| {
                scope.spawn(move || {
                    let mut stats = Stats::default();
                    for seed in (worker..RUNS).step_by(THREADS as usize) {
                        match run(seed, Plant::Nothing) {
                            Ok(one) => stats += one,
                            Err(broken) => panic!("{broken}"),
                        }
                    }
                    stats
                })
            })
            .collect();
        for worker in workers {
            total += worker.join().unwrap();
        }
    });
    println!("{total:#?}");
    // The runs went where the danger is.
    let enough = [
        total.power_cuts,
        total.kills,
        total.disk_errors,
        total.cut_while_recovering,
        total.kept_unanswered,
        total.lost_unanswered,
        total.cut_tails,
        total.snapshot_starts,
        total.dropped,
    ];
    assert!(enough.iter().all(|count| *count > RUNS / 20), "{total:#?}");
    assert!(
        total.answered > 20 * RUNS && total.replays > RUNS,
        "{total:#?}"
    );
}

#[test]
fn every_planted_mistake_is_caught() {
    for plant in Plant::value_variants().iter().copied() {
        if plant == Plant::Nothing {
            continue;
        }
        let caught = (0..SEEDS_TO_CATCH).find_map(|seed| run(seed, plant).err());
        let caught = caught.unwrap_or_else(|| panic!("{plant:?} went unnoticed"));
        println!("{plant:?}: seed {}, {}", caught.seed, caught.what);
    }
}

#[test]
fn one_seed_tells_one_story() {
    for seed in 0..20 {
        let story = || match run(seed, Plant::AnswerBeforeSync) {
            Ok(stats) => format!("{stats:?}"),
            Err(broken) => broken.to_string(),
        };
        assert_eq!(story(), story());
    }
}

/// Bits that are flipped, one at a time.
const FLIPS: usize = 6_000;

#[test]
fn a_flipped_bit_is_noticed_or_harms_nothing() {
    let tally = flip_bits(&mut SmallRng::seed_from_u64(1), FLIPS).unwrap();
    println!("{tally:?}");
    assert!(tally.refused > 100 && tally.noticed > 100, "{tally:?}");
}

#[test]
fn a_flipped_bit_in_the_header_of_a_segment_is_noticed() {
    // Headers are read without their records when a place in the log is looked for.
    let log = Aged::new(4);
    let mut tally = Tally::default();
    for (path, size) in log.files() {
        for bit in 0..size.min(144) * 8 {
            let (byte, bit) = (bit / 8, (bit % 8) as u32);
            let verdict = log.examine(|disk| assert!(disk.flip_bit(&path, byte, bit)));
            let added = tally.add(verdict);
            added.unwrap_or_else(|what| panic!("bit {bit} of byte {byte} of {path:?}: {what}"));
        }
    }
    println!("{tally:?}");
}

#[test]
fn a_log_cut_short_anywhere_is_refused_or_comes_up_as_it_was_earlier() {
    let log = Aged::new(7);
    let files = log.files();
    assert!(files.len() > 6, "{files:?}");
    assert_eq!(log.examine(|_| {}), Verdict::Harmless);
    let mut journal = files.iter().rev();
    let last = journal.find(|(path, _)| path.starts_with("/data/journal"));
    let (last, size) = last.unwrap();
    for len in 0..*size {
        let verdict = log.examine(|disk| disk.truncate(last, len as u64).unwrap());
        let known = matches!(
            verdict,
            Verdict::Refused(_) | Verdict::Noticed(_) | Verdict::Earlier
        );
        assert!(known, "{len} bytes: {verdict:?}");
    }
}
