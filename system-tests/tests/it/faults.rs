//! Everything that can happen to the line between a store and central, and to central itself.
//!
//! In each case the store is read all the time: every read is answered, and says how current it is.
//! A write gets an answer that tells what is known about it, its key settles it later, and in the
//! end, with nobody lifting a finger, the store has central's bytes again. The proxy counts what it
//! spoilt: a fault that did not happen proves nothing.

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use system_tests::process::until;
use system_tests::proxy::Fault;

use crate::scene::{PATIENCE, Scene, converges, status, store};

#[tokio::test(flavor = "multi_thread")]
async fn central_is_stopped_and_started_again() {
    let mut scene = Scene::start().await;
    let watch = scene.watch();
    assert!(scene.central.stop(PATIENCE).await.unwrap());
    watch.says_that_it_is_cut_off().await;
    // The proxy hangs up on whoever asks for a central that is not there, which could also have
    // come after the sale.
    scene.refuses("k", 504, "timeout").await;
    scene.breaker_opens().await;
    scene.central.restart().await.unwrap();
    scene.sells("k").await;
    scene.converges().await;
    assert_eq!(scene.sold().await, 1);
    watch.every_read_was_answered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_central_that_is_not_there_is_known_to_have_done_nothing() {
    let mut scene = Scene::start().await;
    let direct = scene.dir.path().join("direct");
    let store = system_tests::process::Service::store_with(
        "store-s2",
        &direct,
        scene.central.address(),
        &crate::scene::SHORT,
    );
    scene.store = store.await.unwrap();
    scene.converges().await;
    let watch = scene.watch();
    scene.central.kill().unwrap();
    watch.says_that_it_is_cut_off().await;
    scene.refuses("k", 503, "central_unavailable").await;
    scene.central.restart().await.unwrap();
    scene.sells("k").await;
    scene.converges().await;
    watch.every_read_was_answered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_is_dead_and_nothing_says_so() {
    let scene = Scene::start().await;
    let watch = scene.watch();
    let before = scene.proxy.set(Fault::Silence);
    watch.says_that_it_is_cut_off().await;
    scene.refuses("k", 504, "timeout").await;
    scene.breaker_opens().await;
    scene.sell_at_central("meanwhile", 10).await;
    assert!(scene.proxy.set(Fault::None) >= before + 5);
    scene.sells("k").await;
    scene.converges().await;
    watch.every_read_was_answered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn central_is_slower_than_anybody_waits() {
    let scene = Scene::start().await;
    let watch = scene.watch();
    let before = scene.proxy.set(Fault::Delay(Duration::from_millis(800)));
    scene.refuses("k", 504, "timeout").await;
    scene.sell_at_central("meanwhile", 10).await;
    let head = scene.sold().await;
    // Long polls bear it, so the copy goes on although every plain question runs out of time.
    until("the copy moves", PATIENCE, || async {
        let status = scene.status().await;
        status["appliedOffset"].as_u64() >= Some(14 + u64::from(head > 3))
    })
    .await
    .unwrap();
    assert!(scene.proxy.set(Fault::None) >= before + 3);
    scene.sells("k").await;
    scene.converges().await;
    // Three of the ten at central, and the one that was sold once, however often it was sent.
    assert_eq!(scene.sold().await, 3 + 1);
    watch.every_read_was_answered().await;
}

/// Something else answers in central's place.
async fn answers_noise(noise: &'static [u8]) {
    let scene = Scene::start().await;
    let watch = scene.watch();
    let before = scene.proxy.set(Fault::Noise(Bytes::from_static(noise)));
    watch.until("stale", |seen| seen.is_stale).await;
    scene.refuses("k", 504, "timeout").await;
    scene.sell_at_central("meanwhile", 10).await;
    assert!(scene.proxy.set(Fault::None) >= before + 3);
    scene.sells("k").await;
    scene.converges().await;
    let status = scene.status().await;
    assert_eq!(status["fullSyncs"], 1, "the copy was never in doubt");
    watch.every_read_was_answered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_does_not_speak_http() {
    answers_noise(b"\x00\xff\x16\x03\x01\r\n\r\nSSH-2.0-OpenSSH\r\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_says_200_is_not_central() {
    answers_noise(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 20\r\n\r\n<html>Log in!</html>",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_says_404_is_not_central() {
    answers_noise(
        b"HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: 20\r\n\r\n<html>No app.</html>",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_says_200_is_not_central() {
    answers_noise(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_answers_500_is_not_central() {
    answers_noise(b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\nOops").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_ends_in_its_middle() {
    let scene = Scene::start().await;
    let watch = scene.watch();
    let before = scene.proxy.set(Fault::Cut);
    watch.says_that_it_is_cut_off().await;
    // It happened, which nobody can know before the key is sent again.
    scene.refuses("k", 504, "timeout").await;
    assert_eq!(scene.sold().await, 1);
    // Nor does a half of a snapshot become a catalogue.
    let fresh = store("store-s2", scene.dir.path(), &scene.proxy).await;
    let syncs = scene.proxy.spoilt();
    until("the snapshot was cut", PATIENCE, || async {
        let status = status(&scene.client, &fresh).await.unwrap_or_default();
        scene.proxy.spoilt() >= syncs + 6 && status["errorMessage"].is_string()
    })
    .await
    .unwrap();
    let url = fresh.url("/v1/store/inventory");
    let answer = scene.client.get(url).header("X-API-Key", "demo").send();
    assert_eq!(
        answer.await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert!(scene.proxy.set(Fault::None) >= before + 10);
    scene.sells("k").await;
    assert_eq!(scene.sold().await, 1);
    scene.converges().await;
    converges(&scene.client, &scene.central, &fresh).await;
    watch.every_read_was_answered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_answers_the_feed_with_something_old_whatever_is_asked() {
    let scene = Scene::start().await;
    scene.sell_at_central("before", 5).await;
    scene.converges().await;
    let watch = scene.watch();
    let old = scene.proxy.last_of_feed().unwrap();
    scene.sell_at_central("more", 5).await;
    scene.converges().await;
    let before = scene.proxy.set(Fault::Replay(old));
    watch.until("stale", |seen| seen.is_stale).await;
    // Writes get through; that the copy does not show them is said.
    let (status, headers, _) = scene.try_sale("k").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["x-sync-visible"], "false");
    let age = watch.seen().age;
    watch.until("it grows older", |seen| seen.age > age).await;
    assert!(scene.proxy.set(Fault::None) >= before + 3);
    scene.converges().await;
    watch.every_read_was_answered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_keeps_every_answer_of_the_feed_for_ever() {
    let mut scene = Scene::start().await;
    let before = scene.proxy.set(Fault::Hoard);
    // No question is asked twice, so an answer that was kept is not met.
    scene.sell_at_central("first", 5).await;
    scene.converges().await;
    assert_eq!(scene.proxy.spoilt(), before);
    // After a restart the counting begins anew, and an old answer is met that says "nothing new"
    // although there is. It was true once, and the next question is another one.
    for round in 0..3 {
        scene.store.kill().unwrap();
        scene.store.restart().await.unwrap();
        scene.converges().await;
        scene.store.kill().unwrap();
        scene.sell_at_central(&format!("round-{round}"), 5).await;
        scene.store.restart().await.unwrap();
        let watch = scene.watch();
        scene.converges().await;
        watch.every_read_was_answered().await;
    }
    assert!(scene.proxy.spoilt() > before, "no kept answer was met");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_heeds_the_headers_saves_questions_and_harms_nobody() {
    let scene = Scene::start().await;
    let before = scene.proxy.set(Fault::Collapse);
    let watch = scene.watch();
    let mut stores = Vec::new();
    for number in 2..5 {
        stores.push(store(&format!("store-s{number}"), scene.dir.path(), &scene.proxy).await);
    }
    for round in 0..5 {
        scene.sell_at_central(&format!("round-{round}"), 10).await;
        for store in &stores {
            converges(&scene.client, &scene.central, store).await;
        }
        scene.converges().await;
    }
    assert!(scene.proxy.spoilt() > before, "nothing was answered twice");
    watch.every_read_was_answered().await;
}
