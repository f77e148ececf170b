//! The quick judge: the answers themselves say in which order things happened.
//!
//! Every change answers with the version it made and the offset of its event, every read with the
//! version it saw. So there is only one order to check: by version within a product, by offset
//! over all. What has to fit:
//!
//! - an answer is one that its request can get (a conflict names another version, and so on);
//! - each version has one maker and one quantity, and a maker's delta leads from the version before;
//! - nobody is told of a version older than one that anybody had been told of before they asked, or
//!   of one whose change was asked for only after they were told;
//! - offsets are unique, grow with the versions of a product, and grow with time;
//! - a version that nobody claims was made by a change without an answer: one with the right delta,
//!   asked early enough, each used once.
//!
//! With every outcome known this decides exactly. Where quantities between two unclaimed versions
//! were never seen it only counts the changes that could fill them, and leaves the rest to
//! [`search`](super::search). It never rejects a history that is linearizable.

mod offsets;
mod pool;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use self::pool::Pool;
use super::Violation;
use super::history::{Answered, History, Outcome, Part, Request, State, Unanswered};

/// Checks every product, and the offsets over all of them.
///
/// # Errors
/// The first thing that does not fit.
pub fn check(history: &History) -> Result<(), Violation> {
    offsets::check(history)?;
    for (product, part) in history.parts() {
        let violation = |(op, what)| Violation {
            product: Arc::clone(product),
            op,
            what,
        };
        let Some(start) = history.starts.get(product) else {
            return Err(violation((None, "its start is not in the history".into())));
        };
        Versions::collect(*start, &part)
            .and_then(|versions| {
                versions.check_makers()?;
                versions.check_gaps(&part.unanswered)?;
                versions.check_time(&part)
            })
            .map_err(violation)?;
    }
    Ok(())
}

type Fault = (Option<usize>, String);

fn fault<T>(op: usize, what: impl Into<String>) -> Result<T, Fault> {
    Err((Some(op), what.into()))
}

/// Where an operation stands among the versions of its product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It made this version.
    Made(u64),
    /// It saw this version.
    Saw(u64),
    /// It saw some version with this quantity.
    SawQuantity(i64),
}

/// Where `answered` stands, and what it says of the state there.
fn place(answered: &Answered) -> Result<(Place, Option<State>), Fault> {
    let at = |quantity, version| Some(State { quantity, version });
    match (answered.request, answered.outcome) {
        (Request::Read, Outcome::Saw { quantity, version }) => {
            Ok((Place::Saw(version), at(quantity, version)))
        }
        (Request::Cas { version: given, .. }, Outcome::Conflict { version, quantity }) => {
            if given == version {
                return fault(
                    answered.op,
                    "a conflict with the very version that was given",
                );
            }
            Ok((Place::Saw(version), at(quantity, version)))
        }
        (request, Outcome::Insufficient { quantity }) => {
            let short = request
                .delta()
                .is_some_and(|delta| delta < 0 && quantity.saturating_add(delta) < 0);
            match request {
                _ if !short => fault(answered.op, "refused although there was enough"),
                Request::Cas { version, .. } => Ok((Place::Saw(version), at(quantity, version))),
                Request::Guarded { .. } | Request::Read => Ok((Place::SawQuantity(quantity), None)),
            }
        }
        (
            request @ (Request::Cas { .. } | Request::Guarded { .. }),
            Outcome::Applied {
                quantity, version, ..
            },
        ) => {
            if request.delta().is_some_and(|delta| delta < 0) && quantity < 0 {
                return fault(answered.op, "a change was taken that leaves a shortfall");
            }
            if let Request::Cas { version: given, .. } = request
                && given.checked_add(1) != Some(version)
            {
                return fault(
                    answered.op,
                    "a change made a version that is not the next one",
                );
            }
            Ok((Place::Made(version), at(quantity, version)))
        }
        (request, outcome) => fault(
            answered.op,
            format!("{outcome:?} is no answer to {request:?}"),
        ),
    }
}

/// Everything the answers say about the versions of one product.
struct Versions {
    start: u64,
    last: u64,
    quantities: HashMap<u64, i64>,
    makers: HashMap<u64, Answered>,
    /// When somebody was first told of this version or a later one.
    told: BTreeMap<u64, u64>,
}

impl Versions {
    fn collect(start: State, part: &Part) -> Result<Self, Fault> {
        let mut versions = Self {
            start: start.version,
            last: start.version,
            quantities: HashMap::from([(start.version, start.quantity)]),
            makers: HashMap::new(),
            told: BTreeMap::new(),
        };
        for answered in &part.answered {
            let (place, state) = place(answered)?;
            if let Place::Made(version) = place
                && versions.makers.insert(version, *answered).is_some()
            {
                return fault(answered.op, format!("version {version} was made twice"));
            }
            if let Some(state) = state {
                versions.learn(answered, state)?;
            }
        }
        let steps = versions.last.saturating_sub(versions.start);
        let changes = versions.makers.len().saturating_add(part.unanswered.len()) as u64;
        if steps > changes || versions.makers.contains_key(&versions.start) {
            let what = format!(
                "{changes} changes cannot lead from version {} to {}",
                versions.start, versions.last
            );
            return Err((None, what));
        }
        versions.spread_told();
        Ok(versions)
    }

    /// Takes in that `answered` was told of `state`.
    fn learn(&mut self, answered: &Answered, state: State) -> Result<(), Fault> {
        let State { quantity, version } = state;
        if version < self.start {
            return fault(
                answered.op,
                format!("version {version} is before the start"),
            );
        }
        let known = *self.quantities.entry(version).or_insert(quantity);
        if known != quantity {
            return fault(
                answered.op,
                format!("version {version} has quantity {known}, and also {quantity}"),
            );
        }
        self.last = self.last.max(version);
        let told = self.told.entry(version).or_insert(u64::MAX);
        *told = (*told).min(answered.returned);
        Ok(())
    }

    /// Who is told of a version is told of all before it.
    fn spread_told(&mut self) {
        let mut earliest = u64::MAX;
        for told in self.told.values_mut().rev() {
            earliest = earliest.min(*told);
            *told = earliest;
        }
    }

    /// When a change that made `version` must have been asked for at the latest.
    fn deadline(&self, version: u64) -> u64 {
        let later = self.told.range(version..).next();
        later.map_or(u64::MAX, |(_, told)| *told)
    }

    /// Each claimed change leads from the quantity before it to the one after it.
    fn check_makers(&self) -> Result<(), Fault> {
        for version in self.start.saturating_add(1)..=self.last {
            if let Some(maker) = self.makers.get(&version)
                && let Some(before) = self.quantity(version.saturating_sub(1))
                && let Some(after) = self.quantities.get(&version)
                && let Some(delta) = maker.request.delta()
                && before.saturating_add(delta) != *after
            {
                return fault(
                    maker.op,
                    format!("{before} and a change of {delta} do not make {after}"),
                );
            }
        }
        Ok(())
    }

    /// The quantity at `version`, seen or worked out from the change that came next.
    fn quantity(&self, version: u64) -> Option<i64> {
        if let Some(quantity) = self.quantities.get(&version) {
            return Some(*quantity);
        }
        let next = version.saturating_add(1);
        let delta = self.makers.get(&next)?.request.delta()?;
        Some(self.quantities.get(&next)?.saturating_sub(delta))
    }

    /// Versions that nobody claims can have been made by changes without an answer.
    fn check_gaps(&self, unanswered: &[Unanswered]) -> Result<(), Fault> {
        let mut pool = Pool::new(unanswered);
        let mut open_gaps = 0_usize;
        for version in self.start.saturating_add(1)..=self.last {
            if self.makers.contains_key(&version) {
                continue;
            }
            let before = self.quantity(version.saturating_sub(1));
            let after = self.quantity(version);
            let step = before.zip(after).map(|(from, to)| to.saturating_sub(from));
            let shortfall = after.is_some_and(|after| after < 0);
            if pool.take(version, step, shortfall, self.deadline(version)) {
                continue;
            }
            if step.is_some() {
                let what =
                    format!("nobody can have made version {version}: {before:?} to {after:?}");
                return Err((None, what));
            }
            open_gaps = open_gaps.saturating_add(1);
        }
        if open_gaps > pool.left() {
            let what = format!("{open_gaps} versions are left without a change that made them");
            return Err((None, what));
        }
        Ok(())
    }

    /// Nobody is told of something older than what was told before they asked.
    fn check_time(&self, part: &Part) -> Result<(), Fault> {
        let by_quantity = self.by_quantity();
        let beyond = if part.unanswered.is_empty() {
            None
        } else {
            self.last.checked_add(1)
        };
        let mut floor = 0;
        let mut stands: HashMap<usize, u64> = HashMap::new();
        for (_, returns, number) in edges(&part.answered) {
            let Some(answered) = part.answered.get(number) else {
                continue;
            };
            if returns {
                floor = floor.max(stands.remove(&number).unwrap_or(0));
                continue;
            }
            let version = match place(answered)?.0 {
                Place::Made(version) if version > floor => version,
                Place::Made(version) => {
                    let what = format!(
                        "version {version} was made by a change asked for when version {floor} had \
                         already been told"
                    );
                    return fault(answered.op, what);
                }
                Place::Saw(version) if version >= floor => version,
                Place::Saw(version) => {
                    let what = format!(
                        "told of version {version} when version {floor} had already been told"
                    );
                    return fault(answered.op, what);
                }
                Place::SawQuantity(quantity) => {
                    let seen = by_quantity.at_or_after(floor, Some(quantity));
                    let unseen = by_quantity.at_or_after(floor, None);
                    let beyond = beyond.map(|beyond| beyond.max(floor));
                    match [seen, unseen, beyond].into_iter().flatten().min() {
                        Some(version) => version,
                        None => {
                            let what =
                                format!("no version from {floor} on has quantity {quantity}");
                            return fault(answered.op, what);
                        }
                    }
                }
            };
            stands.insert(number, version);
        }
        Ok(())
    }

    fn by_quantity(&self) -> ByQuantity {
        let mut versions: HashMap<Option<i64>, Vec<u64>> = HashMap::new();
        for version in self.start..=self.last {
            let quantity = self.quantity(version);
            versions.entry(quantity).or_default().push(version);
        }
        ByQuantity { versions }
    }
}

/// Versions by the quantity they have, `None` for those of which nobody knows it; ascending.
struct ByQuantity {
    versions: HashMap<Option<i64>, Vec<u64>>,
}

impl ByQuantity {
    fn at_or_after(&self, floor: u64, quantity: Option<i64>) -> Option<u64> {
        let versions = self.versions.get(&quantity)?;
        let from = versions.partition_point(|version| *version < floor);
        versions.get(from).copied()
    }
}

/// Calls and returns as (tick, is a return, place in `answered`), in the order of time; calls first
/// where the tick is the same, since that counts as concurrent.
fn edges(answered: &[Answered]) -> Vec<(u64, bool, usize)> {
    let mut edges: Vec<_> = answered
        .iter()
        .enumerate()
        .flat_map(|(number, op)| {
            let end = op.returned.max(op.invoked);
            [(op.invoked, false, number), (end, true, number)]
        })
        .collect();
    edges.sort_unstable();
    edges
}
