//! Who may go on, over restarts, restored copies and retention.

use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::{FEED, ask, lost, offsets, sound, stocked};
use crate::feeds::STREAM;
use crate::harness::{KEY, TestCentral, header, settings};
use crate::served::{Served, decide, movement};
use crate::verify::damage::Folder;

#[tokio::test]
async fn a_reader_goes_on_over_restarts_and_is_stopped_where_it_has_seen_another_log() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir, 2).await;
    let first = central.ledger.published().log_gen();
    central.stop().await;
    // A life without events: the next one begins at the same offset.
    let central = Served::start(&dir).await;
    let second = central.ledger.published().log_gen();
    central.stop().await;
    let central = Served::start(&dir).await;
    let third = central.ledger.published().log_gen();
    decide(&central.ledger, movement("A", -1)).await;
    decide(&central.ledger, movement("A", -1)).await;

    for (log_gen, offset, follows) in [
        (first, 0, true),
        (first, 5, true),
        (first, 6, false),
        (first, 7, false),
        (second, 0, true),
        (second, 5, true),
        (second, 6, false),
        (third, 0, true),
        (third, 5, true),
        (third, 7, true),
    ] {
        let reply = ask(&central, &format!("offset={offset}&gen={log_gen}")).await;
        if follows {
            sound(&central, &reply, offset);
        } else {
            lost(&central, &reply, 409, "log_diverged");
        }
    }
    let unknown = ask(&central, "offset=0&gen=0000000000000000").await;
    lost(&central, &unknown, 409, "log_diverged");
    let streamed = [("accept", "text/event-stream")];
    let path = format!("{FEED}?offset=0&gen=0000000000000000");
    let unknown = central.get_with(&path, &streamed).await;
    lost(&central, &unknown, 409, "log_diverged");
    for offset in [0, 6, 7] {
        let reply = ask(&central, &format!("offset={offset}")).await;
        sound(&central, &reply, offset);
    }
    let ahead = ask(&central, &format!("offset=8&gen={third}")).await;
    lost(&central, &ahead, 409, "offset_ahead");
    let ahead = ask(&central, "offset=8").await;
    lost(&central, &ahead, 409, "offset_ahead");
    central.stop().await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn an_older_copy_of_the_folder_cannot_pass_for_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir, 4).await;
    let before = central.ledger.published().log_gen();
    central.stop().await;
    let backup = tempfile::tempdir().unwrap();
    copy(dir.path(), backup.path());
    let central = Served::start(&dir).await;
    decide(&central.ledger, movement("A", -1)).await;
    let seen = central.ledger.published().log_gen();
    central.stop().await;

    let restored = Served::start(&backup).await;
    // It grows past what the readers have seen, so that offsets alone look right.
    decide(&restored.ledger, movement("A", -7)).await;
    decide(&restored.ledger, movement("A", -7)).await;
    let reader = ask(&restored, &format!("offset=8&gen={seen}")).await;
    lost(&restored, &reader, 409, "log_diverged");
    let reader = ask(&restored, &format!("offset=0&gen={seen}")).await;
    lost(&restored, &reader, 409, "log_diverged");
    // Who stands where the copy was taken has lost nothing.
    let reader = ask(&restored, &format!("offset=7&gen={before}")).await;
    assert_eq!(sound(&restored, &reader, 7), [7, 8]);
    // Without a name the offset alone decides, as in seed 003.
    let reader = ask(&restored, "offset=8").await;
    assert_eq!(sound(&restored, &reader, 8), [8]);
    restored.stop().await;
}

/// Makes the log look as if it had been written long ago.
pub(crate) fn age(dir: &Path) {
    let mut folder = Folder::read(dir);
    let places = folder.places();
    for place in places {
        let year = folder.record(place)["at"].as_str().unwrap()[..5].to_owned();
        folder.change(place, &[(&format!("\"{year}"), "\"2000-")]);
    }
    folder.snapshots.clear();
    fs::remove_dir_all(dir.join("journal")).unwrap();
    fs::remove_dir_all(dir.join("snapshots")).unwrap();
    folder.write(dir);
}

/// Sells twenty units of `A` one by one.
async fn sell(central: &TestCentral, name: &str) {
    for sale in 0..20 {
        let key = format!("{name}-{sale}");
        assert_eq!(central.update("A", -1, &key).await.status(), 200);
    }
}

#[tokio::test]
async fn what_retention_has_dropped_is_gone_and_a_snapshot_leads_over_it() {
    let mut settings = settings();
    settings.segment_bytes = 4_000;
    settings.event_retention_hours = 1;
    settings.idempotency_retention_hours = 1;
    let mut central = TestCentral::with(settings).await;
    central.create("A", 100).await;
    sell(&central, "old").await;
    let feed = |offset: u64| format!("{FEED}?offset={offset}");
    assert_eq!(central.get(&feed(0)).await.status(), 200);
    central.stop().await;
    age(&central.folder());
    // A snapshot at the end of each life; what lies before the last but one may go.
    central = central.restart().await;
    assert_eq!(
        central.get(&feed(0)).await.status(),
        200,
        "nothing may go yet"
    );
    sell(&central, "new").await;
    central = central.restart().await;
    central.update("A", -1, "last").await;
    central = central.restart().await;

    let head = central.head().await;
    let gone = central.get(&feed(0)).await;
    assert_eq!(gone.status(), 410);
    assert_eq!(header(&gone, "cache-control"), Some("no-store"));
    let problem: Value = gone.json().await.unwrap();
    assert_eq!(problem["code"], "offset_gone");
    assert_eq!(problem["headOffset"], head);
    assert_eq!(problem["snapshotUrl"], "/v1/inventory/snapshot");
    let oldest = problem["oldestOffset"].as_u64().unwrap();
    assert!(
        (1..=21).contains(&oldest),
        "old ones are gone, young ones are not: {oldest}"
    );
    assert_eq!(central.get(&feed(oldest - 1)).await.status(), 410);
    let answer = central.get_json(&feed(oldest)).await;
    assert_eq!(answer["oldestOffset"], oldest);
    assert_eq!(offsets(&answer).first(), Some(&oldest));
    let streamed = central
        .request(Method::GET, &feed(0), KEY)
        .header(STREAM.0, STREAM.1);
    assert_eq!(streamed.send().await.unwrap().status(), 410);

    let place = central.get("/v1/inventory/snapshot").await;
    let place = header(&place, "location").unwrap().to_owned();
    let (log_gen, offset) = place.rsplit_once('/').unwrap().1.split_once('-').unwrap();
    assert_eq!(central.get(&place).await.status(), 200);
    let next = central
        .get_json(&format!("{FEED}?offset={offset}&gen={log_gen}"))
        .await;
    assert_eq!(next["upToDate"], true, "{next}");
}

#[tokio::test]
async fn a_count_is_answered_again_after_its_basis_was_dropped() {
    let mut settings = settings();
    settings.segment_bytes = 4_000;
    settings.event_retention_hours = 1;
    settings.idempotency_retention_hours = 1;
    let mut central = TestCentral::with(settings).await;
    central.create("A", 100).await;
    sell(&central, "old").await;
    central.stop().await;
    age(&central.folder());
    central = central.restart().await;
    let line = json!({"productId": "A", "counted": 96, "basisOffset": 1});
    let count = json!({"countedBy": "Ada", "lines": [line], "idempotencyKey": "count"});
    let counted = central.post("/v1/inventory/counts", &count).await;
    assert_eq!(counted.status(), 200);
    let counted: Value = counted.json().await.unwrap();
    sell(&central, "new").await;
    central = central.restart().await;
    central.update("A", -1, "last").await;
    central = central.restart().await;

    // What was there at its basis is not known any more; a repeat of the count is answered all the same.
    let again = central.post("/v1/inventory/counts", &count).await;
    assert_eq!(header(&again, "idempotent-replayed"), Some("true"));
    assert_eq!(again.json::<Value>().await.unwrap(), counted);
    let mut other = count;
    other["idempotencyKey"] = "another".into();
    let refused = central.post("/v1/inventory/counts", &other).await;
    assert_eq!(refused.status(), 410);
}
