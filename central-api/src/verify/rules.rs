//! What must be true of a record, said apart from the code that makes records.
//!
//! Longer than most files: what must be true is read from one end to the other, as a list.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::clock::Timestamp;
use shared::domain::ids::{IdempotencyKey, OrderId, Principal, ProductId};
use shared::domain::inventory::product::Stock;
use shared::domain::inventory::{Event, EventKind, ItemResult, MovementKind, Product};
use shared::domain::order::Order;
use shared::wire::event::{Batch, FeedEvent};
use shared::wire::product::Encoder;

use super::{access, books, orders};
use crate::journal::record::{RecordHead, Spans, encode_decision, encode_generation};
use crate::journal::{Body, DecisionRecord, Offsets, Record};
use crate::ledger::Fold;
use crate::ledger::fold::{refused, refused_orders};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderText {
    offset: u64,
    timestamp: Timestamp,
    order_id: OrderId,
    data: Order,
}

#[derive(Deserialize)]
struct Texts<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    orders: Vec<&'a RawValue>,
}

/// Events of products and of orders in a record.
pub(super) fn events(record: &Record) -> (u32, u32) {
    let count = |events: usize| u32::try_from(events).unwrap_or(u32::MAX);
    match &record.body {
        Body::Generation(_) => (0, 0),
        Body::Decision(record) => {
            let decision = &record.decision;
            (count(decision.events.len()), count(decision.orders.len()))
        }
    }
}

/// What is wrong with a line by itself, whose first events must have `offsets`.
pub(super) fn shape(line: &[u8], record: &Record, offsets: Offsets) -> Vec<String> {
    let mut wrong = Vec::new();
    let first = match &record.body {
        Body::Generation(generation) => generation.start,
        Body::Decision(decision) => decision.first,
    };
    let Offsets { inventory, orders } = offsets;
    for (first, expected) in [(first.inventory, inventory), (first.orders, orders)] {
        if first != expected {
            wrong.push(format!(
                "it says offset {first}, which should be {expected}"
            ));
        }
    }
    let offset = inventory;
    // The texts are what followers get, so they are read as followers read them.
    let (texts, order_texts) = serde_json::from_slice::<Texts<'_>>(line)
        .map_or((Vec::new(), Vec::new()), |line| (line.events, line.orders));
    for (expected, text) in (orders..).zip(&order_texts) {
        let found = serde_json::from_str::<OrderText>(text.get());
        let fits = found.is_ok_and(|event| {
            event.offset == expected
                && event.timestamp == record.at
                && event.order_id == event.data.order_id
        });
        if !fits {
            wrong.push(format!("event {expected} of orders is out of place"));
        }
    }
    let size = u32::try_from(texts.len()).unwrap_or(u32::MAX);
    for (index, text) in (0_u32..).zip(&texts) {
        let expected = offset + u64::from(index);
        let Ok(event) = FeedEvent::parse(text.get()) else {
            wrong.push(format!("event {expected} cannot be read"));
            continue;
        };
        if event.offset != expected {
            wrong.push(format!("event {expected} has offset {}", event.offset));
        }
        if event.timestamp != record.at {
            wrong.push(format!("event {expected} has another time than its record"));
        }
        let batch = (size > 1).then_some(Batch {
            id: offset,
            size,
            index,
        });
        if event.batch != batch {
            wrong.push(format!("event {expected} has a wrong place in its batch"));
        }
        let product = event.change.map(|(_, product)| product.id);
        if product.is_some_and(|id| id != event.product_id) {
            wrong.push(format!("event {expected} is about two products"));
        }
    }
    // Whatever else the text says (figures that are derived, who asked, the outcome) is not read
    // back, so it is written again. Only where nothing else is wrong: this names no member.
    if wrong.is_empty() {
        let again = encoded(record);
        if again != line {
            let same = again
                .iter()
                .zip(line)
                .take_while(|(one, other)| one == other);
            let at = same.count() + 1;
            wrong.push(format!(
                "from byte {at} of the line on, it contradicts itself"
            ));
        }
    }
    wrong
}

/// The line that this release writes for `record`.
fn encoded(record: &Record) -> Vec<u8> {
    let mut line = Vec::new();
    let mut encoder = Encoder::new();
    match &record.body {
        Body::Generation(generation) => {
            encode_generation(&mut line, &mut encoder, record.seq, record.at, *generation);
        }
        Body::Decision(decision) => {
            let head = RecordHead {
                seq: record.seq,
                at: record.at,
                kind: &decision.kind,
                origin: &decision.origin,
                fingerprint: decision.fingerprint,
                prev: &decision.prev,
                first: decision.first,
            };
            let mut spans = Spans::default();
            encode_decision(
                &mut line,
                &mut encoder,
                head,
                &decision.decision,
                &mut spans,
            );
        }
    }
    line.truncate(line.trim_ascii_end().len());
    line
}

/// What is wrong with a record as the one after `fold`.
pub(super) fn effect(fold: &Fold, record: &Record) -> Vec<String> {
    let mut wrong = Vec::new();
    if record.at < fold.at {
        wrong.push(format!("time goes back from {} to {}", fold.at, record.at));
    }
    match &record.body {
        Body::Generation(generation) => {
            let mut known = fold.generations.iter();
            if known.any(|known| known.log_gen == generation.log_gen) {
                wrong.push(format!("generation {} began before", generation.log_gen));
            }
        }
        Body::Decision(decision) => {
            if fold.generations.is_empty() {
                wrong.push("no life of the log has begun before it".to_owned());
            }
            wrong.extend(key(fold, decision));
            wrong.extend(chain(fold, decision));
            changes(fold, record, decision, &mut wrong);
            wrong.extend(books::changes(&fold.state, &decision.decision, record.at));
            wrong.extend(orders::changes(&fold.state, &decision.decision, record.at));
            let keys = &fold.state.access;
            let (origin, decision) = (&decision.origin, &decision.decision);
            wrong.extend(access::changes(keys, decision, origin, record.at));
        }
    }
    wrong
}

/// One key has one effect.
fn key(fold: &Fold, record: &DecisionRecord) -> Option<String> {
    let origin = &record.origin;
    let key = origin.key.as_ref()?;
    let used = fold.keys.get(&origin.principal, key)?;
    Some(format!("key {key} was used by record {}", used.seq))
}

/// A record names, for each product and order that it is about, the record about it before.
fn chain(fold: &Fold, record: &DecisionRecord) -> Vec<String> {
    let decision = &record.decision;
    let changed = decision.events.iter().map(|event| &event.product.id);
    let products: BTreeSet<&ProductId> = changed.chain(refused(decision)).collect();
    let products: BTreeMap<&str, u64> = products
        .into_iter()
        .map(|id| {
            let entry = fold.state.inventory.entry(id.as_str());
            (id.as_str(), entry.map_or(0, |entry| entry.last_record))
        })
        .collect();
    let changed = decision.orders.iter().map(|event| &event.order.order_id);
    let orders: BTreeSet<&OrderId> = changed.chain(refused_orders(decision)).collect();
    let orders: BTreeMap<&str, u64> = orders
        .into_iter()
        .map(|id| {
            let entry = fold.state.orders.entry(id.as_str());
            (id.as_str(), entry.map_or(0, |entry| entry.last_record))
        })
        .collect();
    let named = record.prev.products.iter();
    let mut wrong = links(&products, named.map(|(id, before)| (id.as_str(), *before)));
    let named = record.prev.orders.iter();
    wrong.extend(links(
        &orders,
        named.map(|(id, before)| (id.as_str(), *before)),
    ));
    wrong
}

/// How the links that a record has differ from those that are `expected`.
fn links<'a>(
    expected: &BTreeMap<&str, u64>,
    named: impl Iterator<Item = (&'a str, u64)>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut missing = expected.clone();
    for (id, before) in named {
        match expected.get(id) {
            Some(last) if *last == before => {}
            Some(last) => wrong.push(format!(
                "the record about {id} before it is {last}, not {before}"
            )),
            None => wrong.push(format!(
                "it names a record about {id}, which it is not about"
            )),
        }
        missing.remove(id);
    }
    let missing = missing.into_keys();
    wrong.extend(missing.map(|id| format!("it does not name the record about {id} before it")));
    wrong
}

fn changes(fold: &Fold, record: &Record, decision: &DecisionRecord, wrong: &mut Vec<String>) {
    let decided = &decision.decision;
    if has_items(&decision.kind) {
        // What is no item's own is a hold that ended on the way.
        let named = decided.results.iter().filter_map(|result| match result {
            ItemResult::Applied(event) => Some(*event),
            ItemResult::Unchanged | ItemResult::Refused(_) => None,
        });
        let own = decided.events.iter().enumerate().filter(|(_, event)| {
            !matches!(
                event.movement.kind,
                MovementKind::Expired | MovementKind::Released
            )
        });
        if !named.eq(own.map(|(index, _)| index)) {
            wrong.push("its items do not name its events one by one".to_owned());
        }
    }
    for (index, event) in decided.events.iter().enumerate() {
        let earlier = decided.events.iter().take(index).rev();
        let drafted = earlier
            .into_iter()
            .find(|earlier| earlier.product.id == event.product.id)
            .map(|earlier| (&earlier.product, earlier.kind != EventKind::Deleted));
        let before = drafted.or_else(|| {
            let entry = fold.state.inventory.entry(event.product.id.as_str())?;
            Some((&entry.product, entry.live))
        });
        let offset = decision.first.inventory + index as u64;
        for what in change(before, event, &decision.kind) {
            wrong.push(format!("event {offset}: {what}"));
        }
        if event.product.last_updated != record.at {
            wrong.push(format!("event {offset}: lastUpdated is not its time"));
        }
    }
}

/// What is wrong with one change of a product that stood like `before`.
fn change(before: Option<(&Product, bool)>, event: &Event, command: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let (version, live) = before.map_or((0, false), |(product, live)| (product.version, live));
    if event.product.version != version + 1 {
        let found = event.product.version;
        wrong.push(format!("version {found} follows {version}"));
    }
    if live != (event.kind != EventKind::Created) {
        let word = event.kind.as_str();
        wrong.push(format!(
            "{word}, though it {}",
            if live { "is there" } else { "is not" }
        ));
    }
    let nothing = Stock::default();
    let old = before
        .filter(|_| event.kind != EventKind::Created)
        .map_or(nothing, |(product, _)| product.stock);
    let new = event.product.stock;
    let delta = event.movement.delta.unwrap_or(0);
    if new.on_hand != old.on_hand.saturating_add(delta) {
        wrong.push(format!(
            "units are not conserved: {} and {delta} give {}",
            old.on_hand, new.on_hand
        ));
    }
    let quantity = event.movement.quantity.unwrap_or(0);
    let leaves = match event.movement.kind {
        MovementKind::Reserved | MovementKind::Released | MovementKind::Expired => Some(0),
        MovementKind::Committed => Some(-quantity),
        MovementKind::SaleReturned if event.movement.reservation.is_some() => Some(quantity),
        _ => None,
    };
    if leaves.is_some_and(|leaves| leaves != delta) {
        let kind = event.movement.kind;
        wrong.push(format!("{quantity} {kind}, and {delta} in the house"));
    }
    let promised = (old.reserved, old.allotted) != (new.reserved, new.allotted);
    // A product that is made again is born with the holds that outlived it.
    let promised = promised && event.kind != EventKind::Created;
    if promised && !moves_promises(event.movement.kind) {
        wrong.push(format!("promised units change by {}", event.movement.kind));
    }
    let takes = command == "move" && delta < 0;
    let promises = matches!(
        event.movement.kind,
        MovementKind::Reserved | MovementKind::Allotted
    );
    if (takes || promises) && new.available() < 0 {
        let available = new.available();
        wrong.push(format!("a promise leaves {available} available"));
    }
    wrong
}

/// Whether commands of this kind have items, each with an event of its own.
fn has_items(kind: &str) -> bool {
    matches!(
        kind,
        "move" | "create" | "edit" | "delete" | "count" | "import" | "reserve"
    )
}

const fn moves_promises(kind: MovementKind) -> bool {
    match kind {
        MovementKind::Reserved
        | MovementKind::Committed
        | MovementKind::Released
        | MovementKind::Expired
        | MovementKind::Allotted
        | MovementKind::Returned
        | MovementKind::Settled => true,
        MovementKind::Sale
        | MovementKind::SaleReturned
        | MovementKind::Received
        | MovementKind::Adjusted
        | MovementKind::Counted
        | MovementKind::Created
        | MovementKind::Edited
        | MovementKind::Deleted => false,
    }
}

/// How a snapshot, which lists `keys`, differs from the state that the log has at its record.
pub(super) fn differences(
    log: &Fold,
    snapshot: &Fold,
    keys: &[(Principal, IdempotencyKey)],
) -> Vec<String> {
    let mut wrong = Vec::new();
    let (found, expected) = (snapshot.next_offsets, log.next_offsets);
    for (found, expected) in [
        (found.inventory, expected.inventory),
        (found.orders, expected.orders),
    ] {
        if found != expected {
            wrong.push(format!("it says offset {found}, the log has {expected}"));
        }
    }
    wrong.extend(books::differences(log, snapshot));
    let (there, found) = (&log.state.access, &snapshot.state.access);
    wrong.extend(access::differences(there, found));
    if snapshot.at != log.at {
        wrong.push(format!("it says {}, the log has {}", snapshot.at, log.at));
    }
    for (principal, key) in keys {
        // One that is listed and past its retention is remembered by neither.
        if snapshot.keys.get(principal, key) != log.keys.get(principal, key) {
            wrong.push(format!("key {key} of {principal} differs from the log"));
        }
    }
    if snapshot.keys.len() < log.keys.len() {
        let missing = log.keys.len() - snapshot.keys.len();
        wrong.push(format!(
            "it lacks {missing} of the keys that are remembered"
        ));
    }
    if snapshot.generations != log.generations {
        wrong.push("it has other generations than the log".to_owned());
    }
    for entry in log.state.inventory.entries() {
        let id = &entry.product.id;
        match snapshot.state.inventory.entry(id.as_str()) {
            None => wrong.push(format!("it lacks product {id}")),
            Some(found) if found != entry => {
                wrong.push(format!("product {id} differs from the log"));
            }
            Some(_) => {}
        }
    }
    for entry in snapshot.state.inventory.entries() {
        let id = &entry.product.id;
        if log.state.inventory.entry(id.as_str()).is_none() {
            wrong.push(format!("product {id} is not in the log"));
        }
    }
    wrong.sort_unstable();
    wrong
}
