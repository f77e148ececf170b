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
