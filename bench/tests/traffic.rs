//! The shops of `start.sh --traffic` really trade: the program at work against a real central and a
//! real store.

use std::cell::{Cell, RefCell};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use system_tests::process::{KEY, Service, client, until};

const PATIENCE: Duration = Duration::from_secs(120);
const CATALOGUE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../central-api/catalogue/sample.csv"
);

/// Ends with its test.
struct Traffic(Child);

impl Drop for Traffic {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shops_sell_take_orders_and_put_goods_aside() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [("SEED_CATALOG", CATALOGUE)];
    let (there, here) = (dir.path().join("central"), dir.path().join("store"));
    let central = Service::central_with(&there, &settings).await.unwrap();
    let store = Service::store("store-s1", &here, central.address());
    let store = store.await.unwrap();
    let client = client().unwrap();
    let get = async |url: String| -> Value {
        let answer = client.get(url).header("X-API-Key", KEY).send().await;
        answer.unwrap().json().await.unwrap()
    };
    let synced = async || {
        let status = get(store.url("/v1/store/sync/status")).await;
        status["state"] == "live"
    };
    until("the store is live", PATIENCE, synced).await.unwrap();

    let port = |service: &Service| service.address().port().to_string();
    let mut traffic = Command::new(env!("CARGO_BIN_EXE_traffic"));
    traffic
        .args(["--stores", &port(&store), "--central", &port(&central)])
        .args(["--rate", "200"])
        .stdout(Stdio::null());
    let _traffic = Traffic(traffic.spawn().unwrap());

    let traded = async || {
        let orders = get(central.url("/v1/orders/stats")).await;
        let of = |status: &str| orders["byStatus"][status].as_u64().unwrap_or_default();
        let holds = async |state: &str| {
            let path = format!("/v1/reservations?state={state}&owner=click-and-collect");
            let holds = get(central.url(&path)).await;
            holds["reservations"].as_array().map_or(0, Vec::len)
        };
        of("completed") > 3
            && of("cancelled") > 0
            && of("failed") > 0
            && holds("committed").await > 0
            && holds("released").await > 0
    };
    until("orders of every kind", PATIENCE, traded)
        .await
        .unwrap();
    // What is counted is what stands in the house, sold meanwhile or put aside: a unit is missing or
    // turns up, and no more.
    let (next, found) = (Cell::new(0), RefCell::new(Vec::new()));
    let counted = async || {
        let path = format!("/v1/inventory/events?limit=1000&offset={}", next.get());
        let page = get(central.url(&path)).await;
        next.set(page["nextOffset"].as_u64().unwrap());
        let events = page["events"].as_array().unwrap();
        let causes = events.iter().map(|event| &event["cause"]);
        let counts = causes.filter(|cause| cause["kind"] == "counted");
        let deltas = counts.map(|cause| cause["delta"].as_i64().unwrap_or(0));
        found.borrow_mut().extend(deltas);
        found.borrow().len() >= 2
    };
    until("two counts", PATIENCE, counted).await.unwrap();
    let found = found.into_inner();
    assert!(found.iter().all(|delta| delta.abs() <= 1), "{found:?}");
    // Whatever they do, they do it in the name of their shop.
    let orders = get(central.url("/v1/orders?limit=50")).await;
    for order in orders["orders"].as_array().unwrap() {
        assert_eq!(order["storeId"], "store-s1", "{order}");
    }
}
