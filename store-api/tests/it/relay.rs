//! Stores that follow stores.

use reqwest::Response;
use serde_json::{Value, json};
use store_api::Settings;

use crate::fake_central::FakeCentral;
use crate::harness::{KEY, TestStore, eventually, header, settings};

pub(crate) fn follower_of(relay: &TestStore, id: &str) -> Settings {
    Settings {
        store_id: id.to_owned(),
        central_api_key: Some(KEY.to_owned()),
        ..settings(&relay.url)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_stores_has_what_central_has() {
    let central = FakeCentral::start(3).await;
    let one = TestStore::start(&central.url()).await;
    one.live_at(3).await;
    let two = TestStore::with(follower_of(&one, "store-s2")).await;
    two.live_at(3).await;
    let three = TestStore::with(follower_of(&two, "store-s3")).await;
    three.live_at(3).await;
    for units in 0..50 {
        central.put("PROD-001", units);
    }
    three.live_at(53).await;
    assert_eq!(three.available("PROD-001").await, Some(49));
    assert_eq!(central.snapshots(), 1, "central sends its snapshot once");
    for (store, via) in [(&two, "1.1 store-s1, 1.1 store-s2"), (&one, "1.1 store-s1")] {
        let answer = store.get("/v1/inventory/events?offset=50&limit=2").await;
        assert_eq!(header(&answer, "via"), Some(via));
        assert_eq!(header(&answer, "log-gen"), Some("00000000000000a1"));
        assert!(header(&answer, "age").is_some() && header(&answer, "log-cursor").is_some());
        let body: Value = answer.json().await.unwrap();
        let from_central: Value = serde_json::from_slice(&central.page(50)).unwrap();
        assert_eq!(body["events"][0], from_central["events"][0]);
        assert_eq!(
            (&body["nextOffset"], &body["hasMore"]),
            (&52.into(), &true.into())
        );
    }
    // Writes go up the chain with the key of the store where they began.
    assert_eq!(three.update("PROD-001", -1, "k").await.status(), 200);
    assert_eq!(central.applied_keys(), ["store-s3:k"]);
    assert_eq!(three.available("PROD-001").await, Some(48));
    eventually("central hears of the last store", async || {
        central.heartbeat_of("store-s3").is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_relay_serves_old_events_from_its_journal() {
    let central = FakeCentral::start(1).await;
    let relay = TestStore::start(&central.url()).await;
    relay.live_at(1).await;
    for units in 0..300 {
        central.put("PROD-001", units);
    }
    relay.live_at(301).await;
    let relay = relay.restart().await;
    central.vanish().await;
    let mut offset = 1;
    while offset < 301 {
        let page = relay
            .get_json(&format!("/v1/inventory/events?offset={offset}&limit=77"))
            .await;
        assert_eq!(page["events"][0]["offset"], offset);
        offset = page["nextOffset"].as_u64().unwrap();
    }
    let gone = relay.get("/v1/inventory/events?offset=0").await;
    assert_eq!(gone.status(), 410);
    let gone: Value = gone.json().await.unwrap();
    assert_eq!(
        (&gone["code"], &gone["oldestOffset"]),
        (&"offset_gone".into(), &1.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_never_claims_more_than_it_knows() {
    let central = FakeCentral::start(2).await;
    let relay = TestStore::start(&central.url()).await;
    relay.live_at(2).await;
    let page = relay.get_json("/v1/inventory/events?offset=2").await;
    assert_eq!(
        (&page["upToDate"], &page["digest"]),
        (&true.into(), &central.digest().into())
    );
    let diverged = relay
        .get("/v1/inventory/events?offset=2&gen=00000000000000ff")
        .await;
    assert_eq!(diverged.status(), 409);
    assert_eq!(
        diverged.json::<Value>().await.unwrap()["code"],
        "log_diverged"
    );
    let ahead = relay.get("/v1/inventory/events?offset=9").await;
    assert_eq!(ahead.json::<Value>().await.unwrap()["code"], "offset_ahead");
    central.put("PROD-001", 3);
    relay.live_at(3).await;
    // Without central it cannot know whether it is the reader or itself that is behind.
    central.vanish().await;
    eventually("the relay is stale", async || {
        relay.state().await == "stale"
    })
    .await;
    for path in ["offset=2&gen=00000000000000ff", "offset=9"] {
        let answer = relay.get(&format!("/v1/inventory/events?{path}")).await;
        assert_eq!(answer.status(), 503, "{path}");
    }
    let page = relay.get_json("/v1/inventory/events?offset=2").await;
    assert_eq!(
        (&page["count"], &page["upToDate"]),
        (&1.into(), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_took_over_another_log_takes_its_followers_with_it() {
    let central = FakeCentral::start(3).await;
    let one = TestStore::start(&central.url()).await;
    one.live_at(3).await;
    let two = TestStore::with(follower_of(&one, "store-s2")).await;
    central.put("PROD-001", 1);
    two.live_at(4).await;
    central.vanish().await;
    central.restore(2);
    for units in 0..9 {
        central.put("PROD-002", units);
    }
    central.appear().await;
    two.live_at(11).await;
    assert_eq!(two.available("PROD-002").await, Some(8));
    assert_eq!(two.available("PROD-003").await, None);
    assert_eq!(two.status().await["gen"], one.status().await["gen"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_through_a_relay_is_repeated_by_one_of_them_only() {
    // No answer says that nothing happened, so whoever may repeats: three times. The breakers are
    // kept out of it, since they would hide a storm.
    const PLENTY: u32 = 100;
    let central = FakeCentral::start(1).await;
    let patient = |mut settings: Settings| {
        settings.breaker.consecutive_failures = PLENTY;
        settings.breaker.min_calls = PLENTY;
        settings
    };
    let relay = TestStore::with(patient(settings(&central.url()))).await;
    relay.live_at(1).await;
    let store = TestStore::with(patient(follower_of(&relay, "store-s2"))).await;
    store.live_at(1).await;
    let attempts = || {
        let mut left = 0;
        central.misbehave(|spoilt| left = spoilt.refuse_updates.map_or(0, |(left, ..)| left));
        PLENTY - left
    };
    central.misbehave(|spoilt| spoilt.refuse_updates = Some((PLENTY, 502, "<html>")));
    assert_eq!(store.update("PROD-001", -1, "k1").await.status(), 504);
    assert_eq!(
        attempts(),
        3,
        "the till's store repeats, the relay does not"
    );
    // The control: a till's own write is repeated by the relay.
    central.misbehave(|spoilt| spoilt.refuse_updates = Some((PLENTY, 502, "<html>")));
    assert_eq!(relay.update("PROD-001", -1, "k2").await.status(), 504);
    assert_eq!(attempts(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_behind_a_relay_takes_no_orders_and_says_that_nothing_happened() {
    let central = FakeCentral::start(1).await;
    let relay = TestStore::start(&central.url()).await;
    relay.live_at(1).await;
    let store = TestStore::with(follower_of(&relay, "store-s2")).await;
    store.live_at(1).await;
    let order = json!({"customerId": "ann", "items": [{"productId": "PROD-001", "quantity": 1}]});
    let order = |store: &TestStore| {
        let request = store.client.post(format!("{}/v1/store/orders", store.url));
        let request = request.header("x-api-key", KEY);
        request.header("idempotency-key", "o1").json(&order).send()
    };
    let answer = order(&store).await.unwrap();
    assert_eq!(answer.status(), 404);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "not_found", "{problem}");
    // The control: the relay itself follows central.
    assert_eq!(order(&relay).await.unwrap().status(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_snapshot_is_served_whole_packed_or_not() {
    let central = FakeCentral::start(200).await;
    let relay = TestStore::start(&central.url()).await;
    relay.live_at(200).await;
    let redirect = relay.get("/v1/inventory/snapshot").await;
    assert_eq!(redirect.status(), 307);
    let path = header(&redirect, "location").unwrap().to_owned();
    let plain = relay.get(&path).await.bytes().await.unwrap();
    assert_eq!(plain.iter().filter(|byte| **byte == b'\n').count(), 202);
    let request = relay
        .client
        .get(format!("{}{path}", relay.url))
        .header("x-api-key", KEY);
    let packed = request
        .header("accept-encoding", "gzip, zstd")
        .send()
        .await
        .unwrap();
    assert_eq!(header(&packed, "content-encoding"), Some("zstd"));
    let packed = packed.bytes().await.unwrap();
    assert!(packed.len() * 3 < plain.len());
    assert_eq!(zstd::decode_all(&*packed).unwrap(), plain);
    assert_eq!(
        relay
            .get("/v1/inventory/snapshots/00000000000000a1-7")
            .await
            .status(),
        404
    );
    assert_eq!(
        relay
            .get("/v1/inventory/snapshots/..%2Flock")
            .await
            .status(),
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_of_a_snapshot_never_has_two_contents() {
    // A full sync at the same offset writes the snapshot file anew.
    let central = FakeCentral::start(20).await;
    let relay = TestStore::start(&central.url()).await;
    relay.live_at(20).await;
    let newest = async || {
        let redirect = relay.get("/v1/inventory/snapshot").await;
        let path = header(&redirect, "location").unwrap().to_owned();
        let answer = relay.get(&path).await;
        let immutable = "public, max-age=31536000, immutable";
        assert_eq!(header(&answer, "cache-control"), Some(immutable));
        let etag = header(&answer, "etag").unwrap().to_owned();
        (path, etag, answer.bytes().await.unwrap())
    };
    let before = newest().await;
    let name = "/v1/inventory/snapshots/00000000000000a1-20?crc=";
    assert!(before.0.starts_with(name), "{}", before.0);
    let first_line = before.2.split(|byte| *byte == b'\n').next().unwrap();
    let expected = r#"{"gen":"00000000000000a1","offset":20,"count":20}"#;
    assert_eq!(std::str::from_utf8(first_line).unwrap(), expected);
    let forced = relay
        .post("/v1/store/sync/force", &serde_json::json!({}))
        .await;
    assert_eq!(forced.status(), 200);
    assert_eq!(newest().await, before, "the same products, the same bytes");
    // Other bytes have another name, and who names none is not told to keep them.
    let other = relay.get(&format!("{name}00000000")).await;
    assert_eq!(other.status(), 404);
    let bare = name.trim_end_matches("?crc=");
    let bare = relay.get(bare).await;
    assert_eq!(header(&bare, "cache-control"), Some("public, no-cache"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_follows_itself_notices() {
    let central = FakeCentral::start(1).await;
    let one = TestStore::start(&central.url()).await;
    one.live_at(1).await;
    // The same name below: its answers carry the name of the one that reads them.
    let circle = TestStore::with(follower_of(&one, "store-s1")).await;
    eventually("it says what is wrong", async || {
        let error = circle.status().await["errorMessage"].clone();
        error.as_str().is_some_and(|error| error.contains("circle"))
    })
    .await;
}

/// Opens a stream at `relay`, answered with 200.
async fn streamed(relay: &TestStore, query: &str, last: Option<&str>) -> Response {
    let url = format!("{}/v1/inventory/events?{query}", relay.url);
    let request = relay.client.get(url).header("x-api-key", KEY);
    let request = request.header("accept", "text/event-stream");
    let request = match last {
        Some(last) => request.header("last-event-id", last),
        None => request,
    };
    request.send().await.unwrap()
}

/// Id and data of the next `count` events of a stream.
async fn next(stream: &mut Response, count: usize) -> Vec<(u64, Value)> {
    let mut text = String::new();
    let mut events = Vec::new();
    while events.len() < count {
        let part = stream.chunk().await.unwrap().expect("the stream goes on");
        text.push_str(std::str::from_utf8(&part).unwrap());
        while let Some((block, rest)) = text.split_once("\n\n") {
            let value = |name| block.lines().find_map(|line: &str| line.strip_prefix(name));
            if let Some((id, data)) = value("id: ").zip(value("data: ")) {
                events.push((id.parse().unwrap(), serde_json::from_str(data).unwrap()));
            }
            text = rest.to_owned();
        }
    }
    assert_eq!(events.len(), count, "nothing that was not waited for");
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_streams_as_central_does_and_ends_with_its_copy() {
    let central = FakeCentral::start(2).await;
    let relay = TestStore::start(&central.url()).await;
    relay.live_at(2).await;
    for units in 0..120 {
        central.put("PROD-001", units);
    }
    relay.live_at(122).await;
    let mut stream = streamed(&relay, "offset=2", None).await;
    assert_eq!(stream.status(), 200);
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("via", "1.1 store-s1"),
    ] {
        assert_eq!(header(&stream, name), Some(value));
    }
    assert!(header(&stream, "age").is_some());
    let page = relay
        .get_json("/v1/inventory/events?offset=2&limit=1000")
        .await;
    let events = next(&mut stream, 120).await;
    for (at, (id, data)) in events.iter().enumerate() {
        assert_eq!((*id, data), (at as u64 + 2, &page["events"][at]));
    }
    // What happens now comes by itself, and a reader that comes back goes on after the last it has.
    central.put("PROD-002", 7);
    assert_eq!(next(&mut stream, 1).await[0].0, 122);
    let mut resumed = streamed(&relay, "offset=2", Some("121")).await;
    assert_eq!(next(&mut resumed, 1).await[0].1["productId"], "PROD-002");

    // Another log takes this one's place: nobody is led from one into the other.
    central.vanish().await;
    central.restore(2);
    central.appear().await;
    for stream in [&mut stream, &mut resumed] {
        while let Some(part) = stream.chunk().await.unwrap() {
            let text = std::str::from_utf8(&part).unwrap();
            assert!(!text.contains("id: "), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_a_relay_cannot_give_is_refused() {
    let central = FakeCentral::start(2).await;
    let relay = TestStore::start(&central.url()).await;
    relay.live_at(2).await;
    for (query, last, status, code) in [
        ("offset=0", None, 410, "offset_gone"),
        ("offset=9", None, 409, "offset_ahead"),
        ("offset=0", Some("5"), 409, "offset_ahead"),
        ("offset=2&gen=00000000000000ff", None, 409, "log_diverged"),
        ("", None, 400, "EVENTS_ERROR"),
        ("offset=0", Some("x"), 400, "EVENTS_ERROR"),
        ("offset=2&limit=0", None, 400, "invalid_request"),
    ] {
        let answer = streamed(&relay, query, last).await;
        assert_eq!(answer.status(), status, "{query} {last:?}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], code, "{query} {last:?}");
    }
    // All that is wrong with a question is said at once, here as at central.
    let answer = relay
        .get("/v1/inventory/events?limit=x&wait=-1&gen=y")
        .await;
    let problem: Value = answer.json().await.unwrap();
    let details = problem["details"].as_array().unwrap();
    let fields: Vec<_> = details
        .iter()
        .map(|one| one["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        ["query.offset", "query.limit", "query.wait", "query.gen"]
    );
}
