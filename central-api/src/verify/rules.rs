//! What must be true of a record, said apart from the code that makes records.

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::domain::inventory::product::Stock;
use shared::domain::inventory::{Event, EventKind, ItemResult, MovementKind, Product};
use shared::wire::event::{Batch, FeedEvent};

use crate::journal::{Body, DecisionRecord, Record};
use crate::ledger::Fold;
use crate::ledger::fold::refused;

#[derive(Deserialize)]
struct Texts<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// Events in a record.
pub(super) fn events(record: &Record) -> u64 {
    match &record.body {
        Body::Generation(_) => 0,
        Body::Decision(record) => record.decision.events.len() as u64,
    }
}

/// What is wrong with a line by itself, whose first event must have `offset`.
pub(super) fn shape(line: &[u8], record: &Record, offset: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let first = match &record.body {
        Body::Generation(generation) => generation.start_offset,
        Body::Decision(decision) => decision.first_offset,
    };
    if first != offset {
        wrong.push(format!("it says offset {first}, which should be {offset}"));
    }
    // The texts are what followers get, so they are read as followers read them.
    let texts = serde_json::from_slice::<Texts<'_>>(line).map_or(Vec::new(), |line| line.events);
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
    wrong
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
            wrong.extend(key(fold, decision));
            wrong.extend(chain(fold, decision));
            changes(fold, record, decision, &mut wrong);
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

/// Every product concerned names the record about it before this one.
fn chain(fold: &Fold, record: &DecisionRecord) -> Vec<String> {
    let decision = &record.decision;
    let changed = decision.events.iter().map(|event| &event.product.id);
    let mut wrong = Vec::new();
    for id in changed.chain(refused(&decision.results)) {
        let entry = fold.inventory.entry(id.as_str());
        let last = entry.map_or(0, |entry| entry.last_record);
        match record.prev.iter().find(|(known, _)| known == id) {
            Some((_, before)) if *before == last => {}
            Some((_, before)) => wrong.push(format!(
                "the record about {id} before it is {last}, not {before}"
            )),
            None => wrong.push(format!("it does not name the record about {id} before it")),
        }
    }
    wrong.dedup();
    wrong
}

fn changes(fold: &Fold, record: &Record, decision: &DecisionRecord, wrong: &mut Vec<String>) {
    let decided = &decision.decision;
    let known = decided.events.len();
    let missing = |result: &ItemResult| matches!(result, ItemResult::Applied(at) if *at >= known);
    if decided.results.iter().any(missing) {
        wrong.push("an item names an event that is not there".to_owned());
    }
    for (index, event) in decided.events.iter().enumerate() {
        let earlier = decided.events.iter().take(index).rev();
        let drafted = earlier
            .into_iter()
            .find(|earlier| earlier.product.id == event.product.id)
            .map(|earlier| (&earlier.product, earlier.kind != EventKind::Deleted));
        let before = drafted.or_else(|| {
            let entry = fold.inventory.entry(event.product.id.as_str())?;
            Some((&entry.product, entry.live))
        });
        let offset = decision.first_offset + index as u64;
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
    let promised = (old.reserved, old.allotted) != (new.reserved, new.allotted);
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

/// How a snapshot differs from the state that the log has at its record.
pub(super) fn differences(log: &Fold, snapshot: &Fold) -> Vec<String> {
    let mut wrong = Vec::new();
    if snapshot.next_offset != log.next_offset {
        let (found, expected) = (snapshot.next_offset, log.next_offset);
        wrong.push(format!("it says offset {found}, the log has {expected}"));
    }
    if snapshot.generations != log.generations {
        wrong.push("it has other generations than the log".to_owned());
    }
    for entry in log.inventory.entries() {
        let id = &entry.product.id;
        match snapshot.inventory.entry(id.as_str()) {
            None => wrong.push(format!("it lacks product {id}")),
            Some(found) if found != entry => {
                wrong.push(format!("product {id} differs from the log"));
            }
            Some(_) => {}
        }
    }
    for entry in snapshot.inventory.entries() {
        let id = &entry.product.id;
        if log.inventory.entry(id.as_str()).is_none() {
            wrong.push(format!("product {id} is not in the log"));
        }
    }
    wrong.sort_unstable();
    wrong
}
