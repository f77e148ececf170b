//! The judges judged: on histories that are known to be good or bad, on random ones from a real
//! atomic register, on the same with one semantic fault, and against trying every order.

mod register;

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

fn op(ticks: (u64, u64), request: Request, outcome: Outcome) -> Op {
    Op {
        client: 1,
        product: Arc::from("A"),
        invoked: ticks.0,
        returned: Some(ticks.1),
        request,
        outcome,
    }
}

fn unknown(invoked: u64, request: Request) -> Op {
    Op {
        returned: None,
        ..op((invoked, 0), request, Outcome::Unknown)
    }
}

fn read(ticks: (u64, u64), quantity: i64, version: u64) -> Op {
    op(ticks, Request::Read, Outcome::Saw { quantity, version })
}

fn guarded(ticks: (u64, u64), delta: i64, quantity: i64, version: u64) -> Op {
    op(
        ticks,
        Request::Guarded { delta },
        applied(quantity, version),
    )
}

fn cas(ticks: (u64, u64), given: u64, delta: i64, outcome: Outcome) -> Op {
    let request = Request::Cas {
        version: given,
        delta,
    };
    op(ticks, request, outcome)
}

/// With the offset that a feed with this product alone would give.
const fn applied(quantity: i64, version: u64) -> Outcome {
    Outcome::Applied {
        quantity,
        version,
        offset: Some(version),
    }
}

/// A history of product A, which starts with 10 units at version 1.
fn history(ops: Vec<Op>) -> History {
    let start = State {
        quantity: 10,
        version: 1,
    };
    History {
        starts: [(Arc::from("A"), start)].into(),
        ops,
    }
}

#[track_caller]
fn good(ops: Vec<Op>) {
    let history = history(ops);
    witness::check(&history).unwrap();
    search::check(&history).unwrap();
}

#[track_caller]
fn bad(ops: Vec<Op>) {
    let history = history(ops);
    let (witness, search) = (witness::check(&history), search::check(&history));
    assert!(witness.is_err(), "the witness check accepts it");
    assert!(search.is_err(), "the search accepts it");
}

#[test]
fn a_history_without_concurrency_is_good() {
    good(vec![
        read((1, 2), 10, 1),
        guarded((3, 4), -4, 6, 2),
        cas((5, 6), 2, 1, applied(7, 3)),
        cas(
            (7, 8),
            2,
            1,
            Outcome::Conflict {
                version: 3,
                quantity: 7,
            },
        ),
        op(
            (9, 10),
            Request::Guarded { delta: -8 },
            Outcome::Insufficient { quantity: 7 },
        ),
        cas((11, 12), 3, -8, Outcome::Insufficient { quantity: 7 }),
        read((13, 14), 7, 3),
    ]);
}

#[test]
fn overlapping_operations_may_stand_in_either_order() {
    good(vec![guarded((1, 10), -4, 6, 2), read((2, 3), 10, 1)]);
    good(vec![guarded((1, 10), -4, 6, 2), read((2, 3), 6, 2)]);
    good(vec![
        guarded((1, 10), -4, 3, 3),
        guarded((2, 9), -3, 7, 2),
        read((3, 4), 10, 1),
        read((5, 6), 7, 2),
        read((7, 8), 3, 3),
    ]);
}

#[test]
fn a_stale_read_is_bad() {
    bad(vec![guarded((1, 2), -4, 6, 2), read((3, 4), 10, 1)]);
}

#[test]
fn a_lost_update_is_bad() {
    bad(vec![guarded((1, 4), -4, 6, 2), guarded((2, 3), -3, 7, 2)]);
}

#[test]
fn a_double_apply_is_bad() {
    bad(vec![guarded((1, 2), -4, 6, 2), read((3, 4), 2, 3)]);
    bad(vec![guarded((1, 2), -4, 2, 2)]);
}

#[test]
fn reads_that_go_backwards_are_bad() {
    bad(vec![
        guarded((1, 10), -4, 6, 2),
        read((2, 3), 6, 2),
        read((4, 5), 10, 1),
    ]);
}

#[test]
fn a_phantom_conflict_is_bad() {
    let conflict = |version, quantity| Outcome::Conflict { version, quantity };
    bad(vec![cas((1, 2), 1, -1, conflict(2, 9))]);
    bad(vec![cas((1, 2), 1, -1, conflict(1, 10))]);
}

#[test]
fn an_effect_before_its_request_is_bad() {
    bad(vec![read((1, 2), 6, 2), guarded((3, 4), -4, 6, 2)]);
    bad(vec![
        read((1, 2), 6, 2),
        unknown(3, Request::Guarded { delta: -4 }),
    ]);
}

#[test]
fn a_refusal_while_there_was_enough_is_bad() {
    let refused = |ticks, quantity| {
        op(
            ticks,
            Request::Guarded { delta: -9 },
            Outcome::Insufficient { quantity },
        )
    };
    bad(vec![refused((1, 2), 10)]);
    bad(vec![refused((1, 2), 8)]);
    bad(vec![
        guarded((1, 2), -4, 6, 2),
        guarded((3, 4), 4, 10, 3),
        refused((5, 6), 6),
    ]);
    good(vec![
        guarded((1, 2), -4, 6, 2),
        guarded((3, 5), 4, 10, 3),
        refused((4, 6), 6),
    ]);
}

#[test]
fn an_unknown_change_may_take_effect_later_or_never_but_not_twice() {
    let lost = || unknown(1, Request::Guarded { delta: -4 });
    good(vec![lost(), read((2, 3), 10, 1), read((4, 5), 10, 1)]);
    good(vec![lost(), read((2, 3), 10, 1), read((4, 5), 6, 2)]);
    bad(vec![lost(), read((2, 3), 6, 2), read((4, 5), 2, 3)]);
    bad(vec![lost(), read((2, 3), 6, 2), read((4, 5), 10, 1)]);
    bad(vec![lost(), read((2, 3), 7, 2)]);
    let given = Request::Cas {
        version: 1,
        delta: -4,
    };
    good(vec![unknown(1, given), read((2, 3), 6, 2)]);
    bad(vec![
        unknown(1, given),
        guarded((2, 3), 1, 11, 2),
        read((4, 5), 7, 3),
    ]);
}

#[test]
fn answers_to_another_question_are_bad() {
    bad(vec![op((1, 2), Request::Read, applied(10, 2))]);
    bad(vec![cas((1, 2), 7, -1, applied(9, 8))]);
}

#[test]
fn offsets_follow_time_over_all_products() {
    let on = |product: &str, ticks, offset| Op {
        product: Arc::from(product),
        ..op(
            ticks,
            Request::Guarded { delta: 1 },
            Outcome::Applied {
                quantity: 1,
                version: 1,
                offset: Some(offset),
            },
        )
    };
    let judge = |ops| {
        let start = State {
            quantity: 0,
            version: 0,
        };
        let starts = [(Arc::from("A"), start), (Arc::from("B"), start)].into();
        witness::check(&History { starts, ops })
    };
    judge(vec![on("A", (1, 2), 0), on("B", (3, 4), 1)]).unwrap();
    judge(vec![on("A", (1, 3), 1), on("B", (2, 4), 0)]).unwrap();
    assert!(judge(vec![on("A", (1, 2), 1), on("B", (3, 4), 0)]).is_err());
    assert!(judge(vec![on("A", (1, 3), 1), on("B", (2, 4), 1)]).is_err());
}

#[test]
fn a_history_survives_its_file() {
    let history = register::run(3, &register::Shape::default()).history;
    let text = history.to_ndjson();
    assert_eq!(History::from_ndjson(&text).unwrap(), history);
    assert_eq!(
        History::from_ndjson("{\"line\":\"op\"}")
            .unwrap_err()
            .number,
        1
    );
}

#[test]
fn what_an_atomic_register_does_is_accepted() {
    for seed in 0..400 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let shape = register::Shape {
            clients: rng.random_range(1..20),
            products: rng.random_range(1..4),
            ops: rng.random_range(1..400),
            lost: [0.0, 0.02, 0.3][rng.random_range(0..3)],
        };
        let history = register::run(seed, &shape).history;
        witness::check(&history).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        search::check(&history).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn one_semantic_fault_in_it_is_rejected_by_both() {
    let mut planted = [0; register::FAULTS.len()];
    for seed in 0..1_500 {
        let shape = register::Shape {
            clients: 2 + u32::try_from(seed % 9).unwrap(),
            lost: 0.0,
            ..register::Shape::default()
        };
        let run = register::run(seed, &shape);
        let mut rng = SmallRng::seed_from_u64(seed);
        let kind = rng.random_range(0..register::FAULTS.len());
        let (name, fault) = register::FAULTS[kind];
        let Some(history) = fault(&run, &mut rng) else {
            continue;
        };
        planted[kind] += 1;
        assert!(witness::check(&history).is_err(), "{name}, seed {seed}");
        assert!(search::check(&history).is_err(), "{name}, seed {seed}");
    }
    assert!(planted.iter().all(|count| *count > 50), "{planted:?}");
}

#[test]
fn the_judges_agree_with_trying_every_order() {
    let (mut accepted, mut rejected, mut witness_missed) = (0, 0, 0);
    for seed in 0..40_000 {
        let history = register::nonsense(seed);
        let truth = register::some_order_explains(&history);
        assert_eq!(
            search::check(&history).is_ok(),
            truth,
            "seed {seed}: {history:#?}"
        );
        let witness = witness::check(&history).is_ok();
        let open = history.ops.iter().any(|op| op.outcome == Outcome::Unknown);
        assert!(witness || !truth, "seed {seed}: {history:#?}");
        assert!(open || witness == truth, "seed {seed}: {history:#?}");
        accepted += u32::from(truth);
        rejected += u32::from(!truth);
        witness_missed += u32::from(witness && !truth);
    }
    assert!(
        accepted > 4_000 && rejected > 4_000,
        "{accepted} {rejected}"
    );
    assert!(
        witness_missed < rejected / 10,
        "{witness_missed} of {rejected}"
    );
}

#[test]
fn a_hundred_thousand_operations_on_one_product_are_judged() {
    let shape = register::Shape {
        clients: 64,
        products: 1,
        ops: 100_000,
        lost: 0.001,
    };
    let history = register::run(1, &shape).history;
    check(&history).unwrap();
    let mut broken = history;
    let last = broken.ops.len() - 1;
    broken.ops[last] = read((u64::MAX - 1, u64::MAX), 0, 1);
    let product = Arc::clone(&broken.ops[0].product);
    broken.ops[last].product = product;
    assert!(check(&broken).is_err());
    assert!(search::check(&broken).is_err());
}

#[test]
fn a_recorder_keeps_an_operation_without_an_answer_as_unknown() {
    let recorder = Recorder::new();
    let start = State {
        quantity: 5,
        version: 1,
    };
    recorder.start("A", start);
    let pending = recorder.invoke(1, "A", Request::Guarded { delta: -1 });
    let answered = recorder.invoke(2, "A", Request::Read);
    answered.returned(Outcome::Saw {
        quantity: 4,
        version: 2,
    });
    drop(pending);
    let timed_out = recorder.invoke(1, "A", Request::Guarded { delta: -1 });
    timed_out.returned(Outcome::Unknown);
    let history = recorder.history();
    check(&history).unwrap();
    assert_eq!(history.ops[0].outcome, Outcome::Unknown);
    assert_eq!(history.ops[2].returned, None);
    assert_eq!(
        (history.ops[1].invoked, history.ops[1].returned),
        (1, Some(2))
    );
}
