//! Single rules of reservations.
//!
//! Longer than most files: all of them make and resolve holds with the same few helpers.

use shared::domain::ids::{Owner, ReservationId, StoreId};
use shared::domain::inventory::{self, Atomicity, Deletion, MovementKind, ReservationState};
use shared::domain::order::Transition;
use shared::domain::{Decision, ItemResult, Rejection};
use shared::limits;

use crate::world::{TTL, World, product, refusal, reserve};

fn id(text: &str) -> ReservationId {
    ReservationId::parse(text).unwrap()
}

fn hold(world: &mut World, name: &str, lines: &[(usize, i64)]) -> Decision {
    world.act(inventory::Command::Reserve(reserve(name, lines)))
}

fn commit(world: &mut World, name: &str, reacquire: bool) -> Decision {
    world.act(inventory::Command::Commit {
        reservation: id(name),
        reacquire,
        store: None,
    })
}

fn release(world: &mut World, name: &str) -> Decision {
    world.act(inventory::Command::Release {
        reservation: id(name),
        store: None,
    })
}

fn extend(world: &mut World, name: &str, ttl_millis: i64) -> Decision {
    world.act(inventory::Command::Extend {
        reservation: id(name),
        store: None,
        ttl_millis,
    })
}

fn state(world: &World, name: &str) -> ReservationState {
    world.reservation(name).state
}

#[test]
fn lines_of_one_product_are_summed_before_they_are_checked() {
    let mut world = World::new(1, 5);
    let refused = hold(&mut world, "r", &[(0, 3), (0, 3)]);
    match refusal(&refused) {
        Rejection::InsufficientInventory {
            delta, available, ..
        } => assert_eq!((*delta, *available), (-6, 5)),
        other => panic!("{other:?}"),
    }
    hold(&mut world, "s", &[(0, 2), (0, 3)]);
    assert_eq!(world.reservation("s").lines.len(), 1);
    assert_eq!(world.available(0), 0);
}

#[test]
fn all_lines_or_none_and_every_short_line_is_named() {
    let mut world = World::new(3, 5);
    let refused = hold(&mut world, "r", &[(0, 6), (1, 1), (2, 9)]);
    let [first, second, third] = &refused.results[..] else {
        panic!("{refused:?}");
    };
    let short = |result: &ItemResult| {
        matches!(
            result,
            ItemResult::Refused(Rejection::InsufficientInventory { .. })
        )
    };
    assert!(short(first) && short(third));
    assert!(matches!(
        second,
        ItemResult::Refused(Rejection::NotAlone { .. })
    ));
    assert_eq!(world.available(1), 5);
    assert!(!refused.changes_something());
}

#[test]
fn each_way_out_works_once_and_repeats_say_the_same() {
    let mut world = World::new(1, 10);
    for name in ["a", "b", "c"] {
        hold(&mut world, name, &[(0, 2)]);
    }
    assert_eq!((world.on_hand(0), world.available(0)), (10, 4));

    assert_eq!(
        commit(&mut world, "a", false).results,
        [ItemResult::Applied(0)]
    );
    assert_eq!(
        commit(&mut world, "a", false).results,
        [ItemResult::Unchanged]
    );
    assert_eq!((world.on_hand(0), world.available(0)), (8, 4));
    assert!(matches!(
        refusal(&release(&mut world, "a")),
        Rejection::ReservationResolved {
            state: ReservationState::Committed,
            ..
        }
    ));

    assert_eq!(release(&mut world, "b").results, [ItemResult::Applied(0)]);
    let again = release(&mut world, "b");
    assert_eq!(again.results, [ItemResult::Unchanged]);
    assert_eq!(again.reservations, [world.reservation("b")]);
    assert_eq!((world.on_hand(0), world.available(0)), (8, 6));
    for again in [commit(&mut world, "b", true), extend(&mut world, "b", 1)] {
        assert!(matches!(
            refusal(&again),
            Rejection::ReservationResolved {
                state: ReservationState::Released,
                ..
            }
        ));
    }
    assert!(matches!(
        refusal(&commit(&mut world, "nobody", false)),
        Rejection::ReservationNotFound { .. }
    ));
    world.check();
}

#[test]
fn time_is_judged_when_it_is_asked_not_when_a_timer_comes() {
    let mut world = World::new(1, 5);
    hold(&mut world, "old", &[(0, 5)]);
    world.now = world.now.plus_millis(TTL - 1);
    assert!(
        refusal(&hold(&mut world, "early", &[(0, 1)]))
            .product_id()
            .is_some()
    );

    // No timer has come; whoever needs the units has them, in the same decision.
    world.now = world.now.plus_millis(1);
    let decision = hold(&mut world, "new", &[(0, 5)]);
    let kinds: Vec<_> = decision
        .events
        .iter()
        .map(|event| event.movement.kind)
        .collect();
    assert_eq!(kinds, [MovementKind::Expired, MovementKind::Reserved]);
    assert_eq!(state(&world, "old"), ReservationState::Expired);
    world.check();

    let mut world = World::new(1, 5);
    hold(&mut world, "old", &[(0, 5)]);
    world.now = world.now.plus_millis(TTL);
    for late in [
        commit(&mut world, "old", false),
        extend(&mut world, "old", 1),
    ] {
        assert!(matches!(
            refusal(&late),
            Rejection::ReservationExpired { .. }
        ));
    }
    assert_eq!(
        state(&world, "old"),
        ReservationState::Active,
        "nothing was written"
    );
    // Whoever gives it back is told what has become of it, and it is written down.
    release(&mut world, "old");
    assert_eq!(state(&world, "old"), ReservationState::Expired);
    assert_eq!(world.available(0), 5);
    world.check();
}

#[test]
fn a_shop_touches_no_other_shops_holds() {
    let mut world = World::new(1, 9);
    let store = |name: &str| StoreId::parse(name).ok();
    let mut basket = reserve("one", &[(0, 2)]);
    basket.reference = Some("cart-7".into());
    basket.store = store("s1");
    world.act(inventory::Command::Reserve(basket.clone()));
    let reservation = id("one");
    for command in [
        inventory::Command::Commit {
            reservation: reservation.clone(),
            reacquire: true,
            store: store("s2"),
        },
        inventory::Command::Release {
            reservation: reservation.clone(),
            store: store("s2"),
        },
        inventory::Command::Extend {
            reservation: reservation.clone(),
            store: store("s2"),
            ttl_millis: 1,
        },
    ] {
        let refused = world.act(command);
        assert!(matches!(
            refusal(&refused),
            Rejection::ReservationOfStore { .. }
        ));
        assert!(!refused.is_remembered());
    }
    // Nor does it replace one by choosing its name.
    basket.reservation = id("two");
    basket.store = store("s2");
    world.act(inventory::Command::Reserve(basket.clone()));
    assert_eq!(state(&world, "one"), ReservationState::Active);
    // What was made for no shop is handed out by any.
    basket.reservation = id("three");
    basket.store = None;
    world.act(inventory::Command::Reserve(basket));
    for (name, by) in [("one", "s1"), ("two", "s2"), ("three", "s2")] {
        let decision = world.act(inventory::Command::Commit {
            reservation: id(name),
            reacquire: false,
            store: store(by),
        });
        assert_eq!(decision.results, [ItemResult::Applied(0)], "{name}");
    }
    assert_eq!((world.on_hand(0), world.available(0)), (3, 3));
    world.check();
}

#[test]
fn what_has_run_out_can_be_taken_again_if_it_is_still_there() {
    let mut world = World::new(2, 5);
    hold(&mut world, "a", &[(0, 5), (1, 1)]);
    hold(&mut world, "b", &[(1, 4)]);
    world.pass(TTL);
    assert_eq!((world.available(0), world.available(1)), (5, 5));
    // Somebody else takes one of the two.
    hold(&mut world, "other", &[(0, 1)]);
    let refused = commit(&mut world, "a", true);
    let codes: Vec<_> = refused.rejections().collect();
    assert!(
        matches!(
            codes[..],
            [
                Rejection::InsufficientInventory { .. },
                Rejection::NotAlone { .. }
            ]
        ),
        "{codes:?}"
    );
    assert_eq!(world.available(1), 5, "none of the lines was taken");
    release(&mut world, "other");
    assert_eq!(
        commit(&mut world, "a", true).results,
        [ItemResult::Applied(0)]
    );
    assert_eq!(
        commit(&mut world, "a", true).results,
        [ItemResult::Unchanged]
    );
    assert_eq!((world.on_hand(0), world.on_hand(1)), (0, 4));
    world.check();
}

#[test]
fn a_new_hold_under_the_same_name_replaces_the_old_one() {
    let mut world = World::new(1, 5);
    let mut cart = reserve("first", &[(0, 4)]);
    cart.reference = Some("cart-7".into());
    world.act(inventory::Command::Reserve(cart.clone()));
    // The shopper's own older hold does not stand in the way.
    cart.reservation = id("second");
    cart.lines = crate::world::lines(&[(0, 5)]);
    world.act(inventory::Command::Reserve(cart.clone()));
    assert_eq!(state(&world, "first"), ReservationState::Released);
    assert_eq!(state(&world, "second"), ReservationState::Active);
    // What cannot replace it leaves it alone.
    cart.reservation = id("third");
    cart.lines = crate::world::lines(&[(0, 6)]);
    world.act(inventory::Command::Reserve(cart.clone()));
    assert_eq!(state(&world, "second"), ReservationState::Active);
    // Another owner's name is another name.
    cart.owner = Owner::parse("somebody-else").unwrap();
    cart.lines = crate::world::lines(&[(0, 1)]);
    let refused = world.act(inventory::Command::Reserve(cart));
    assert!(refused.has_refusal());
    assert_eq!(world.available(0), 0);
    world.check();
}

#[test]
fn a_hold_can_be_extended_up_to_a_week() {
    let mut world = World::new(1, 5);
    hold(&mut world, "r", &[(0, 1)]);
    world.now = world.now.plus_millis(TTL - 1);
    assert_eq!(
        extend(&mut world, "r", TTL).results,
        [ItemResult::Applied(0)]
    );
    world.pass(TTL - 1);
    assert_eq!(state(&world, "r"), ReservationState::Active);
    let life = i64::try_from(limits::RESERVATION_LIFE_MAX.as_millis()).unwrap();
    assert!(matches!(
        refusal(&extend(&mut world, "r", life)),
        Rejection::ReservationTooLong { .. }
    ));
    world.pass(1);
    assert_eq!(state(&world, "r"), ReservationState::Expired);
    world.check();
}

#[test]
fn holds_outlive_a_product_that_is_deleted_by_force() {
    let mut world = World::new(2, 5);
    let details = (*world.state.inventory.get("P0").unwrap().details).clone();
    hold(&mut world, "kept", &[(0, 2), (1, 2)]);
    hold(&mut world, "gone", &[(0, 1), (1, 1)]);
    let delete = |force| inventory::Command::Delete {
        items: vec![Deletion {
            product: product(0),
            expected_version: None,
            force,
        }],
        atomicity: Atomicity::All,
    };
    let refused = world.act(delete(false));
    assert!(matches!(
        refusal(&refused),
        Rejection::UnitsPromised { reserved: 3, .. }
    ));
    world.act(delete(true));
    // Its line has nothing to count any more; the others go on.
    commit(&mut world, "gone", false);
    assert_eq!(world.on_hand(1), 4);
    world.act(inventory::Command::Create {
        items: vec![inventory::NewProduct {
            product: product(0),
            details,
            on_hand: 5,
        }],
        atomicity: Atomicity::All,
    });
    assert_eq!(world.available(0), 3, "two units are still promised");
    release(&mut world, "kept");
    assert_eq!(world.available(0), 5);
    world.check();
}

/// Units that come back when there is no product any more are added to no stock, and the order says so:
/// whoever unpacks them counts them when the product is made anew.
#[test]
fn units_of_a_deleted_product_that_come_back_are_said_and_added_to_nothing() {
    let mut world = World::new(2, 5);
    let details = (*world.state.inventory.get("P0").unwrap().details).clone();
    let order = world.place(&[(0, 2), (1, 3)], "card", true);
    world.settle();
    world.act(inventory::Command::Delete {
        items: vec![Deletion {
            product: product(0),
            expected_version: None,
            force: false,
        }],
        atomicity: Atomicity::All,
    });
    let cancelled = world.take(&order, Transition::Cancel);
    let [event, _refund] = &cancelled.orders[..] else {
        panic!("{cancelled:?}");
    };
    assert_eq!(
        event.detail.as_deref(),
        Some("not added to any stock, deleted meanwhile: 2 of P0")
    );
    assert_eq!(world.on_hand(1), 5, "the others are back");
    // Three were deleted, two came back afterwards: none is unaccounted for.
    assert_eq!(world.count.aside, [(product(0), 2)].into());
    world.check();
    world.act(inventory::Command::Create {
        items: vec![inventory::NewProduct {
            product: product(0),
            details,
            on_hand: 4,
        }],
        atomicity: Atomicity::All,
    });
    assert_eq!(world.on_hand(0), 4, "what was counted, and no more");
    world.settle();
    world.check();
    world.check_replay();
}

fn sell(world: &mut World, units: i64) -> Decision {
    world.act(inventory::Command::Move {
        lines: vec![inventory::Move {
            product: product(0),
            delta: -units,
            reason: inventory::Reason::Sale,
            expected_version: None,
            reference: None,
            note: None,
        }],
        atomicity: Atomicity::All,
    })
}

#[test]
fn whoever_is_short_is_given_what_has_run_out_and_no_more_than_is_needed() {
    let mut world = World::new(1, 10);
    for number in 0..5 {
        hold(&mut world, &format!("r{number}"), &[(0, 2)]);
    }
    // Nothing was written down when their time ran out.
    world.now = world.now.plus_millis(TTL);
    let sold = sell(&mut world, 3);
    let freed: Vec<_> = sold
        .reservations
        .iter()
        .map(|it| &it.reservation_id)
        .collect();
    assert_eq!(freed, [&id("r0"), &id("r1")]);
    assert_eq!((world.on_hand(0), world.available(0)), (7, 1));
    // One of the freed units is left.
    let sold = sell(&mut world, 2);
    assert_eq!(sold.reservations.len(), 1);
    world.check();
}

#[test]
fn what_would_not_be_enough_is_left_alone_and_counted_as_free() {
    let mut world = World::new(1, 10);
    for number in 0..4 {
        hold(&mut world, &format!("r{number}"), &[(0, 2)]);
    }
    world.now = world.now.plus_millis(TTL);
    hold(&mut world, "late", &[(0, 1)]);
    let refused = sell(&mut world, 10);
    assert!(refused.reservations.is_empty() && refused.events.is_empty());
    match refusal(&refused) {
        Rejection::InsufficientInventory { available, .. } => assert_eq!(*available, 9),
        other => panic!("{other:?}"),
    }
    assert_eq!(state(&world, "r0"), ReservationState::Active);
    sell(&mut world, 9);
    assert_eq!((world.on_hand(0), world.available(0)), (1, 0));
    world.check();
}

#[test]
fn two_lines_of_one_command_are_not_given_the_same_hold() {
    let mut world = World::new(1, 4);
    hold(&mut world, "a", &[(0, 2)]);
    hold(&mut world, "b", &[(0, 2)]);
    world.now = world.now.plus_millis(TTL);
    let line = |units: i64| inventory::Move {
        product: product(0),
        delta: -units,
        reason: inventory::Reason::Sale,
        expected_version: None,
        reference: None,
        note: None,
    };
    let decision = world.act(inventory::Command::Move {
        lines: vec![line(2), line(2), line(1)],
        atomicity: Atomicity::PerItem,
    });
    assert_eq!(decision.reservations.len(), 2);
    assert_eq!(decision.rejections().count(), 1);
    assert_eq!((world.on_hand(0), world.available(0)), (0, 0));
    world.check();
}

#[test]
fn only_so_many_run_out_in_one_decision() {
    let mut world = World::new(1, 10_000);
    let holds = limits::EXPIRED_LINES + 10;
    for number in 0..holds {
        hold(&mut world, &format!("r{number}"), &[(0, 1)]);
    }
    world.now = world.now.plus_millis(TTL);
    let first = world.act(inventory::Command::Expire);
    assert_eq!(first.reservations.len(), limits::EXPIRED_LINES);
    assert_eq!(first.reservations[0].reservation_id, id("r0"));
    let rest = world.act(inventory::Command::Expire);
    assert_eq!(rest.reservations.len(), 10);
    assert_eq!(world.available(0), 10_000);
    assert_eq!(world.state.inventory.reservations().next_due(), None);
}

#[test]
fn resolved_reservations_are_forgotten_by_count_the_oldest_first() {
    let mut world = World::new(1, 10);
    world.log = Vec::new();
    for number in 0..=limits::RESERVATIONS_RESOLVED_KEPT {
        let name = format!("r{number}");
        let one = shared::domain::inventory::Reservation {
            state: ReservationState::Released,
            resolved_at: Some(world.now.plus_millis(number as i64)),
            ..first(&mut world, &name)
        };
        world.state.inventory.put_reservation(&one);
    }
    let all = world.state.inventory.reservations();
    assert_eq!(all.len(), limits::RESERVATIONS_RESOLVED_KEPT);
    assert!(all.get("r0").is_none());
    assert!(all.get("r1").is_some());
}

/// A reservation as it would be made, without making it.
fn first(world: &mut World, name: &str) -> shared::domain::inventory::Reservation {
    shared::domain::inventory::Reservation {
        reservation_id: id(name),
        owner: Owner::parse("basket").unwrap(),
        reference: None,
        store_id: None,
        order_id: None,
        lines: crate::world::lines(&[(0, 1)]).into(),
        state: ReservationState::Active,
        created_at: world.now,
        expires_at: Some(world.now),
        resolved_at: None,
    }
}
