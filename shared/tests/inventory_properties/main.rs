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

mod commands;
mod rules;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use shared::clock::Timestamp;
use shared::domain::Decision;
use shared::domain::ids::ProductId;
use shared::domain::inventory::state::Entry;
use shared::domain::inventory::{
    Atomicity, Command, Event, Inventory, ItemResult, Rejection, decide, fingerprint,
};
use shared::domain::origin::Origin;
use shared::wire::event::{FeedEvent, Position};
use shared::wire::product::Encoder;

use self::commands::{command, one_by_one, start, with};
use self::rules::{check_effect, check_event, check_refusal};

const NOW: Timestamp = Timestamp::from_millis(1_768_473_000_123);

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
