//! What the next process finds.
//!
//! Chance has moods: often everything unsynced is gone, or everything is there, because those are
//! the cases in which one lost name or one kept tail shows; in between every file and every name
//! has a fate of its own.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::SmallRng;

use super::state::{Inode, Names, State};

/// Bytes that reach the medium together.
const SECTOR: usize = 512;

/// Nothing is lost, and nothing is more durable than it was: the kernel lives on.
pub(super) fn of_kill(state: &mut State) -> State {
    let names = (
        state.written.clone(),
        state.durable.clone(),
        state.pending.clone(),
    );
    let inodes = state.inodes.clone();
    state.next(inodes, names)
}

/// Whatever is not durable may be gone or damaged. What is found is durable.
pub(super) fn of_power_loss(state: &mut State) -> State {
    let rng = &mut state.rng;
    let mood = Mood::draw(rng);
    let mut names = state.durable.clone();
    for change in &state.pending {
        if mood.keeps(rng) {
            change.apply(&mut names);
        }
    }
    let inodes: BTreeMap<u64, Inode> = names
        .values()
        .filter_map(|number| state.inodes.get(number).map(|inode| (*number, inode)))
        .map(|(number, inode)| (number, survivor(inode, rng)))
        .collect();
    let durable: Names = names.clone();
    state.next(inodes, (names, durable, Vec::new()))
}

/// What happens to changes of names.
#[derive(Clone, Copy)]
enum Mood {
    KeepsAll,
    LosesAll,
    TossesACoin,
}

impl Mood {
    fn draw(rng: &mut SmallRng) -> Self {
        match rng.random_range(0..4) {
            0 => Self::KeepsAll,
            1 => Self::LosesAll,
            _ => Self::TossesACoin,
        }
    }

    fn keeps(self, rng: &mut SmallRng) -> bool {
        match self {
            Self::KeepsAll => true,
            Self::LosesAll => false,
            Self::TossesACoin => rng.random(),
        }
    }
}

/// One file after the power came back.
fn survivor(inode: &Inode, rng: &mut SmallRng) -> Inode {
    let (durable, tail) = inode
        .bytes
        .split_at_checked(inode.synced)
        .unwrap_or((&inode.bytes, &[]));
    let mut bytes = durable.to_vec();
    match rng.random_range(0..6) {
        // Lost.
        0 => {}
        // Torn at some byte.
        1 => {
            let kept = rng.random_range(0..=tail.len());
            bytes.extend_from_slice(tail.get(..kept).unwrap_or_default());
        }
        // The length was written, the bytes were not.
        2 => {
            let kept = rng.random_range(0..=tail.len());
            bytes.resize(bytes.len().saturating_add(kept), 0);
        }
        // Some of the old content of the medium shows through.
        3 => {
            let kept = rng.random_range(0..=tail.len());
            bytes.extend_from_slice(tail.get(..kept).unwrap_or_default());
            let rest = tail.len().saturating_sub(kept);
            bytes.extend((0..rest).map(|_| rng.random::<u8>()));
        }
        // Sectors in any order.
        4 => {
            bytes.extend_from_slice(tail);
            blank_sectors(&mut bytes, inode.synced, rng);
        }
        // Kept whole.
        _ => bytes.extend_from_slice(tail),
    }
    for range in &inode.doomed {
        let end = range.end.min(bytes.len());
        if let Some(lost) = bytes.get_mut(range.start..end) {
            lost.fill(0);
        }
    }
    Inode {
        synced: bytes.len(),
        bytes,
        doomed: Vec::new(),
    }
}

/// Zeroes some of the sectors behind `from`, as if the others had been written first.
fn blank_sectors(bytes: &mut [u8], from: usize, rng: &mut SmallRng) {
    let mut start = from;
    while start < bytes.len() {
        let end = (start / SECTOR).saturating_add(1).saturating_mul(SECTOR);
        let end = end.min(bytes.len());
        if rng.random()
            && let Some(sector) = bytes.get_mut(start..end)
        {
            sector.fill(0);
        }
        start = end;
    }
}
