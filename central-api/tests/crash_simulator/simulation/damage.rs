//! A log at rest, and what a start makes of it after something has changed its bytes.
//!
//! Power cuts damage only what was in flight. A decaying disk or a careless hand damages anything,
//! and then the promise is smaller: it is noticed, or it changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use central_api::journal::Journal;
use central_api::journal::embedded::EmbeddedOptions;
use central_api::ledger::KeyRetention;
use central_api::ledger::open::recover;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use shared::causes::chain;
use shared::disk::Disk;
use shared::disk::sim::{Cut, Faults, SimDisk};

use super::commands::Customers;
use super::promises::Promises;
use super::{Plant, Stats, Stop, World, life};

/// A log at rest.
pub(crate) struct Aged {
    world: World,
    disk: SimDisk,
    options: EmbeddedOptions,
}

/// What a start and a reader made of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The start was refused.
    Refused(String),
    /// It started and said what was wrong, or a reader was told.
    Noticed(String),
    /// Nothing was wrong, and nothing was said.
    Harmless,
    /// It came up as it was some frames earlier, and nothing was said: frames that are gone without a
    /// trace cannot be told from frames that never were.
    Earlier,
    /// Something was wrong, and nothing was said.
    Missed(String),
}

impl Aged {
    /// One life without faults, long enough for many segments and two snapshots.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let retention = KeyRetention::default();
        let disk = SimDisk::new(rng.random(), Faults::default());
        let mut world = World {
            rng,
            plant: Plant::Nothing,
            retention,
            segment_bytes: 6_000,
            now: 1_768_473_000_123,
            promises: Promises::new(retention),
            customers: Customers::default(),
            story: Vec::new(),
            stats: Stats::default(),
        };
        match life::work(&mut world, &disk) {
            Ok(()) => {}
            Err(Stop::Ended) => panic!("nothing was to go wrong"),
            Err(Stop::Broken(what)) => panic!("{what}"),
        }
        disk.end(Cut::Kill);
        let options = life::options(world.segment_bytes);
        Self {
            world,
            disk,
            options,
        }
    }

    /// The files there are, with their sizes.
    pub(crate) fn files(&self) -> Vec<(PathBuf, usize)> {
        let disk = self.disk.restart();
        let mut files = Vec::new();
        for folder in ["journal", "snapshots"] {
            let folder = self.options.dir.join(folder);
            for name in disk.list(&folder).unwrap() {
                let path = folder.join(name);
                let size = disk.len(&path).unwrap();
                files.push((path, size as usize));
            }
        }
        files
    }

    /// Starts over a copy of the log that `damage` was done to.
    pub(crate) fn examine(&self, damage: impl FnOnce(&SimDisk)) -> Verdict {
        let copy = self.disk.restart();
        damage(&copy);
        let disk: Arc<dyn Disk> = Arc::new(copy);
        let recovered = match recover(&disk, &self.options, self.world.retention) {
            Ok(recovered) => recovered,
            Err(error) => return Verdict::Refused(chain(&error)),
        };
        let reader = recovered.journal.reader();
        let found = self.world.promises.compare(&recovered.fold, &*reader);
        let reported = match recovered.bad_snapshots.first() {
            Some(error) => Some(chain(error)),
            None if recovered.opened.cut_bytes > 0 => Some("a torn tail was cut".to_owned()),
            None => None,
        };
        let earlier = || self.world.promises.is_prefix(&recovered.fold);
        match (found, reported) {
            (Verdict::Harmless, Some(reported)) => Verdict::Noticed(reported),
            (Verdict::Missed(_), Some(reported)) if earlier() => Verdict::Noticed(reported),
            (Verdict::Missed(_), None) if earlier() => Verdict::Earlier,
            (found, _) => found,
        }
    }
}

/// What became of flipped bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Starts that were refused.
    pub(crate) refused: usize,
    /// Starts that said what was wrong, or readers that were told.
    pub(crate) noticed: usize,
    /// Flips that changed nothing that anybody reads.
    pub(crate) harmless: usize,
}

impl Tally {
    /// Counts a verdict.
    ///
    /// # Errors
    /// What was missed.
    pub(crate) fn add(&mut self, verdict: Verdict) -> Result<(), String> {
        match verdict {
            Verdict::Refused(_) => self.refused += 1,
            Verdict::Noticed(_) => self.noticed += 1,
            Verdict::Harmless => self.harmless += 1,
            Verdict::Earlier => return Err("frames are gone".to_owned()),
            Verdict::Missed(what) => return Err(what),
        }
        Ok(())
    }
}

/// Flips `flips` bits, one at a time, in several logs.
///
/// # Errors
/// The first flip that went unnoticed.
pub(crate) fn flip_bits(rng: &mut SmallRng, flips: usize) -> Result<Tally, String> {
    const FLIPS_PER_LOG: usize = 1_000;
    let mut tally = Tally::default();
    for flip in 0..flips.div_ceil(FLIPS_PER_LOG) {
        let log = Aged::new(rng.random());
        let files = log.files();
        for _ in 0..FLIPS_PER_LOG.min(flips - flip * FLIPS_PER_LOG) {
            let (path, byte) = somewhere(&files, rng);
            let bit = rng.random_range(0..8);
            let verdict = log.examine(|disk| assert!(disk.flip_bit(path, byte, bit)));
            tally
                .add(verdict)
                .map_err(|what| format!("bit {bit} of byte {byte} of {path:?}: {what}"))?;
        }
    }
    Ok(tally)
}

/// A random byte of one of `files`.
fn somewhere<'a>(files: &'a [(PathBuf, usize)], rng: &mut SmallRng) -> (&'a Path, usize) {
    let total: usize = files.iter().map(|(_, size)| size).sum();
    let mut at = rng.random_range(0..total);
    for (path, size) in files {
        if at < *size {
            return (path, at);
        }
        at -= size;
    }
    (Path::new(""), 0)
}
