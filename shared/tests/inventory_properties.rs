//! The inventory rules at random: whatever the commands and their order, what the module docs
//! promise holds.
//!
//! Products are few, so that commands get in each other's way, and the start holds promised units
//! and deleted products, so that no rule goes unused.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use shared::clock::Timestamp;
use shared::domain::Decision;
use shared::domain::ids::ProductId;
use shared::domain::inventory::command::Changes;
use shared::domain::inventory::state::Entry;
use shared::domain::inventory::{
    Atomicity, Basis, Command, CountLine, Deletion, Details, Edit, Event, EventKind, ImportRow,
    ImportStock, Inventory, ItemResult, Move, MovementKind, NewProduct, Product, Reason, Rejection,
    Stock, decide, fingerprint,
};
use shared::domain::money::Money;
use shared::domain::origin::Origin;
use shared::limits;
use shared::wire::event::{FeedEvent, Position};
use shared::wire::product::Encoder;

const NOW: Timestamp = Timestamp::from_millis(1_768_473_000_123);

fn id() -> impl Strategy<Value = ProductId> {
    (0..5).prop_map(|number| ProductId::parse(&format!("P{number}")).unwrap())
}

fn units() -> impl Strategy<Value = i64> {
    prop_oneof![
        9 => 0..20_i64,
        1 => (limits::STOCK_UNITS - 3)..=limits::STOCK_UNITS,
    ]
}

fn details() -> impl Strategy<Value = Details> {
    ("[a-c]{1,2}", option::of("[x-z]"), 0..3_i64).prop_map(|(name, category, price)| Details {
        name: name.into(),
        category: category.map(Arc::from),
        price: Money::from_minor(price).unwrap(),
        ..Details::default()
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let stock = (units(), 0..10_i64, 0..10_i64).prop_map(|(on_hand, reserved, allotted)| Stock {
        on_hand,
        reserved,
        allotted,
    });
    (id(), details(), stock, 1..5_u64, prop::bool::weighted(0.8)).prop_map(
        |(id, details, stock, version, live)| Entry {
            product: Product {
                id,
                details: Arc::new(details),
                stock,
                version,
                last_updated: Timestamp::from_millis(7),
            },
            live,
            last_record: 0,
        },
    )
}

fn start() -> impl Strategy<Value = Inventory> {
    vec(entry(), 0..6).prop_map(|entries| {
        let mut inventory = Inventory::default();
        entries
            .into_iter()
            .for_each(|entry| inventory.restore(entry));
        inventory
    })
}

fn atomicity() -> impl Strategy<Value = Atomicity> {
    prop_oneof![Just(Atomicity::PerItem), Just(Atomicity::All)]
}

fn version() -> impl Strategy<Value = Option<u64>> {
    option::weighted(0.4, 1..7_u64)
}

fn changes() -> impl Strategy<Value = Changes> {
    let name = option::of("[a-c]{1,2}".prop_map(Box::<str>::from));
    let category = option::of(option::of("[x-z]".prop_map(Arc::<str>::from)));
    let price = option::of((0..3_i64).prop_map(|minor| Money::from_minor(minor).unwrap()));
    (name, category, price, option::of(units())).prop_map(|(name, category, price, available)| {
        Changes {
            name,
            category,
            price,
            available,
            ..Changes::default()
        }
    })
}

fn move_stock() -> impl Strategy<Value = Move> {
    let delta = prop_oneof![
        9 => -8..9_i64,
        1 => Just(limits::DELTA_UNITS),
    ];
    let delta = delta.prop_filter("a movement moves something", |delta| *delta != 0);
    (
        id(),
        delta,
        prop::sample::select(Reason::ALL.to_vec()),
        version(),
    )
        .prop_filter("the reason fits", |(_, delta, reason, _)| {
            reason.fits(*delta)
        })
        .prop_map(|(product, delta, reason, expected_version)| Move {
            product,
            delta,
            reason,
            expected_version,
            reference: None,
            note: None,
        })
}

/// Sizes on both sides of the border at which a draft is looked through or hashed.
fn some<S: Strategy>(item: S) -> impl Strategy<Value = Vec<S::Value>> {
    vec(item, 1..14)
}

fn command() -> impl Strategy<Value = Command> {
    let new = (id(), details(), units()).prop_map(|(product, details, on_hand)| NewProduct {
        product,
        details,
        on_hand,
    });
    let edit = (id(), changes(), version()).prop_map(|(product, changes, expected_version)| Edit {
        product,
        changes,
        expected_version,
    });
    let deletion =
        (id(), version(), any::<bool>()).prop_map(|(product, expected_version, force)| Deletion {
            product,
            expected_version,
            force,
        });
    let count =
        (id(), units(), option::of(units())).prop_map(|(product, counted, on_hand)| CountLine {
            product,
            counted,
            basis: on_hand.map_or(Basis::Now, |on_hand| Basis::Offset {
                offset: 0,
                on_hand: Some(on_hand),
            }),
        });
    let row = (id(), changes(), option::of(units())).prop_map(|(product, changes, on_hand)| {
        // An import sets what is in the house, not what is available.
        let changes = Changes {
            available: None,
            ..changes
        };
        ImportRow {
            product,
            changes,
            on_hand,
        }
    });
    let stock = prop_oneof![Just(ImportStock::Keep), Just(ImportStock::Set)];
    prop_oneof![
        4 => (some(move_stock()), atomicity())
            .prop_map(|(lines, atomicity)| Command::Move { lines, atomicity }),
        2 => (some(new), atomicity())
            .prop_map(|(items, atomicity)| Command::Create { items, atomicity }),
        2 => (some(edit), atomicity())
            .prop_map(|(items, atomicity)| Command::Edit { items, atomicity }),
        1 => (some(deletion), atomicity())
            .prop_map(|(items, atomicity)| Command::Delete { items, atomicity }),
        1 => some(count).prop_map(|lines| Command::Count {
            lines,
            counted_by: "somebody".into(),
            reference: None,
        }),
        2 => (some(row), any::<bool>(), stock, atomicity()).prop_map(
            |(rows, update, stock, atomicity)| Command::Import { rows, update, stock, atomicity }
        ),
    ]
}

/// The same command with one rule for refusals or the other.
fn with(command: &Command, rule: Atomicity) -> Command {
    let mut command = command.clone();
    match &mut command {
        Command::Move { atomicity, .. }
        | Command::Create { atomicity, .. }
        | Command::Edit { atomicity, .. }
        | Command::Delete { atomicity, .. }
        | Command::Import { atomicity, .. } => *atomicity = rule,
        Command::Count { .. }
        | Command::Reserve(_)
        | Command::Commit { .. }
        | Command::Release { .. }
        | Command::Extend { .. }
        | Command::Expire => {}
    }
    command
}

/// One command an item.
fn one_by_one(command: &Command) -> Vec<Command> {
    fn each<T: Clone>(items: &[T], make: impl Fn(Vec<T>) -> Command) -> Vec<Command> {
        items.iter().map(|item| make(vec![item.clone()])).collect()
    }
    let atomicity = Atomicity::PerItem;
    match command {
        Command::Move { lines, .. } => each(lines, |lines| Command::Move { lines, atomicity }),
        Command::Create { items, .. } => each(items, |items| Command::Create { items, atomicity }),
        Command::Edit { items, .. } => each(items, |items| Command::Edit { items, atomicity }),
        Command::Delete { items, .. } => each(items, |items| Command::Delete { items, atomicity }),
        Command::Count {
            lines,
            counted_by,
            reference,
        } => each(lines, |lines| Command::Count {
            lines,
            counted_by: Arc::clone(counted_by),
            reference: reference.clone(),
        }),
        Command::Import {
            rows,
            update,
            stock,
            ..
        } => each(rows, |rows| Command::Import {
            rows,
            update: *update,
            stock: *stock,
            atomicity,
        }),
        held => vec![held.clone()],
    }
}

fn apply(inventory: &mut Inventory, decision: &Decision) {
    decision
        .events
        .iter()
        .for_each(|event| inventory.apply(event));
}

fn by_id(inventory: &Inventory) -> BTreeMap<ProductId, Entry> {
    inventory
        .entries()
        .map(|entry| (entry.product.id.clone(), entry.clone()))
        .collect()
}

/// What must hold of each event, given what was there before it.
fn check_event(before: Option<&Entry>, event: &Event) {
    let product = &event.product;
    let version = before.map_or(0, |entry| entry.product.version);
    assert_eq!(product.version, version + 1, "versions go up by one");
    assert_eq!(product.last_updated, NOW);
    assert!(product.stock.on_hand.abs() <= limits::STOCK_UNITS);
    let live = before.filter(|entry| entry.live);
    let was = live.map_or(Stock::default(), |entry| entry.product.stock);
    let now = product.stock;
    assert_eq!(
        now.on_hand - was.on_hand,
        event.movement.delta.unwrap_or(0),
        "units in are units out"
    );
    assert_eq!((now.reserved, now.allotted), (was.reserved, was.allotted));
    match event.kind {
        EventKind::Created => assert!(live.is_none(), "created twice"),
        EventKind::Updated => assert!(live.is_some(), "updated what is not there"),
        EventKind::Deleted => assert_eq!(Some(now), live.map(|entry| entry.product.stock)),
    }
    let promise = matches!(event.movement.kind, MovementKind::Sale)
        || event.movement.delta.is_some_and(|delta| delta < 0) && event.movement.reason.is_some();
    if promise {
        assert!(product.available() >= 0, "a promise leaves no shortfall");
    }
}

/// What must hold of a refusal: its figures are those of the moment.
fn check_refusal(known: Option<&Entry>, rejection: &Rejection) {
    let live = known.filter(|entry| entry.live).map(|entry| &entry.product);
    match rejection {
        Rejection::ProductNotFound { .. } | Rejection::NameRequired { .. } => {
            assert!(live.is_none());
        }
        Rejection::ProductExists {
            version, available, ..
        } => {
            let product = live.unwrap();
            assert_eq!(
                (*version, *available),
                (product.version, product.available())
            );
        }
        Rejection::VersionConflict { given, version, .. } => {
            assert_eq!(*version, live.unwrap().version);
            assert_ne!(given, version);
        }
        Rejection::InsufficientInventory {
            delta, available, ..
        } => {
            assert_eq!(*available, live.unwrap().available());
            assert!(available + delta < 0);
        }
        Rejection::StockOutOfRange {
            delta,
            on_hand,
            available,
            version,
            last_updated,
            ..
        } => {
            let live = live.unwrap();
            assert_eq!(*on_hand, live.stock.on_hand);
            assert_eq!(*available, live.available());
            assert_eq!((*version, *last_updated), (live.version, live.last_updated));
            assert!((on_hand + delta).abs() > limits::STOCK_UNITS);
        }
        Rejection::UnitsPromised { .. } => {
            let stock = live.unwrap().stock;
            assert!(stock.reserved != 0 || stock.allotted != 0);
        }
        Rejection::NotAlone { .. } => {}
        other => panic!("{other:?} is about no product"),
    }
}

/// Whether `product` is as `changes` ask, and otherwise as it was.
fn check_changes(before: &Product, changes: &Changes, after: &Product) {
    let Changes {
        name,
        description: _,
        category,
        sku: _,
        barcode: _,
        price,
        low_stock_threshold: _,
        available,
    } = changes;
    let (was, is) = (&before.details, &after.details);
    assert_eq!(is.name, name.clone().unwrap_or_else(|| was.name.clone()));
    let asked = category.clone().unwrap_or_else(|| was.category.clone());
    assert_eq!(is.category, asked);
    assert_eq!(is.price, price.unwrap_or(was.price));
    assert_eq!(
        after.available(),
        available.unwrap_or_else(|| before.available())
    );
}

/// An applied item did what it asked for, and nothing that it had to be refused for.
fn check_effect(known: Option<&Entry>, item: &Command, after: &Product) {
    let live = known.filter(|entry| entry.live).map(|entry| &entry.product);
    let expected = |version: Option<u64>| {
        assert!(version.is_none_or(|version| live.unwrap().version == version));
    };
    match item {
        Command::Move { lines, .. } => {
            expected(lines[0].expected_version);
            let on_hand = live.unwrap().stock.on_hand;
            assert_eq!(after.stock.on_hand - on_hand, lines[0].delta);
        }
        Command::Create { items, .. } => {
            assert_eq!(after.stock.on_hand, items[0].on_hand);
            assert_eq!(*after.details, items[0].details);
        }
        Command::Edit { items, .. } => {
            expected(items[0].expected_version);
            check_changes(live.unwrap(), &items[0].changes, after);
        }
        Command::Delete { items, .. } => {
            expected(items[0].expected_version);
            let stock = live.unwrap().stock;
            assert!(items[0].force || (stock.reserved, stock.allotted) == (0, 0));
        }
        Command::Count { lines, .. } => {
            let on_hand = live.unwrap().stock.on_hand;
            let seen = match lines[0].basis {
                Basis::Now => on_hand,
                Basis::Offset { on_hand, .. } => on_hand.unwrap(),
            };
            assert_eq!(after.stock.on_hand, on_hand + lines[0].counted - seen);
        }
        Command::Import {
            rows,
            update,
            stock,
            ..
        } => {
            let ImportRow {
                changes, on_hand, ..
            } = &rows[0];
            let Some(before) = live else {
                assert_eq!(after.stock.on_hand, on_hand.unwrap_or(0));
                return;
            };
            assert!(update);
            let set = on_hand.filter(|_| *stock == ImportStock::Set);
            let on_hand = set.unwrap_or(before.stock.on_hand);
            assert_eq!(after.stock.on_hand, on_hand);
            let available = Some(after.available());
            check_changes(
                before,
                &Changes {
                    available,
                    ..changes.clone()
                },
                after,
            );
        }
        // Those are in `order_properties`.
        Command::Reserve(_)
        | Command::Commit { .. }
        | Command::Release { .. }
        | Command::Extend { .. }
        | Command::Expire => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]

    #[test]
    fn events_keep_every_invariant_and_replay_to_the_same_state(
        start in start(),
        commands in vec(command(), 1..12),
    ) {
        let mut state = start.clone();
        let mut replica = start.clone();
        let mut offset = 0;
        for command in &commands {
            let digest = state.digest();
            let decision = decide(&state, command, NOW);
            prop_assert_eq!(&decision, &decide(&state, command, NOW));
            prop_assert_eq!(state.digest(), digest);
            prop_assert_eq!(decision.results.len(), command.len());
            for event in &decision.events {
                check_event(state.entry(event.product.id.as_str()), event);
                state.apply(event);

                // A follower sees the bytes only.
                let mut bytes = Vec::new();
                let position = Position { offset, at: NOW, batch: None };
                Encoder::new().event(&mut bytes, position, event, &Origin::internal("test"));
                let seen = FeedEvent::parse(std::str::from_utf8(&bytes).unwrap()).unwrap();
                prop_assert_eq!(seen.offset, offset);
                let (kind, product) = seen.change.unwrap();
                replica.apply(&Event { kind, product, movement: event.movement.clone() });
                offset += 1;
            }
            prop_assert_eq!(state.digest(), state.recomputed_digest());
            prop_assert_eq!(state.len(), state.entries().filter(|entry| entry.live).count());
        }
        prop_assert_eq!(by_id(&state), by_id(&replica));
        prop_assert_eq!(state.digest(), replica.digest());
    }

    #[test]
    fn a_batch_decides_as_its_lines_would_one_after_the_other(
        start in start(),
        command in command(),
    ) {
        let batch = with(&command, Atomicity::PerItem);
        let decision = decide(&start, &batch, NOW);
        // A count is all or nothing, so a refused one is not the sum of its lines.
        prop_assume!(!matches!(batch, Command::Count { .. }) || !decision.has_refusal());
        let mut state = start.clone();
        let mut events = Vec::new();
        for (item, result) in one_by_one(&batch).iter().zip(&decision.results) {
            let alone = decide(&state, item, NOW);
            match (result, &alone.results[..]) {
                (ItemResult::Applied(at), [ItemResult::Applied(0)]) => {
                    let event = &decision.events[*at];
                    prop_assert_eq!(event, &alone.events[0]);
                    check_effect(state.entry(event.product.id.as_str()), item, &event.product);
                }
                (in_batch, [alone]) => prop_assert_eq!(in_batch, alone),
                (_, other) => prop_assert!(false, "{other:?}"),
            }
            if let ItemResult::Refused(rejection) = result {
                let product = rejection.product_id().unwrap();
                check_refusal(state.entry(product.as_str()), rejection);
            }
            apply(&mut state, &alone);
            events.extend(alone.events);
        }
        prop_assert_eq!(decision.events, events);
    }

    #[test]
    fn all_or_nothing_is_all_or_nothing(start in start(), command in command()) {
        let each = decide(&start, &with(&command, Atomicity::PerItem), NOW);
        let all = decide(&start, &with(&command, Atomicity::All), NOW);
        if matches!(command, Command::Count { .. }) || !each.has_refusal() {
            prop_assert_eq!(each, all);
            return Ok(());
        }
        prop_assert!(all.events.is_empty());
        for (alone, together) in each.results.iter().zip(&all.results) {
            match (alone, together) {
                (ItemResult::Applied(_), ItemResult::Refused(Rejection::NotAlone { .. })) => {}
                (alone, together) => prop_assert_eq!(alone, together),
            }
        }
    }

    #[test]
    fn commands_that_differ_have_fingerprints_that_differ(one in command(), other in command()) {
        prop_assert_eq!(fingerprint(&one, None), fingerprint(&one.clone(), None));
        prop_assert_eq!(one == other, fingerprint(&one, None) == fingerprint(&other, None));
    }
}
