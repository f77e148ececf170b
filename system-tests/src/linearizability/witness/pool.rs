//! Changes without an answer, and the versions that they may have made.

use std::collections::HashMap;

use super::super::history::{Request, Unanswered};

/// Changes without an answer, to fill versions without a maker. Versions come in ascending order,
/// so their deadlines do too, and the earliest change that fits is always the right one to use.
pub(super) struct Pool {
    cas: HashMap<u64, Vec<Unanswered>>,
    /// By delta; latest first, so that the earliest can be popped.
    guarded: HashMap<i64, Vec<Unanswered>>,
}

impl Pool {
    pub(super) fn new(unanswered: &[Unanswered]) -> Self {
        let mut pool = Self {
            cas: HashMap::new(),
            guarded: HashMap::new(),
        };
        for change in unanswered {
            match change.request {
                Request::Cas { version, .. } => pool.cas.entry(version).or_default().push(*change),
                Request::Guarded { delta } => pool.guarded.entry(delta).or_default().push(*change),
                Request::Read => {}
            }
        }
        for changes in pool.guarded.values_mut() {
            changes.sort_by_key(|change| std::cmp::Reverse(change.invoked));
        }
        pool
    }

    /// Uses one change that can have made `version` before `deadline`; with `step` unknown only one
    /// that could have made no other version.
    pub(super) fn take(
        &mut self,
        version: u64,
        step: Option<i64>,
        shortfall: bool,
        deadline: u64,
    ) -> bool {
        let possible =
            |delta: i64| step.is_none_or(|step| step == delta) && !(shortfall && delta < 0);
        let exact = self.cas.get(&version.saturating_sub(1));
        let fits = |change: &Unanswered| {
            change.invoked <= deadline && change.request.delta().is_some_and(possible)
        };
        if exact.is_some_and(|changes| changes.iter().any(fits)) {
            return true;
        }
        let Some(step) = step.filter(|step| possible(*step)) else {
            return false;
        };
        let Some(changes) = self.guarded.get_mut(&step) else {
            return false;
        };
        changes
            .pop_if(|change| change.invoked <= deadline)
            .is_some()
    }

    /// Changes that are not used and could have made any version.
    pub(super) fn left(&self) -> usize {
        self.guarded.values().map(Vec::len).sum()
    }
}
