//! Where the histories come from: a real atomic register under concurrent clients, the same with a
//! fault, and nonsense small enough to try every order.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::super::{History, Op, Outcome, Request, State};

/// How large a run is.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) clients: u32,
    pub(super) products: u32,
    pub(super) ops: usize,
    /// Share of operations whose answer is lost.
    pub(super) lost: f64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            clients: 6,
            products: 2,
            ops: 60,
            lost: 0.1,
        }
    }
}

/// A run and what really happened in it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) history: History,
    /// Every state each product went through.
    pub(super) states: BTreeMap<Arc<str>, Vec<State>>,
}

struct World {
    rng: SmallRng,
    states: BTreeMap<Arc<str>, Vec<State>>,
    offsets: u64,
    ops: Vec<Op>,
}

/// What a client is in the midst of.
#[derive(Clone, Copy)]
enum Phase {
    Idle,
    Asked(usize),
    Done(usize, Outcome),
}

impl World {
    fn request(&mut self, product: &Arc<str>) -> Request {
        let seen = &self.states[product];
        let delta = self.rng.random_range(1..4) * if self.rng.random_bool(0.6) { -1 } else { 1 };
        match self.rng.random_range(0..10) {
            0..4 => Request::Read,
            4..7 => Request::Guarded { delta },
            _ => {
                let back = self.rng.random_range(0..3.min(seen.len()));
                let version = seen[seen.len() - 1 - back].version;
                Request::Cas { version, delta }
            }
        }
    }

    /// The one instant of an operation.
    fn take_effect(&mut self, op: usize) -> Outcome {
        let states = self.states.get_mut(&self.ops[op].product).unwrap();
        let (mut outcome, after) = states.last().unwrap().step(self.ops[op].request);
        if let Outcome::Applied { offset, .. } = &mut outcome {
            *offset = Some(self.offsets);
            self.offsets += 1;
            states.push(after);
        }
        outcome
    }
}

/// Lets clients loose on a register.
pub(super) fn run(seed: u64, shape: &Shape) -> Run {
    let mut rng = SmallRng::seed_from_u64(seed);
    let start = State {
        quantity: 20,
        version: rng.random_range(0..3),
    };
    let products: Vec<Arc<str>> = (0..shape.products)
        .map(|number| Arc::from(format!("P{number}")))
        .collect();
    let starts: BTreeMap<_, _> = products.iter().map(|id| (Arc::clone(id), start)).collect();
    let mut world = World {
        rng,
        states: starts
            .keys()
            .map(|id| (Arc::clone(id), vec![start]))
            .collect(),
        offsets: 0,
        ops: Vec::new(),
    };
    let mut phases = vec![Phase::Idle; shape.clients as usize];
    let mut adrift = Vec::new();
    for tick in 0.. {
        let client = world.rng.random_range(0..phases.len());
        phases[client] = match phases[client] {
            Phase::Idle if world.ops.len() == shape.ops => {
                if phases.iter().all(|phase| matches!(phase, Phase::Idle)) {
                    break;
                }
                Phase::Idle
            }
            Phase::Idle => {
                let product = &products[world.rng.random_range(0..products.len())];
                let request = world.request(product);
                world.ops.push(Op {
                    client: u32::try_from(client).unwrap(),
                    product: Arc::clone(product),
                    invoked: tick,
                    returned: None,
                    request,
                    outcome: Outcome::Unknown,
                });
                Phase::Asked(world.ops.len() - 1)
            }
            Phase::Asked(op) if world.rng.random_bool(shape.lost) => {
                if world.rng.random() {
                    adrift.push(op);
                }
                Phase::Idle
            }
            Phase::Asked(op) => Phase::Done(op, world.take_effect(op)),
            Phase::Done(op, outcome) => {
                world.ops[op].returned = Some(tick);
                world.ops[op].outcome = outcome;
                Phase::Idle
            }
        };
        if !adrift.is_empty() && world.rng.random_bool(0.1) {
            let op = adrift.swap_remove(0);
            world.take_effect(op);
        }
    }
    Run {
        history: History {
            starts,
            ops: world.ops,
        },
        states: world.states,
    }
}

/// Breaks a run without lost answers in one way; none if the run offers no place for it.
type Fault = fn(&Run, &mut SmallRng) -> Option<History>;

pub(super) const FAULTS: [(&str, Fault); 6] = [
    ("a change answers with another quantity", |run, rng| {
        with_applied(run, rng, |quantity, _| *quantity += 1)
    }),
    ("a change answers with another version", |run, rng| {
        with_applied(run, rng, |_, version| *version += 1)
    }),
    ("a change is forgotten", |run, rng| {
        let mut history = run.history.clone();
        let index = pick(rng, &history, |op| {
            let latest = run.states[&op.product].last().unwrap();
            matches!(op.outcome, Outcome::Applied { version, .. } if version < latest.version)
        })?;
        history.ops.remove(index);
        Some(history)
    }),
    ("a read sees what was before", |run, rng| {
        with_read(run, rng, |run, read| {
            let floor = told(&run.history, &read.product, |op| {
                op.returned < Some(read.invoked)
            })?;
            let states = &run.states[&read.product];
            states
                .iter()
                .rev()
                .find(|state| state.version < floor)
                .copied()
        })
    }),
    ("a read sees what is to come", |run, rng| {
        with_read(run, rng, |run, read| {
            let made = run
                .history
                .ops
                .iter()
                .filter(|op| op.product == read.product && Some(op.invoked) > read.returned);
            let version = made.filter_map(version_made).min()?;
            let states = &run.states[&read.product];
            states
                .iter()
                .find(|state| state.version == version)
                .copied()
        })
    }),
    ("a change was asked for after it was seen", |run, rng| {
        let mut history = run.history.clone();
        let end = history.ops.iter().filter_map(|op| op.returned).max()?;
        let index = pick(rng, &run.history, |op| {
            let later = told(&run.history, &op.product, |_| true);
            version_made(op).is_some_and(|version| Some(version) < later)
        })?;
        history.ops[index].invoked = end + 1;
        history.ops[index].returned = Some(end + 2);
        Some(history)
    }),
];

fn version_made(op: &Op) -> Option<u64> {
    match op.outcome {
        Outcome::Applied { version, .. } => Some(version),
        _ => None,
    }
}

/// The highest version of `product` in the answers of the operations that `which` takes.
fn told(history: &History, product: &str, which: impl Fn(&Op) -> bool) -> Option<u64> {
    let ops = history
        .ops
        .iter()
        .filter(|op| &*op.product == product && which(op));
    ops.filter_map(|op| match op.outcome {
        Outcome::Applied { version, .. }
        | Outcome::Conflict { version, .. }
        | Outcome::Saw { version, .. } => Some(version),
        Outcome::Insufficient { .. } | Outcome::Unknown => None,
    })
    .max()
}

fn pick(rng: &mut SmallRng, history: &History, which: impl Fn(&Op) -> bool) -> Option<usize> {
    let fitting: Vec<usize> = (0..history.ops.len())
        .filter(|index| which(&history.ops[*index]))
        .collect();
    (!fitting.is_empty()).then(|| fitting[rng.random_range(0..fitting.len())])
}

fn with_applied(
    run: &Run,
    rng: &mut SmallRng,
    change: impl Fn(&mut i64, &mut u64),
) -> Option<History> {
    let mut history = run.history.clone();
    let index = pick(rng, &history, |op| version_made(op).is_some())?;
    if let Outcome::Applied {
        quantity, version, ..
    } = &mut history.ops[index].outcome
    {
        change(quantity, version);
    }
    Some(history)
}

fn with_read(
    run: &Run,
    rng: &mut SmallRng,
    instead: impl Fn(&Run, &Op) -> Option<State>,
) -> Option<History> {
    let mut history = run.history.clone();
    let index = pick(rng, &history, |op| {
        op.request == Request::Read && instead(run, op).is_some()
    })?;
    let State { quantity, version } = instead(run, &history.ops[index])?;
    history.ops[index].outcome = Outcome::Saw { quantity, version };
    Some(history)
}

/// Up to six operations on one product with answers near to plausible.
pub(super) fn nonsense(seed: u64) -> History {
    let mut rng = SmallRng::seed_from_u64(seed);
    let shape = Shape {
        clients: rng.random_range(1..5),
        products: 1,
        ops: rng.random_range(1..7),
        lost: [0.0, 0.3][rng.random_range(0..2)],
    };
    let mut history = run(seed, &shape).history;
    // Few units, so that refusals happen.
    let start = history.starts.values_mut().next().unwrap();
    start.quantity = rng.random_range(0..6);
    let quantity_shift = 20 - start.quantity;
    for op in &mut history.ops {
        let (quantity, version) = match &mut op.outcome {
            Outcome::Applied {
                quantity,
                version,
                offset,
            } => {
                *offset = None;
                (quantity, Some(version))
            }
            Outcome::Conflict { version, quantity } | Outcome::Saw { quantity, version } => {
                (quantity, Some(version))
            }
            Outcome::Insufficient { quantity } => (quantity, None),
            Outcome::Unknown => continue,
        };
        *quantity -= quantity_shift;
        if rng.random_bool(0.08) {
            *quantity += rng.random_range(-2..3);
        }
        if let Some(version) = version
            && rng.random_bool(0.08)
        {
            *version = (*version + rng.random_range(0..3)).saturating_sub(1);
        }
        if rng.random_bool(0.08) {
            let quantity = rng.random_range(0..5);
            op.outcome = Outcome::Insufficient { quantity };
        }
        if rng.random_bool(0.1) {
            op.invoked = rng.random_range(0..20);
            op.returned = Some(op.invoked + rng.random_range(0..8));
        }
    }
    history
}

/// Tries every order of every subset that contains all answered operations.
pub(super) fn some_order_explains(history: &History) -> bool {
    let start = *history.starts.values().next().unwrap();
    extend(&history.ops, 0, start)
}

fn extend(ops: &[Op], done: u32, state: State) -> bool {
    let is_done = |index: usize| done & (1 << index) != 0;
    let open = |index: &usize| !is_done(*index) && ops[*index].returned.is_some();
    if !(0..ops.len()).any(|index| open(&index)) {
        return true;
    }
    let bound = (0..ops.len())
        .filter(open)
        .filter_map(|index| ops[index].returned)
        .min();
    (0..ops.len()).any(|index| {
        let op = &ops[index];
        let may_come_next = !is_done(index) && bound.is_none_or(|bound| op.invoked <= bound);
        let after = match op.outcome {
            Outcome::Unknown => Some(state.step(op.request).1),
            outcome => state.explain(op.request, outcome),
        };
        may_come_next && after.is_some_and(|after| extend(ops, done | 1 << index, after))
    })
}
