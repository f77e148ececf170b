//! Money that goes back: how far, once, and what a refusal or a spent key leads to.

use shared::domain::ids::OrderId;
use shared::domain::order::{self, EventKind, PaymentStatus, RefundOutcome, Transition, next_step};
use shared::domain::{Decision, Rejection};

use crate::bank::Fault;
use crate::world::{REFUND_KEY_WAIT, World, kinds, minor, refusal};

pub(crate) fn refund(world: &mut World, order: &OrderId, amount: Option<i64>) -> Decision {
    world.act(order::Command::Refund {
        order: order.clone(),
        amount: amount.map(minor),
    })
}

#[test]
fn refunds_go_as_far_as_the_charge_and_one_at_a_time() {
    let mut world = World::new(1, 5);
    let id = world.place(&[(0, 3)], "card", true);
    assert!(matches!(
        refusal(&refund(&mut world, &id, None)),
        Rejection::NotRefundable { .. }
    ));
    world.settle();
    refund(&mut world, &id, Some(1_000));
    assert!(
        refund(&mut world, &id, Some(1_000)).has_refusal(),
        "one is on its way"
    );
    world.step(&id, Fault::AnswerLost);
    world.step(&id, Fault::None);
    let payment = world.order(&id).payment.unwrap();
    assert_eq!(payment.status, PaymentStatus::PartlyRefunded);
    assert_eq!(payment.refundable(), minor(2_000));
    assert!(refund(&mut world, &id, Some(2_001)).has_refusal());
    refund(&mut world, &id, None);
    // Called off while that is on its way: nothing goes back twice.
    world.take(&id, Transition::Cancel);
    world.settle();
    let payment = world.order(&id).payment.unwrap();
    assert_eq!(payment.refunded_amount, minor(3_000));
    assert_eq!((world.on_hand(0), world.money()), (5, (0, 0)));
    assert!(
        refund(&mut world, &id, None).has_refusal(),
        "nothing is left"
    );
}

#[test]
fn a_refund_that_is_refused_stays_visible() {
    let mut world = World::new(1, 5);
    let id = world.place(&[(0, 1)], "card", true);
    world.settle();
    refund(&mut world, &id, None);
    let refused = order::Command::RecordRefund {
        order: id.clone(),
        number: 1,
        outcome: RefundOutcome::Refused {
            code: "charge_disputed".into(),
            message: "the charge is disputed".into(),
        },
    };
    assert_eq!(kinds(&world.act(refused)), [EventKind::RefundFailed]);
    let order = world.order(&id);
    assert_eq!(
        order.payment.as_ref().unwrap().status,
        PaymentStatus::RefundFailed
    );
    assert_eq!(next_step(&order), None);
    // Somebody looks and tries again, under a new key.
    refund(&mut world, &id, None);
    world.settle();
    assert_eq!(
        world.order(&id).payment.unwrap().status,
        PaymentStatus::Refunded
    );
}

/// A refund out of goodwill was under way when the order was called off, and is refused: the whole is
/// asked for nevertheless, once.
#[test]
fn a_part_that_is_refused_does_not_keep_the_rest() {
    for rest in [Fault::None, Fault::Refused] {
        let mut world = World::new(1, 5);
        let id = world.place(&[(0, 5)], "card", true);
        world.settle();
        refund(&mut world, &id, Some(2_000));
        world.take(&id, Transition::Cancel);
        let (refused, _) = world.outcome(&id, Fault::Refused).unwrap();
        assert_eq!(
            kinds(&world.act(refused)),
            [EventKind::RefundFailed, EventKind::RefundRequested]
        );
        let on_its_way = world.order(&id).payment.unwrap();
        assert!(!on_its_way.is_refund_failed(), "something is being done");
        let refund = on_its_way.refund.unwrap();
        assert_eq!((refund.number, refund.amount), (2, minor(5_000)));

        world.step(&id, rest);
        let order = world.order(&id);
        assert_eq!(next_step(&order), None, "{rest:?}");
        let payment = order.payment.unwrap();
        assert_eq!(payment.is_refund_failed(), rest == Fault::Refused);
        world.check();
    }
}

fn settle(world: &mut World, order: &OrderId, amount: Option<i64>) -> Decision {
    world.act(order::Command::Settle {
        order: order.clone(),
        amount: amount.map(minor),
        note: "bank transfer 4711".into(),
    })
}

/// What the bank refuses to give back somebody gives back by hand, and says so once: nothing of it is
/// asked for again, and nothing undoes it.
#[test]
fn a_refund_that_was_settled_by_hand_is_closed() {
    let mut world = World::new(1, 5);
    let id = world.place(&[(0, 3)], "card", true);
    for early in [settle(&mut world, &id, None), {
        world.settle();
        settle(&mut world, &id, None)
    }] {
        assert!(
            matches!(refusal(&early), Rejection::NotRefundable { .. }),
            "nothing was refused"
        );
    }
    world.take(&id, Transition::Cancel);
    assert!(settle(&mut world, &id, None).has_refusal(), "on its way");
    world.step(&id, Fault::Refused);
    assert!(settle(&mut world, &id, Some(3_001)).has_refusal());

    // A part of it is not all of it: the rest is still owed.
    let part = settle(&mut world, &id, Some(1_000));
    assert_eq!(kinds(&part), [EventKind::RefundSettled]);
    assert_eq!(part.orders[0].detail.as_deref(), Some("bank transfer 4711"));
    assert!(world.order(&id).payment.unwrap().is_refund_failed());
    world.check();
    settle(&mut world, &id, None);
    let order = world.order(&id);
    let payment = order.payment.clone().unwrap();
    assert_eq!(payment.status, PaymentStatus::Settled);
    assert_eq!(payment.settled_amount, minor(3_000));
    assert_eq!(payment.refunded_amount, minor(0));
    assert_eq!((payment.refundable(), next_step(&order)), (minor(0), None));
    for late in [settle(&mut world, &id, None), refund(&mut world, &id, None)] {
        assert!(matches!(refusal(&late), Rejection::NotRefundable { .. }));
    }
    assert_eq!(world.money(), (3_000, 3_000), "the bank has kept it");
    let text = serde_json::to_string(&order).unwrap();
    assert_eq!(serde_json::from_str::<order::Order>(&text).unwrap(), order);
    world.check();
}

/// Goodwill for an order that came about is settled with what was given; the rest was never owed, and
/// goes back in the ordinary way if the order is called off.
#[test]
fn what_was_settled_is_not_given_back_once_more() {
    let mut world = World::new(1, 5);
    let id = world.place(&[(0, 3)], "card", true);
    world.settle();
    refund(&mut world, &id, Some(500));
    world.step(&id, Fault::Refused);
    let vague = settle(&mut world, &id, None);
    assert!(matches!(refusal(&vague), Rejection::NotRefundable { .. }));
    settle(&mut world, &id, Some(500));
    let payment = world.order(&id).payment.unwrap();
    assert_eq!(payment.status, PaymentStatus::Settled);
    assert_eq!(payment.refundable(), minor(2_500));
    assert_eq!(world.money(), (3_000, 3_000));
    world.take(&id, Transition::Cancel);
    world.settle();
    let payment = world.order(&id).payment.unwrap();
    assert_eq!(payment.status, PaymentStatus::Refunded);
    assert_eq!(payment.refunded_amount, minor(2_500));
    assert_eq!(world.money(), (500, 500));
    world.check();
}

/// Whatever else is forgotten: who has not got their money back is not.
#[test]
fn an_order_whose_refund_was_refused_is_not_forgotten() {
    let mut world = World::new(1, 50);
    world.state.orders = order::Orders::keeping(2);
    let failed = world.place(&[(0, 1)], "card", true);
    world.settle();
    world.take(&failed, Transition::Cancel);
    world.step(&failed, Fault::Refused);
    let end = |world: &mut World| {
        for _ in 0..3 {
            world.pass(1);
            let id = world.place(&[(0, 1)], "card_declined", true);
            world.step(&id, Fault::None);
        }
    };
    end(&mut world);
    assert!(world.state.orders.get(failed.as_str()).is_some());
    settle(&mut world, &failed, None);
    end(&mut world);
    assert!(world.state.orders.get(failed.as_str()).is_none());
}

/// The second key comes after the refund's own wait, counted from the first old failure and not from
/// when the refund was asked for, and after one look at the end of it.
#[test]
fn a_refund_gets_another_key_after_a_wait_of_its_own() {
    let mut world = World::new(1, 5);
    let id = world.place(&[(0, 1)], "card", true);
    world.settle();
    refund(&mut world, &id, None);
    let key = |world: &World| {
        let refund = world.order(&id).payment.unwrap().refund.unwrap();
        (refund.key_number, refund.spent_since)
    };
    assert_eq!(key(&world), (1, None));
    // Nothing arrives for a long time.
    for _ in 0..3 {
        world.pass(REFUND_KEY_WAIT);
        world.step(&id, Fault::Lost);
        assert_eq!(key(&world), (1, None));
    }
    let (first, _) = world.outcome(&id, Fault::Kept).unwrap();
    assert_eq!(kinds(&world.act(first.clone())), [EventKind::RefundUnknown]);
    let since = Some(world.now);
    assert_eq!(key(&world), (1, since));
    for _ in 0..2 {
        world.pass(REFUND_KEY_WAIT / 2 - 1);
        world.step(&id, Fault::None);
        assert_eq!(key(&world), (1, since), "the wait is not over");
    }
    world.pass(2);
    world.step(&id, Fault::Lost);
    assert_eq!(key(&world), (1, since), "who has not looked has no new key");
    world.step(&id, Fault::None);
    assert_eq!(key(&world), (2, None));
    // What was said of the first key says nothing of the second.
    let stale = world.act(first);
    assert!(matches!(refusal(&stale), Rejection::NotAwaited { .. }));
    let order = world.order(&id);
    let text = serde_json::to_string(&order).unwrap();
    assert_eq!(serde_json::from_str::<order::Order>(&text).unwrap(), order);
    world.step(&id, Fault::None);
    let payment = world.order(&id).payment.unwrap();
    assert_eq!(payment.status, PaymentStatus::Refunded);
    assert_eq!(payment.refunds, 1, "it was one refund throughout");
    assert_eq!(world.money(), (0, 0));
    world.check();
}
