//! The real program, killed in the midst of orders, and a payment provider outside of it that
//! remembers what it did.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::fake_stripe::{FakeStripe, SECRET};
use crate::harness::{client, eventually};

const CUSTOMERS: usize = 16;
const ORDERS: usize = 12;
const KILLS: usize = 6;
const UNITS: i64 = 400;

struct Central {
    child: Child,
    url: String,
}

impl Central {
    async fn start(dir: &Path, port: u16, stripe: &str, client: &Client) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_central-api"))
            .env_clear()
            .env("DATA_DIR", dir)
            .env("PORT", port.to_string())
            .env("METRICS_PORT", "0")
            .env("ADMIN_API_KEYS", "admin")
            .env("PAYMENT_PROVIDER", "stripe")
            .env("PAYMENT_URL", stripe)
            .env("PAYMENT_KEY", SECRET)
            .env("LOG_LEVEL", "error")
            .env("RATE_LIMIT_ENABLED", "false")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let ready = format!("{url}/health/ready");
        eventually("central answers", async || {
            let answer = client.get(&ready).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        Self { child, url }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Central {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn post(client: &Client, url: &str, key: &str, body: &Value) -> Option<(StatusCode, Value)> {
    let request = client.post(url).header("x-api-key", "admin");
    let answer = request
        .header("idempotency-key", key)
        .json(body)
        .send()
        .await
        .ok()?;
    let status = answer.status();
    Some((status, answer.json().await.ok()?))
}

/// Places an order and asks again, through every kill, until it is known what became of it.
async fn buy(client: &Client, url: &str, key: &str) -> Value {
    let body = json!({
        "customerId": "ann", "paymentMethod": "pm_card_visa",
        "items": [{"productId": "A", "quantity": 1}, {"productId": "B", "quantity": 2}],
    });
    let placed = parking_lot::Mutex::new(Value::Null);
    eventually("the order is known", async || {
        match post(client, url, key, &body).await {
            Some((StatusCode::CREATED, order)) => {
                *placed.lock() = order;
                true
            }
            Some((status, answer)) => {
                let again = status == StatusCode::ACCEPTED || status.is_server_error();
                assert!(again, "{status} {answer}");
                false
            }
            None => false,
        }
    })
    .await;
    placed.into_inner()
}

#[tokio::test]
async fn six_kills_charge_nobody_twice_and_lose_no_order() {
    let dir = tempfile::tempdir().unwrap();
    let stripe = FakeStripe::start().await;
    let client = client();
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let mut central = Central::start(dir.path(), port, &stripe.url, &client).await;
    for product in ["A", "B"] {
        let url = format!("{}/v1/products", central.url);
        let body = json!({"productId": product, "name": product, "price": 2.5, "onHand": UNITS});
        let (status, answer) = post(&client, &url, product, &body).await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }

    let url = format!("{}/v1/orders", central.url);
    let done = AtomicUsize::new(0);
    let customers = join_all((0..CUSTOMERS).map(async |customer| {
        let mut orders = Vec::new();
        for number in 0..ORDERS {
            orders.push(buy(&client, &url, &format!("{customer}-{number}")).await);
            done.fetch_add(1, Ordering::Relaxed);
        }
        orders
    }));
    let kills = async {
        for kill in 1..=KILLS {
            let share = CUSTOMERS * ORDERS * kill / (KILLS + 1);
            let come = async || done.load(Ordering::Relaxed) >= share;
            eventually("orders come through", come).await;
            central.kill();
            central = Central::start(dir.path(), port, &stripe.url, &client).await;
        }
    };
    let (orders, ()) = tokio::join!(customers, kills);
    let orders: Vec<Value> = orders.into_iter().flatten().collect();

    let sold = i64::try_from(orders.len()).unwrap();
    assert_eq!(orders.len(), CUSTOMERS * ORDERS);
    assert!(orders.iter().all(|order| order["status"] == "confirmed"));
    let mut ids: Vec<&str> = orders
        .iter()
        .map(|it| it["orderId"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), orders.len(), "one order a key");
    // Nobody is charged twice, and nobody was charged for nothing.
    assert_eq!(stripe.taken(), (orders.len(), sold * 750));
    assert_eq!(stripe.refunds(), (0, 0));
    for (product, units) in [("A", sold), ("B", 2 * sold)] {
        let url = format!("{}/v1/inventory/{product}", central.url);
        let shown = client
            .get(url)
            .header("x-api-key", "admin")
            .send()
            .await
            .unwrap();
        let shown: Value = shown.json().await.unwrap();
        assert_eq!(shown["onHand"], UNITS - units, "{shown}");
        assert_eq!(shown["reserved"], 0, "{shown}");
    }
    // Each key still has its answer.
    let again = buy(&client, &url, "0-0").await;
    assert!(orders.contains(&again));
    central.kill();
}
