//! Single rules of orders and their money.

use shared::domain::ids::OrderId;
use shared::domain::inventory::command::Changes;
use shared::domain::inventory::{self, Edit};
use shared::domain::money::Money;
use shared::domain::order::{
    self, Address, EventKind, OrderStatus, PaymentStatus, Step, Transition, next_step,
};
use shared::domain::{Command, ItemResult, Rejection, decide};

use crate::bank::{Fault, approved, unknown};
use crate::refunds::refund;
use crate::world::{START, TTL, World, kinds, minor, product, refusal, reserve};

#[test]
fn placing_takes_the_units_and_the_prices_of_that_moment() {
    let mut world = World::new(2, 5);
    let id = world.place(&[(0, 1), (1, 2), (0, 2)], "card", true);
    let order = world.order(&id);
    assert_eq!(order.status, OrderStatus::Reserved);
    assert_eq!(order.items.len(), 2, "one item a product");
    assert_eq!(
        (order.items[0].quantity, order.items[0].subtotal),
        (3, minor(3_000))
    );
    assert_eq!(order.total_amount, minor(5_000));
    assert_eq!((world.available(0), world.available(1)), (2, 3));
    assert_eq!(next_step(&order), Some(Step::Charge));
    // The buyer pays what was agreed, whatever the price is later.
    world.act(inventory::Command::Edit {
        items: vec![Edit {
            product: product(0),
            changes: Changes {
                price: Some(minor(9_999)),
                ..Changes::default()
            },
            expected_version: None,
        }],
        atomicity: inventory::Atomicity::All,
    });
    world.settle();
    assert_eq!(world.money(), (5_000, 5_000));
}

#[test]
fn an_order_whose_units_are_not_there_fails_and_holds_nothing() {
    let mut world = World::new(2, 5);
    let id = world.place(&[(0, 6), (1, 1)], "card", true);
    let order = world.order(&id);
    assert_eq!(order.status, OrderStatus::Failed);
    assert_eq!(
        &*order.failure.clone().unwrap().code,
        "insufficient_inventory"
    );
    assert_eq!(
        (order.reservation_id.clone(), order.payment.clone()),
        (None, None)
    );
    assert_eq!(next_step(&order), None);
    assert_eq!((world.available(0), world.available(1)), (5, 5));
    world.check();
}

#[test]
fn what_cannot_be_an_order_leaves_none() {
    let mut world = World::new(1, 5);
    let unknown = world.placing(&[(0, 1), (8, 1), (9, 1)], "card", true);
    let decision = world.act(order::Command::Place(Box::new(unknown)));
    let missing: Vec<_> = decision
        .rejections()
        .filter_map(Rejection::product_id)
        .collect();
    assert_eq!(missing, [&product(8), &product(9)], "each is named");

    let mut dearer = world.placing(&[(0, 2)], "card", true);
    dearer.expected_total = Some(minor(1_999));
    let decision = world.act(order::Command::Place(Box::new(dearer)));
    match refusal(&decision) {
        Rejection::PriceChanged { total, prices, .. } => {
            assert_eq!((*total, prices[0].price), (minor(2_000), minor(1_000)));
        }
        other => panic!("{other:?}"),
    }
    assert!(world.state.orders.is_empty());
    assert_eq!(world.available(0), 5);
}

#[test]
fn an_order_that_costs_nothing_needs_no_bank() {
    let mut world = World::new(1, 5);
    world.act(inventory::Command::Edit {
        items: vec![Edit {
            product: product(0),
            changes: Changes {
                price: Some(Money::ZERO),
                ..Changes::default()
            },
            expected_version: None,
        }],
        atomicity: inventory::Atomicity::All,
    });
    let id = world.place(&[(0, 2)], "card", true);
    let order = world.order(&id);
    assert_eq!(
        (order.status, order.payment.clone()),
        (OrderStatus::Confirmed, None)
    );
    assert_eq!(world.on_hand(0), 3);
    assert!(matches!(
        refusal(&refund(&mut world, &id, None)),
        Rejection::NotRefundable { .. }
    ));
    world.check();
}

/// How an order comes to a status.
type Way = fn(&mut World, &OrderId);

#[test]
fn only_legal_transitions_and_repeats_change_nothing() {
    use OrderStatus::{Cancelled, Completed, Confirmed, Failed, Paid, Reserved, Undecided};
    // Each status, and how an order comes to it.
    let ways: [(OrderStatus, Way); 7] = [
        (Reserved, |_, _| ()),
        (Undecided, |world, id| {
            world.step(id, Fault::Lost);
        }),
        (Paid, |world, _| world.settle()),
        (Confirmed, |world, id| {
            world.settle();
            world.take(id, Transition::Confirm);
        }),
        (Completed, |world, id| {
            world.settle();
            world.take(id, Transition::Confirm);
            world.take(id, Transition::Complete);
        }),
        (Failed, |world, _| world.pass(TTL)),
        (Cancelled, |world, id| {
            world.take(id, Transition::Cancel);
        }),
    ];
    for (status, way) in ways {
        for to in [
            Transition::Confirm,
            Transition::Cancel,
            Transition::Complete,
        ] {
            let mut world = World::new(1, 5);
            let id = world.place(&[(0, 2)], "card", false);
            way(&mut world, &id);
            assert_eq!(world.order(&id).status, status);
            let decision = world.take(&id, to);
            let wanted = to.leads_to();
            match &decision.results[..] {
                [ItemResult::Applied(_)] => {
                    assert!(status.allowed().contains(&wanted), "{status:?} {to:?}");
                    assert_eq!(world.order(&id).status, wanted);
                }
                [ItemResult::Unchanged] => assert_eq!(status, wanted),
                [ItemResult::Refused(Rejection::IllegalTransition { .. })] => {
                    assert!(!status.allowed().contains(&wanted), "{status:?} {to:?}");
                    assert!(!decision.changes_something());
                }
                other => panic!("{other:?}"),
            }
            world.check();
            world.settle();
            world.check();
            let (kept, due) = world.money();
            assert_eq!(kept, due, "{status:?} {to:?}");
        }
    }
}

#[test]
fn confirming_and_cancelling_at_once_has_one_winner() {
    let mut world = World::new(1, 5);
    let id = world.place(&[(0, 2)], "card", false);
    world.settle();
    let version = Some(world.order(&id).version);
    let to = |to| order::Command::Transition {
        order: id.clone(),
        to,
        expected_version: version,
    };
    assert_eq!(
        world.act(to(Transition::Cancel)).results,
        [ItemResult::Applied(0)]
    );
    assert!(matches!(
        refusal(&world.act(to(Transition::Confirm))),
        Rejection::OrderVersionConflict { .. }
    ));
    world.settle();
    assert_eq!((world.on_hand(0), world.money()), (5, (0, 0)));
}

#[test]
fn nobody_resolves_an_orders_hold_behind_its_back() {
    let mut world = World::new(1, 5);
    let id = world.place(&[(0, 2)], "card", true);
    let reservation = world.order(&id).reservation_id.unwrap();
    for command in [
        inventory::Command::Release {
            reservation: reservation.clone(),
            store: None,
        },
        inventory::Command::Commit {
            reservation: reservation.clone(),
            reacquire: true,
            store: None,
        },
        inventory::Command::Extend {
            reservation: reservation.clone(),
            store: None,
            ttl_millis: 1,
        },
    ] {
        let decision = world.act(command);
        assert!(matches!(
            refusal(&decision),
            Rejection::ReservationOfOrder { .. }
        ));
    }
    // Nor by holding under its owner's name.
    let mut thief = reserve("thief", &[(0, 1)]);
    thief.owner = world.reservation(reservation.as_str()).owner;
    thief.reference = Some(id.as_str().into());
    world.act(inventory::Command::Reserve(thief));
    assert!(world.reservation(reservation.as_str()).is_active());
    world.check();
}

#[test]
fn an_order_is_given_up_when_its_hold_runs_out_whoever_meets_it() {
    let mut world = World::new(1, 5);
    let id = world.place(&[(0, 5)], "card", true);
    // The bank has taken the money and nobody knows.
    world.step(&id, Fault::AnswerLost);
    assert_eq!(world.order(&id).status, OrderStatus::Undecided);
    world.now = world.now.plus_millis(TTL);
    let other = world.place(&[(0, 1)], "card", true);
    let order = world.order(&id);
    assert_eq!(order.status, OrderStatus::Failed);
    assert_eq!(&*order.failure.clone().unwrap().code, "payment_timeout");
    assert_eq!(next_step(&order), Some(Step::Void));
    world.check();
    world.settle();
    world.check();
    assert_eq!(
        world.order(&id).payment.unwrap().status,
        PaymentStatus::Refunded
    );
    assert_eq!(world.order(&other).status, OrderStatus::Confirmed);
    assert_eq!(world.money(), (1_000, 1_000));
}

#[test]
fn an_answer_that_comes_after_the_order_was_given_up_is_paid_back() {
    let mut world = World::new(1, 5);
    let id = world.place(&[(0, 2)], "card", true);
    let (late, _) = world.outcome(&id, Fault::None).unwrap();
    world.pass(TTL);
    assert_eq!(
        kinds(&world.act(late.clone())),
        [EventKind::ChargedLate, EventKind::RefundRequested,]
    );
    // The same answer once more is awaited by nobody.
    assert!(matches!(
        refusal(&world.act(late)),
        Rejection::NotAwaited { .. }
    ));
    world.settle();
    assert_eq!((world.on_hand(0), world.money()), (5, (0, 0)));
    world.check();
}

#[test]
fn a_provider_that_is_down_for_an_hour_costs_nobody_anything() {
    let mut world = World::new(1, 5);
    let id = world.place(&[(0, 2)], "card", true);
    for minute in 0..60 {
        world.step(&id, Fault::Lost);
        world.check();
        let expected = if minute < 15 {
            OrderStatus::Undecided
        } else {
            OrderStatus::Failed
        };
        assert_eq!(world.order(&id).status, expected, "minute {minute}");
        world.pass(60_000);
    }
    let order = world.order(&id);
    // Written down after 0, 1, 3 and 7 minutes, and 8 and 24 minutes after it was given up.
    assert_eq!(order.payment.as_ref().unwrap().attempts, 6);
    assert_eq!(next_step(&order), Some(Step::Void), "still to be settled");
    world.settle();
    assert_eq!(
        world.order(&id).payment.unwrap().status,
        PaymentStatus::Voided
    );
    assert_eq!((world.available(0), world.money()), (5, (0, 0)));
}

/// A charge and the void after it, or a refund, asked for twice a minute for a day, or for a year: what is
/// written down grows with the doublings of that time.
#[test]
fn a_provider_that_stays_unclear_does_not_fill_the_log() {
    const DAY: i64 = 24 * 3_600_000;
    for (paid, days, asked_every, most) in [
        (false, 1, 30_000, 13),
        (false, 365, 900_000, 22),
        (true, 1, 30_000, 13),
        (true, 365, 900_000, 22),
    ] {
        let mut world = World::new(1, 5);
        let id = world.place(&[(0, 2)], "card", true);
        if paid {
            world.settle();
            world.take(&id, Transition::Cancel);
        }
        let before = world.order(&id).version;
        for _ in 0..days * DAY / asked_every {
            world.now = world.now.plus_millis(asked_every);
            let (command, _) = world.outcome(&id, Fault::Lost).unwrap();
            let decision = decide(&world.state, &Command::from(command), world.now);
            if decision.changes_something() {
                world.state.apply(&decision, 0);
            }
            let due = world.state.inventory.reservations().next_due();
            if due.is_some_and(|due| due <= world.now) {
                world.act(inventory::Command::Expire);
            }
        }
        let written = world.order(&id).version - before;
        assert!((5..=most).contains(&written), "{written} in {days} days");
        // The end of it is written down in any case.
        world.settle();
        assert_eq!(next_step(&world.order(&id)), None);
        assert!(world.order(&id).version > before + written);
        world.check();
    }
}

#[test]
fn an_address_changes_until_the_units_leave() {
    let mut world = World::new(1, 5);
    let id = world.place(&[(0, 1)], "card", false);
    let readdress = |world: &mut World, text: &str| {
        let raw = serde_json::value::RawValue::from_string(format!("{text:?}")).unwrap();
        world.act(order::Command::Readdress {
            order: id.clone(),
            address: Address::new(&raw),
            expected_version: None,
        })
    };
    assert_eq!(
        kinds(&readdress(&mut world, "here")),
        [EventKind::AddressChanged]
    );
    assert_eq!(
        readdress(&mut world, "here").results,
        [ItemResult::Unchanged]
    );
    world.settle();
    assert!(!readdress(&mut world, "there").has_refusal());
    world.take(&id, Transition::Confirm);
    assert!(matches!(
        refusal(&readdress(&mut world, "elsewhere")),
        Rejection::OrderSettled { .. }
    ));
    assert_eq!(
        world.order(&id).shipping_address.unwrap().as_json(),
        "\"there\""
    );
}

#[test]
fn an_order_survives_its_json() {
    let mut world = World::new(1, 5);
    let id = world.place(&[(0, 2)], "card", true);
    world.act(order::Command::RecordPayment {
        order: id.clone(),
        outcome: unknown(),
    });
    world.act(order::Command::RecordPayment {
        order: id.clone(),
        outcome: approved(),
    });
    let order = world.order(&id);
    let text = serde_json::to_string(&order).unwrap();
    assert_eq!(serde_json::from_str::<order::Order>(&text).unwrap(), order);
    assert_eq!(order.decided_version, Some(4), "paid and confirmed at once");
    assert_eq!(order.decided_at, Some(START));
    insta::assert_snapshot!(text, @r#"{"orderId":"O1","customerId":"ann","items":[{"productId":"P0","quantity":2,"price":10,"subtotal":20}],"totalAmount":20,"currency":"USD","paymentMethod":"card","confirm":true,"status":"confirmed","reservationId":"R1","payment":{"paymentId":"M1","status":"approved","amount":20,"reference":"ch_1","authorizationCode":"AUTH","attempts":2,"refundedAmount":0,"refunds":0},"createdAt":"2026-01-15T10:30:00.000Z","updatedAt":"2026-01-15T10:30:00.000Z","decidedAt":"2026-01-15T10:30:00.000Z","decidedVersion":4,"version":4}"#);
}
