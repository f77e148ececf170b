//! What happens to a store itself: killed while it writes, its files damaged or gone.
//!
//! It starts in every case, serves what it has (or says that it has nothing yet), and ends up with
//! central's bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::{Client, StatusCode};
use serde_json::json;
use system_tests::process::{KEY, Service, until};
use system_tests::proxy::Fault;

use crate::scene::{PATIENCE, PRODUCTS, Scene, status};
use crate::till;

const KILLS: usize = 12;
/// Lines of one request, so that the store's files grow past a checkpoint between kills.
const LINES: usize = 200;

/// Central cannot be had for a moment.
const HANG_UP: Fault = Fault::Noise(Bytes::new());

/// Moves stock at central, batch after batch, until it is told to stop.
async fn load(client: Client, url: String, number: usize, done: Arc<AtomicBool>) {
    for batch in 0.. {
        if done.load(Ordering::SeqCst) {
            return;
        }
        let lines: Vec<_> = (0..LINES)
            .map(|line| {
                json!({
                    "productId": PRODUCTS[line % PRODUCTS.len()], "delta": 1, "reason": "found",
                    "idempotencyKey": format!("w{number}-{batch}-{line}"),
                })
            })
            .collect();
        let body = json!({"storeId": "store-s1", "updates": lines});
        let moved = till::send(&client, &url, &body).await.unwrap();
        assert_eq!(moved.status, StatusCode::OK, "{moved:?}");
    }
}

async fn applied(client: &Client, store: &Service) -> u64 {
    let status = status(client, store).await.unwrap_or_default();
    status["appliedOffset"].as_u64().unwrap_or(0)
}

/// Whether the store serves products, or says why not.
async fn serves(scene: &Scene) -> StatusCode {
    let url = scene.store.url("/v1/store/inventory/A");
    let answer = scene.client.get(url).header("X-API-Key", KEY).send();
    answer.await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_killed_again_and_again_while_it_writes_comes_back_each_time() {
    let mut random = StdRng::seed_from_u64(7);
    let mut scene = Scene::start().await;
    let done = Arc::new(AtomicBool::new(false));
    let url = scene.central.url("/v1/inventory/updates");
    let loads: Vec<_> = (0..2)
        .map(|number| {
            let (client, url) = (scene.client.clone(), url.clone());
            tokio::spawn(load(client, url, number, Arc::clone(&done)))
        })
        .collect();
    for _ in 0..KILLS {
        let goal = applied(&scene.client, &scene.store).await + random.random_range(1..4_000);
        until("the store moves on", PATIENCE, || async {
            applied(&scene.client, &scene.store).await >= goal
        })
        .await
        .unwrap();
        scene.store.kill().unwrap();
        scene.store.restart().await.unwrap();
        // At once, from its files.
        assert_eq!(serves(&scene).await, StatusCode::OK);
        let status = scene.status().await;
        assert!(
            status["fullSyncs"] == 0,
            "its files were of no use: {status}"
        );
    }
    done.store(true, Ordering::SeqCst);
    for load in loads {
        load.await.unwrap();
    }
    // The control: it was long enough for checkpoints, so kills may have met one.
    scene.converges().await;
    let snapshots = files(&scene.store, "snapshot-");
    assert!(
        snapshots.iter().any(|name| !name.ends_with("-4.jsonl")),
        "{snapshots:?}"
    );
}

/// The store's files whose names begin like this.
fn files(store: &Service, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(store.data()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

/// What may have become of a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Cut,
    Scribbled,
    Zeroed,
    Emptied,
    Gone,
}

const DAMAGES: [Damage; 5] = [
    Damage::Cut,
    Damage::Scribbled,
    Damage::Zeroed,
    Damage::Emptied,
    Damage::Gone,
];

fn spoil(file: &Path, damage: Damage, random: &mut StdRng) {
    let mut bytes = fs::read(file).unwrap();
    let at = random.random_range(0..bytes.len());
    let end = (at + random.random_range(1..200)).min(bytes.len());
    match damage {
        Damage::Cut => bytes.truncate(at),
        Damage::Scribbled => random.fill(&mut bytes[at..end]),
        Damage::Zeroed => bytes[at..].fill(0),
        Damage::Emptied => bytes.clear(),
        Damage::Gone => return fs::remove_file(file).unwrap(),
    }
    fs::write(file, bytes).unwrap();
}

/// Damages the newest file of a kind in every way, and starts the store with and without central.
async fn damaged(prefix: &str, keeps_serving: bool) {
    let mut random = StdRng::seed_from_u64(11);
    let mut scene = Scene::start().await;
    for damage in DAMAGES {
        scene.sell_at_central(&format!("{damage:?}"), 20).await;
        scene.converges().await;
        scene.store.kill().unwrap();
        let name = files(&scene.store, prefix).pop().unwrap();
        spoil(&scene.store.data().join(name), damage, &mut random);
        scene.proxy.set(HANG_UP);
        scene.store.restart().await.unwrap();
        let expected = if keeps_serving {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        assert_eq!(serves(&scene).await, expected, "{damage:?}");
        scene.proxy.set(Fault::None);
        scene.converges().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_costs_its_tail_only() {
    damaged("journal-", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_never_served() {
    damaged("snapshot-", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_has_lost_everything_begins_anew() {
    let mut scene = Scene::start().await;
    scene.sell_at_central("before", 20).await;
    scene.converges().await;
    for what in [wipe as fn(PathBuf), fill_with_rubbish] {
        scene.store.kill().unwrap();
        what(scene.store.data());
        scene.proxy.set(HANG_UP);
        scene.store.restart().await.unwrap();
        assert_eq!(serves(&scene).await, StatusCode::SERVICE_UNAVAILABLE);
        scene.proxy.set(Fault::None);
        scene.converges().await;
    }
}

fn wipe(data: PathBuf) {
    fs::remove_dir_all(data).unwrap();
}

fn fill_with_rubbish(data: PathBuf) {
    for entry in fs::read_dir(&data).unwrap() {
        fs::write(entry.unwrap().path(), "rubbish\n{}\n\u{0}").unwrap();
    }
    fs::write(data.join("snapshot-x-y.jsonl"), "").unwrap();
    fs::create_dir(data.join("journal-7.jsonl")).unwrap();
}
