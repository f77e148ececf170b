//! Faults on purpose: the plan that an operator has put in, shared by all who consult it.
//!
//! Exists only where `FAULT_INJECTION` is set; elsewhere nobody holds one and nothing is asked. The
//! plan itself is pure ([`FaultPlan`]); here is its lock, and a line in the log for every change and
//! every fault, so that no fault on purpose is ever taken for one that is not. It begins empty and
//! does not outlive the process.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use shared::policy::faults::{
    Action, Fault, FaultCount, FaultPlan, FaultRule, InvalidPlan, Target, When,
};

/// The plan of this process.
#[derive(Debug, Default)]
pub struct Faults {
    plan: Mutex<FaultPlan>,
}

impl Faults {
    /// A plan where faults are allowed, none where they are not; says so where they are.
    #[must_use]
    pub fn if_allowed(allowed: bool) -> Option<Arc<Self>> {
        if allowed {
            tracing::warn!(
                "FAULT_INJECTION is set: an admin key can make calls fail on purpose. \
                 Not for a service that anybody depends on"
            );
        }
        allowed.then(Arc::default)
    }

    /// Puts `rules` in the place of all others; counting begins anew.
    ///
    /// # Errors
    /// [`InvalidPlan`]; then the rules before stay.
    pub fn replace(&self, rules: Vec<FaultRule>) -> Result<(), InvalidPlan> {
        let plan = FaultPlan::try_new(rules)?;
        tracing::warn!(rules = plan.rules().len(), "the plan of faults was changed");
        for (rule, (what, _)) in plan.rules().enumerate() {
            tracing::warn!(
                rule,
                target_calls = what.target.as_str(),
                when = what.when.as_str(),
                action = what.action.as_str(),
                trigger = ?what.trigger,
                "faults are injected from now on"
            );
        }
        *self.plan.lock() = plan;
        Ok(())
    }

    /// The rules in their order, each with what it has done.
    #[must_use]
    pub fn rules(&self) -> Vec<(FaultRule, FaultCount)> {
        self.plan.lock().rules().copied().collect()
    }

    /// How many rules there are.
    #[must_use]
    pub fn active(&self) -> usize {
        self.plan.lock().rules().len()
    }

    /// Counts a call of `target` that has come to `when`, and says what is to go wrong with it. `id`
    /// is the request's, or that of the work which a call to the provider belongs to.
    pub fn next(&self, target: Target, when: When, id: Option<&str>) -> Option<Action> {
        let Fault { rule, action } = self.plan.lock().next(target, when)?;
        tracing::warn!(
            rule,
            target_calls = target.as_str(),
            when = when.as_str(),
            action = action.as_str(),
            delay_ms = match action {
                Action::Delay(delay) => Some(millis(delay)),
                Action::Error | Action::DropAnswer => None,
            },
            request_id = id,
            "a fault is injected"
        );
        Some(action)
    }
}

/// Whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
