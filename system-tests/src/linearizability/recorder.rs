//! Writes a history while it happens.
//!
//! Time is a counter: what one client finished before another began has the smaller tick, and that
//! order is all that linearizability asks about. An operation stands in the history as unknown from
//! the moment it is asked, so that a task that is cancelled, or a client that is still waiting when
//! the history is taken, is recorded as what it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::history::{History, Op, Outcome, Request, State};

/// Collects what clients do and see. Cheap to share.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    ticks: AtomicU64,
    history: Mutex<History>,
}

impl Recorder {
    /// An empty history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes how `product` stands before the first operation on it.
    pub fn start(&self, product: &str, start: State) {
        let mut history = self.shared.history.lock();
        history.starts.insert(Arc::from(product), start);
    }

    /// Notes that `client` asks for `request` now. Call it before anything is sent.
    #[must_use]
    pub fn invoke(&self, client: u32, product: &str, request: Request) -> Pending {
        let mut history = self.shared.history.lock();
        let index = history.ops.len();
        history.ops.push(Op {
            client,
            product: Arc::from(product),
            invoked: self.tick(),
            returned: None,
            request,
            outcome: Outcome::Unknown,
        });
        Pending {
            recorder: self.clone(),
            index,
        }
    }

    /// Everything so far.
    #[must_use]
    pub fn history(&self) -> History {
        self.shared.history.lock().clone()
    }

    fn tick(&self) -> u64 {
        self.shared.ticks.fetch_add(1, Ordering::SeqCst)
    }
}

/// An operation without an answer yet. Dropped, it stays unknown.
#[derive(Debug)]
pub struct Pending {
    recorder: Recorder,
    index: usize,
}

impl Pending {
    /// Notes the answer. Call it after all of it arrived; with [`Outcome::Unknown`] for a time-out,
    /// a broken connection, or an answer that leaves it open.
    pub fn returned(self, outcome: Outcome) {
        let mut history = self.recorder.shared.history.lock();
        let now = self.recorder.tick();
        if let Some(op) = history.ops.get_mut(self.index) {
            op.returned = (outcome != Outcome::Unknown).then_some(now);
            op.outcome = outcome;
        }
    }
}
