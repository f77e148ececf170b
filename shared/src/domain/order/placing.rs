//! Placing an order: prices, total and hold, in one decision.
//!
//! Prices are the catalogue's at the moment of the decision. An order whose units are not there is
//! written down as failed, with nothing held; one that cannot be an order at all, because a product is
//! unknown or the price is not the one the buyer was shown, is refused and leaves no order.

use std::sync::Arc;

use super::command::Place;
use super::decide::Work;
use super::event::EventKind;
use super::payment::Payment;
use super::{Item, Order, OrderStatus};
use crate::clock::Timestamp;
use crate::domain::decision::{Decision, ItemResult};
use crate::domain::ids::Owner;
use crate::domain::inventory::reservation::summed;
use crate::domain::inventory::{Line, Reserve};
use crate::domain::money::Money;
use crate::domain::rejection::{Price, Rejection};
use crate::domain::state::State;

/// Decides about a new order.
pub(super) fn place(state: &State, place: &Place, now: Timestamp) -> Decision {
    if state.orders.get(place.order.as_str()).is_some() {
        return Decision::refused(Rejection::OrderExists {
            order_id: place.order.clone(),
        });
    }
    let lines = summed(&place.lines);
    let (items, total) = match priced(state, place, &lines) {
        Ok(priced) => priced,
        Err(rejections) => {
            return Decision {
                results: rejections.into_iter().map(ItemResult::Refused).collect(),
                ..Decision::default()
            };
        }
    };
    if total > Money::ZERO && !place.is_payable {
        return Decision::refused(Rejection::PaymentUnavailable {});
    }
    let Ok(owner) = Owner::parse(place.customer.as_str()) else {
        // One rule for all ids.
        return Decision::default();
    };
    let mut work = Work::new(state, pending(place, items, total, now), now);
    let reserve = Reserve {
        reservation: place.reservation.clone(),
        named: false,
        owner,
        reference: None,
        store: place.store.clone(),
        lines,
        ttl_millis: place.ttl_millis,
    };
    work.draft.reserve(&reserve, Some(&place.order));
    let results = std::mem::take(&mut work.draft.decision.results);
    let mut refused = results.iter().filter_map(|result| match result {
        ItemResult::Refused(rejection) => Some(rejection),
        ItemResult::Applied(_) | ItemResult::Unchanged => None,
    });
    match refused.next() {
        None => {}
        Some(Rejection::InsufficientInventory { .. } | Rejection::NotAlone { .. }) => {
            work.fail(
                "insufficient_inventory",
                "not every unit asked for is there",
            );
            work.note(EventKind::Refused);
            return Decision {
                results,
                ..work.finish(ItemResult::Unchanged)
            };
        }
        Some(other) => return Decision::refused(other.clone()),
    }
    work.order.status = OrderStatus::Reserved;
    work.order.reservation_id = Some(place.reservation.clone());
    if total > Money::ZERO {
        work.order.payment = Some(Payment::requested(place.payment.clone(), total));
        work.note(EventKind::Reserved);
    } else {
        work.note(EventKind::Reserved);
        work.paid(None);
    }
    work.finish(ItemResult::Applied(0))
}

/// The order before anything was done about it.
fn pending(place: &Place, items: Arc<[Item]>, total: Money, now: Timestamp) -> Order {
    Order {
        order_id: place.order.clone(),
        customer_id: place.customer.clone(),
        store_id: place.store.clone(),
        items,
        total_amount: total,
        currency: Arc::clone(&place.currency),
        shipping_address: place.address.clone(),
        payment_method: place.method.clone(),
        confirm: place.confirm,
        status: OrderStatus::Pending,
        reservation_id: None,
        payment: None,
        failure: None,
        created_at: now,
        updated_at: now,
        decided_at: None,
        decided_version: None,
        version: 0,
    }
}

/// What each line costs and all of them together, or every reason why it cannot be said.
fn priced(
    state: &State,
    place: &Place,
    lines: &[Line],
) -> Result<(Arc<[Item]>, Money), Vec<Rejection>> {
    let mut missing = Vec::new();
    let mut items = Vec::with_capacity(lines.len());
    let mut sum = Some(0_i64);
    for line in lines {
        let Some(product) = state.inventory.get(line.product_id.as_str()) else {
            missing.push(Rejection::ProductNotFound {
                product_id: line.product_id.clone(),
            });
            continue;
        };
        let price = product.details.price;
        let subtotal = price.minor().checked_mul(line.quantity);
        sum = sum
            .zip(subtotal)
            .and_then(|(sum, more)| sum.checked_add(more));
        items.push(Item {
            product_id: line.product_id.clone(),
            quantity: line.quantity,
            price,
            subtotal: subtotal
                .and_then(|minor| Money::from_minor(minor).ok())
                .unwrap_or_default(),
        });
    }
    if !missing.is_empty() {
        return Err(missing);
    }
    let Some(total) = sum.and_then(|minor| Money::from_minor(minor).ok()) else {
        return Err(vec![Rejection::TotalTooLarge {}]);
    };
    if let Some(expected) = place.expected_total
        && expected != total
    {
        let price = |item: &Item| Price {
            product_id: item.product_id.clone(),
            price: item.price,
        };
        return Err(vec![Rejection::PriceChanged {
            expected,
            total,
            prices: items.iter().map(price).collect(),
        }]);
    }
    Ok((items.into(), total))
}
