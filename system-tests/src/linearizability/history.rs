//! What clients did and saw, and the one rule that a single product follows.
//!
//! As a file a history is one JSON object a line, so that a failing one can be saved, cut down by
//! hand and judged again:
//!
//! ```text
//! {"line":"start","product":"A","quantity":10,"version":1}
//! {"line":"op","client":3,"product":"A","invoked":7,"returned":9,
//!  "request":{"kind":"guarded","delta":-2},
//!  "outcome":{"kind":"applied","quantity":8,"version":2,"offset":41}}
//! ```
//!
//! (an operation is on one line there). Times are ticks of any clock that is the same for all
//! clients; equal ticks count as concurrent. An operation without `returned` was never answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Request {
    /// Change by `delta` if the version still is `version`.
    Cas {
        /// The version the client saw.
        version: u64,
        /// Units.
        delta: i64,
    },
    /// Change by `delta` if that leaves no shortfall.
    Guarded {
        /// Units.
        delta: i64,
    },
    /// Tell what there is.
    Read,
}

impl Request {
    /// Units to be moved, if any are.
    #[must_use]
    pub const fn delta(self) -> Option<i64> {
        match self {
            Self::Cas { delta, .. } | Self::Guarded { delta } => Some(delta),
            Self::Read => None,
        }
    }
}

/// What the client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Outcome {
    /// It took effect.
    Applied {
        /// Units afterwards.
        quantity: i64,
        /// Version afterwards.
        version: u64,
        /// Offset of its event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
    },
    /// Another version is there.
    Conflict {
        /// Which.
        version: u64,
        /// Units at that version.
        quantity: i64,
    },
    /// Too few units.
    Insufficient {
        /// How many there are.
        quantity: i64,
    },
    /// The answer to a read.
    Saw {
        /// Units.
        quantity: i64,
        /// Version.
        version: u64,
    },
    /// Nobody knows: no answer, or one that leaves it open.
    Unknown,
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Op {
    /// Who asked; for people.
    pub client: u32,
    /// About what.
    pub product: Arc<str>,
    /// When it was asked.
    pub invoked: u64,
    /// When the answer was there; none if the outcome is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<u64>,
    /// What was asked.
    pub request: Request,
    /// What was told.
    pub outcome: Outcome,
}

/// An operation whose outcome is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    /// Its place in [`History::ops`].
    pub(super) op: usize,
    pub(super) invoked: u64,
    pub(super) returned: u64,
    pub(super) request: Request,
    pub(super) outcome: Outcome,
}

/// A change of which nobody knows whether it took effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unanswered {
    pub(super) invoked: u64,
    pub(super) request: Request,
}

/// The part of a history that is about one product.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) answered: Vec<Answered>,
    /// Changes only: a read without an answer says nothing.
    pub(super) unanswered: Vec<Unanswered>,
}

/// One product between two changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    /// Units.
    pub quantity: i64,
    /// Version.
    pub version: u64,
}

impl State {
    /// What this state does with `request`: the answer it gives (without an offset) and what is
    /// there afterwards.
    #[must_use]
    pub const fn step(self, request: Request) -> (Outcome, Self) {
        let Self { quantity, version } = self;
        let delta = match request {
            Request::Read => return (Outcome::Saw { quantity, version }, self),
            Request::Cas { version: given, .. } if given != version => {
                return (Outcome::Conflict { version, quantity }, self);
            }
            Request::Cas { delta, .. } | Request::Guarded { delta } => delta,
        };
        let after = Self {
            quantity: quantity.saturating_add(delta),
            version: version.saturating_add(1),
        };
        if delta < 0 && after.quantity < 0 {
            return (Outcome::Insufficient { quantity }, self);
        }
        let applied = Outcome::Applied {
            quantity: after.quantity,
            version: after.version,
            offset: None,
        };
        (applied, after)
    }

    /// The state after `request` was answered with `outcome`, if this state gives that answer.
    #[must_use]
    pub fn explain(self, request: Request, outcome: Outcome) -> Option<Self> {
        let (given, after) = self.step(request);
        (given == outcome.without_offset()).then_some(after)
    }
}

impl Outcome {
    /// The same with the offset left out, which a single product knows nothing of.
    #[must_use]
    pub const fn without_offset(self) -> Self {
        match self {
            Self::Applied {
                quantity, version, ..
            } => Self::Applied {
                quantity,
                version,
                offset: None,
            },
            Self::Conflict { .. }
            | Self::Insufficient { .. }
            | Self::Saw { .. }
            | Self::Unknown => self,
        }
    }
}

/// What all clients did and saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Each product as it stood before the first operation.
    pub starts: BTreeMap<Arc<str>, State>,
    /// The operations, in no order.
    pub ops: Vec<Op>,
}

/// A line of a history file.
#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "camelCase")]
enum Line {
    Start {
        product: Arc<str>,
        quantity: i64,
        version: u64,
    },
    Op(Op),
}

/// A line that is not part of a history.
#[derive(Debug, thiserror::Error)]
#[error("line {number} is not part of a history")]
pub struct BadLine {
    /// Which, from 1.
    pub number: usize,
    /// Why.
    #[source]
    pub source: serde_json::Error,
}

impl History {
    /// The history as a file's text.
    #[must_use]
    pub fn to_ndjson(&self) -> String {
        let starts = self.starts.iter().map(|(product, state)| Line::Start {
            product: Arc::clone(product),
            quantity: state.quantity,
            version: state.version,
        });
        let ops = self.ops.iter().cloned().map(Line::Op);
        let mut text = String::new();
        for line in starts.chain(ops) {
            text.push_str(&serde_json::to_string(&line).expect("plain data is always JSON"));
            text.push('\n');
        }
        text
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// The first line that is not part of a history.
    pub fn from_ndjson(text: &str) -> Result<Self, BadLine> {
        let mut history = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = serde_json::from_str(line).map_err(|source| BadLine {
                number: index + 1,
                source,
            })?;
            match line {
                Line::Start {
                    product,
                    quantity,
                    version,
                } => {
                    let start = State { quantity, version };
                    history.starts.insert(product, start);
                }
                Line::Op(op) => history.ops.push(op),
            }
        }
        Ok(history)
    }

    /// The operations of each product.
    pub(super) fn parts(&self) -> BTreeMap<&Arc<str>, Part> {
        let mut parts: BTreeMap<&Arc<str>, Part> = BTreeMap::new();
        for (index, op) in self.ops.iter().enumerate() {
            let part = parts.entry(&op.product).or_default();
            match (op.outcome, op.returned) {
                (Outcome::Unknown, _) | (_, None) => {
                    if op.request != Request::Read {
                        part.unanswered.push(Unanswered {
                            invoked: op.invoked,
                            request: op.request,
                        });
                    }
                }
                (outcome, Some(returned)) => part.answered.push(Answered {
                    op: index,
                    invoked: op.invoked,
                    returned,
                    request: op.request,
                    outcome,
                }),
            }
        }
        parts
    }
}
