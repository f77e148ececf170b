//! A circuit breaker: stops asking someone who does not answer.
//!
//! ```text
//!            failures reach a threshold
//!   closed ───────────────────────────────▶ open ◀──────────┐
//!     ▲                                      │ open_for      │ a probe fails
//!     │ enough probes succeed                ▼               │
//!     └───────────────────────────────── half-open ─────────┘
//! ```
//!
//! The caller takes a [`Permit`] before the call and gives it back with the [`Outcome`]. What must
//! stay true:
//!
//! - It opens only on a threshold reached by calls of the *present* closed period. A permit carries
//!   the epoch it was given in, and every change of state starts a new one; the result of a call
//!   that began earlier is counted in the totals and decides nothing. Otherwise one slow call from
//!   before an outage could close a breaker again, or re-open one that has just recovered.
//! - At most one probe is under way. A probe whose permit never comes back (a cancelled request)
//!   expires after `probe_timeout`, so a forgotten permit delays recovery but cannot prevent it.
//!   `probe_timeout` must therefore be longer than the call's own timeout.
//!
//! Whether an answer is a failure is the caller's judgement; for HTTP: timeouts, connection errors
//! and 5xx. A 4xx is a success here, because the other side lives and answered.
//!
//! A value without lock or clock. At a few nanoseconds a call, a plain mutex around it is cheaper
//! than anything cleverer.
//!
//! Longer than most files: one state machine, whose transitions are read together.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::window::{RollingWindow, WindowCounts};

/// The numbers of a [`Breaker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Time over which calls are counted.
    pub window: Duration,
    /// Parts of the window; more parts, sharper edge.
    pub buckets: u16,
    /// Percentage of failures within the window that opens.
    pub failure_percent: u8,
    /// Calls within the window below which the percentage says nothing.
    pub calls_min: u32,
    /// Failures in a row that open, whatever the percentage.
    pub consecutive_failures: u32,
    /// Time from opening to the first probe.
    pub open_for: Duration,
    /// Successful probes that close.
    pub probe_successes: u32,
    /// Time after which a probe that has not reported is given up; longer than a call's timeout.
    pub probe_timeout: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            buckets: 10,
            failure_percent: 50,
            calls_min: 5,
            consecutive_failures: 5,
            open_for: Duration::from_secs(30),
            probe_successes: 2,
            probe_timeout: Duration::from_secs(15),
        }
    }
}

/// Why settings make no breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBreaker {
    /// Nothing can be counted.
    #[error("the window and its number of parts must be greater than zero")]
    EmptyWindow,
    /// 0 % would open on success; more than 100 % never opens.
    #[error("the failure percentage must be from 1 to 100")]
    Percent,
    /// It would open without a failure, or close without a probe.
    #[error("the counts of calls, failures and probes must be greater than zero")]
    ZeroCount,
    /// It would never be open, or hand out probes without end.
    #[error("the open time and the probe timeout must be longer than zero")]
    ZeroTime,
}

impl BreakerSettings {
    /// Checks that the numbers make a breaker.
    ///
    /// # Errors
    /// The first number that does not.
    pub const fn check(&self) -> Result<(), InvalidBreaker> {
        if self.window.is_zero() || self.buckets == 0 {
            return Err(InvalidBreaker::EmptyWindow);
        }
        if self.failure_percent == 0 || self.failure_percent > 100 {
            return Err(InvalidBreaker::Percent);
        }
        if self.calls_min == 0 || self.consecutive_failures == 0 || self.probe_successes == 0 {
            return Err(InvalidBreaker::ZeroCount);
        }
        if self.open_for.is_zero() || self.probe_timeout.is_zero() {
            return Err(InvalidBreaker::ZeroTime);
        }
        Ok(())
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side answered, be it with a refusal.
    Success,
    /// The other side could not be reached, or answered that it is broken.
    Failure,
    /// A failure in which no answer came in time.
    Timeout,
    /// Says nothing about the other side, such as a call given up before it was sent.
    Ignored,
}

/// The right to make one call; give it back with [`Breaker::record`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is not recorded says nothing to the breaker"]
pub struct Permit {
    epoch: u64,
    /// The number of the probe, if it is one.
    probe: Option<u64>,
}

impl Permit {
    /// Whether the breaker's recovery hangs on this call.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

/// No call may be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open")]
pub struct OpenUntil {
    /// When asking again makes sense.
    pub at: Duration,
}

impl OpenUntil {
    /// The time from `now` until asking again makes sense.
    #[must_use]
    pub const fn wait(self, now: Duration) -> Duration {
        self.at.saturating_sub(now)
    }
}

/// The three states, as one shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// One call at a time passes, to see.
    HalfOpen,
}

impl BreakerState {
    /// The word for it on the wire and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// How often a breaker went into each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transitions {
    /// It closed, by success or by hand.
    pub closed: u64,
    /// It opened.
    pub opened: u64,
    /// It let a first probe through.
    pub half_opened: u64,
}

/// A breaker at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSnapshot {
    /// Its state; `HalfOpen` as soon as a probe would be let through.
    pub state: BreakerState,
    /// Calls that succeeded, since the start.
    pub successes: u64,
    /// Calls that failed, timeouts included, since the start.
    pub failures: u64,
    /// Calls that were refused, since the start.
    pub rejected: u64,
    /// Failures that were timeouts, since the start.
    pub timeouts: u64,
    /// How often it changed its state, since the start.
    pub transitions: Transitions,
    /// Calls within the rolling window.
    pub window: WindowCounts,
    /// Failures in a row up to now, within this closed period.
    pub consecutive: u32,
    /// When it opened, unless it is closed.
    pub opened_at: Option<Duration>,
    /// When the next probe is let through, unless it is closed.
    pub next_probe_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u64,
    expires: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open {
        since: Duration,
        until: Duration,
    },
    HalfOpen {
        since: Duration,
        successes: u32,
        probe: Option<Probe>,
    },
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    successes: u64,
    failures: u64,
    rejected: u64,
    timeouts: u64,
    transitions: Transitions,
}

/// What a half-open breaker asks for at most: its probe decides long before its permit expires.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// A circuit breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    epoch: u64,
    probes: u64,
    consecutive: u32,
    window: RollingWindow,
    totals: Totals,
}

impl Breaker {
    /// A closed breaker.
    ///
    /// # Errors
    /// [`InvalidBreaker`] when the numbers make no breaker.
    pub fn try_new(settings: BreakerSettings) -> Result<Self, InvalidBreaker> {
        settings.check()?;
        Ok(Self {
            window: RollingWindow::new(settings.window, settings.buckets),
            settings,
            state: State::Closed,
            epoch: 0,
            probes: 0,
            consecutive: 0,
            totals: Totals::default(),
        })
    }

    /// Asks to make a call.
    ///
    /// # Errors
    /// [`OpenUntil`] when none may be made now.
    pub fn try_acquire(&mut self, now: Duration) -> Result<Permit, OpenUntil> {
        match self.state {
            State::Closed => Ok(Permit {
                epoch: self.epoch,
                probe: None,
            }),
            State::Open { until, .. } if now < until => Err(self.refuse(until)),
            State::Open { since, .. } => {
                let transitions = &mut self.totals.transitions;
                transitions.half_opened = transitions.half_opened.saturating_add(1);
                self.enter(State::HalfOpen {
                    since,
                    successes: 0,
                    probe: None,
                });
                Ok(self.probe(since, 0, now))
            }
            State::HalfOpen {
                probe: Some(probe), ..
            } if now < probe.expires => {
                Err(self.refuse(probe.expires.min(now.saturating_add(PROBE_WAIT))))
            }
            State::HalfOpen {
                since, successes, ..
            } => Ok(self.probe(since, successes, now)),
        }
    }

    /// Says how the call of `permit` ended.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "taking the permit is what makes one result per call"
    )]
    pub fn record(&mut self, permit: Permit, outcome: Outcome, now: Duration) {
        self.count(outcome);
        if permit.epoch != self.epoch {
            return;
        }
        match (self.state, permit.probe) {
            (State::Closed, _) => self.record_closed(outcome, now),
            (
                State::HalfOpen {
                    since,
                    successes,
                    probe: Some(probe),
                },
                Some(number),
            ) if probe.number == number => {
                self.record_probe(outcome, since, successes, now);
            }
            // A probe that was given up and replaced, or nothing that a permit can belong to.
            (State::HalfOpen { .. } | State::Open { .. }, _) => {}
        }
    }

    /// Closes, whatever the state, as an operator may ask. The totals stay.
    pub fn reset(&mut self) {
        self.close();
    }

    /// The breaker as it stands at `now`.
    #[must_use]
    pub fn snapshot(&self, now: Duration) -> BreakerSnapshot {
        let (state, opened_at, next_probe_at) = match self.state {
            State::Closed => (BreakerState::Closed, None, None),
            State::Open { since, until } if now < until => {
                (BreakerState::Open, Some(since), Some(until))
            }
            State::Open { since, until } => (BreakerState::HalfOpen, Some(since), Some(until)),
            State::HalfOpen { since, probe, .. } => {
                let next = probe.map_or(now, |probe| probe.expires);
                (BreakerState::HalfOpen, Some(since), Some(next))
            }
        };
        BreakerSnapshot {
            state,
            successes: self.totals.successes,
            failures: self.totals.failures,
            rejected: self.totals.rejected,
            timeouts: self.totals.timeouts,
            transitions: self.totals.transitions,
            window: self.window.counts(now),
            consecutive: self.consecutive,
            opened_at,
            next_probe_at,
        }
    }

    fn record_closed(&mut self, outcome: Outcome, now: Duration) {
        match outcome {
            Outcome::Ignored => return,
            // Judged too: it may be the call that makes the window large enough to say something.
            Outcome::Success => {
                self.window.success(now);
                self.consecutive = 0;
            }
            Outcome::Failure | Outcome::Timeout => {
                self.window.failure(now);
                self.consecutive = self.consecutive.saturating_add(1);
            }
        }
        let counts = self.window.counts(now);
        let many = counts.total() >= u64::from(self.settings.calls_min);
        let in_a_row = self.consecutive >= self.settings.consecutive_failures;
        if in_a_row || (many && counts.failed_at_least(self.settings.failure_percent)) {
            self.open(now);
        }
    }

    fn record_probe(&mut self, outcome: Outcome, since: Duration, successes: u32, now: Duration) {
        let successes = match outcome {
            Outcome::Failure | Outcome::Timeout => return self.open(now),
            Outcome::Success => successes.saturating_add(1),
            Outcome::Ignored => successes,
        };
        if successes >= self.settings.probe_successes {
            return self.close();
        }
        // The same epoch: the next probe goes on counting from here.
        self.state = State::HalfOpen {
            since,
            successes,
            probe: None,
        };
    }

    fn probe(&mut self, since: Duration, successes: u32, now: Duration) -> Permit {
        self.probes = self.probes.wrapping_add(1);
        self.state = State::HalfOpen {
            since,
            successes,
            probe: Some(Probe {
                number: self.probes,
                expires: now.saturating_add(self.settings.probe_timeout),
            }),
        };
        Permit {
            epoch: self.epoch,
            probe: Some(self.probes),
        }
    }

    fn refuse(&mut self, at: Duration) -> OpenUntil {
        self.totals.rejected = self.totals.rejected.saturating_add(1);
        OpenUntil { at }
    }

    fn open(&mut self, now: Duration) {
        let transitions = &mut self.totals.transitions;
        transitions.opened = transitions.opened.saturating_add(1);
        self.enter(State::Open {
            since: now,
            until: now.saturating_add(self.settings.open_for),
        });
    }

    fn close(&mut self) {
        let transitions = &mut self.totals.transitions;
        // A reset may find it closed.
        if !matches!(self.state, State::Closed) {
            transitions.closed = transitions.closed.saturating_add(1);
        }
        self.enter(State::Closed);
        self.consecutive = 0;
        self.window.clear();
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.epoch = self.epoch.wrapping_add(1);
    }

    fn count(&mut self, outcome: Outcome) {
        let totals = &mut self.totals;
        match outcome {
            Outcome::Success => totals.successes = totals.successes.saturating_add(1),
            Outcome::Failure => totals.failures = totals.failures.saturating_add(1),
            Outcome::Timeout => {
                totals.failures = totals.failures.saturating_add(1);
                totals.timeouts = totals.timeouts.saturating_add(1);
            }
            Outcome::Ignored => {}
        }
    }
}
