//! Anything in any order: units in are units out, `reserved` is the sum of the active holds, and no
//! order is both charged and released.

use proptest::collection::vec;
use proptest::prelude::*;
use shared::domain::ids::{OrderId, ReservationId};
use shared::domain::inventory::{self, Atomicity, Deletion, Move, Reason};
use shared::domain::money::Money;
use shared::domain::order::{self, Transition};

use crate::bank::Fault;
use crate::world::{World, product, reserve};

const PRODUCTS: usize = 4;

/// One thing that happens; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Act {
    Reserve(Vec<(usize, i64)>, bool),
    Commit(usize, bool),
    Release(usize),
    Extend(usize),
    Place(Vec<(usize, i64)>, bool, bool),
    Take(usize, Transition),
    Step(usize, Fault),
    /// The bank is asked twice about the same, and both answers are recorded.
    StepTwice(usize, Fault),
    /// The bank is asked; meanwhile somebody else takes the order somewhere.
    StepAside(usize, Fault, Transition),
    Refund(usize, i64),
    Settle(usize, Option<i64>),
    Sell(usize, i64),
    Receive(usize, i64),
    DeleteAndCreate(usize),
    Pass(i64),
}

fn some_lines() -> impl Strategy<Value = Vec<(usize, i64)>> {
    vec((0..PRODUCTS, 1..5_i64), 1..12)
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::None),
        Just(Fault::Lost),
        Just(Fault::AnswerLost),
        Just(Fault::Refused),
        Just(Fault::Kept),
    ]
}

fn transition() -> impl Strategy<Value = Transition> {
    prop_oneof![
        Just(Transition::Confirm),
        Just(Transition::Cancel),
        Just(Transition::Complete),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let which = 0..1_000_usize;
    prop_oneof![
        2 => (some_lines(), any::<bool>()).prop_map(|(lines, named)| Act::Reserve(lines, named)),
        2 => (which.clone(), any::<bool>()).prop_map(|(which, again)| Act::Commit(which, again)),
        1 => which.clone().prop_map(Act::Release),
        1 => which.clone().prop_map(Act::Extend),
        4 => (some_lines(), any::<bool>(), any::<bool>())
            .prop_map(|(lines, declined, confirm)| Act::Place(lines, declined, confirm)),
        3 => (which.clone(), transition()).prop_map(|(which, to)| Act::Take(which, to)),
        5 => (which.clone(), fault()).prop_map(|(which, fault)| Act::Step(which, fault)),
        2 => (which.clone(), fault()).prop_map(|(which, fault)| Act::StepTwice(which, fault)),
        2 => (which.clone(), fault(), transition())
            .prop_map(|(which, fault, to)| Act::StepAside(which, fault, to)),
        1 => (which.clone(), 1..3_000_i64).prop_map(|(which, minor)| Act::Refund(which, minor)),
        1 => (which.clone(), prop::option::of(1..3_000_i64))
            .prop_map(|(which, minor)| Act::Settle(which, minor)),
        1 => (0..PRODUCTS, 1..9_i64).prop_map(|(which, units)| Act::Sell(which, units)),
        1 => (0..PRODUCTS, 1..9_i64).prop_map(|(which, units)| Act::Receive(which, units)),
        1 => (0..PRODUCTS).prop_map(Act::DeleteAndCreate),
        2 => (0..1_200_000_i64).prop_map(Act::Pass),
    ]
}

/// The `which`th reservation there is, or one that never was.
fn some_reservation(world: &World, which: usize) -> ReservationId {
    let all: Vec<_> = world.state.inventory.reservations().iter().collect();
    match all.len() {
        0 => ReservationId::parse("nobody").unwrap(),
        count => all[which % count].reservation_id.clone(),
    }
}

fn some_order(world: &World, which: usize) -> Option<OrderId> {
    let mut all: Vec<_> = world.state.orders.entries().collect();
    all.sort_by_key(|entry| entry.order.order_id.clone());
    let count = all.len();
    (count > 0).then(|| all[which % count].order.order_id.clone())
}

fn movement(which: usize, delta: i64, reason: Reason) -> inventory::Command {
    inventory::Command::Move {
        lines: vec![Move {
            product: product(which),
            delta,
            reason,
            expected_version: None,
            reference: None,
            note: None,
        }],
        atomicity: Atomicity::PerItem,
    }
}

fn play(world: &mut World, act: Act) {
    match act {
        Act::Reserve(lines, named) => {
            let mut reserve = reserve(&format!("H{}", world.made()), &lines);
            // A name that comes again, so that holds are replaced.
            reserve.reference = named.then(|| "cart".into());
            world.act(inventory::Command::Reserve(reserve));
        }
        Act::Commit(which, reacquire) => {
            let reservation = some_reservation(world, which);
            world.act(inventory::Command::Commit {
                reservation,
                reacquire,
                store: None,
            });
        }
        Act::Release(which) => {
            let (reservation, store) = (some_reservation(world, which), None);
            world.act(inventory::Command::Release { reservation, store });
        }
        Act::Extend(which) => {
            let reservation = some_reservation(world, which);
            let ttl_millis = 60_000;
            world.act(inventory::Command::Extend {
                reservation,
                store: None,
                ttl_millis,
            });
        }
        Act::Place(lines, declined, confirm) => {
            let method = if declined { "card_declined" } else { "card" };
            world.place(&lines, method, confirm);
        }
        Act::Pass(millis) => world.pass(millis),
        Act::Sell(which, units) => {
            world.act(movement(which, -units, Reason::Sale));
        }
        Act::Receive(which, units) => {
            world.act(movement(which, units, Reason::Received));
        }
        Act::DeleteAndCreate(which) => delete_and_create(world, which),
        Act::Take(..)
        | Act::Step(..)
        | Act::StepTwice(..)
        | Act::StepAside(..)
        | Act::Refund(..)
        | Act::Settle(..) => {
            play_order(world, act);
        }
    }
}

fn delete_and_create(world: &mut World, which: usize) {
    let product = product(which);
    let details = match world.state.inventory.get(product.as_str()) {
        Some(known) => (*known.details).clone(),
        None => return,
    };
    let on_hand = world.on_hand(which);
    world.act(inventory::Command::Delete {
        items: vec![Deletion {
            product: product.clone(),
            expected_version: None,
            force: true,
        }],
        atomicity: Atomicity::All,
    });
    world.act(inventory::Command::Create {
        items: vec![inventory::NewProduct {
            product,
            details,
            on_hand,
        }],
        atomicity: Atomicity::All,
    });
}

fn play_order(world: &mut World, act: Act) {
    let which = match &act {
        Act::Take(which, _)
        | Act::Step(which, _)
        | Act::StepTwice(which, _)
        | Act::StepAside(which, _, _)
        | Act::Refund(which, _)
        | Act::Settle(which, _) => *which,
        other => panic!("{other:?} is about no order"),
    };
    let Some(order) = some_order(world, which) else {
        return;
    };
    match act {
        Act::Take(_, to) => {
            world.take(&order, to);
        }
        Act::Step(_, fault) => {
            world.step(&order, fault);
        }
        Act::StepTwice(_, fault) => {
            let first = world.outcome(&order, fault);
            let second = world.outcome(&order, Fault::None);
            for (command, _) in [first, second].into_iter().flatten() {
                world.act(command);
            }
        }
        Act::StepAside(_, fault, to) => {
            let outcome = world.outcome(&order, fault);
            world.take(&order, to);
            if let Some((command, _)) = outcome {
                world.act(command);
            }
        }
        Act::Refund(_, minor) => {
            let amount = Some(Money::from_minor(minor).unwrap());
            world.act(order::Command::Refund { order, amount });
        }
        Act::Settle(_, minor) => {
            world.act(order::Command::Settle {
                order,
                amount: minor.map(|minor| Money::from_minor(minor).unwrap()),
                note: "by hand".into(),
            });
        }
        other => panic!("{other:?} is about no order"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn whatever_happens_units_and_money_add_up(acts in vec(act(), 1..60)) {
        let mut world = World::new(PRODUCTS, 12);
        for act in acts {
            play(&mut world, act);
            world.check();
        }
        world.check_replay();
        // In the end the bank answers, and everything comes to rest.
        world.settle();
        world.pass(100_000_000);
        world.settle();
        world.check();
        world.check_replay();
        let (kept, due) = world.money();
        prop_assert_eq!(kept, due);
    }
}

/// The control of the count: a cancel that brings everything back twice, and says so in each event.
#[test]
fn a_cancel_that_brings_back_twice_is_noticed() {
    let bought = || {
        let mut world = World::new(1, 12);
        let order = world.place(&[(0, 2), (0, 1)], "card", true);
        world.settle();
        world.check();
        assert_eq!(world.on_hand(0), 9);
        (world, order)
    };
    let (mut world, order) = bought();
    world.take(&order, Transition::Cancel);
    assert_eq!(world.count.differences(&world.state), []);

    let (mut world, order) = bought();
    world.mistake = Some(|decision| {
        for event in &mut decision.events {
            let delta = event.movement.delta.unwrap_or(0);
            event.movement.delta = Some(2 * delta);
            event.product.stock.on_hand += delta;
        }
    });
    world.take(&order, Transition::Cancel);
    assert_eq!(
        world.count.differences(&world.state),
        [(product(0), 12, 15)]
    );
}
