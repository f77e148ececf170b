//! One run of the script with the real programs: what it starts sells, and comes back.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;

use reqwest::Client;
use serde_json::{Value, json};
use system_tests::process::{KEY, client, program, until};

use super::site::{PATIENCE, Site, errors, signal};

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const PRODUCT: &str = "GRO-0001";

/// A folder with the script, the real programs and the catalogue. What the machine lacks is not
/// installed.
fn site() -> Site {
    let site = Site::bare();
    site.program("home/bin/apt-get", "#!/bin/bash\nexit 1\n");
    let there = |from: &Path, name: &str| {
        let place = site.path(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(from, place).unwrap();
    };
    for name in ["central-api", "store-api"] {
        let built = program(name).unwrap();
        there(&built, &format!("target/release/{name}"));
    }
    let catalogue = "central-api/catalogue/sample.csv";
    there(&Path::new(ROOT).join(catalogue), catalogue);
    site
}

/// The shops, by their ports.
struct Shops<'a> {
    client: Client,
    ports: &'a [u16],
}

impl Shops<'_> {
    fn url(&self, shop: usize, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports[shop])
    }

    /// What a shop's own copy says; `None` without an answer of 200.
    async fn read(&self, shop: usize, path: &str) -> Option<Value> {
        let request = self.client.get(self.url(shop, path));
        let answer = request.header("X-API-Key", KEY).send().await.ok()?;
        if answer.status() != 200 {
            return None;
        }
        answer.json().await.ok()
    }

    async fn available(&self, shop: usize) -> Option<i64> {
        let path = format!("/v1/store/inventory/{PRODUCT}");
        self.read(shop, &path).await?["available"].as_i64()
    }

    /// One unit over the counter; what is left then, if it was sold.
    async fn sell(&self, shop: usize, receipt: &str) -> Option<i64> {
        let sale = json!({"productId": PRODUCT, "delta": -1, "idempotencyKey": receipt});
        let request = self
            .client
            .post(self.url(shop, "/v1/store/inventory/updates"));
        let answer = request.header("X-API-Key", KEY).json(&sale).send().await;
        let answer = answer.ok().filter(|answer| answer.status() == 200)?;
        answer.json::<Value>().await.ok()?["newQuantity"].as_i64()
    }

    /// Waits until every shop shows `units`.
    async fn until_all_show(&self, units: i64) {
        for shop in 0..self.ports.len() {
            let shows = async || self.available(shop).await == Some(units);
            let what = format!("shop {shop} shows {units}");
            until(&what, PATIENCE, shows).await.unwrap();
        }
    }
}

/// The process of central, as the script says it.
fn central(site: &Site) -> u32 {
    let lines = site.lines("output");
    let pid = lines.iter().find_map(|line| {
        let (_, pid) = line
            .trim()
            .strip_prefix("central ")?
            .split_once("process ")?;
        pid.parse().ok()
    });
    pid.expect("the script says which process is central")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_script_starts_sells_in_every_shop_and_central_comes_back() {
    let site = site();
    let running = site.start().await;
    let shops = Shops {
        client: client().unwrap(),
        ports: &site.ports[1..],
    };
    for shop in 0..4 {
        let whole = async || {
            let page = shops.read(shop, "/v1/store/inventory?limit=1").await;
            page.is_some_and(|page| page["pagination"]["total_count"] == 416)
        };
        until("the shop has the catalogue", PATIENCE, whole)
            .await
            .unwrap();
    }
    let before = shops.available(0).await.unwrap();
    assert_eq!(shops.sell(0, "receipt-1").await, Some(before - 1));
    shops.until_all_show(before - 1).await;

    signal("KILL", central(&site));
    for shop in 0..4 {
        let seen = shops.available(shop).await;
        assert_eq!(seen, Some(before - 1), "shop {shop} answers by itself");
    }
    site.until_said("central has ended").await;
    let ready = format!("http://127.0.0.1:{}/health/ready", site.ports[0]);
    let back = async || {
        let answer = shops.client.get(&ready).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    };
    until("central is back", PATIENCE, back).await.unwrap();
    assert_eq!(shops.sell(1, "receipt-2").await, Some(before - 2));
    shops.until_all_show(before - 2).await;

    let output = running.end();
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(143), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    for port in site.ports.into_iter().chain(site.metrics) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let left = TcpStream::connect(address);
        assert!(left.is_err(), "somebody still listens at {port}");
    }
}
