//! Units that active reservations hold, product by product, summed up as the log goes on.
//!
//! `reserved` of a product must be the sum of its holds after every decision that touches it. Adding
//! all of them up each time would take as long as the square of the holds of a product that everybody
//! wants, so each step of a reservation changes the sum. What must stay true: the steps are taken from
//! what the records say of reservations, never from what they say of stock.

use std::collections::HashMap;

use shared::domain::Decision;
use shared::domain::ids::{ProductId, ReservationId};
use shared::domain::inventory::{Reservation, Reservations};

/// The sums.
#[derive(Debug, Default)]
pub(super) struct Held(HashMap<ProductId, i64>);

impl Held {
    /// Those of a state.
    pub(super) fn of(reservations: &Reservations) -> Self {
        let mut held = Self::default();
        for reservation in reservations.iter() {
            held.add(reservation, 1);
        }
        held
    }

    /// Units of a product that are held.
    pub(super) fn of_product(&self, product: &ProductId) -> i64 {
        self.0.get(product).copied().unwrap_or(0)
    }

    /// Takes the steps of a decision's reservations, which are those `before` it otherwise.
    pub(super) fn apply(&mut self, before: &Reservations, decision: &Decision) {
        let mut drafted: HashMap<&ReservationId, &Reservation> = HashMap::new();
        for after in &decision.reservations {
            let id = &after.reservation_id;
            let known = before.get(id.as_str()).map(|it| &**it);
            if let Some(before) = drafted.insert(id, after).or(known) {
                self.add(before, -1);
            }
            self.add(after, 1);
        }
    }

    fn add(&mut self, reservation: &Reservation, times: i64) {
        if !reservation.is_active() {
            return;
        }
        for line in reservation.lines.iter() {
            let units = times.saturating_mul(line.quantity);
            let held = self.0.entry(line.product_id.clone()).or_default();
            *held = held.saturating_add(units);
            if *held == 0 {
                self.0.remove(&line.product_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    use shared::clock::Timestamp;
    use shared::domain::ids::Owner;
    use shared::domain::inventory::{Line, ReservationState};

    use super::*;

    fn product(number: u32) -> ProductId {
        ProductId::parse(&format!("p-{number}")).unwrap()
    }

    /// Any reservation in any state: what a record says may be wrong.
    fn reservation(rng: &mut SmallRng) -> Reservation {
        let line = |number| Line {
            product_id: product(number),
            quantity: i64::from(number) + 1,
        };
        let first = rng.random_range(0..3);
        Reservation {
            reservation_id: ReservationId::parse(&format!("res-{}", rng.random_range(0..20)))
                .unwrap(),
            owner: Owner::parse("ann").unwrap(),
            reference: None,
            store_id: None,
            order_id: None,
            lines: (first..rng.random_range(first..5)).map(line).collect(),
            state: ReservationState::ALL[rng.random_range(0..4)],
            created_at: Timestamp::default(),
            expires_at: None,
            resolved_at: None,
        }
    }

    #[test]
    fn the_sums_are_those_of_all_holds_whatever_the_records_say() {
        let mut rng = SmallRng::seed_from_u64(3);
        let mut all = Reservations::default();
        let mut held = Held::default();
        let mut most = 0;
        for _ in 0..2_000 {
            let count = rng.random_range(0..4);
            let reservations = (0..count).map(|_| reservation(&mut rng)).collect();
            let decision = Decision {
                reservations,
                ..Decision::default()
            };
            held.apply(&all, &decision);
            for reservation in &decision.reservations {
                all.put(reservation);
            }
            for number in 0..5 {
                let product = product(number);
                let expected = all.held(product.as_str());
                assert_eq!(held.of_product(&product), expected);
                assert_eq!(Held::of(&all).of_product(&product), expected);
                most = most.max(expected);
            }
        }
        assert!(most > 10, "{most}");
    }
}
