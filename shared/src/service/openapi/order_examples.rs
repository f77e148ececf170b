//! The examples of questions about orders; see [`examples`](super::examples).

use serde_json::{Value, json};

/// The order of these examples.
pub const ORDER: &str = "ord-01kf0k8y20zzzzzzzzzzzzzzzz";
/// Its payment.
pub const PAYMENT: &str = "pay-01kf0k8y20zzzzzzzzzzzzzzzz";

const PLACED: &str = "2026-01-15T10:30:00.000Z";
const PAID: &str = "2026-01-15T10:30:00.180Z";

fn paid_with() -> Value {
    json!({
        "paymentId": PAYMENT, "status": "approved", "amount": 3.9, "reference": "ch-1",
        "authorizationCode": "AUTH-1A2B3C4D", "attempts": 0, "refundedAmount": 0.0, "refunds": 0,
    })
}

/// An order that was paid and confirmed.
#[must_use]
pub fn order() -> Value {
    json!({
        "orderId": ORDER, "customerId": "customer-17", "storeId": "store-s1",
        "items": [{"productId": "GRO-0101", "quantity": 2, "price": 1.95, "subtotal": 3.9}],
        "totalAmount": 3.9, "currency": "USD",
        "shippingAddress": {"street": "1 Mill Lane", "city": "Leeds"}, "paymentMethod": "card",
        "confirm": true, "status": "confirmed", "reservationId": "res-01kf0k8y20zzzzzzzzzzzzzzzz",
        "payment": paid_with(), "createdAt": PLACED, "updatedAt": PAID, "decidedAt": PAID,
        "decidedVersion": 2, "version": 3,
    })
}

/// A page of orders.
#[must_use]
pub fn page() -> Value {
    json!({
        "orders": [order()],
        "pagination": {"offset": 0, "limit": 50, "total_count": 1, "has_more": false},
        "gen": "8a7fd1e200aa31c4", "asOfOffset": 3,
    })
}

fn confirmed() -> Value {
    json!({
        "offset": 2, "timestamp": PAID, "eventType": "order_confirmed", "orderId": ORDER,
        "data": order(), "version": 3, "cause": {"actor": "saga", "correlationId": "5001"},
        "batch": {"id": 1, "size": 2, "index": 1},
    })
}

fn refused() -> Value {
    json!({
        "timestamp": "2026-01-15T10:31:00.000Z", "eventType": "refused", "orderId": ORDER,
        "version": 3, "code": "order_settled",
        "message": format!("order {ORDER} is confirmed: its address cannot change any more"),
        "cause": {
            "kind": "readdress", "actor": "store-s1", "storeId": "store-s1",
            "idempotencyKey": "move-5001", "requestId": "7c9e667-00000001",
        },
    })
}

/// A stretch of the order feed.
#[must_use]
pub fn feed() -> Value {
    json!({
        "events": [confirmed()], "nextOffset": 3, "hasMore": false, "count": 1,
        "gen": "8a7fd1e200aa31c4", "headOffset": 3, "oldestOffset": 0, "upToDate": true,
    })
}

/// The last of what happened to an order.
#[must_use]
pub fn history() -> Value {
    json!({"orderId": ORDER, "events": [confirmed(), refused()], "isOver": false})
}

/// What orders sum up to.
#[must_use]
pub fn stats() -> Value {
    json!({
        "total": 3,
        "byStatus": {
            "pending": 0, "reserved": 0, "undecided": 1, "paid": 0, "confirmed": 1, "completed": 0,
            "failed": 1, "cancelled": 0,
        },
        "refundsFailed": 0, "refundsOpen": 1, "voidsOpen": 0,
        "processing": {"count": 2, "meanMs": 142.5, "p99Ms": 180},
        "isComplete": true, "gen": "8a7fd1e200aa31c4", "asOfOffset": 7,
    })
}

/// A payment.
#[must_use]
pub fn payment() -> Value {
    let mut payment = paid_with();
    if let Value::Object(payment) = &mut payment {
        payment.insert("orderId".to_owned(), ORDER.into());
        payment.insert("storeId".to_owned(), "store-s1".into());
        payment.insert("currency".to_owned(), "USD".into());
        payment.insert("updatedAt".to_owned(), PAID.into());
    }
    payment
}
