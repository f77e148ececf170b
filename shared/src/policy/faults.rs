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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(target: Target, trigger: Trigger, when: When, action: Action) -> FaultRule {
        FaultRule {
            target,
            trigger,
            when,
            action,
        }
    }

    const fn every(n: u32, position: u32) -> Trigger {
        Trigger::EveryNth { n, position }
    }

    const fn chance(probability: f64, seed: u64) -> Trigger {
        Trigger::Probability { probability, seed }
    }

    fn struck(trigger: Trigger, calls: u64) -> Vec<u64> {
        (1..=calls).filter(|call| trigger.fires(*call)).collect()
    }

    #[test]
    fn a_round_strikes_at_its_position() {
        for (n, position, expected) in [
            (1, 1, vec![1, 2, 3, 4, 5, 6, 7, 8, 9]),
            (3, 3, vec![3, 6, 9]),
            (3, 1, vec![1, 4, 7]),
            (10, 7, vec![7]),
            // What no plan contains never strikes, and nothing panics.
            (0, 1, vec![]),
            (3, 4, vec![]),
        ] {
            assert_eq!(struck(every(n, position), 9), expected, "{n} {position}");
        }
    }

    #[test]
    fn chance_is_the_same_every_time_and_near_what_was_asked() {
        assert_eq!(struck(chance(0.0, 7), 10_000), Vec::<u64>::new());
        assert_eq!(struck(chance(1.0, 7), 10_000).len(), 10_000);
        let tenth = struck(chance(0.1, 7), 10_000);
        assert!((900..1_100).contains(&tenth.len()), "{}", tenth.len());
        assert_eq!(tenth, struck(chance(0.1, 7), 10_000));
        assert_ne!(tenth, struck(chance(0.1, 8), 10_000));
        // A greater chance strikes where the lesser does, and elsewhere.
        let fifth = struck(chance(0.2, 7), 10_000);
        assert!(tenth.iter().all(|call| fifth.contains(call)));
    }

    #[test]
    fn targets_cover_themselves_and_all_covers_http() {
        for target in Target::ALL {
            for called in Target::ALL {
                let same = target == called;
                let all = *target == Target::All && *called != Target::Payments;
                assert_eq!(target.covers(*called), same || all, "{target:?} {called:?}");
            }
        }
    }

    #[test]
    fn the_first_that_fires_wins_and_all_count() {
        let mut plan = FaultPlan::try_new(vec![
            rule(Target::Orders, every(2, 2), When::Before, Action::Error),
            rule(Target::All, every(1, 1), When::Before, Action::DropAnswer),
            rule(
                Target::Orders,
                every(1, 1),
                When::AfterCommit,
                Action::Error,
            ),
        ])
        .unwrap();
        let mut next = |target| plan.next(target, When::Before).map(|fault| fault.rule);
        assert_eq!(next(Target::Orders), Some(1));
        assert_eq!(next(Target::Orders), Some(0));
        assert_eq!(next(Target::Updates), Some(1));
        assert_eq!(next(Target::Payments), None);
        let counts: Vec<_> = plan.rules().map(|(_, count)| *count).collect();
        let count = |calls, injected| FaultCount { calls, injected };
        assert_eq!(counts, [count(2, 1), count(3, 2), count(0, 0)]);
    }

    #[test]
    fn what_makes_no_sense_makes_no_plan() {
        let long = Action::Delay(limits::FAULT_DELAY_MAX + Duration::from_millis(1));
        for (trigger, action, expected) in [
            (every(0, 0), Action::Error, InvalidPlan::OutsideRound),
            (every(3, 0), Action::Error, InvalidPlan::OutsideRound),
            (every(3, 4), Action::Error, InvalidPlan::OutsideRound),
            (chance(-0.1, 0), Action::Error, InvalidPlan::NoProbability),
            (chance(1.1, 0), Action::Error, InvalidPlan::NoProbability),
            (
                chance(f64::NAN, 0),
                Action::Error,
                InvalidPlan::NoProbability,
            ),
            (every(1, 1), long, InvalidPlan::DelayTooLong),
        ] {
            let one = rule(Target::All, trigger, When::Before, action);
            assert_eq!(FaultPlan::try_new(vec![one]), Err(expected), "{one:?}");
        }
        let fine = rule(Target::All, every(1, 1), When::Before, Action::Error);
        let most = vec![fine; limits::FAULT_RULES];
        assert!(FaultPlan::try_new(most.clone()).is_ok());
        let more = [most, vec![fine]].concat();
        assert_eq!(FaultPlan::try_new(more), Err(InvalidPlan::TooManyRules));
    }

    #[test]
    fn every_preset_is_a_plan() {
        for preset in Preset::ALL {
            let rules = preset.rules();
            assert!(!rules.is_empty(), "{preset:?}");
            assert!(FaultPlan::try_new(rules).is_ok(), "{preset:?}");
        }
        let mut plan = FaultPlan::try_new(Preset::SevenEightNine.rules()).unwrap();
        let struck = (1..=20).filter(|_| plan.next(Target::Reads, When::Before).is_some());
        assert_eq!(struck.count(), 6);
    }

    fn any_rule() -> impl Strategy<Value = FaultRule> {
        let trigger = prop_oneof![
            (1_u32..12)
                .prop_flat_map(|n| (Just(n), 1..=n))
                .prop_map(|(n, position)| every(n, position)),
            (0.0..=1.0_f64, any::<u64>()).prop_map(|(p, seed)| chance(p, seed)),
        ];
        let target = prop::sample::select(Target::ALL);
        let when = prop::sample::select(When::ALL);
        let action = prop_oneof![Just(Action::Error), Just(Action::DropAnswer)];
        (target, trigger, when, action)
            .prop_map(|(target, trigger, when, action)| rule(target, trigger, when, action))
    }

    proptest! {
        /// Each rule by itself, counting by itself, says the same as the plan does.
        #[test]
        fn a_plan_is_its_first_rule_that_fires(
            rules in prop::collection::vec(any_rule(), 0..6),
            calls in prop::collection::vec(
                (prop::sample::select(Target::ALL), prop::sample::select(When::ALL)), 0..200),
        ) {
            let mut plan = FaultPlan::try_new(rules.clone()).unwrap();
            let mut again = plan.clone();
            let mut seen = vec![0_u64; rules.len()];
            for (target, when) in calls {
                let mut expected = None;
                for (place, rule) in rules.iter().enumerate() {
                    if rule.when == when && rule.target.covers(target) {
                        seen[place] += 1;
                        if expected.is_none() && rule.trigger.fires(seen[place]) {
                            expected = Some(place);
                        }
                    }
                }
                let fault = plan.next(target, when);
                prop_assert_eq!(fault.map(|fault| fault.rule), expected);
                prop_assert_eq!(fault, again.next(target, when));
            }
        }
    }
}
