//! Who has asked how much: the state behind a limit, for many subjects and within a bound.
//!
//! A state is one time, the one at which a subject would be at rest again, so it costs less than a
//! hundred bytes. To forget one at rest changes nothing. Under a flood of fresh addresses those at rest
//! are dropped, at most once a second, and who finds no place even so shares one state with all others
//! like it, the crowd. As long as that is not at rest, whoever is new begins from it and not from
//! nothing: else somebody could be counted in the crowd first and alone afterwards, and get both.
//!
//! What must stay true: memory is bounded whatever anybody sends; no state is dropped while it still
//! says something, so who was heavy before a flood is refused in it as well; one request takes the lock
//! of one part, for one look-up.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;

use governor::nanos::Nanos;
use governor::state::StateStore;
use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::domain::ids::Principal;

/// Parts that are locked one by one.
const PARTS: usize = 16;
/// Nanoseconds between two looks of a part for states at rest.
const SWEEP_EVERY: u64 = 1_000_000_000;

/// Whom a limit counts for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// The owner of a key.
    Principal(Principal),
    /// An address, of somebody whose key is not known. Of IPv6 the first half, which is what one
    /// caller is given.
    Address(IpAddr),
}

impl Subject {
    /// Whoever asks from `address`.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        let address = match address.to_canonical() {
            IpAddr::V6(whole) => {
                let half = u128::from(whole) >> 64 << 64;
                IpAddr::V6(half.into())
            }
            whole @ IpAddr::V4(_) => whole,
        };
        Self::Address(address)
    }
}

/// The states of one limit, to be shared by the limiter, which keeps them to itself, and whoever shows
/// them.
#[derive(Clone, Debug)]
pub(super) struct Subjects(Arc<Table>);

#[derive(Debug)]
struct Table {
    parts: [Mutex<Part>; PARTS],
    // Seeded: whoever chooses addresses must not choose where they lie.
    hasher: RandomState,
    /// States that one part has room for.
    room: usize,
    /// Nanoseconds by which one request moves a state.
    step: u64,
}

#[derive(Debug, Default)]
struct Part {
    states: HashTable<(Subject, Nanos)>,
    /// The one state of all who found no place.
    crowd: Option<Nanos>,
    /// Before that there is no other look for states at rest.
    sweep_from: u64,
}

impl Part {
    /// Drops what is at rest, if there is no room and this was not tried just now.
    fn make_room(&mut self, room: usize, now: u64) {
        if self.states.len() >= room && now >= self.sweep_from {
            self.sweep_from = now.saturating_add(SWEEP_EVERY);
            self.states.retain(|(_, at)| at.as_u64() > now);
        }
    }
}

impl Subjects {
    /// Room for about `most` states, which one request moves by `step` nanoseconds.
    pub(super) fn new(most: usize, step: u64) -> Self {
        Self(Arc::new(Table {
            parts: Default::default(),
            hasher: RandomState::new(),
            room: most.div_ceil(PARTS),
            step,
        }))
    }

    fn part(&self, hash: u64) -> &Mutex<Part> {
        let [first, ..] = &self.0.parts;
        // The table itself looks at the lowest bits and the highest.
        let index = usize::try_from((hash >> 32) % PARTS as u64).unwrap_or(0);
        self.0.parts.get(index).unwrap_or(first)
    }

    /// When `subject` is at rest again, in nanoseconds since the limit was made; none who is. Whoever is
    /// new is where the crowd is.
    pub(super) fn of(&self, subject: &Subject) -> Option<u64> {
        let hash = self.0.hasher.hash_one(subject);
        let part = self.part(hash).lock();
        let found = part.states.find(hash, |(known, _)| known == subject);
        let own = found.map(|(_, at)| *at);
        own.or(part.crowd).map(Nanos::as_u64)
    }

    /// Those who are not at rest at `now`, with when they will be.
    pub(super) fn active(&self, now: u64) -> Vec<(Subject, u64)> {
        let mut active = Vec::new();
        for part in &self.0.parts {
            let part = part.lock();
            let states = part.states.iter().map(|(it, at)| (it, at.as_u64()));
            let states = states.filter(|(_, at)| *at > now);
            active.extend(states.map(|(it, at)| (it.clone(), at)));
        }
        active
    }

    /// Forgets everybody.
    pub(super) fn clear(&self) {
        for part in &self.0.parts {
            *part.lock() = Part::default();
        }
    }

    /// How many states are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.parts.iter().map(|it| it.lock().states.len()).sum()
    }
}

impl StateStore for Subjects {
    type Key = Subject;

    fn measure_and_replace<T, F, E>(&self, subject: &Subject, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let hasher = &self.0.hasher;
        let hash = hasher.hash_one(subject);
        let mut part = self.part(hash).lock();
        let found = part.states.find_mut(hash, |(known, _)| known == subject);
        if let Some((_, at)) = found {
            let (outcome, next) = f(Some(*at))?;
            *at = next;
            return Ok(outcome);
        }
        // Nobody's very first request is refused, and its state tells the time.
        let (_, fresh) = f(None)?;
        let now = fresh.as_u64().saturating_sub(self.0.step);
        part.make_room(self.0.room, now);
        let crowd = part.crowd.filter(|at| at.as_u64() > now);
        let (outcome, next) = f(crowd)?;
        if part.states.len() >= self.0.room {
            part.crowd = Some(next);
        } else {
            part.states
                .insert_unique(hash, (subject.clone(), next), |(it, _)| hasher.hash_one(it));
        }
        Ok(outcome)
    }
}
