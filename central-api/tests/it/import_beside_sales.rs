//! A catalogue is imported while shops sell from it.
//!
//! The file says of every product how many units there were when it was written, as an export does. It
//! is sent in parts, and each part waits until more has been sold, so there are sales before, between
//! and after its chunks, in every run. Then the units are counted: what there was, less what was
//! acknowledged as sold.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::stream;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::harness::TestCentral;

const UNITS: i64 = 100_000;
/// Three chunks of an import.
const ROWS: usize = 3_000;
const PART: usize = 1_000;
/// Sales that each part of the file waits for.
const SALES_A_PART: u64 = 40;
const SELLERS: usize = 8;
/// At the edges of chunks, and between them.
const SOLD: [&str; 5] = ["P-00000", "P-00999", "P-01000", "P-01500", "P-02999"];

/// The rows of the file from `from` on, a part of it.
fn part(from: usize, price: &str) -> String {
    let mut text = String::new();
    for number in from..from + PART {
        let row = format!(
            r#"{{"productId":"P-{number:05}","name":"Product {number}","price":{price},"onHand":{UNITS}}}"#
        );
        writeln!(text, "{row}").unwrap();
    }
    text
}

async fn import(central: &TestCentral, key: &str, stock: &str, file: impl Into<Body>) -> Value {
    let path = format!("/v1/admin/products/import?stock={stock}");
    let request = central.admin(Method::POST, &path).body(file);
    let request = request
        .header("content-type", "application/x-ndjson")
        .header("idempotency-key", key);
    let answer = request.send().await.unwrap();
    let (status, report) = (answer.status(), answer.json::<Value>().await.unwrap());
    assert_eq!(
        (status.as_u16(), &report["rejected"]),
        (200, &json!(0)),
        "{report}"
    );
    report
}

/// The file, each part of which waits for sales, as does its end.
fn waiting(progress: watch::Receiver<u64>) -> Body {
    let parts = stream::unfold((0, progress), |(at, mut progress)| async move {
        let enough = SALES_A_PART * (at as u64 + 1);
        let sold = progress.wait_for(|sold| *sold >= enough).await;
        sold.ok()?;
        (at * PART < ROWS).then(|| {
            let text = part(at * PART, "2.5");
            (Ok::<_, std::io::Error>(text), (at + 1, progress))
        })
    });
    Body::wrap_stream(parts)
}

/// Imports while shops sell; what was acknowledged as sold, by product.
async fn import_beside_sales(central: &TestCentral, stock: &str) -> BTreeMap<&'static str, i64> {
    let mut catalogue = String::new();
    for from in (0..ROWS).step_by(PART) {
        catalogue.push_str(&part(from, "1.25"));
    }
    import(central, "first", "keep", catalogue).await;
    let (progress, seen) = watch::channel(0);
    let (is_over, sold) = (Cell::new(false), RefCell::new(BTreeMap::new()));
    let seller = async |seller: usize| {
        for sale in 0.. {
            if is_over.get() {
                break;
            }
            let id = SOLD[(seller + sale) % SOLD.len()];
            let key = format!("sale-{seller}-{sale}");
            let answer = central.update(id, -1, &key).await;
            // Nobody is refused, and nobody has to try again, because of an import.
            assert_eq!(answer.status(), 200);
            *sold.borrow_mut().entry(id).or_insert(0) += 1;
            progress.send_modify(|sold| *sold += 1);
        }
    };
    let importing = async {
        let report = import(central, "second", stock, waiting(seen)).await;
        is_over.set(true);
        report
    };
    let sellers = futures_util::future::join_all((0..SELLERS).map(seller));
    let (report, _) = tokio::join!(importing, sellers);
    assert_eq!(report["updated"], ROWS);
    sold.into_inner()
}

/// The products whose units are not what there was, less what was sold.
async fn miscounted(
    central: &TestCentral,
    sold: &BTreeMap<&'static str, i64>,
) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (id, sold) in sold {
        let product = central.get_json(&format!("/v1/products/{id}")).await;
        assert_eq!(product["price"], 2.5, "the file was taken");
        if product["onHand"] != UNITS - sold {
            found.push(*id);
        }
    }
    found
}

/// The sales that the log has, by product.
async fn logged(central: &TestCentral) -> BTreeMap<String, i64> {
    let mut sales = BTreeMap::new();
    let mut offset = 0;
    loop {
        let path = format!("/v1/inventory/events?offset={offset}&limit=1000");
        let page = central.get_json(&path).await;
        for event in page["events"].as_array().unwrap() {
            if event["cause"]["kind"] == "sale" {
                let id = event["productId"].as_str().unwrap().to_owned();
                *sales.entry(id).or_insert(0) += 1;
            }
        }
        offset = page["nextOffset"].as_u64().unwrap();
        if page["hasMore"] == false {
            return sales;
        }
    }
}

#[tokio::test]
async fn an_import_beside_running_sales_loses_none_and_stops_nobody() {
    let central = TestCentral::start().await;
    let sold = import_beside_sales(&central, "keep").await;
    assert_eq!(sold.len(), SOLD.len());
    assert_eq!(miscounted(&central, &sold).await, [""; 0]);
}

/// The control: a file that sets units to what they were before the sales makes them come back, as it
/// was asked to, and the counting above notices. The sales themselves stand in the log, every one.
#[tokio::test]
async fn an_import_that_sets_units_beside_sales_is_noticed_and_the_log_has_every_sale() {
    let central = TestCentral::start().await;
    let sold = import_beside_sales(&central, "set").await;
    assert_eq!(miscounted(&central, &sold).await, SOLD);
    let logged = logged(&central).await;
    let sold: BTreeMap<String, i64> = sold
        .into_iter()
        .map(|(id, sold)| (id.to_owned(), sold))
        .collect();
    assert_eq!(logged, sold);
}
