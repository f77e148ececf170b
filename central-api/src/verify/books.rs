//! What must be true of reservations and orders, said apart from the code that decides about them.

use std::sync::Arc;

use shared::domain::inventory::{Reservation, ReservationState};
use shared::domain::order::{Order, OrderStatus};
use shared::domain::{Decision, State};

use crate::ledger::Fold;

/// What is wrong with a decision's reservations and orders, which change what `state` was.
pub(super) fn changes(state: &State, decision: &Decision) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut drafted: Vec<&Reservation> = Vec::new();
    for after in &decision.reservations {
        let id = &after.reservation_id;
        let earlier = drafted.iter().rev().find(|it| it.reservation_id == *id);
        let known = state.inventory.reservations().get(id.as_str());
        let before = earlier.copied().or(known.map(|it| &**it));
        // A repeat says how it stands.
        let repeated = before == Some(after);
        if !repeated && !is_step(before.map(|it| it.state), after.state) {
            let before = before.map_or("nothing", |it| it.state.as_str());
            let after = after.state.as_str();
            wrong.push(format!("reservation {id} goes from {before} to {after}"));
        }
        if before.is_some_and(|before| before.lines != after.lines) {
            wrong.push(format!("reservation {id} holds other units than before"));
        }
        drafted.push(after);
    }
    let mut orders: Vec<&Order> = Vec::new();
    for event in &decision.orders {
        let after = &*event.order;
        let id = &after.order_id;
        let earlier = orders.iter().rev().find(|it| it.order_id == *id);
        let known = state.orders.get(id.as_str());
        let before = earlier.copied().or(known.map(|it| &**it));
        let version = before.map_or(0, |before| before.version);
        if after.version != version + 1 {
            let found = after.version;
            wrong.push(format!("order {id}: version {found} follows {version}"));
        }
        if before.is_some_and(|before| before.status.is_end() && before.status != after.status) {
            wrong.push(format!("order {id} goes on after its end"));
        }
        wrong.extend(sums(after));
        orders.push(after);
    }
    wrong
}

/// What is wrong with the state after a decision, as far as the decision touched it.
pub(super) fn after(state: &State, decision: &Decision) -> Vec<String> {
    let mut wrong = Vec::new();
    let reservations = state.inventory.reservations();
    for event in &decision.events {
        let id = event.product.id.as_str();
        let Some(product) = state.inventory.get(id) else {
            continue;
        };
        let (reserved, held) = (product.stock.reserved, reservations.held(id));
        if reserved != held {
            wrong.push(format!(
                "{id} has {reserved} reserved, its reservations hold {held}"
            ));
        }
    }
    for event in &decision.orders {
        let Some(order) = state.orders.get(event.order.order_id.as_str()) else {
            continue;
        };
        let hold = order.reservation_id.as_ref();
        let hold = hold.and_then(|id| reservations.get(id.as_str()));
        let active = hold.is_some_and(|hold| hold.is_active());
        let holds = matches!(
            order.status,
            OrderStatus::Reserved | OrderStatus::Undecided | OrderStatus::Paid
        );
        if active != holds {
            let (id, status) = (&order.order_id, order.status.as_str());
            let what = if active { "holds units" } else { "holds none" };
            wrong.push(format!("order {id} is {status} and {what}"));
        }
    }
    wrong.dedup();
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

/// An order's amounts follow from its items.
fn sums(order: &Order) -> Vec<String> {
    let id = &order.order_id;
    let mut wrong = Vec::new();
    let mut total = 0_i64;
    for item in order.items.iter() {
        let subtotal = item.price.minor().saturating_mul(item.quantity);
        total = total.saturating_add(subtotal);
        if item.subtotal.minor() != subtotal {
            let product = &item.product_id;
            wrong.push(format!("order {id}: {product} is not worth its subtotal"));
        }
    }
    if order.total_amount.minor() != total {
        wrong.push(format!("order {id}: its items are not worth its total"));
    }
    let payment = order.payment.as_ref();
    if payment.is_some_and(|payment| payment.refunded_amount > payment.amount) {
        wrong.push(format!("order {id}: more went back than was paid"));
    }
    wrong
}

/// How a snapshot's reservations and orders differ from those that the log has at its record.
pub(super) fn differences(log: &Fold, snapshot: &Fold) -> Vec<String> {
    let mut wrong = Vec::new();
    let reservations = |fold: &Fold| -> Vec<Arc<Reservation>> {
        let all = fold.state.inventory.reservations().iter();
        all.map(Arc::clone).collect()
    };
    let (expected, found) = (reservations(log), reservations(snapshot));
    let known = snapshot.state.inventory.reservations();
    for one in &expected {
        if known.get(one.reservation_id.as_str()) != Some(one) {
            let id = &one.reservation_id;
            wrong.push(format!("reservation {id} differs from the log"));
        }
    }
    if found.len() > expected.len() {
        wrong.push("it has reservations that the log has not".to_owned());
    }
    let (log, snapshot) = (&log.state.orders, &snapshot.state.orders);
    for entry in log.entries() {
        let id = &entry.order.order_id;
        if snapshot.entry(id.as_str()) != Some(entry) {
            wrong.push(format!("order {id} differs from the log"));
        }
    }
    if snapshot.len() > log.len() {
        wrong.push("it has orders that the log has not".to_owned());
    }
    wrong
}
