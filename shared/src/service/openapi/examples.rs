//! Examples that stand in both descriptions: one shop, a few groceries.
//!
//! Each service's tests send the requests to a real service and hold the answers to the description,
//! so they cannot grow old.

use serde_json::{Value, json};

/// A snapshot of one product.
#[must_use]
pub fn snapshot() -> String {
    let header = json!({"gen": "8a7fd1e200aa31c4", "offset": 4, "count": 1});
    let trailer = json!({"count": 1, "crc": "1f0a33c2", "digest": "90aa31c48a7fd1e2"});
    format!("{header}\n{}\n{trailer}\n", product())
}

/// A product as it is shown.
#[must_use]
pub fn product() -> Value {
    json!({
        "productId": "GRO-0101", "name": "Oat drink 1 l", "category": "Dairy alternatives",
        "sku": "OAT-1L", "barcode": "4006381333931", "price": 1.95, "lowStockThreshold": 6,
        "onHand": 22, "reserved": 0, "allotted": 0, "available": 22, "version": 2,
        "lastUpdated": "2026-01-15T10:30:00.123Z",
    })
}

/// A page of products.
#[must_use]
pub fn page() -> Value {
    json!({
        "products": [product()],
        "pagination": {"offset": 0, "limit": 50, "total_count": 1, "has_more": false},
        "gen": "8a7fd1e200aa31c4", "asOfOffset": 4,
    })
}

/// Categories.
#[must_use]
pub fn categories() -> Value {
    json!({
        "categories": [{"category": "Dairy alternatives", "products": 1}],
        "gen": "8a7fd1e200aa31c4", "asOfOffset": 4,
    })
}

/// A stretch of the feed.
#[must_use]
pub fn feed() -> Value {
    json!({
        "events": [{
            "offset": 3, "timestamp": "2026-01-15T10:30:00.123Z", "eventType": "product_updated",
            "productId": "GRO-0101", "data": product(), "version": 2,
            "cause": {
                "kind": "sale", "delta": -2, "reason": "sale", "storeId": "store-s1",
                "idempotencyKey": "till-3-receipt-0815", "actor": "store-s1",
                "reference": "receipt 0815",
            },
        }],
        "nextOffset": 4, "hasMore": false, "count": 1, "gen": "8a7fd1e200aa31c4",
        "headOffset": 4, "oldestOffset": 0, "upToDate": true, "digest": "90aa31c48a7fd1e2",
    })
}

/// An order to be placed.
#[must_use]
pub fn new_order() -> Value {
    json!({
        "customerId": "customer-17", "items": [{"productId": "GRO-0101", "quantity": 2}],
        "shippingAddress": {"street": "1 Mill Lane", "city": "Leeds"}, "paymentMethod": "card",
        "storeId": "store-s1", "confirm": false, "idempotencyKey": "order-5001",
    })
}

/// An order that was paid.
#[must_use]
pub fn order() -> Value {
    order_like("paid", 2, &json!({}))
}

/// An order of which nobody knows yet whether it is paid.
#[must_use]
pub fn undecided_order() -> Value {
    let mut order = order_like("undecided", 2, &json!({"status": "unknown"}));
    if let Some(members) = order.as_object_mut() {
        members.remove("decidedAt");
        members.remove("decidedVersion");
    }
    order
}

/// The same, called off.
#[must_use]
pub fn cancelled_order() -> Value {
    let refund = json!({"refund": {"number": 1, "amount": 3.9}, "refunds": 1});
    order_like("cancelled", 4, &refund)
}

/// One whose refund the provider had refused, and which was settled by other means.
#[must_use]
pub fn settled_order() -> Value {
    let settled = json!({"status": "settled", "settledAmount": 3.9, "refunds": 1});
    order_like("cancelled", 6, &settled)
}

/// An order, and what is special about its payment.
fn order_like(status: &str, version: u64, more: &Value) -> Value {
    let mut payment = json!({
        "paymentId": "pay-01kf0k8y20zzzzzzzzzzzzzzzz", "status": "approved", "amount": 3.9,
        "reference": "ch-1", "authorizationCode": "AUTH-1A2B3C4D", "attempts": 1,
        "refundedAmount": 0, "refunds": 0,
    });
    if let (Some(payment), Some(more)) = (payment.as_object_mut(), more.as_object()) {
        payment.extend(more.clone());
    }
    json!({
        "orderId": "ord-01kf0k8y20zzzzzzzzzzzzzzzz", "customerId": "customer-17",
        "storeId": "store-s1",
        "items": [{"productId": "GRO-0101", "quantity": 2, "price": 1.95, "subtotal": 3.9}],
        "totalAmount": 3.9, "currency": "USD",
        "shippingAddress": {"street": "1 Mill Lane", "city": "Leeds"}, "paymentMethod": "card",
        "confirm": false, "status": status, "reservationId": "res-01kf0k8y20zzzzzzzzzzzzzzzz",
        "payment": payment,
        "createdAt": "2026-01-15T10:30:00.000Z", "updatedAt": "2026-01-15T10:30:00.004Z",
        "decidedAt": "2026-01-15T10:30:00.004Z", "decidedVersion": 2, "version": version,
    })
}

/// The rate limits, and who has used up what.
pub fn rate_limits() -> Value {
    let policy = |policy: &str, limit: u32, active: u32, refused: u32| json!({"policy": policy, "limit": limit, "active": active, "refused": refused});
    json!({
        "enabled": true, "type": "ip", "requests_per_minute": 60_000,
        "admin_requests_per_minute": 600, "window_minutes": 1, "active_ip_limits": 1,
        "policies": [
            policy("anonymous", 600, 1, 12), policy("unknown_key", 60, 0, 0),
            policy("read", 60_000, 0, 0), policy("write", 60_000, 1, 0),
            policy("admin", 600, 0, 0), policy("journal_drain", 600_000, 0, 0),
        ],
        "callers": [
            {"policy": "anonymous", "ip": "192.0.2.17", "remaining": 0},
            {"policy": "write", "principal": "store-s1", "remaining": 5_998},
        ],
    })
}

/// That they begin anew.
pub fn rate_limits_reset() -> Value {
    json!({"message": "Rate limits reset successfully", "timestamp": "2026-01-15T10:30:00.123Z"})
}
