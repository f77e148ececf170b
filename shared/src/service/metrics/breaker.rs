//! Circuit breakers, read on scrape.

use super::Metrics;
use super::reading::{Family, Readings};
use crate::policy::{BreakerSnapshot, BreakerState};

const STATE: Family = Family::gauge(
    "holdfast_breaker_state",
    "1 for the state that the circuit breaker is in, 0 for the others.",
    &["breaker", "state"],
);
const TRANSITIONS: Family = Family::counter(
    "holdfast_breaker_transitions_total",
    "Times that the circuit breaker went into a state.",
    &["breaker", "state"],
);
const CALLS: Family = Family::counter(
    "holdfast_breaker_calls_total",
    "Calls that the circuit breaker let through, by how they ended, and those it rejected.",
    &["breaker", "outcome"],
);

impl Metrics {
    /// Serves the breaker `name`, which `read` shows.
    ///
    /// # Panics
    /// The service has a breaker there already.
    pub fn breaker(
        &self,
        name: &'static str,
        read: impl Fn() -> BreakerSnapshot + Send + Sync + 'static,
    ) {
        self.on_scrape(&[&STATE, &TRANSITIONS, &CALLS], move |into| {
            put(into, name, &read());
        });
    }
}

fn put(into: &mut Readings, name: &str, shown: &BreakerSnapshot) {
    let entered = [
        (BreakerState::Closed, shown.transitions.closed),
        (BreakerState::Open, shown.transitions.opened),
        (BreakerState::HalfOpen, shown.transitions.half_opened),
    ];
    for (state, times) in entered {
        let labels = [name, state.as_str()];
        into.put(&STATE, &labels, state == shown.state);
        into.put(&TRANSITIONS, &labels, times);
    }
    let failures = shown.failures.saturating_sub(shown.timeouts);
    for (outcome, calls) in [
        ("success", shown.successes),
        ("failure", failures),
        ("timeout", shown.timeouts),
        ("rejected", shown.rejected),
    ] {
        into.put(&CALLS, &[name, outcome], calls);
    }
}
