//! Faults on purpose, as a plain value: which call fails, and how.
//!
//! A [`FaultPlan`] is a list of rules. Each rule counts the calls that reach its target in its own
//! phase, and whether it fires is a function of the rule and that count: the same plan over the same
//! calls fails the same ones, so a run can be repeated exactly. Chance is no exception: it is a hash
//! of the rule's seed and the count.
//!
//! What must stay true: every rule that matches counts, whoever fires, so a rule can be read by
//! itself; of several that fire at once the first of the list wins; a delay is bounded, and so is the
//! number of rules.
//!
//! Left out: waiting, failing and closing connections, and who is a call of which target. The shell
//! knows.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::limits;

/// Seed of a rule that names none.
pub const SEED_DEFAULT: u64 = 0;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$of])* $variant),+ }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it on the wire and in logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

words! {
    /// Which calls a rule is about.
    Target {
        /// Every call over HTTP.
        All = "all",
        /// Stock movements.
        Updates = "updates",
        /// Calls that change an order or give money back.
        Orders = "orders",
        /// Calls that hold units, or resolve a hold.
        Reservations = "reservations",
        /// Questions that change nothing, the feed apart.
        Reads = "reads",
        /// The feed, its snapshots and streams.
        Feed = "feed",
        /// Our own calls to the payment provider.
        Payments = "payments",
    }
}

words! {
    /// When a fault happens.
    When {
        /// Before anything is done: the question is lost.
        Before = "before",
        /// After it was done and is durable: the answer is lost.
        AfterCommit = "after_commit",
    }
}

words! {
    /// A made-up plan that people ask for by name.
    Preset {
        /// Every third call about an order is answered 5 s late, after it was done.
        EveryThirdOrderLate = "every-third-order-late",
        /// Of every ten calls three fail: 7, 8 and 9.
        SevenEightNine = "seven-eight-nine",
        /// Some of everything.
        Chaos = "chaos",
    }
}

impl Target {
    /// Whether a rule for this target is about a call of `called`.
    #[must_use]
    pub const fn covers(self, called: Self) -> bool {
        match (self, called) {
            // The provider is asked by us, not over HTTP.
            (Self::All, Self::Payments) => false,
            (Self::All, _) => true,
            (target, called) => target as u8 == called as u8,
        }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It takes so much longer.
    Delay(Duration),
    /// It is answered with an error.
    Error,
    /// It is not answered: the connection is closed.
    DropAnswer,
}

impl Action {
    /// The word for it on the wire and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::Error => "error",
            Self::DropAnswer => "drop_answer",
        }
    }
}

/// Which of the calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trigger {
    /// One of every `n`.
    EveryNth {
        /// How many make a round.
        n: u32,
        /// Which of a round, from 1.
        position: u32,
    },
    /// Each with this probability, drawn from the seed.
    Probability {
        /// From 0, which is never, to 1, which is always.
        probability: f64,
        /// Another seed fails other calls.
        seed: u64,
    },
}

impl Trigger {
    /// Whether the call with this number, from 1, is one of them.
    #[must_use]
    pub fn fires(self, call: u64) -> bool {
        match self {
            Self::EveryNth { n, position } => {
                let in_round = call.wrapping_sub(1).checked_rem(u64::from(n));
                in_round.is_some_and(|at| at + 1 == u64::from(position))
            }
            Self::Probability { probability, seed } => {
                let drawn = u32::try_from(mix(seed, call) >> 32).unwrap_or(u32::MAX);
                f64::from(drawn) < probability * (f64::from(u32::MAX) + 1.0)
            }
        }
    }
}

/// Two numbers hashed to one that looks random (a well-known finalizer, twice).
const fn mix(seed: u64, call: u64) -> u64 {
    const fn finalize(mut z: u64) -> u64 {
        z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    finalize(finalize(seed) ^ call)
}

/// One rule: which calls, when, what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaultRule {
    /// Which calls.
    pub target: Target,
    /// Which of them.
    pub trigger: Trigger,
    /// When.
    pub when: When,
    /// What.
    pub action: Action,
}

/// Why rules make no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// Nobody could read them.
    #[error("there must be at most {} rules", limits::FAULT_RULES)]
    TooManyRules,
    /// A round of none, or a place that is not in it.
    #[error("the position must be from 1 to the size of the round")]
    OutsideRound,
    /// Neither a chance nor a certainty.
    #[error("a probability must be from 0 to 1")]
    NoProbability,
    /// A caller would be gone by then.
    #[error("a delay must be at most {} s", limits::FAULT_DELAY_MAX.as_secs())]
    DelayTooLong,
}

impl FaultRule {
    fn check(&self) -> Result<(), InvalidPlan> {
        match self.trigger {
            Trigger::EveryNth { n, position } if position == 0 || position > n => {
                return Err(InvalidPlan::OutsideRound);
            }
            Trigger::Probability { probability, .. } if !(0.0..=1.0).contains(&probability) => {
                return Err(InvalidPlan::NoProbability);
            }
            Trigger::EveryNth { .. } | Trigger::Probability { .. } => {}
        }
        match self.action {
            Action::Delay(delay) if delay > limits::FAULT_DELAY_MAX => {
                Err(InvalidPlan::DelayTooLong)
            }
            Action::Delay(_) | Action::Error | Action::DropAnswer => Ok(()),
        }
    }
}

/// What a rule has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCount {
    /// Calls that reached its target in its phase.
    pub calls: u64,
    /// Faults it caused.
    pub injected: u64,
}

/// A fault that is to happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Place of its rule in the plan.
    pub rule: usize,
    /// What goes wrong.
    pub action: Action,
}

/// Rules and their counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultPlan {
    rules: Vec<(FaultRule, FaultCount)>,
}

impl FaultPlan {
    /// A plan by `rules`, which has not seen a call.
    ///
    /// # Errors
    /// [`InvalidPlan`] for the first rule that makes no sense.
    pub fn try_new(rules: Vec<FaultRule>) -> Result<Self, InvalidPlan> {
        if rules.len() > limits::FAULT_RULES {
            return Err(InvalidPlan::TooManyRules);
        }
        rules.iter().try_for_each(FaultRule::check)?;
        let fresh = |rule| (rule, FaultCount::default());
        Ok(Self {
            rules: rules.into_iter().map(fresh).collect(),
        })
    }

    /// The rules in their order, each with what it has done.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &(FaultRule, FaultCount)> {
        self.rules.iter()
    }

    /// Counts a call of `target` that has come to `when`, and says what is to go wrong with it.
    pub fn next(&mut self, target: Target, when: When) -> Option<Fault> {
        let mut fault = None;
        for (place, (rule, count)) in self.rules.iter_mut().enumerate() {
            if rule.when != when || !rule.target.covers(target) {
                continue;
            }
            count.calls = count.calls.wrapping_add(1);
            if fault.is_none() && rule.trigger.fires(count.calls) {
                count.injected = count.injected.wrapping_add(1);
                fault = Some(Fault {
                    rule: place,
                    action: rule.action,
                });
            }
        }
        fault
    }
}

impl Preset {
    /// Its rules.
    #[must_use]
    pub fn rules(self) -> Vec<FaultRule> {
        let nth = |target, n, position, when, action| FaultRule {
            target,
            trigger: Trigger::EveryNth { n, position },
            when,
            action,
        };
        match self {
            Self::EveryThirdOrderLate => {
                let late = Action::Delay(Duration::from_secs(5));
                vec![nth(Target::Orders, 3, 3, When::AfterCommit, late)]
            }
            Self::SevenEightNine => [7, 8, 9]
                .map(|position| nth(Target::All, 10, position, When::Before, Action::Error))
                .to_vec(),
            // Each with a seed of its own, or the rarer would only strike where the others do.
            Self::Chaos => [
                (Target::All, 0.05, 1),
                (Target::Reads, 0.1, 2),
                (Target::Reservations, 0.1, 3),
                (Target::Payments, 0.15, 4),
            ]
            .map(|(target, probability, seed)| FaultRule {
                target,
                trigger: Trigger::Probability { probability, seed },
                when: When::Before,
                action: Action::Error,
            })
            .to_vec(),
        }
    }
}
