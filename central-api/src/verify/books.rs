//! What must be true of reservations, said apart from the code that decides about them.
//!
//! A reservation says what it holds, and the events of the same decision say what that does to the
//! stock. Both are checked against each other, line by line and in both directions, so that neither
//! can stand alone. Afterwards `reserved` of each product that was touched must be the sum of its
//! holds, and each order that was touched must have its hold exactly as long as it needs one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use shared::clock::Timestamp;
use shared::domain::ids::{OrderId, ProductId, ReservationId};
use shared::domain::inventory::{MovementKind, Reservation, ReservationState};
use shared::domain::order::{EventKind, OrderStatus};
use shared::domain::{Decision, State};

use super::held::Held;
use crate::ledger::Fold;

/// What a line of a reservation does to the stock: how, for which reservation, which product, how many.
type Moved<'a> = (MovementKind, &'a ReservationId, &'a ProductId, i64);

/// What is wrong with a decision's reservations, which change what `state` was at `at`.
pub(super) fn changes(state: &State, decision: &Decision, at: Timestamp) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut drafted: HashMap<&ReservationId, &Reservation> = HashMap::new();
    let mut expected: HashMap<Moved<'_>, i64> = HashMap::new();
    for after in &decision.reservations {
        let id = &after.reservation_id;
        let known = state.inventory.reservations().get(id.as_str());
        let before = drafted.get(id).copied().or(known.map(|it| &**it));
        drafted.insert(id, after);
        // A repeat says how it stands.
        if before == Some(after) {
            continue;
        }
        let was = before.map(|it| it.state);
        if !is_step(was, after.state) {
            let was = was.map_or("nothing", ReservationState::as_str);
            let is = after.state.as_str();
            wrong.push(format!("reservation {id} goes from {was} to {is}"));
            continue;
        }
        match before {
            None => wrong.extend(begun(state, after, at)),
            Some(before) => wrong.extend(went_on(before, after, at)),
        }
        if let Some(kind) = movement(was, after.state) {
            for line in after.lines.iter() {
                let moved = (kind, id, &line.product_id, line.quantity);
                *expected.entry(moved).or_default() += 1;
            }
        }
    }
    brought_back(state, decision, &mut expected);
    wrong.extend(moved(state, decision, expected));
    wrong
}

/// What is wrong with a reservation that was made just now.
fn begun(state: &State, made: &Reservation, at: Timestamp) -> Vec<String> {
    let id = &made.reservation_id;
    let mut wrong = Vec::new();
    if made.created_at != at {
        wrong.push(format!("reservation {id} was not made at its time"));
    }
    if made.lines.is_empty() {
        wrong.push(format!("reservation {id} holds nothing"));
    }
    let mut seen = BTreeSet::new();
    for line in made.lines.iter() {
        let product = &line.product_id;
        if state.inventory.get(product.as_str()).is_none() {
            wrong.push(format!(
                "reservation {id} holds {product}, which is not there"
            ));
        }
        if line.quantity < 1 {
            wrong.push(format!(
                "reservation {id} holds {} of {product}",
                line.quantity
            ));
        }
        if !seen.insert(product) {
            wrong.push(format!("reservation {id} has two lines for {product}"));
        }
    }
    wrong
}

/// What is wrong with the next state of a reservation.
fn went_on(before: &Reservation, after: &Reservation, at: Timestamp) -> Vec<String> {
    let id = &after.reservation_id;
    let mut wrong = Vec::new();
    if before.lines != after.lines {
        wrong.push(format!("reservation {id} holds other units than before"));
    }
    // What a hold is, apart from how it stands. Only one that goes on can last longer.
    let same = Reservation {
        lines: Arc::clone(&after.lines),
        state: after.state,
        expires_at: if after.is_active() {
            after.expires_at
        } else {
            before.expires_at
        },
        resolved_at: after.resolved_at,
        ..before.clone()
    };
    if same != *after {
        wrong.push(format!("reservation {id} is another's than before"));
    }
    if after.resolved_at != (!after.is_active()).then_some(at) {
        wrong.push(format!("reservation {id} was not resolved at its time"));
    }
    wrong
}

/// A reservation is made once and resolved once; only what ran out can still be taken.
fn is_step(before: Option<ReservationState>, after: ReservationState) -> bool {
    match before {
        None => after == ReservationState::Active,
        Some(ReservationState::Active) => true,
        Some(ReservationState::Expired) => after == ReservationState::Committed,
        Some(ReservationState::Committed | ReservationState::Released) => false,
    }
}

/// What a legal step does to the stock.
fn movement(before: Option<ReservationState>, after: ReservationState) -> Option<MovementKind> {
    match (before, after) {
        (None, _) => Some(MovementKind::Reserved),
        // It lasts longer.
        (Some(_), ReservationState::Active) => None,
        (Some(_), ReservationState::Committed) => Some(MovementKind::Committed),
        (Some(_), ReservationState::Released) => Some(MovementKind::Released),
        (Some(_), ReservationState::Expired) => Some(MovementKind::Expired),
    }
}

/// Adds the units of confirmed orders that were called off: they come back.
fn brought_back<'a>(state: &State, decision: &'a Decision, expected: &mut HashMap<Moved<'a>, i64>) {
    for event in &decision.orders {
        let order = &event.order;
        let before = state.orders.get(order.order_id.as_str());
        let had_left = before.is_some_and(|it| it.status == OrderStatus::Confirmed);
        if event.kind != EventKind::Cancelled || !had_left {
            continue;
        }
        let Some(id) = &order.reservation_id else {
            continue;
        };
        for item in order.items.iter() {
            let moved = (
                MovementKind::SaleReturned,
                id,
                &item.product_id,
                item.quantity,
            );
            *expected.entry(moved).or_default() += 1;
        }
    }
}

/// How the events of a decision differ from what its reservations and orders do to the stock.
fn moved<'a>(
    state: &State,
    decision: &'a Decision,
    mut expected: HashMap<Moved<'a>, i64>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for event in &decision.events {
        let movement = &event.movement;
        let (Some(id), Some(quantity)) = (&movement.reservation, movement.quantity) else {
            continue;
        };
        let (kind, product) = (movement.kind, &event.product.id);
        match expected.get_mut(&(kind, id, product, quantity)) {
            Some(count) if *count > 0 => *count -= 1,
            Some(_) | None => wrong.push(format!(
                "{quantity} of {product} are {kind} for {id}, which does not say so"
            )),
        }
    }
    for ((kind, id, product, quantity), count) in expected {
        let deleted = decision.events.iter().any(|event| {
            event.product.id == *product && event.movement.kind == MovementKind::Deleted
        });
        // A product that is gone has no figures to keep.
        let is_there = state.inventory.get(product.as_str()).is_some() && !deleted;
        if count > 0 && is_there {
            wrong.push(format!(
                "no event says that {quantity} of {product} are {kind} for {id}"
            ));
        }
    }
    wrong.sort_unstable();
    wrong
}

/// What is wrong with the state after a decision, as far as the decision touched it.
pub(super) fn after(state: &State, held: &Held, decision: &Decision) -> Vec<String> {
    let events = decision.events.iter().map(|event| &event.product.id);
    let lines = decision.reservations.iter().flat_map(|it| it.lines.iter());
    let products: BTreeSet<&ProductId> = events.chain(lines.map(|it| &it.product_id)).collect();
    let changed = decision.orders.iter().map(|event| &event.order.order_id);
    let reservations = decision.reservations.iter();
    let holding = reservations.filter_map(|reservation| reservation.order_id.as_ref());
    let orders: BTreeSet<&OrderId> = changed.chain(holding).collect();
    let sums = products.into_iter().filter_map(|id| sum(state, held, id));
    let holds = orders.into_iter().filter_map(|id| hold(state, id));
    let reservations = decision.reservations.iter();
    let lost = reservations.filter_map(|reservation| lost(state, reservation));
    sums.chain(holds).chain(lost).collect()
}

/// What is wrong with the holds of a whole state.
pub(super) fn standing(state: &State, held: &Held) -> Vec<String> {
    let entries = state.inventory.entries();
    let sums = entries.filter_map(|entry| sum(state, held, &entry.product.id));
    let orders = state.orders.entries();
    let holds = orders.filter_map(|entry| hold(state, &entry.order.order_id));
    let reservations = state.inventory.reservations().iter();
    let lost = reservations.filter_map(|reservation| lost(state, reservation));
    let mut wrong: Vec<String> = sums.chain(holds).chain(lost).collect();
    wrong.sort_unstable();
    wrong
}

/// `reserved` is a sum.
fn sum(state: &State, held: &Held, id: &ProductId) -> Option<String> {
    let product = state.inventory.get(id.as_str())?;
    let reserved = product.stock.reserved;
    let held = held.of_product(id);
    let differs = reserved != held;
    differs.then(|| format!("{id} has {reserved} reserved, its reservations hold {held}"))
}

/// Units are held for an order only while there is one.
fn lost(state: &State, reservation: &Reservation) -> Option<String> {
    let order = reservation.order_id.as_ref()?;
    let lost = reservation.is_active() && state.orders.get(order.as_str()).is_none();
    lost.then(|| format!("units are held for order {order}, which is not there"))
}

/// An order has its units held as long as it needs them, and no longer.
fn hold(state: &State, id: &OrderId) -> Option<String> {
    let order = state.orders.get(id.as_str())?;
    let hold = order.reservation_id.as_ref();
    let hold = hold.and_then(|id| state.inventory.reservations().get(id.as_str()));
    let active = hold.is_some_and(|hold| hold.is_active());
    let needed = matches!(
        order.status,
        OrderStatus::Reserved | OrderStatus::Undecided | OrderStatus::Paid
    );
    let status = order.status.as_str();
    if active != needed {
        let what = if active { "holds units" } else { "holds none" };
        return Some(format!("order {id} is {status} and {what}"));
    }
    let hold = hold?;
    let own = hold.order_id.as_ref() == Some(id) && *hold.lines == *order.lines();
    (!own).then(|| format!("order {id} and its hold are not about the same units"))
}

/// How a snapshot's reservations and orders differ from those that the log has at its record.
pub(super) fn differences(log: &Fold, snapshot: &Fold) -> Vec<String> {
    let mut wrong = Vec::new();
    let expected = log.state.inventory.reservations();
    let found = snapshot.state.inventory.reservations();
    for one in expected.iter() {
        let id = &one.reservation_id;
        match found.get(id.as_str()) {
            None => wrong.push(format!("it lacks reservation {id}")),
            Some(it) if it != one => wrong.push(format!("reservation {id} differs from the log")),
            Some(_) => {}
        }
    }
    for one in found.iter() {
        let id = &one.reservation_id;
        if expected.get(id.as_str()).is_none() {
            wrong.push(format!("reservation {id} is not in the log"));
        }
    }
    let (expected, found) = (&log.state.orders, &snapshot.state.orders);
    for entry in expected.entries() {
        let id = &entry.order.order_id;
        match found.entry(id.as_str()) {
            None => wrong.push(format!("it lacks order {id}")),
            Some(it) if it != entry => wrong.push(format!("order {id} differs from the log")),
            Some(_) => {}
        }
    }
    for entry in found.entries() {
        let id = &entry.order.order_id;
        if expected.entry(id.as_str()).is_none() {
            wrong.push(format!("order {id} is not in the log"));
        }
    }
    wrong
}
