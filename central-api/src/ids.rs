//! The ids that central makes: of an order and what belongs to it, of a hold, of an API key.
//!
//! One token names an order, its hold and its payment, so that the order of a payment is found without an index: `ord-…`,
//! `res-…`, `pay-…`. The token sorts by time (milliseconds, then 80 random bits, in the alphabet of
//! Crockford's base 32, which has no letters that are taken for digits); nothing depends on that but
//! the convenience of people who read lists.

use shared::clock::Timestamp;
use shared::domain::ids::{ApiKeyId, OrderId, PaymentId, ReservationId};

/// What the id of every API key begins with; its token follows.
const API_KEY: &str = "key-";
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The names of one new order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderIds {
    /// The order's.
    pub order: OrderId,
    /// Its hold's.
    pub reservation: ReservationId,
    /// Its payment's, which is its key at the provider too.
    pub payment: PaymentId,
}

impl OrderIds {
    /// The names of an order placed at `now`; `random` tells it from all others.
    #[must_use]
    pub fn new(now: Timestamp, random: u128) -> Self {
        let token = token(now, random);
        let valid = "letters, digits and a hyphen make an id";
        Self {
            order: OrderId::parse(&format!("ord-{token}")).expect(valid),
            reservation: ReservationId::parse(&format!("res-{token}")).expect(valid),
            payment: PaymentId::parse(&format!("pay-{token}")).expect(valid),
        }
    }
}

/// An id for a reservation whose owner made none.
#[must_use]
pub fn reservation_id(now: Timestamp, random: u128) -> ReservationId {
    let text = format!("res-{}", token(now, random));
    ReservationId::parse(&text).expect("letters, digits and a hyphen make an id")
}

/// An id for a new API key.
#[must_use]
pub fn api_key_id(now: Timestamp, random: u128) -> ApiKeyId {
    let text = format!("{API_KEY}{}", token(now, random));
    ApiKeyId::parse(&text).expect("letters, digits and a hyphen make an id")
}

/// The token of an API key, by which it is found when it is presented.
#[must_use]
pub fn token_of(key_id: &str) -> &str {
    key_id.strip_prefix(API_KEY).unwrap_or(key_id)
}

/// The order that a payment belongs to, if it can belong to one.
#[must_use]
pub fn order_of(payment: &str) -> Option<OrderId> {
    let token = payment.strip_prefix("pay-")?;
    OrderId::parse(&format!("ord-{token}")).ok()
}

fn token(now: Timestamp, random: u128) -> String {
    let millis = u128::from(now.as_millis().unsigned_abs());
    let bits = millis << 80 | (random & ((1 << 80) - 1));
    (0..26)
        .rev()
        .map(|place| {
            let digit = (bits >> (place * 5) & 31) as usize;
            char::from(ALPHABET.get(digit).copied().unwrap_or(b'0'))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_lead_to_each_other() {
        let at = |millis| OrderIds::new(Timestamp::from_millis(millis), u128::MAX);
        let (early, late) = (at(1_768_473_000_000), at(1_768_473_000_001));
        assert!(early.order < late.order);
        assert_eq!(early.order.as_str(), "ord-01kf0k8y20zzzzzzzzzzzzzzzz");
        assert_eq!(order_of(early.payment.as_str()), Some(early.order));
        assert_eq!(order_of("ord-1"), None);
        let other = OrderIds::new(Timestamp::from_millis(1_768_473_000_001), 7);
        assert_ne!(other.order, late.order);
    }
}
