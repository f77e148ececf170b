//! The catalogue at one offset: exact, whole, shared, and never taken from under a reader.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use central_api::feed::exports::Exports;
use central_api::feed::snapshot::CatalogueCut;
use central_api::journal::{Body, Record};
use central_api::ledger::{Ledger, Published};
use serde_json::Value;
use shared::domain::inventory::{EventKind, Product};
use shared::limits;

use crate::served::{PATIENCE, READER, Served, create, decide, delete, movement, movements};

/// A snapshot's text, taken apart and checked as a follower would.
struct Loaded {
    offset: u64,
    digest: String,
    products: BTreeMap<String, Product>,
}

fn load(text: &[u8]) -> Loaded {
    let text = std::str::from_utf8(text).unwrap();
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap().split('\n').collect();
    let [header, rows @ .., trailer] = lines.as_slice() else {
        panic!("header and trailer");
    };
    let header: Value = serde_json::from_str(header).unwrap();
    let trailer: Value = serde_json::from_str(trailer).unwrap();
    assert_eq!(header["count"], rows.len());
    assert_eq!(trailer["count"], rows.len());
    let above = text.len() - lines.last().unwrap().len() - 1;
    let crc = format!("{:08x}", crc32c::crc32c(&text.as_bytes()[..above]));
    assert_eq!(trailer["crc"], crc);
    let products: Vec<Product> = rows
        .iter()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let digest = products.iter().map(Product::digest);
    let digest = format!("{:016x}", digest.fold(0, u64::wrapping_add));
    assert_eq!(trailer["digest"], digest);
    let count = products.len();
    let products: BTreeMap<String, Product> = products
        .into_iter()
        .map(|product| (product.id.to_string(), product))
        .collect();
    assert_eq!(products.len(), count, "each product once");
    Loaded {
        offset: header["offset"].as_u64().unwrap(),
        digest,
        products,
    }
}

#[tokio::test]
async fn a_follower_is_sent_to_a_snapshot_that_checks_out_in_every_coding() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let ids = (0..500).map(|number| format!("P-{number:03}"));
    decide(&central.ledger, create(ids, 10)).await;
    decide(&central.ledger, movement("P-007", -3)).await;
    decide(&central.ledger, delete("P-008")).await;

    let redirect = central.get("/v1/inventory/snapshot?fresh=abc").await;
    assert_eq!(redirect.status, 307);
    let place = redirect.header("location").to_owned();
    assert_eq!(
        place,
        format!(
            "/v1/inventory/snapshots/{}-502",
            central.ledger.published().log_gen()
        )
    );
    let plain = central.get(&place).await;
    assert_eq!(
        plain.header("cache-control"),
        "public, max-age=31536000, immutable"
    );
    let loaded = load(&plain.bytes);
    assert_eq!(loaded.offset, 502);
    assert_eq!(
        loaded.digest,
        format!("{:016x}", central.ledger.published().head().digest)
    );
    assert_eq!(loaded.products.len(), 499);
    assert_eq!(loaded.products["P-007"].available(), 7);

    let zstd = central
        .get_with(&place, &[("accept-encoding", "gzip, zstd")])
        .await;
    assert_eq!(zstd.header("content-encoding"), "zstd");
    assert_eq!(
        zstd.header("content-length"),
        zstd.bytes.len().to_string().as_str()
    );
    assert_eq!(
        zstd::decode_all(zstd.bytes.as_slice()).unwrap(),
        plain.bytes
    );
    assert!(zstd.bytes.len() * 4 < plain.bytes.len());
    let gzip = central
        .get_with(&place, &[("accept-encoding", "gzip")])
        .await;
    assert_eq!(gzip.header("content-encoding"), "gzip");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(gzip.bytes.as_slice())
        .read_to_end(&mut text)
        .unwrap();
    assert_eq!(text, plain.bytes);

    let tags = [&plain, &zstd, &gzip].map(|reply| reply.header("etag").to_owned());
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2]);
    let known = central
        .get_with(&place, &[("if-none-match", tags[0].as_str())])
        .await;
    assert_eq!(known.status, 304);
    // The log goes on where the snapshot ends.
    let (log_gen, offset) = place.rsplit_once('/').unwrap().1.rsplit_once('-').unwrap();
    let next = central
        .get(&format!(
            "/v1/inventory/events?gen={log_gen}&offset={offset}"
        ))
        .await
        .expect(200);
    assert_eq!(next["digest"], loaded.digest);

    central.stop().await;
}

#[tokio::test]
async fn a_snapshot_needs_a_key_and_a_name_that_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let missing = central
        .get("/v1/inventory/snapshots/0123456789abcdef-9")
        .await;
    assert_eq!(missing.expect(404)["code"], "not_found");
    let reader = [("x-api-key", READER)];
    let read = central.get_with("/v1/inventory/snapshot", &reader).await;
    assert_eq!(read.status, 307);
    let nobody = [("x-api-key", "nonsense")];
    assert_eq!(
        central
            .get_with("/v1/inventory/snapshot", &nobody)
            .await
            .status,
        401
    );
    central.stop().await;
}

/// The catalogue after every event below `offset`, from the log alone.
fn replayed(published: &Published, offset: u64) -> BTreeMap<String, Product> {
    let mut products = BTreeMap::new();
    let mut next = published.journal.oldest().seq;
    loop {
        let frames = published.journal.frames_from_seq(next, 1 << 20).unwrap();
        let Some(last) = frames.last() else {
            return products;
        };
        next = last.header.next_seq();
        for line in frames.iter().flat_map(|frame| frame.lines()) {
            let Body::Decision(record) = Record::parse(line).unwrap().body else {
                continue;
            };
            for (at, event) in (record.first.inventory..).zip(record.decision.events) {
                if at >= offset {
                    return products;
                }
                let id = event.product.id.to_string();
                match event.kind {
                    EventKind::Deleted => products.remove(&id),
                    EventKind::Created | EventKind::Updated => products.insert(id, event.product),
                };
            }
        }
    }
}

/// Writes until told to stop: sales, deletions, and products that come and come back.
async fn churn(ledger: Ledger, number: usize, done: Arc<AtomicBool>) {
    let mut round = 0;
    while !done.load(Ordering::Relaxed) {
        let product = format!("P-{:03}", (number * 37 + round * 11) % 300);
        match round % 5 {
            0 => decide(&ledger, delete(&product)).await,
            1 => decide(&ledger, create([product], 1_000)).await,
            2 => decide(&ledger, create([format!("N-{number}-{round}")], 5)).await,
            _ => decide(&ledger, movement(&product, -1)).await,
        };
        round += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_cut_while_everybody_writes_is_the_state_at_its_offset() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    // So many that gathering them takes longer than a frame.
    let ids = (0..5_000).map(|number| format!("P-{number:03}"));
    decide(&central.ledger, create(ids, 1_000)).await;
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8)
        .map(|number| tokio::spawn(churn(central.ledger.clone(), number, Arc::clone(&done))))
        .collect();
    let published = Arc::clone(central.ledger.published());
    let cuts = tokio::task::spawn_blocking(move || {
        // Those are wanted during which the log went on.
        let end = tokio::time::Instant::now() + PATIENCE;
        let mut cuts = Vec::new();
        while cuts.len() < 10 {
            assert!(tokio::time::Instant::now() < end, "{} cuts", cuts.len());
            let before = published.head().offset;
            let cut = CatalogueCut::take(&published).unwrap();
            if cut.offset() > before {
                let mut text = Vec::new();
                cut.write(&mut text).unwrap();
                cuts.push(text);
            }
        }
        cuts
    });
    let cuts = cuts.await;
    done.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    for text in cuts.unwrap() {
        let cut = load(&text);
        assert!(
            cut.products == replayed(central.ledger.published(), cut.offset),
            "at {}",
            cut.offset
        );
    }
    central.stop().await;
}

#[tokio::test]
async fn all_who_ask_at_once_share_one_and_the_one_before_is_still_there() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    let (ledger, published) = (&central.ledger, central.ledger.published());
    decide(ledger, create((0..50).map(|n| format!("P-{n}")), 100_000)).await;
    let exports = Arc::new(Exports::new(dir.path().join("exports")));
    let many = (0..20).map(|_| exports.current(published));
    let many = futures_util::future::join_all(many).await;
    let first = Arc::clone(many[0].as_ref().unwrap());
    for other in many {
        assert!(Arc::ptr_eq(&first, &other.unwrap()));
    }
    // A little later a little has happened: it is still good enough.
    decide(ledger, movement("P-1", -1)).await;
    later(limits::EXPORT_REUSE * 2).await;
    assert!(Arc::ptr_eq(
        &first,
        &exports.current(published).await.unwrap()
    ));

    let mut made = vec![Arc::clone(&first)];
    for _ in 0..2 {
        much(ledger).await;
        let next = exports.current(published).await.unwrap();
        assert!(next.offset > made.last().unwrap().offset);
        // Soon after, it is given out however much has happened.
        much(ledger).await;
        let same = exports.current(published).await.unwrap();
        assert!(Arc::ptr_eq(&next, &same));
        made.push(next);
        later(limits::EXPORT_REUSE * 2).await;
    }
    assert!(exports.find(&made[2].name(), published).is_some());
    assert!(exports.find(&made[1].name(), published).is_some());
    assert!(exports.find(&made[0].name(), published).is_none());
    // Whoever is loading the first one reads it to its end all the same.
    let mut text = Vec::new();
    first.text().unwrap().read_to_end(&mut text).unwrap();
    assert_eq!(load(&text).offset, first.offset);

    let latest = exports.current(published).await.unwrap();
    later(limits::EXPORT_AGE_MAX * 2).await;
    let same = exports.current(published).await.unwrap();
    assert!(Arc::ptr_eq(&latest, &same), "old, but nothing has happened");
    decide(ledger, movement("P-3", -1)).await;
    let new = exports.current(published).await.unwrap();
    assert!(new.offset > same.offset, "old, and something has happened");
    central.stop().await;
}

#[tokio::test]
async fn a_snapshot_behind_which_events_are_gone_is_gone_too() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start_with(&dir, |config| config.segment_bytes = 4_096).await;
    let ledger = &central.ledger;
    decide(ledger, create((0..10).map(|n| format!("P-{n}")), 1_000)).await;
    let newest = async || {
        let redirect = central.get("/v1/inventory/snapshot").await;
        assert_eq!(redirect.status, 307);
        redirect.header("location").to_owned()
    };
    let older = newest().await;
    for _ in 0..100 {
        decide(ledger, movement("P-2", -1)).await;
    }
    assert_eq!(newest().await, older, "it is recent");
    assert_eq!(central.get(&older).await.status, 200);
    let journal = &ledger.published().journal;
    journal.drop_before(ledger.published().head().seq).unwrap();
    assert!(journal.oldest().offsets.inventory > 10);
    // Dropped as the newest, it is made anew; as the one before it is kept, but leads nowhere.
    for again in ["before a newer one is made", "after"] {
        let gone = central.get(&older).await.expect(404);
        assert_eq!(gone["code"], "not_found", "{again}");
        assert_eq!(gone["snapshotUrl"], "/v1/inventory/snapshot");
        let next = newest().await;
        assert_ne!(next, older);
        let name = next.rsplit_once('/').unwrap().1;
        let (log_gen, offset) = name.rsplit_once('-').unwrap();
        assert_eq!(load(&central.get(&next).await.bytes).offset, 110);
        let events = format!("/v1/inventory/events?gen={log_gen}&offset={offset}");
        central.get(&events).await.expect(200);
    }
    central.stop().await;
}

/// More events than a reader of a snapshot should have to read behind it.
async fn much(ledger: &Ledger) {
    for _ in 0..=limits::EXPORT_EVENTS_BEHIND / 500 {
        let lines: Vec<_> = (0..500).map(|_| ("P-2", -1)).collect();
        decide(ledger, movements(lines)).await;
    }
}

/// Lets `span` pass for everything that measures time.
async fn later(span: Duration) {
    tokio::time::pause();
    tokio::time::advance(span).await;
    tokio::time::resume();
}
