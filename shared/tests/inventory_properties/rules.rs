//! What must hold of one event, one refusal, one applied item.

use shared::domain::inventory::command::Changes;
use shared::domain::inventory::state::Entry;
use shared::domain::inventory::{
    Basis, Command, Event, EventKind, ImportRow, ImportStock, MovementKind, Product, Rejection,
    Stock,
};
use shared::limits;

use super::NOW;

/// What must hold of each event, given what was there before it.
pub(crate) fn check_event(before: Option<&Entry>, event: &Event) {
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
pub(crate) fn check_refusal(known: Option<&Entry>, rejection: &Rejection) {
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
pub(crate) fn check_effect(known: Option<&Entry>, item: &Command, after: &Product) {
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
