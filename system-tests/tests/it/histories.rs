//! What concurrent clients see can be explained by one order of instants, across restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reqwest::StatusCode;
use serde_json::json;
use system_tests::linearizability::{History, Outcome, Recorder, Request, State, search, witness};
use system_tests::process::{Service, client, until};

use crate::till::{self, Moved};

const CLIENTS: u32 = 24;
const PRODUCTS: [&str; 3] = ["A", "B", "C"];
const UNITS: i64 = 20;
const RESTARTS: u64 = 5;
const OPERATIONS: u64 = 6_000;

/// Goal: compare-and-set, guarded deltas and reads on few products are linearizable, and stay so
/// when central is killed in their midst. Method: record every invocation and answer; an operation
/// without an answer is unknown, never failed. Both checkers must accept the history.
#[tokio::test(flavor = "multi_thread")]
async fn histories_are_linearizable_across_kills() {
    let dir = tempfile::tempdir().unwrap();
    let mut central = Service::central(dir.path()).await.unwrap();
    let client = client().unwrap();
    till::create(&client, &central, &PRODUCTS, UNITS).await;
    let recorder = Recorder::new();
    for product in PRODUCTS {
        recorder.start(
            product,
            State {
                quantity: UNITS,
                version: 1,
            },
        );
    }
    let done = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let actor = Actor {
                number,
                client: client.clone(),
                base: format!("http://{}/v1/inventory", central.address()),
                recorder: recorder.clone(),
                done: Arc::clone(&done),
            };
            tokio::spawn(actor.act())
        })
        .collect();
    for restart in 1..=RESTARTS {
        let enough = restart * OPERATIONS / (RESTARTS + 1);
        until("enough operations", Duration::from_secs(60), || async {
            done.load(Ordering::SeqCst) >= enough
        })
        .await
        .unwrap();
        central.kill().unwrap();
        central.restart().await.unwrap();
    }
    for client in clients {
        client.await.unwrap();
    }
    let history = recorder.history();
    enough_happened(&history);
    let verdicts = (search::check(&history), witness::check(&history));
    if verdicts.0.is_err() || verdicts.1.is_err() {
        let kept = std::env::temp_dir().join("holdfast-history.ndjson");
        std::fs::write(&kept, history.to_ndjson()).unwrap();
        panic!("{verdicts:?}; the history is in {}", kept.display());
    }
}

/// A history in which little is known contradicts nothing.
fn enough_happened(history: &History) {
    let mut counts = [0_u64; 5];
    for operation in &history.ops {
        let kind = match operation.outcome {
            Outcome::Applied { .. } => 0,
            Outcome::Conflict { .. } => 1,
            Outcome::Insufficient { .. } => 2,
            Outcome::Saw { .. } => 3,
            Outcome::Unknown => 4,
        };
        counts[kind] += 1;
    }
    let [applied, conflicts, insufficient, saw, unknown] = counts;
    assert!(
        applied > OPERATIONS / 5 && conflicts > 0 && insufficient > 0 && saw > OPERATIONS / 10,
        "{counts:?}"
    );
    assert!((1..OPERATIONS / 2).contains(&unknown), "{counts:?}");
}

/// One client.
struct Actor {
    number: u32,
    client: reqwest::Client,
    base: String,
    recorder: Recorder,
    done: Arc<AtomicU64>,
}

impl Actor {
    async fn act(self) {
        let mut random = SmallRng::seed_from_u64(u64::from(self.number));
        let mut seen = [1_u64; PRODUCTS.len()];
        while self.done.load(Ordering::SeqCst) < OPERATIONS {
            let index = random.random_range(0..PRODUCTS.len());
            let product = PRODUCTS[index];
            let delta = if random.random_bool(0.5) { -1 } else { 1 } * random.random_range(1..9);
            let request = match random.random_range(0..4) {
                0 => Request::Read,
                1 | 2 => Request::Cas {
                    version: seen[index],
                    delta,
                },
                _ => Request::Guarded { delta },
            };
            let pending = self.recorder.invoke(self.number, product, request);
            let outcome = self.perform(product, request, random.random()).await;
            match outcome {
                Outcome::Applied { version, .. }
                | Outcome::Conflict { version, .. }
                | Outcome::Saw { version, .. } => seen[index] = version,
                Outcome::Insufficient { .. } | Outcome::Unknown => {}
            }
            pending.returned(outcome);
            self.done.fetch_add(1, Ordering::SeqCst);
            // While central is down every attempt fails at once; let it come back.
            if outcome == Outcome::Unknown {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn perform(&self, product: &str, request: Request, key: u64) -> Outcome {
        let (version, delta) = match request {
            Request::Read => return self.read(product).await,
            Request::Cas { version, delta } => (Some(version), delta),
            Request::Guarded { delta } => (None, delta),
        };
        let body = json!({
            "storeId": "store-s1", "productId": product, "delta": delta, "version": version,
            "reason": "correction", "idempotencyKey": format!("{}-{key:x}", self.number),
        });
        let url = format!("{}/updates", self.base);
        match till::send(&self.client, &url, &body).await {
            Some(moved) => judged(&moved),
            None => Outcome::Unknown,
        }
    }

    async fn read(&self, product: &str) -> Outcome {
        let url = format!("{}/{product}", self.base);
        let request = self
            .client
            .get(url)
            .header("X-API-Key", system_tests::process::KEY);
        let Ok(answer) = request.send().await else {
            return Outcome::Unknown;
        };
        let Ok(body) = answer.json::<serde_json::Value>().await else {
            return Outcome::Unknown;
        };
        match (body["available"].as_i64(), body["version"].as_u64()) {
            (Some(quantity), Some(version)) => Outcome::Saw { quantity, version },
            _ => Outcome::Unknown,
        }
    }
}

fn judged(moved: &Moved) -> Outcome {
    let quantity = moved.body["newQuantity"].as_i64().unwrap();
    let version = moved.body["newVersion"].as_u64().unwrap();
    match (moved.status, moved.body["errorType"].as_str()) {
        (StatusCode::OK, _) => Outcome::Applied {
            quantity,
            version,
            offset: moved.body["offset"].as_u64(),
        },
        (_, Some("version_conflict")) => Outcome::Conflict { version, quantity },
        (_, Some("insufficient_inventory")) => Outcome::Insufficient { quantity },
        other => panic!("{other:?}: {moved:?}"),
    }
}
