//! What must be true of orders and their money, said apart from the code that decides about them.
//!
//! An event says what happened; the order beside it says where that led. Each is held against the
//! order before: the step must be one that there is, what was agreed must not change, and every
//! amount must follow from the ones before it.

use std::collections::BTreeMap;

use shared::clock::Timestamp;
use shared::domain::ids::OrderId;
use shared::domain::order::{Event, EventKind, Order, OrderStatus, Payment, PaymentStatus, Refund};
use shared::domain::{Decision, State};
use shared::limits;

/// What is wrong with a decision's orders, which change what `state` was at `at`.
pub(super) fn changes(state: &State, decision: &Decision, at: Timestamp) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut drafted: BTreeMap<&OrderId, &Order> = BTreeMap::new();
    for event in &decision.orders {
        let after = &*event.order;
        let id = &after.order_id;
        let known = state.orders.get(id.as_str()).map(|it| &**it);
        let before = drafted.get(id).copied().or(known);
        let found = change(before, event, at);
        let found = found.into_iter().chain(decided(known, after, at));
        let found = found.chain(sums(after)).chain(money(before, event));
        wrong.extend(found.map(|what| format!("order {id}: {what}")));
        drafted.insert(id, after);
    }
    for (id, order) in drafted {
        let found = at_rest(order);
        wrong.extend(found.into_iter().map(|what| format!("order {id}: {what}")));
    }
    wrong
}

/// What is wrong with one change of an order that stood like `before`.
fn change(before: Option<&Order>, event: &Event, at: Timestamp) -> Vec<String> {
    let after = &*event.order;
    let mut wrong = Vec::new();
    let version = before.map_or(0, |before| before.version);
    if after.version != version + 1 {
        let found = after.version;
        wrong.push(format!("version {found} follows {version}"));
    }
    if after.updated_at != at {
        wrong.push("updatedAt is not its time".to_owned());
    }
    let was = before.map(|it| it.status);
    if !is_step(was, event.kind, after.status) {
        let was = was.map_or("nothing", OrderStatus::as_str);
        let (kind, is) = (event.kind.as_str(), after.status.as_str());
        wrong.push(format!("{kind} leads from {was} to {is}"));
    }
    if (after.status == OrderStatus::Failed) != after.failure.is_some() {
        let has = if after.failure.is_some() { "a" } else { "no" };
        wrong.push(format!("{} with {has} failure", after.status.as_str()));
    }
    match before {
        None if after.created_at != at => wrong.push("createdAt is not its time".to_owned()),
        None => {}
        Some(before) => {
            // What was agreed. The address alone may change, and its event says so.
            let same = Order {
                status: after.status,
                payment: after.payment.clone(),
                failure: after.failure.clone(),
                updated_at: after.updated_at,
                decided_at: after.decided_at,
                decided_version: after.decided_version,
                version: after.version,
                shipping_address: match event.kind {
                    EventKind::AddressChanged => after.shipping_address.clone(),
                    _ => before.shipping_address.clone(),
                },
                ..before.clone()
            };
            if same != *after {
                wrong.push("it is about something else than before".to_owned());
            }
        }
    }
    wrong
}

/// Whether an event of this kind leads from one status to the other.
fn is_step(before: Option<OrderStatus>, kind: EventKind, after: OrderStatus) -> bool {
    use OrderStatus::{Cancelled, Completed, Confirmed, Failed, Paid, Reserved, Undecided};
    let Some(before) = before else {
        return matches!(
            (kind, after),
            (EventKind::Reserved, Reserved) | (EventKind::Refused, Failed)
        );
    };
    let unpaid = matches!(before, Reserved | Undecided);
    let over = matches!(before, Failed | Cancelled);
    match kind {
        EventKind::Reserved | EventKind::Refused => false,
        EventKind::Paid => unpaid && after == Paid,
        EventKind::Declined => (unpaid && after == Failed) || (over && after == before),
        EventKind::PaymentUnknown => (unpaid && after == Undecided) || (over && after == before),
        EventKind::Expired => unpaid && after == Failed,
        EventKind::Confirmed => (before, after) == (Paid, Confirmed),
        EventKind::Completed => (before, after) == (Confirmed, Completed),
        EventKind::Cancelled => {
            (unpaid || matches!(before, Paid | Confirmed)) && after == Cancelled
        }
        EventKind::AddressChanged => (unpaid || before == Paid) && after == before,
        EventKind::ChargedLate | EventKind::Voided => over && after == before,
        EventKind::RefundRequested
        | EventKind::Refunded
        | EventKind::RefundUnknown
        | EventKind::RefundFailed
        | EventKind::RefundSettled => after == before,
    }
}

/// What whoever placed it is answered is fixed by the decision in which that was first known.
fn decided(known: Option<&Order>, after: &Order, at: Timestamp) -> Option<String> {
    let before = known.and_then(|known| known.decided_at.zip(known.decided_version));
    let expected = before.or(after.status.is_decided().then_some((at, after.version)));
    let found = (after.decided_at, after.decided_version);
    (found != expected.unzip()).then(|| "its outcome is not that of its first decision".to_owned())
}

/// An order's amounts follow from its items.
fn sums(order: &Order) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut total = 0_i64;
    for item in order.items.iter() {
        let subtotal = item.price.minor().saturating_mul(item.quantity);
        total = total.saturating_add(subtotal);
        if item.subtotal.minor() != subtotal {
            let product = &item.product_id;
            wrong.push(format!("{product} is not worth its subtotal"));
        }
    }
    if order.total_amount.minor() != total {
        wrong.push("its items are not worth its total".to_owned());
    }
    let payment = order.payment.as_ref();
    if payment.is_some_and(|payment| payment.amount != order.total_amount) {
        wrong.push("its payment is not of its total".to_owned());
    }
    wrong
}

/// What is wrong with how an order's money changed.
fn money(before: Option<&Order>, event: &Event) -> Vec<String> {
    let mut wrong = Vec::new();
    let old = before.and_then(|before| before.payment.as_ref());
    let Some(new) = &event.order.payment else {
        if old.is_some() {
            wrong.push("its payment is gone".to_owned());
        }
        return wrong;
    };
    wrong.extend(contradictions(new));
    let Some(old) = old else {
        if before.is_some() || new.status != PaymentStatus::Requested {
            wrong.push("its payment comes from nowhere".to_owned());
        }
        return wrong;
    };
    if old.payment_id != new.payment_id {
        wrong.push("its payment is another one than before".to_owned());
    }
    if new.is_open() && !old.is_open() {
        wrong.push("its payment was known, and is open again".to_owned());
    }
    if old.is_charged() && !new.is_charged() {
        wrong.push("its payment was charged, and is not".to_owned());
    }
    let back = new.refunded_amount.minor() - old.refunded_amount.minor();
    let coming = old.refund.as_ref().map(|refund| refund.amount.minor());
    let expected = match event.kind {
        EventKind::Refunded => coming,
        _ => Some(0),
    };
    if expected != Some(back) {
        let (old, new) = (old.refunded_amount, new.refunded_amount);
        let kind = event.kind.as_str();
        wrong.push(format!("{kind} leads from {old} given back to {new}"));
    }
    let settled = new.settled_amount.minor() - old.settled_amount.minor();
    let fits = match event.kind {
        EventKind::RefundSettled => settled > 0 && old.is_refund_failed(),
        _ => settled == 0,
    };
    if !fits {
        let (old, new) = (old.settled_amount, new.settled_amount);
        let kind = event.kind.as_str();
        wrong.push(format!("{kind} leads from {old} settled to {new}"));
    }
    let begun = u32::from(event.kind == EventKind::RefundRequested);
    if new.refunds != old.refunds.saturating_add(begun) {
        wrong.push("its refunds are miscounted".to_owned());
    }
    if let Some(refund) = &new.refund {
        let known = old.refund.as_ref();
        let known = known.filter(|known| known.number == refund.number);
        if !follows(known, refund, event) {
            wrong.push("its refund is another one than before".to_owned());
        }
    }
    wrong
}

/// Whether a refund on its way is what it was before, or has just begun. Its keys follow each other,
/// each after the wait that it is given.
fn follows(before: Option<&Refund>, after: &Refund, event: &Event) -> bool {
    let Some(before) = before else {
        return (after.key_number, after.spent_since, after.attempts) == (1, None, 0);
    };
    let attempts = u32::from(event.kind == EventKind::RefundUnknown);
    if after.attempts != before.attempts.saturating_add(attempts) {
        return false;
    }
    let now = event.order.updated_at;
    let asked = event.kind == EventKind::RefundUnknown && after.amount == before.amount;
    let next_key = before.key_number.saturating_add(1);
    match (before.spent_since, after.spent_since) {
        (None, Some(since)) => asked && since == now && after.key_number == before.key_number,
        (Some(since), None) => {
            let waited = u128::from(now.millis_since(since).unsigned_abs());
            let is_over = waited >= limits::REFUND_KEY_WAIT.as_millis();
            asked && is_over && after.key_number == next_key
        }
        (None, None) | (Some(_), Some(_)) => {
            let same = Refund {
                attempts: after.attempts,
                ..before.clone()
            };
            same == *after
        }
    }
}

/// What a payment says against itself.
fn contradictions(payment: &Payment) -> Vec<String> {
    let mut wrong = Vec::new();
    let (amount, back) = (payment.amount.minor(), payment.refunded_amount.minor());
    let coming = payment.refund.as_ref();
    let coming = coming.map_or(0, |refund| refund.amount.minor());
    let settled = payment.settled_amount.minor();
    if back.saturating_add(settled).saturating_add(coming) > amount {
        wrong.push("more goes back than was paid".to_owned());
    }
    let fits = match payment.status {
        PaymentStatus::Requested
        | PaymentStatus::Unknown
        | PaymentStatus::Declined
        | PaymentStatus::Voided => {
            back == 0 && settled == 0 && payment.refund.is_none() && payment.refunds == 0
        }
        PaymentStatus::Approved => back == 0 && settled == 0,
        PaymentStatus::PartlyRefunded => 0 < back && back + settled < amount,
        PaymentStatus::Refunded => 0 < back && back + settled == amount,
        PaymentStatus::RefundFailed => true,
        PaymentStatus::Settled => settled > 0,
    };
    if !fits {
        wrong.push(format!(
            "its payment of {} is {}, and {} went back",
            payment.amount,
            word(payment.status),
            payment.refunded_amount
        ));
    }
    let refund = payment.refund.as_ref();
    if refund.is_some_and(|refund| refund.number != payment.refunds) {
        wrong.push("the refund on its way is not the last one".to_owned());
    }
    wrong
}

/// What is wrong with an order at the end of a decision: each amount is where it belongs, or on its
/// way there.
fn at_rest(order: &Order) -> Vec<String> {
    let mut wrong = Vec::new();
    let payment = order.payment.as_ref();
    let charged = payment.is_some_and(Payment::is_charged);
    let free = order.total_amount.minor() == 0;
    let status = order.status.as_str();
    match order.status {
        OrderStatus::Paid | OrderStatus::Confirmed | OrderStatus::Completed => {
            if !charged && !free {
                wrong.push(format!("{status}, though it was not charged"));
            }
        }
        OrderStatus::Reserved | OrderStatus::Undecided => {
            if !payment.is_some_and(Payment::is_open) {
                wrong.push(format!("{status}, though no payment is open"));
            }
        }
        OrderStatus::Failed | OrderStatus::Cancelled => {
            let left = payment.is_some_and(|payment| {
                let gave_up = payment.status == PaymentStatus::RefundFailed;
                payment.refundable().minor() > 0 && payment.refund.is_none() && !gave_up
            });
            if left {
                wrong.push(format!("{status}, and its money does not go back"));
            }
        }
        OrderStatus::Pending => wrong.push("pending, which is never written down".to_owned()),
    }
    wrong
}

/// The word for a status in records.
fn word(status: PaymentStatus) -> String {
    serde_json::to_value(status)
        .ok()
        .and_then(|word| word.as_str().map(str::to_owned))
        .unwrap_or_default()
}
