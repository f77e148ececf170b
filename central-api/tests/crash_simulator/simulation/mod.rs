//! A central service that loses its power again and again, and an auditor who forgets nothing.
//!
//! One run is one seed. It lives several lives over one simulated disk: recover, begin a generation,
//! decide random commands frame by frame (the next frame while the last one is in flight, as the
//! writer thread does), take snapshots meanwhile, drop old segments; at a random call the power
//! fails, the process is killed, or the disk reports an error. The journal, the recovery, the
//! snapshots and the writer are the real ones; only the threads are missing, so that a run repeats.
//!
//! [`Promises`] knows what was answered. After each restart it checks the
//! whole log against that: what was answered is there, once and unchanged; of what was in flight
//! there are whole frames or nothing; everything that follows from the log follows from it.
//!
//! A [`Plant`] breaks one rule on purpose. Each must be caught, or the simulator proves nothing.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a simulation stops at the first surprise"
)]

mod commands;
pub(crate) mod damage;
mod life;
mod plant;
mod promises;

use std::fmt;
use std::ops::AddAssign;

use central_api::journal::JournalError;
use central_api::ledger::KeyRetention;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use shared::causes::chain;
use shared::disk::sim::{Cut, Faults, PowerCut, SimDisk};

pub(crate) use plant::Plant;

use commands::Customers;
use promises::Promises;

/// What happened in runs; for seeing that they are worth their time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    /// Runs.
    pub(crate) runs: u64,
    /// Lives.
    pub(crate) lives: u64,
    /// Lives ended by a power cut in the midst of a call.
    pub(crate) power_cuts: u64,
    /// Lives ended by a kill in the midst of a call.
    pub(crate) kills: u64,
    /// Lives ended by an error of the disk.
    pub(crate) disk_errors: u64,
    /// Lives that ended before recovery was done.
    pub(crate) cut_while_recovering: u64,
    /// Records that were answered.
    pub(crate) answered: u64,
    /// Frames that nobody was told of and that were there after the restart.
    pub(crate) kept_unanswered: u64,
    /// Frames that nobody was told of and that were gone.
    pub(crate) lost_unanswered: u64,
    /// Starts at which a torn frame was cut.
    pub(crate) cut_tails: u64,
    /// Starts from a snapshot.
    pub(crate) snapshot_starts: u64,
    /// Snapshots written.
    pub(crate) snapshots: u64,
    /// Repeats that got their first answer.
    pub(crate) replays: u64,
    /// Segments dropped.
    pub(crate) dropped: u64,
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.lives += other.lives;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.disk_errors += other.disk_errors;
        self.cut_while_recovering += other.cut_while_recovering;
        self.answered += other.answered;
        self.kept_unanswered += other.kept_unanswered;
        self.lost_unanswered += other.lost_unanswered;
        self.cut_tails += other.cut_tails;
        self.snapshot_starts += other.snapshot_starts;
        self.snapshots += other.snapshots;
        self.replays += other.replays;
        self.dropped += other.dropped;
    }
}

/// A broken promise.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    /// The run.
    pub(crate) seed: u64,
    /// What was found.
    pub(crate) what: String,
    /// What led to it.
    pub(crate) story: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        self.story
            .iter()
            .try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// Why a life ended.
enum Stop {
    /// The machine stopped, or the process did because its disk failed.
    Ended,
    /// A promise is broken.
    Broken(String),
}

impl From<String> for Stop {
    fn from(what: String) -> Self {
        Self::Broken(what)
    }
}

/// Everything that outlives a process.
struct World {
    rng: SmallRng,
    plant: Plant,
    retention: KeyRetention,
    segment_bytes: u64,
    now: i64,
    promises: Promises,
    customers: Customers,
    story: Vec<String>,
    stats: Stats,
}

impl World {
    fn tell(&mut self, line: impl FnOnce() -> String) {
        self.story.push(line());
    }

    /// What an error of the journal means: the end of this life if the plan provided for it.
    fn stop(&mut self, disk: &SimDisk, faults: Faults, error: &JournalError) -> Stop {
        let chain = chain(error);
        let planned = match error {
            JournalError::Io { source, .. } | JournalError::Sync { source, .. } => {
                PowerCut::is(source) || faults.fail_sync.is_some() || faults.full_after.is_some()
            }
            JournalError::Poisoned => faults.fail_sync.is_some() || faults.full_after.is_some(),
            JournalError::Damaged { .. }
            | JournalError::TailLost { .. }
            | JournalError::Gone { .. }
            | JournalError::Busy
            | JournalError::Panicked { .. } => false,
        };
        if disk.has_ended() {
            self.tell(|| format!("the machine stops at call {}: {chain}", disk.steps()));
            return Stop::Ended;
        }
        if !planned {
            return Stop::Broken(chain);
        }
        self.tell(|| format!("the disk fails at call {}: {chain}", disk.steps()));
        self.stats.disk_errors += 1;
        disk.end(if self.rng.random_bool(0.3) {
            Cut::Power
        } else {
            Cut::Kill
        });
        Stop::Ended
    }
}

/// Runs one seed.
///
/// # Errors
/// The first promise that is broken.
pub(crate) fn run(seed: u64, plant: Plant) -> Result<Stats, Broken> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let retention = if rng.random_bool(0.2) {
        KeyRetention {
            count: rng.random_range(2..20),
            ..KeyRetention::default()
        }
    } else {
        KeyRetention::default()
    };
    let segment_bytes = [400, 1_500, 6_000, 100_000][rng.random_range(0..4)];
    let mut disk = SimDisk::new(rng.random(), plant.faults());
    let mut world = World {
        promises: Promises::new(retention),
        customers: Customers::default(),
        rng,
        plant,
        retention,
        segment_bytes,
        now: 1_768_473_000_123,
        story: vec![format!("{retention:?}, segments of {segment_bytes} bytes")],
        stats: Stats::default(),
    };
    let lives = world.rng.random_range(2..7);
    for number in 1..=lives {
        let faults = if number == lives {
            plant.faults()
        } else {
            faults(&mut world.rng, plant)
        };
        world.tell(|| format!("life {number}: {faults:?}"));
        disk.plan(faults);
        world.stats.lives += 1;
        match life::live(&mut world, &disk, faults) {
            Ok(()) => {
                let cut = [Cut::Power, Cut::Kill][world.rng.random_range(0..2)];
                world.tell(|| format!("it ends of itself: {cut:?}"));
                disk.end(cut);
            }
            Err(Stop::Ended) => match faults.cut {
                Some((_, Cut::Power)) => world.stats.power_cuts += 1,
                Some((_, Cut::Kill)) => world.stats.kills += 1,
                None => {}
            },
            Err(Stop::Broken(what)) => {
                return Err(Broken {
                    seed,
                    what,
                    story: world.story,
                });
            }
        }
        disk = disk.restart();
    }
    world.stats.runs = 1;
    Ok(world.stats)
}

/// What goes wrong in one life.
fn faults(rng: &mut SmallRng, plant: Plant) -> Faults {
    let kind = if rng.random_bool(0.65) {
        Cut::Power
    } else {
        Cut::Kill
    };
    // Recovery takes few calls, so it is aimed at as well.
    let latest = if rng.random_bool(0.35) { 30 } else { 250 };
    let mut faults = Faults {
        cut: Some((rng.random_range(1..=latest), kind)),
        ..plant.faults()
    };
    match rng.random_range(0..12) {
        0 => faults.fail_sync = Some(rng.random_range(1..30)),
        1 => faults.full_after = Some(rng.random_range(1..20_000)),
        _ => {}
    }
    if faults.fail_sync.is_some() || faults.full_after.is_some() {
        // The process ends when its disk fails; a kill in the same moment is another story.
        faults.cut = rng
            .random_bool(0.3)
            .then(|| (rng.random_range(1..=250), Cut::Power));
    }
    faults
}
