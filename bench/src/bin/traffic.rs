//! Four shops at work, so that whoever looks sees the system live.
//!
//! Each shop sells through its own store API: few products are bought often and many seldom (Zipf),
//! a simulated day of a few minutes has a quiet morning and a lunch peak, shelves that run low get a
//! delivery, and now and then somebody counts one at central. Rates are bounded, every sale has its
//! key, and a service that is away is tried again later, a second apart.
#![expect(
    clippy::print_stdout,
    reason = "a program for people; its output is its log"
)]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bench::client::Connection;
use bench::request::Template;
use clap::Parser;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

/// Sales a second of one shop at the peak.
const PEAK_RATE: f64 = 8.0;
/// Length of a simulated day.
const DAY: Duration = Duration::from_secs(300);
/// `available` below which a delivery comes.
const LOW: i64 = 10;
/// Units of a delivery.
const DELIVERY: i64 = 60;
/// One sale in so many is followed by a count of that shelf.
const COUNT_EVERY: u32 = 200;
/// Time for one request.
const PATIENCE: Duration = Duration::from_secs(15);

/// Keeps four shops selling, receiving and counting.
#[derive(Debug, Parser)]
struct Arguments {
    /// Ports of the shops.
    #[arg(long, value_delimiter = ',', default_value = "8083,8084,8085,8086")]
    stores: Vec<u16>,
    /// Port of central.
    #[arg(long, default_value_t = 8081)]
    central: u16,
    /// Sales a second of one shop at the peak.
    #[arg(long, default_value_t = PEAK_RATE)]
    rate: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let began = Instant::now();
    let shops: Vec<_> = arguments
        .stores
        .iter()
        .zip(0_u64..)
        .map(|(port, number)| {
            let shop = Shop {
                address: local(*port),
                central: local(arguments.central),
                rate: arguments.rate.clamp(0.1, 500.0),
                began,
                random: SmallRng::from_os_rng(),
                name: format!("traffic-{number}-{:08x}", rand::random::<u32>()),
                sales: 0,
            };
            tokio::spawn(shop.open())
        })
        .collect();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    shops.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// One shop.
struct Shop {
    address: SocketAddr,
    central: SocketAddr,
    rate: f64,
    began: Instant,
    random: SmallRng,
    /// Begins every key of this run.
    name: String,
    sales: u32,
}

impl Shop {
    /// Sells for ever; after a fault it begins again a second later.
    async fn open(mut self) {
        loop {
            if let Err(fault) = self.trade().await {
                println!("{}: {fault}; trying again", self.address);
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn trade(&mut self) -> io::Result<()> {
        let mut till = Connection::open(self.address).await?;
        let products = products(&mut till).await?;
        if products.is_empty() {
            return Err(io::Error::other("the catalogue is empty"));
        }
        loop {
            sleep(self.pause()).await;
            let product = self.pick(&products).to_owned();
            let units = 1 + i64::from(self.random.random_bool(0.2));
            let available = self.sell(&mut till, &product, units).await?;
            if available < LOW {
                self.receive(&mut till, &product).await?;
            }
            if self.sales.is_multiple_of(COUNT_EVERY) {
                self.count(&product, available).await?;
            }
        }
    }

    /// Time until the next customer: random, and short around noon.
    fn pause(&mut self) -> Duration {
        let day = self.began.elapsed().as_secs_f64() / DAY.as_secs_f64();
        let hour = day.fract();
        // From a fifth of the rate in the morning to all of it at half past the day's half.
        let demand = 0.2 + 0.8 * (-((hour - 0.5) / 0.15).powi(2)).exp();
        let draw: f64 = self.random.random_range(f64::MIN_POSITIVE..1.0);
        Duration::from_secs_f64((-draw.ln() / (self.rate * demand)).min(10.0))
    }

    /// A product, the first ones much more often than the last (Zipf with exponent one).
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a draw among some hundred products"
    )]
    fn pick<'a>(&mut self, products: &'a [String]) -> &'a str {
        let spread = (products.len() as f64).ln();
        let rank = (self.random.random_range(0.0..1.0) * spread).exp() as usize;
        // Every shop has other favourites: its own multiple, modulo the catalogue.
        let index = rank.saturating_sub(1) * usize::from(self.address.port()) % products.len();
        products.get(index).map_or("", String::as_str)
    }

    /// Sells, and returns what is left.
    async fn sell(&mut self, till: &mut Connection, product: &str, units: i64) -> io::Result<i64> {
        self.sales += 1;
        self.movement(till, product, -units, "sale").await
    }

    async fn receive(&mut self, till: &mut Connection, product: &str) -> io::Result<i64> {
        self.sales += 1;
        self.movement(till, product, DELIVERY, "received").await
    }

    async fn movement(
        &self,
        till: &mut Connection,
        product: &str,
        delta: i64,
        reason: &str,
    ) -> io::Result<i64> {
        let key = format!("{}-{}", self.name, self.sales);
        let body = serde_json::json!({
            "productId": product, "delta": delta, "reason": reason, "idempotencyKey": key,
        });
        let path = "/v1/store/inventory/updates";
        let answer = post(till, path, bench::workload::KEY, &key, &body).await?;
        println!("{} {reason} {delta:+} {product} -> {answer}", self.address);
        Ok(answer
            .get("newQuantity")
            .and_then(Value::as_i64)
            .unwrap_or(i64::MAX))
    }

    /// Counts one shelf; sometimes a unit is missing or found.
    async fn count(&mut self, product: &str, available: i64) -> io::Result<()> {
        let counted = (available + self.random.random_range(-1..=1)).max(0);
        let key = format!("{}-count-{}", self.name, self.sales);
        let body = serde_json::json!({
            "lines": [{"productId": product, "counted": counted}], "countedBy": "stock team",
        });
        let mut office = Connection::open(self.central).await?;
        let path = "/v1/inventory/counts";
        let answer = post(&mut office, path, bench::workload::ADMIN_KEY, &key, &body).await?;
        println!("{} counted {counted} {product} -> {answer}", self.address);
        Ok(())
    }
}

async fn post(
    connection: &mut Connection,
    path: &str,
    key: &str,
    idempotency_key: &str,
    body: &Value,
) -> io::Result<Value> {
    let headers = [
        ("x-api-key", key),
        ("content-type", "application/json"),
        ("idempotency-key", idempotency_key),
    ];
    let mut request = Vec::new();
    Template::new("POST", path, &headers).with_body(&mut request, body.to_string().as_bytes());
    let answer = timeout(PATIENCE, connection.exchange(&request)).await??;
    let body: Value = serde_json::from_slice(answer.body).map_err(io::Error::other)?;
    // A refusal is an answer like any other; a service that is away is not.
    if answer.status >= 500 {
        return Err(io::Error::other(format!(
            "{path}: {} {body}",
            answer.status
        )));
    }
    Ok(body)
}

/// Ids of the first products of the shop.
async fn products(till: &mut Connection) -> io::Result<Vec<String>> {
    let request = Template::get("/v1/store/inventory?limit=200", bench::workload::KEY);
    let answer = timeout(PATIENCE, till.exchange(&request)).await??;
    let body: Value = serde_json::from_slice(answer.body).map_err(io::Error::other)?;
    let rows = body.get("products").and_then(Value::as_array);
    let ids = rows
        .into_iter()
        .flatten()
        .filter_map(|row| row.get("productId")?.as_str());
    Ok(ids.map(str::to_owned).collect())
}
