//! The end of the world at every step, and a disk that is full.

use super::*;

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
