//! What a shop sells without handing it over at once: orders, and goods that are put aside.
//!
//! One customer in [`ORDER_EVERY`] orders, so the rate of orders is bounded by that of customers. Most
//! cards are good; some are declined, and now and then the bank's answer is lost and the order settles
//! itself. An order that was placed is taken on a little later: confirmed if it waits for that, then
//! completed, or cancelled instead. Goods that are put aside are held for a while; then they are
//! collected or go back. At most [`OPEN`] of either are open in a shop, so that it owes a bounded
//! number of calls; whatever is open when the program ends stays as it is, as in a shop that closes.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Duration;

use rand::Rng as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Customers, DELIVERY, Shop};

/// One customer in so many orders.
const ORDER_EVERY: f64 = 8.0;
/// One order in so many is goods that are only put aside.
const HOLD_EVERY: f64 = 8.0;
/// Orders and holds that wait for their next step, at most.
const OPEN: usize = 32;
/// How long a customer takes to come back.
const LATER: Duration = Duration::from_secs(5);
/// How long goods are put aside, in seconds.
const HOLD_SECONDS: u64 = 120;
/// Cards, and how many of a hundred orders are paid with each.
const CARDS: [(&str, u32); 4] = [
    ("credit_card", 90),
    ("card_declined", 6),
    ("card_lost_answer", 2),
    ("card_error", 2),
];

/// What is open at a shop's counter, and what became of the rest.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    open: VecDeque<Open>,
    placed: u64,
    declined: u64,
    short: u64,
    undecided: u64,
    confirmed: u64,
    completed: u64,
    cancelled: u64,
    held: u64,
    collected: u64,
    put_back: u64,
}

/// Something that is to be taken on.
#[derive(Debug)]
struct Open {
    id: String,
    next: Next,
    due: Instant,
}

/// The next step of something open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Confirm,
    Complete,
    Cancel,
    Collect,
    PutBack,
}

impl Next {
    /// The last part of its path.
    const fn verb(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Complete => "complete",
            Self::Cancel => "cancel",
            Self::Collect => "commit",
            Self::PutBack => "release",
        }
    }

    /// Whether it is about goods that were put aside, which central keeps.
    const fn is_of_hold(self) -> bool {
        matches!(self, Self::Collect | Self::PutBack)
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            placed,
            declined,
            short,
            undecided,
            confirmed,
            completed,
            cancelled,
            held,
            collected,
            put_back,
            ..
        } = self;
        write!(
            f,
            "{placed} orders placed ({declined} cards declined, {short} short, {undecided} undecided), \
             {confirmed} confirmed later, {completed} completed, {cancelled} cancelled; \
             {held} times goods put aside, {collected} collected, {put_back} put back"
        )
    }
}

impl Customers {
    /// Whether this one orders.
    pub(super) fn orders(&mut self) -> bool {
        self.random.random_bool(1.0 / ORDER_EVERY)
    }

    /// One to three different products of `products`, each with how many of it.
    fn basket(&mut self, products: &[String]) -> Vec<(String, i64)> {
        let mut basket: Vec<(String, i64)> = Vec::new();
        for _ in 0..self.random.random_range(1..=3) {
            let Some(product) = self.choose(products) else {
                continue;
            };
            if basket.iter().all(|(chosen, _)| chosen != product) {
                basket.push((product.to_owned(), self.random.random_range(1..=2)));
            }
        }
        basket
    }

    fn card(&mut self) -> &'static str {
        let mut draw = self.random.random_range(0..100);
        for (card, share) in CARDS {
            match u32::checked_sub(draw, share) {
                Some(rest) => draw = rest,
                None => return card,
            }
        }
        CARDS[0].0
    }
}

impl Shop {
    /// One customer who orders, or has goods put aside.
    pub(super) async fn order(&mut self, products: &[String]) -> io::Result<()> {
        let basket = self.customers.basket(products);
        if basket.is_empty() || self.counter.open.len() >= OPEN {
            return Ok(());
        }
        if self.customers.random.random_bool(1.0 / HOLD_EVERY) {
            self.put_aside(&basket).await
        } else {
            self.place(&basket).await
        }
    }

    async fn place(&mut self, basket: &[(String, i64)]) -> io::Result<()> {
        let waits = self.customers.random.random_bool(0.3);
        let body = json!({
            "customerId": format!("customer-{}", self.customers.random.random_range(1..=200)),
            "items": lines(basket),
            "paymentMethod": self.customers.card(),
            "confirm": !waits,
        });
        let key = self.next_key();
        let (status, answer) = self.till.post("/v1/store/orders", &key, &body).await?;
        match status {
            201 => {
                self.counter.placed += 1;
                let next = match (self.customers.random.random_bool(0.1), waits) {
                    (true, _) => Next::Cancel,
                    (false, true) => Next::Confirm,
                    (false, false) => Next::Complete,
                };
                self.remember(answer.get("orderId"), next);
            }
            202 => {
                self.counter.undecided += 1;
                println!("{}: an order is undecided: {answer}", self.name);
            }
            402 => self.counter.declined += 1,
            409 => {
                self.counter.short += 1;
                self.restock(basket).await?;
            }
            _ => println!("{}: order: {status} {answer}", self.name),
        }
        Ok(())
    }

    async fn put_aside(&mut self, basket: &[(String, i64)]) -> io::Result<()> {
        let body = json!({
            "owner": "click-and-collect", "lines": lines(basket), "ttlSeconds": HOLD_SECONDS,
        });
        let key = self.next_key();
        let (status, answer) = self.office.post("/v1/reservations", &key, &body).await?;
        match status {
            201 => {
                self.counter.held += 1;
                let next = if self.customers.random.random_bool(0.7) {
                    Next::Collect
                } else {
                    Next::PutBack
                };
                self.remember(answer.get("reservationId"), next);
            }
            409 => self.restock(basket).await?,
            _ => println!("{}: put aside: {status} {answer}", self.name),
        }
        Ok(())
    }

    /// What was not there is delivered.
    async fn restock(&mut self, basket: &[(String, i64)]) -> io::Result<()> {
        for (product, _) in basket {
            let left = self.movement(product, DELIVERY, "received").await?;
            println!("{}: an order was short of {product}, now {left}", self.name);
        }
        Ok(())
    }

    fn remember(&mut self, id: Option<&Value>, next: Next) {
        if let Some(id) = id.and_then(Value::as_str) {
            self.counter.open.push_back(Open {
                id: id.to_owned(),
                next,
                due: Instant::now() + LATER,
            });
        }
    }

    /// Takes on what is due: who ordered comes back.
    pub(super) async fn go_on_with_orders(&mut self) -> io::Result<()> {
        let is_due = |open: &Open| open.due <= Instant::now();
        while self.counter.open.front().is_some_and(is_due) {
            if let Some(open) = self.counter.open.pop_front() {
                self.take_on(open).await?;
            }
        }
        Ok(())
    }

    async fn take_on(&mut self, Open { id, next, .. }: Open) -> io::Result<()> {
        let key = self.next_key();
        let verb = next.verb();
        let (status, answer) = if next.is_of_hold() {
            let path = format!("/v1/reservations/{id}/{verb}");
            self.office.post(&path, &key, &json!({})).await?
        } else {
            let path = format!("/v1/store/orders/{id}/{verb}");
            self.till.post(&path, &key, &json!({})).await?
        };
        if status != 200 {
            println!("{}: {verb} {id}: {status} {answer}", self.name);
            return Ok(());
        }
        match next {
            Next::Confirm => {
                self.counter.confirmed += 1;
                self.remember(Some(&id.into()), Next::Complete);
            }
            Next::Complete => self.counter.completed += 1,
            Next::Cancel => self.counter.cancelled += 1,
            Next::Collect => self.counter.collected += 1,
            Next::PutBack => self.counter.put_back += 1,
        }
        Ok(())
    }
}

fn lines(basket: &[(String, i64)]) -> Value {
    let line =
        |(product, quantity): &(String, i64)| json!({"productId": product, "quantity": quantity});
    basket.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_card_has_its_share() {
        assert_eq!(CARDS.iter().map(|(_, share)| share).sum::<u32>(), 100);
    }
}
