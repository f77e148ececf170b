//! Where a history starts and what it is made of: random states and commands.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use shared::clock::Timestamp;
use shared::domain::ids::ProductId;
use shared::domain::inventory::command::Changes;
use shared::domain::inventory::state::Entry;
use shared::domain::inventory::{
    Atomicity, Basis, Command, CountLine, Deletion, Details, Edit, ImportRow, ImportStock,
    Inventory, Move, NewProduct, Product, Reason, Stock,
};
use shared::domain::money::Money;
use shared::limits;

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

pub(crate) fn start() -> impl Strategy<Value = Inventory> {
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

pub(crate) fn command() -> impl Strategy<Value = Command> {
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
pub(crate) fn with(command: &Command, rule: Atomicity) -> Command {
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
pub(crate) fn one_by_one(command: &Command) -> Vec<Command> {
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
