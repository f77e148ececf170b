//! The checks that every saga must pass, for every way an order can go.
//!
//! A process that dies keeps nothing but the log, and the rules are a function of the log; so dying
//! before a record is doing the step without recording it, and dying after it is going on from the
//! state. Both are tried at every step of every story.

use shared::domain::ids::OrderId;
use shared::domain::order::{OrderStatus, PaymentStatus, Transition, next_step};

use crate::bank::Fault;
use crate::world::{TTL, World};

/// How an order's life goes, apart from faults.
#[derive(Clone, Copy, Debug)]
enum Story {
    /// Paid and confirmed at once.
    Bought,
    /// Paid, and confirmed by a second call.
    BoughtInTwo,
    /// The card is refused.
    Declined,
    /// Called off before the bank is asked.
    CancelledAtOnce,
    /// Called off when it was paid.
    CancelledPaid,
    /// Called off when the units had left the shelf.
    CancelledConfirmed,
    /// Not paid in time.
    TimedOut,
}

const STORIES: [Story; 7] = [
    Story::Bought,
    Story::BoughtInTwo,
    Story::Declined,
    Story::CancelledAtOnce,
    Story::CancelledPaid,
    Story::CancelledConfirmed,
    Story::TimedOut,
];

/// What happens to the `nth` step of an order's saga.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    /// It is done and recorded twice.
    Twice,
    /// The question is lost.
    Lost,
    /// The answer is lost.
    AnswerLost,
    /// The process dies before the step is taken.
    DiesBefore,
    /// The process dies after the step, before it is recorded.
    DiesAfter,
    /// The process dies when it is recorded.
    DiesRecorded,
}

const MISHAPS: [Mishap; 6] = [
    Mishap::Twice,
    Mishap::Lost,
    Mishap::AnswerLost,
    Mishap::DiesBefore,
    Mishap::DiesAfter,
    Mishap::DiesRecorded,
];

/// Takes all steps that are left, with a mishap at the `nth` and again at those `every` after it.
fn run(world: &mut World, id: &OrderId, mut counter: usize, nth: usize, mishap: Mishap) -> usize {
    for _ in 0..50 {
        if next_step(&world.order(id)).is_none() {
            return counter;
        }
        let hit = counter == nth;
        counter += 1;
        match (hit, mishap) {
            (false, _) => {
                world.step(id, Fault::None);
            }
            (true, Mishap::Twice) => {
                let (command, _) = world.outcome(id, Fault::None).unwrap();
                world.act(command.clone());
                let version = world.order(id).version;
                world.act(command);
                assert_eq!(world.order(id).version, version, "recorded twice");
            }
            (true, Mishap::Lost) => {
                world.step(id, Fault::Lost);
            }
            (true, Mishap::AnswerLost) => {
                world.step(id, Fault::AnswerLost);
            }
            // What dies takes its memory with it; the log is all that is left, and the bank.
            (true, Mishap::DiesBefore) => world.check_replay(),
            (true, Mishap::DiesAfter) => {
                world.outcome(id, Fault::None);
                world.check_replay();
            }
            (true, Mishap::DiesRecorded) => {
                world.step(id, Fault::None);
                world.check_replay();
            }
        }
        world.check();
    }
    panic!("the saga does not end");
}

/// Plays a story with one mishap; returns how many steps it had.
fn play(story: Story, nth: usize, mishap: Mishap) -> usize {
    let mut world = World::new(2, 10);
    let lines = [(0, 2), (1, 3)];
    let method = match story {
        Story::Declined => "card_declined",
        _ => "card",
    };
    let confirm = !matches!(story, Story::BoughtInTwo | Story::CancelledPaid);
    let id = world.place(&lines, method, confirm);
    world.check();
    let mut steps = 0;
    match story {
        Story::CancelledAtOnce => {
            world.take(&id, Transition::Cancel);
        }
        Story::TimedOut => world.pass(TTL),
        _ => steps = run(&mut world, &id, steps, nth, mishap),
    }
    match story {
        Story::BoughtInTwo => {
            world.take(&id, Transition::Confirm);
        }
        Story::CancelledPaid | Story::CancelledConfirmed => {
            world.take(&id, Transition::Cancel);
        }
        _ => {}
    }
    steps = run(&mut world, &id, steps, nth, mishap);
    world.check();
    world.check_replay();

    let order = world.order(&id);
    let (status, left, kept, payment) = match story {
        Story::Bought | Story::BoughtInTwo => (
            OrderStatus::Confirmed,
            (8, 7),
            5_000,
            PaymentStatus::Approved,
        ),
        Story::Declined => (OrderStatus::Failed, (10, 10), 0, PaymentStatus::Declined),
        Story::CancelledAtOnce => (OrderStatus::Cancelled, (10, 10), 0, PaymentStatus::Voided),
        Story::TimedOut => (OrderStatus::Failed, (10, 10), 0, PaymentStatus::Voided),
        Story::CancelledPaid | Story::CancelledConfirmed => {
            (OrderStatus::Cancelled, (10, 10), 0, PaymentStatus::Refunded)
        }
    };
    let context = format!("{story:?} {mishap:?} at {nth}");
    assert_eq!(order.status, status, "{context}");
    assert_eq!(order.payment.unwrap().status, payment, "{context}");
    assert_eq!((world.on_hand(0), world.on_hand(1)), left, "{context}");
    assert_eq!((world.available(0), world.available(1)), left, "{context}");
    assert_eq!(
        world.money(),
        (
            kept,
            if status == OrderStatus::Confirmed {
                kept
            } else {
                0
            }
        )
    );
    steps
}

fn everywhere(mishaps: &[Mishap]) {
    let mut tried = 0;
    for story in STORIES {
        for mishap in mishaps {
            let steps = play(story, usize::MAX, *mishap);
            assert!(steps > 0, "{story:?} has a saga");
            for nth in 0..steps {
                play(story, nth, *mishap);
                tried += 1;
            }
        }
    }
    assert!(
        tried >= 9 * mishaps.len(),
        "only {tried} mishaps were tried"
    );
}

#[test]
fn every_step_taken_twice_is_taken_once() {
    everywhere(&[Mishap::Twice]);
}

#[test]
fn every_step_that_fails_is_made_good_or_unwound() {
    everywhere(&[Mishap::Lost, Mishap::AnswerLost]);
}

#[test]
fn every_unwinding_repeated_unwinds_once() {
    for story in [
        Story::CancelledAtOnce,
        Story::CancelledPaid,
        Story::CancelledConfirmed,
        Story::TimedOut,
    ] {
        let mut world = World::new(2, 10);
        let confirm = matches!(story, Story::CancelledConfirmed);
        let id = world.place(&[(0, 2)], "card", confirm);
        match story {
            Story::CancelledAtOnce | Story::TimedOut => {}
            _ => world.settle(),
        }
        for _ in 0..3 {
            if matches!(story, Story::TimedOut) {
                world.pass(TTL);
            } else {
                world.take(&id, Transition::Cancel);
            }
            for fault in [Fault::AnswerLost, Fault::Lost, Fault::None, Fault::None] {
                world.step(&id, fault);
                world.check();
            }
        }
        world.settle();
        assert_eq!(
            (world.on_hand(0), world.available(0)),
            (10, 10),
            "{story:?}"
        );
        assert_eq!(world.money(), (0, 0), "{story:?}");
    }
}

#[test]
fn dying_before_and_after_every_record_leaves_nothing_undone_and_nothing_done_twice() {
    everywhere(&MISHAPS[3..]);
}

#[test]
fn the_checks_notice_a_saga_that_forgets() {
    // A bank that was charged, and an order that was given up without anybody asking the bank: what
    // `World::check` is there to see.
    let mut world = World::new(1, 10);
    let id = world.place(&[(0, 2)], "card", true);
    let order = world.order(&id);
    world.bank.charge(&order, Fault::AnswerLost);
    world.take(&id, Transition::Cancel);
    let (command, _) = world.outcome(&id, Fault::None).unwrap();
    let mut forgetful = world.clone();
    forgetful.act(shared::domain::order::Command::RecordPayment {
        order: id,
        outcome: shared::domain::order::PaymentOutcome::Voided,
    });
    let checked = std::panic::catch_unwind(|| forgetful.check());
    assert!(
        checked.is_err(),
        "money was kept for nothing and nobody noticed"
    );
    world.act(command);
    world.settle();
    world.check();
}
