//! One time without central, from the breaker's opening to its closing.
//!
//! A breaker that is open lets a probe through now and then and opens again if that fails. For whoever
//! reads the log this is one outage, told of twice: when it begins, and when it is over.

use std::time::Duration;

use shared::policy::BreakerState;
use tokio::time::Instant;

/// The outage that is going on, if there is one.
#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<Instant>,
    /// Calls that were refused in it.
    pub(super) refused: u64,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// An outage has begun.
    Begun,
    /// It is over.
    Over {
        /// How long it was.
        lasted: Duration,
        /// How many calls were refused in it.
        refused: u64,
    },
}

impl Outage {
    /// Takes note of the breaker's state at `now`.
    pub(super) fn turn(&mut self, state: BreakerState, now: Instant) -> Option<Turn> {
        match (state, self.since) {
            (BreakerState::Open, None) => {
                self.since = Some(now);
                Some(Turn::Begun)
            }
            (BreakerState::Closed, Some(since)) => {
                let Self { refused, .. } = std::mem::take(self);
                let lasted = now.saturating_duration_since(since);
                Some(Turn::Over { lasted, refused })
            }
            (BreakerState::Open | BreakerState::HalfOpen, _) | (BreakerState::Closed, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_of_when_it_begins_and_when_it_is_over() {
        let mut outage = Outage::default();
        let seconds = Duration::from_secs;
        let begun = Instant::now();
        let at = |after| begun + seconds(after);
        assert_eq!(outage.turn(BreakerState::Closed, at(1)), None);
        assert_eq!(outage.turn(BreakerState::Open, at(2)), Some(Turn::Begun));
        outage.refused += 3;
        // A probe that fails, and one that does not.
        for state in [
            BreakerState::Open,
            BreakerState::HalfOpen,
            BreakerState::Open,
            BreakerState::HalfOpen,
        ] {
            assert_eq!(outage.turn(state, at(40)), None);
        }
        let over = Turn::Over {
            lasted: seconds(60),
            refused: 3,
        };
        assert_eq!(outage.turn(BreakerState::Closed, at(62)), Some(over));
        assert_eq!(outage.turn(BreakerState::Closed, at(63)), None);
        // The next one begins at nothing.
        outage.turn(BreakerState::Open, at(70));
        let over = Turn::Over {
            lasted: seconds(5),
            refused: 0,
        };
        assert_eq!(outage.turn(BreakerState::Closed, at(75)), Some(over));
    }
}
