//! Four shops at work, so that whoever looks sees the system live.
//!
//! Each shop sells through its own store API: few products are bought often and many seldom (Zipf),
//! a simulated day of a few minutes has a quiet morning and a lunch peak, shelves that run low get a
//! delivery, and now and then somebody counts one at central. Some customers do not take the goods
//! with them: they order, or have them put aside ([`orders`]).
//!
//! It behaves as a till should: every movement has its key, and when no answer comes the *same*
//! request is sent again, a bounded number of times; whatever happened to the first one, the units
//! move once. The log holds a line a minute for each shop, and what is out of the ordinary.
#![expect(
    clippy::print_stdout,
    reason = "a program for people; its output is its log"
)]

mod line;
mod orders;

use std::io;
use std::time::Duration;

use bench::request::Template;
use bench::workload::{ADMIN_KEY, KEY};
use clap::Parser;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use self::line::Line;
use self::orders::Counter;

/// Length of a simulated day.
const DAY: Duration = Duration::from_secs(300);
/// Longest pause between two customers.
const PAUSE: Duration = Duration::from_secs(10);
/// Products that a shop looks at when it opens; more are not on its shelves.
const SHELVES: usize = 2_000;
/// Products on one page of the catalogue.
const PAGE: usize = 200;
/// What is left of a product when a delivery is ordered.
const LOW: i64 = 10;
/// Units of a delivery.
const DELIVERY: i64 = 60;
/// One such customer in so many is followed by a count of that shelf.
const COUNT_EVERY: u64 = 200;
/// How often a shop says how it is doing.
const REPORT: Duration = Duration::from_secs(60);

/// Keeps four shops selling, receiving, counting and taking orders.
#[derive(Debug, Parser)]
struct Arguments {
    /// Ports of the shops.
    #[arg(long, value_delimiter = ',', default_value = "8083,8084,8085,8086")]
    stores: Vec<u16>,
    /// Port of central.
    #[arg(long, default_value_t = 8081)]
    central: u16,
    /// Customers a second of one shop at the peak.
    #[arg(long, default_value_t = 8.0)]
    rate: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let began = Instant::now();
    for port in &arguments.stores {
        let shop = Shop {
            till: Line::to(*port, KEY),
            office: Line::to(arguments.central, ADMIN_KEY),
            customers: Customers {
                rate: arguments.rate.clamp(0.1, 500.0),
                began,
                random: SmallRng::from_os_rng(),
            },
            name: format!("shop {port}"),
            run: rand::rng().random(),
            movements: 0,
            served: 0,
            sold: 0,
            refused: 0,
            counter: Counter::default(),
        };
        tokio::spawn(shop.open());
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Who comes when, and buys what.
struct Customers {
    rate: f64,
    began: Instant,
    random: SmallRng,
}

impl Customers {
    /// Time until the next one: random, and short around noon.
    fn pause(&mut self) -> Duration {
        let day = self.began.elapsed().as_secs_f64() / DAY.as_secs_f64();
        // A fifth of the rate in the morning and at night, all of it in the middle of the day.
        let demand = 0.2 + 0.8 * (-((day.fract() - 0.5) / 0.15).powi(2)).exp();
        let draw: f64 = self.random.random_range(f64::MIN_POSITIVE..1.0);
        Duration::from_secs_f64(-draw.ln() / (self.rate * demand)).min(PAUSE)
    }

    /// One of `products`, the favourites more often.
    fn choose<'a>(&mut self, products: &'a [String]) -> Option<&'a str> {
        let shelf = self.shelf(products.len());
        products.get(shelf).map(String::as_str)
    }

    /// A shelf among `shelves`, the first ones much more often than the last (Zipf with exponent 1).
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a draw among some thousand shelves"
    )]
    fn shelf(&mut self, shelves: usize) -> usize {
        let draw: f64 = self.random.random_range(0.0..1.0);
        let rank = (draw * (shelves as f64).ln()).exp() as usize;
        rank.saturating_sub(1)
    }
}

/// One shop.
struct Shop {
    till: Line,
    office: Line,
    customers: Customers,
    name: String,
    /// Begins every key of this run.
    run: u64,
    movements: u64,
    /// Customers who took the goods with them.
    served: u64,
    sold: i64,
    refused: u64,
    /// Where orders are taken.
    counter: Counter,
}

impl Shop {
    /// Trades for ever; after a fault the shop opens again, a second later.
    async fn open(mut self) {
        loop {
            if let Err(fault) = self.trade().await {
                println!("{}: {fault}; opening again", self.name);
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn trade(&mut self) -> io::Result<()> {
        let mut products = self.products().await?;
        if products.is_empty() {
            return Err(io::Error::other("the catalogue is empty"));
        }
        // Every shop has other favourites.
        rand::seq::SliceRandom::shuffle(&mut *products, &mut self.customers.random);
        println!("{}: open, with {} products", self.name, products.len());
        let mut report = Instant::now() + REPORT;
        loop {
            sleep(self.customers.pause()).await;
            if self.customers.orders() {
                self.order(&products).await?;
            } else if let Some(product) = self.customers.choose(&products) {
                self.serve(product).await?;
            }
            self.go_on_with_orders().await?;
            if Instant::now() >= report {
                report = Instant::now() + REPORT;
                let (sold, refused, counter) = (self.sold, self.refused, &self.counter);
                println!(
                    "{}: {sold} units sold, {refused} sales refused; {counter}",
                    self.name
                );
            }
        }
    }

    /// One customer, and what follows from the sale.
    async fn serve(&mut self, product: &str) -> io::Result<()> {
        let units = 1 + i64::from(self.customers.random.random_bool(0.2));
        let left = self.movement(product, -units, "sale").await?;
        if left < LOW {
            let now = self.movement(product, DELIVERY, "received").await?;
            println!("{}: {product} was low at {left}, now {now}", self.name);
        }
        self.served += 1;
        if self.served.is_multiple_of(COUNT_EVERY) {
            self.count(product).await?;
        }
        Ok(())
    }

    /// Moves stock through the shop's own service and returns what is available then.
    async fn movement(&mut self, product: &str, delta: i64, reason: &str) -> io::Result<i64> {
        let body = json!({"productId": product, "delta": delta, "reason": reason});
        let key = self.next_key();
        let path = "/v1/store/inventory/updates";
        let (status, answer) = self.till.post(path, &key, &body).await?;
        if status != 200 {
            self.refused += 1;
            println!(
                "{}: {reason} {delta:+} {product}: {status} {answer}",
                self.name
            );
        } else if delta < 0 {
            self.sold -= delta;
        }
        let left = answer.get("newQuantity").and_then(Value::as_i64);
        Ok(left.unwrap_or(LOW))
    }

    /// Counts one shelf at central; sometimes a unit is missing or turns up. What the other shops sell
    /// meanwhile is sold all the same, since the count says at which offset it was taken.
    async fn count(&mut self, product: &str) -> io::Result<()> {
        let path = format!("/v1/inventory/{product}/availability?quantity=1");
        let (status, now) = self.look(&path).await?;
        let offset = now.get("asOfOffset").and_then(Value::as_u64);
        let Some(offset) = offset else {
            println!("{}: {product} cannot be counted: {status}", self.name);
            return Ok(());
        };
        let path = format!("/v1/inventory/{product}/history?at={offset}");
        let (status, then) = self.look(&path).await?;
        let found = self.customers.random.random_range(-1..=1);
        let Some(sheet) = sheet(&then, offset, found) else {
            println!("{}: {product} cannot be counted: {status}", self.name);
            return Ok(());
        };
        let key = self.next_key();
        let (status, _) = self
            .office
            .post("/v1/inventory/counts", &key, &sheet)
            .await?;
        println!("{}: counted {product}, {found:+}: {status}", self.name);
        Ok(())
    }

    /// Asks central.
    async fn look(&mut self, path: &str) -> io::Result<(u16, Value)> {
        self.office.ask(&Template::get(path, ADMIN_KEY)).await
    }

    fn next_key(&mut self) -> String {
        self.movements += 1;
        format!("traffic-{:016x}-{}", self.run, self.movements)
    }

    /// Ids of the products on the shelves.
    async fn products(&mut self) -> io::Result<Vec<String>> {
        let mut ids = Vec::new();
        while ids.len() < SHELVES {
            let path = format!("/v1/store/inventory?limit={PAGE}&offset={}", ids.len());
            let request = Template::get(&path, KEY);
            let (status, page) = self.till.ask(&request).await?;
            let rows = page.get("products").and_then(Value::as_array);
            let found = rows
                .into_iter()
                .flatten()
                .filter_map(|row| row.get("productId")?.as_str().map(str::to_owned));
            let before = ids.len();
            ids.extend(found);
            if status != 200 {
                return Err(io::Error::other(format!("{path}: {status}")));
            }
            if ids.len() - before < PAGE {
                break;
            }
        }
        Ok(ids)
    }
}

/// What is sent of a count: the units that stood in the house at `offset`, put aside or not, and `found`
/// more. `None` if central did not say what stood there.
fn sheet(then: &Value, offset: u64, found: i64) -> Option<Value> {
    let product = then.get("product")?;
    let on_hand = product.get("onHand")?.as_i64()?;
    let line = json!({
        "productId": product.get("productId")?,
        "counted": (on_hand + found).max(0),
        "basisOffset": offset,
    });
    Some(json!({"lines": [line], "countedBy": "stock team"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_of_what_stood_there_and_says_when() {
        let then = json!({"offset": 7, "product": {
            "productId": "A", "onHand": 12, "reserved": 5, "available": 7, "version": 3,
        }});
        let sent = sheet(&then, 9, -1).unwrap();
        assert_eq!(
            sent["lines"],
            json!([{"productId": "A", "counted": 11, "basisOffset": 9}])
        );
        assert_eq!(sheet(&json!({"code": "offset_gone"}), 9, 0), None);
    }
}
