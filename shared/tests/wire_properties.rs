//! The wire at random: what is written is read back, and no text makes a reader panic.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use proptest::option;
use proptest::prelude::*;
use shared::clock::Timestamp;
use shared::domain::ids::{
    CorrelationId, IdempotencyKey, OrderId, ProductId, ReservationId, StoreId,
};
use shared::domain::inventory::{
    Details, Event, EventKind, Movement, MovementKind, Product, Reason, Stock,
};
use shared::domain::money::Money;
use shared::domain::origin::Origin;
use shared::limits;
use shared::wire::event::{Batch, FeedEvent, Position};
use shared::wire::product::Encoder;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,12}", Just("\u{0}\u{7f}\"\\/\n\u{2028}".to_owned())]
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (0..4_102_444_800_000_i64).prop_map(Timestamp::from_millis)
}

prop_compose! {
    fn details()(
        name in text(),
        description in option::of(text()),
        category in option::of(text()),
        sku in option::of(text()),
        barcode in option::of(text()),
        price in 0..=limits::PRICE_MINOR,
        low_stock_threshold in option::of(0..limits::STOCK_UNITS),
    ) -> Details {
        Details {
            name: name.into(),
            description: description.map(Into::into),
            category: category.map(Into::into),
            sku: sku.map(Into::into),
            barcode: barcode.map(Into::into),
            price: Money::from_minor(price).unwrap(),
            low_stock_threshold,
        }
    }
}

prop_compose! {
    fn product()(
        id in "[!-.0-~]{1,128}",
        details in details(),
        on_hand in -limits::STOCK_UNITS..=limits::STOCK_UNITS,
        reserved in 0..limits::STOCK_UNITS,
        allotted in 0..limits::STOCK_UNITS,
        version in any::<u64>(),
        last_updated in instant(),
    ) -> Product {
        Product {
            id: ProductId::parse(&id).unwrap(),
            details: Arc::new(details),
            stock: Stock { on_hand, reserved, allotted },
            version,
            last_updated,
        }
    }
}

prop_compose! {
    fn movement()(
        kind in prop::sample::select(MovementKind::ALL.to_vec()),
        delta in option::of(any::<i64>()),
        quantity in option::of(any::<i64>()),
        reservation in option::of("[!-.0-~]{1,9}"),
        order in option::of("[!-.0-~]{1,9}"),
        reason in option::of(prop::sample::select(Reason::ALL.to_vec())),
        reference in option::of(text()),
        note in option::of(text()),
    ) -> Movement {
        Movement {
            kind,
            delta,
            quantity,
            reservation: reservation.map(|id| ReservationId::parse(&id).unwrap()),
            order: order.map(|id| OrderId::parse(&id).unwrap()),
            reason,
            reference: reference.map(Into::into),
            note: note.map(Into::into),
        }
    }
}

prop_compose! {
    fn origin()(
        store in option::of("[!-.0-~]{1,9}"),
        key in option::of("[!-.0-~]{1,9}"),
        correlation in option::of("[!-.0-~]{1,9}"),
    ) -> Origin {
        Origin {
            store: store.map(|id| StoreId::parse(&id).unwrap()),
            key: key.map(|key| IdempotencyKey::parse(&key).unwrap()),
            correlation: correlation.map(|id| CorrelationId::parse(&id).unwrap()),
            ..Origin::internal("test")
        }
    }
}

prop_compose! {
    /// An event's bytes, and what a reader should make of them.
    fn event()(
        kind in prop_oneof![
            Just(EventKind::Created),
            Just(EventKind::Updated),
            Just(EventKind::Deleted),
        ],
        product in product(),
        movement in movement(),
        origin in origin(),
        offset in any::<u64>(),
        at in instant(),
        batch in option::of((any::<u64>(), any::<u32>(), any::<u32>())),
    ) -> (String, FeedEvent) {
        let batch = batch.map(|(id, size, index)| Batch { id, size, index });
        let event = Event { kind, product: product.clone(), movement };
        let mut bytes = Vec::new();
        Encoder::new().event(&mut bytes, Position { offset, at, batch }, &event, &origin);
        let seen = FeedEvent {
            offset,
            timestamp: at,
            product_id: product.id.clone(),
            change: Some((kind, product)),
            batch,
        };
        (String::from_utf8(bytes).unwrap(), seen)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_product_survives_the_wire(product in product()) {
        let mut bytes = Vec::new();
        Encoder::new().product(&mut bytes, &product);
        prop_assert_eq!(&serde_json::from_slice::<Product>(&bytes).unwrap(), &product);
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(&value["available"], &serde_json::json!(product.available()));
    }

    #[test]
    fn an_event_survives_the_wire((text, seen) in event()) {
        prop_assert_eq!(FeedEvent::parse(&text).unwrap(), seen);
        prop_assert!(!text.contains('\n'), "an event is one line");
    }

    #[test]
    fn an_event_of_an_unknown_type_still_counts((text, seen) in event()) {
        let known = format!("\"eventType\":\"{}\"", seen.change.as_ref().unwrap().0.as_str());
        let text = text.replacen(&known, "\"eventType\":\"price_scheduled\"", 1);
        let parsed = FeedEvent::parse(&text).unwrap();
        prop_assert_eq!(parsed.change, None);
        prop_assert_eq!(parsed.offset, seen.offset);
    }

    #[test]
    fn an_event_with_more_in_it_than_is_known_is_read((text, seen) in event()) {
        let text = text.replacen('{', "{\"warehouse\":{\"id\":[1,null]},", 1);
        prop_assert_eq!(FeedEvent::parse(&text).unwrap(), seen);
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in ".{0,200}") {
        prop_assert!(FeedEvent::parse(&text).is_err());
        prop_assert!(serde_json::from_str::<Product>(&text).is_err());
    }

    #[test]
    fn a_damaged_event_is_refused_or_read_but_never_half(
        (text, seen) in event(),
        cut in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let shorter: String = text.chars().take(cut.index(text.chars().count())).collect();
        prop_assert!(FeedEvent::parse(&shorter).is_err(), "a part is no event");

        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes)
            && let Ok(read) = FeedEvent::parse(&text)
        {
            // One byte changes one thing at most; there is always a whole event or none.
            let same = [
                read.offset == seen.offset,
                read.timestamp == seen.timestamp,
                read.product_id == seen.product_id,
                read.change == seen.change,
                read.batch == seen.batch,
            ];
            prop_assert!(same.iter().filter(|same| !**same).count() <= 1, "{read:?}");
        }
    }
}
