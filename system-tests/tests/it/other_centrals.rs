//! Central comes back as another one: from an older copy of its data, or with none.
//!
//! Its offsets then name other events than those that stores have. A store must not go on from
//! there: it notices, loads what is true now, and is read from all the while.

use std::path::Path;

use serde_json::Value;
use system_tests::proxy::Fault;

use crate::scene::{PRODUCTS, Scene, UNITS, Watch};
use crate::till;

/// Copies a folder with what is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The store is cut off while central is exchanged and writes on past the store's offset.
async fn exchange(scene: &mut Scene, data: impl FnOnce(&Path)) -> (Watch, Value) {
    scene.converges().await;
    let before = scene.status().await;
    let watch = scene.watch();
    scene.proxy.set(Fault::Silence);
    scene.central.kill().unwrap();
    std::fs::remove_dir_all(scene.central.data()).unwrap();
    data(&scene.central.data());
    scene.central.restart().await.unwrap();
    watch.says_that_it_is_cut_off().await;
    (watch, before)
}

/// The store takes over what central has now.
async fn is_followed(scene: &Scene, watch: Watch, before: &Value) {
    scene.proxy.set(Fault::None);
    scene.converges().await;
    let now = scene.status().await;
    assert_ne!(now["gen"], before["gen"]);
    let syncs = |status: &Value| status["fullSyncs"].as_u64().unwrap();
    assert_eq!(syncs(&now), syncs(before) + 1, "{now}");
    assert!(
        now["appliedOffset"].as_u64() > before["appliedOffset"].as_u64(),
        "the offsets do not overlap: {before} {now}"
    );
    scene.sells("after").await;
    scene.converges().await;
    watch.every_read_was_answered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn central_is_restored_from_an_older_copy_and_writes_over_the_offsets_that_stores_have() {
    let mut scene = Scene::start().await;
    scene.sell_at_central("both", 10).await;
    let older = scene.dir.path().join("older");
    scene.central.kill().unwrap();
    copy(&scene.central.data(), &older);
    scene.central.restart().await.unwrap();
    scene.sell_at_central("lost", 20).await;
    let (watch, before) = exchange(&mut scene, |data| copy(&older, data)).await;
    scene.sell_at_central("instead", 30).await;
    is_followed(&scene, watch, &before).await;
    // 10 and 30 sales in turns over four products: what the older copy never knew is gone.
    let product = till::read(&scene.client, &scene.central, "B")
        .await
        .unwrap();
    assert_eq!(product["available"], UNITS - 3 - 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn central_is_replaced_by_an_empty_one_that_is_filled_anew() {
    let mut scene = Scene::start().await;
    scene.sell_at_central("lost", 10).await;
    let (watch, before) = exchange(&mut scene, |_| {}).await;
    till::create(&scene.client, &scene.central, &PRODUCTS[..2], 7_000).await;
    till::create(&scene.client, &scene.central, &["A2"], 1).await;
    let url = scene.central.url("/v1/inventory/updates");
    for sale in 0..20 {
        let body =
            serde_json::json!({"productId": "A", "delta": -1, "idempotencyKey": sale.to_string()});
        assert!(till::send(&scene.client, &url, &body).await.is_some());
    }
    is_followed(&scene, watch, &before).await;
}
