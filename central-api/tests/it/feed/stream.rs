//! The feed as a stream of server-sent events.

use serde_json::Value;

use super::{FEED, ask, lost, stocked};
use crate::feeds::{STREAM, Streamed, texts};
use crate::harness::header;
use crate::served::{ADMIN, decide, movement};

#[tokio::test]
async fn a_stream_gives_the_same_events_and_goes_on_after_the_last_one_seen() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir, 250).await;
    let page = ask(&central, "offset=0&limit=1000").await;
    let answer = page.expect(200);
    let mut stream = Streamed::open(&central, FEED, "offset=0", &[STREAM]).await;
    let mut streamed = Vec::new();
    for offset in 0..253 {
        let (id, data) = stream.next().await.unwrap();
        assert_eq!(id, offset);
        streamed.push(data);
    }
    assert!(streamed.join(",") == texts(&page), "the same bytes");
    // What happens now comes by itself.
    decide(&central.ledger, movement("B", -4)).await;
    let (id, data) = stream.next().await.unwrap();
    let data: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(
        (id, &data["productId"], &data["cause"]["delta"]),
        (253, &"B".into(), &(-4).into())
    );

    // A browser that comes back names the last event it has; its URL still says where it began.
    for (last, first) in [("0", 1), ("100", 101), ("252", 253)] {
        let headers = [STREAM, ("last-event-id", last)];
        let mut stream = Streamed::open(&central, FEED, "offset=0", &headers).await;
        assert_eq!(stream.next().await.unwrap().0, first, "after {last}");
    }
    // At the head there is nothing yet, and then there is.
    let headers = [STREAM, ("last-event-id", "253")];
    let mut resumed = Streamed::open(&central, FEED, "offset=0", &headers).await;
    decide(&central.ledger, movement("C", -1)).await;
    assert_eq!(resumed.next().await.unwrap().0, 254);
    assert_eq!(stream.next().await.unwrap().0, 254);

    // The end of the service ends the streams.
    central.shutdown.cancel();
    assert_eq!(resumed.next().await, None);
    assert_eq!(stream.next().await, None);
    drop((answer, stream, resumed));
    central.stop().await;
}

#[tokio::test]
async fn a_stream_that_cannot_go_on_is_refused_and_not_begun_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir, 2).await;
    let refused = async |query: &str, last: Option<&str>| {
        let mut headers = vec![STREAM];
        headers.extend(last.map(|last| ("last-event-id", last)));
        central.get_with(&format!("{FEED}?{query}"), &headers).await
    };
    for last in ["5", "9007199254740990"] {
        let reply = refused("offset=0", Some(last)).await;
        lost(&central, &reply, 409, "offset_ahead");
    }
    for last in [
        "",
        "x",
        "-1",
        "+1",
        "1.5",
        "9007199254740992",
        "18446744073709551615",
        "18446744073709551616",
    ] {
        let problem = refused("offset=0", Some(last)).await.expect(400);
        assert_eq!(problem["code"], "EVENTS_ERROR", "{last:?}");
    }
    assert_eq!(refused("", None).await.expect(400)["code"], "EVENTS_ERROR");
    assert_eq!(
        refused("offset=0&limit=0", None).await.expect(400)["code"],
        "invalid_request"
    );
    lost(
        &central,
        &refused("offset=6", None).await,
        409,
        "offset_ahead",
    );
    central.stop().await;
}

#[tokio::test]
async fn only_who_asks_for_a_stream_first_gets_one() {
    let dir = tempfile::tempdir().unwrap();
    let central = stocked(&dir, 0).await;
    for (accept, streamed) in [
        ("text/event-stream", true),
        ("text/event-stream, application/json", true),
        ("text/event-stream;q=0.9", true),
        ("application/json", false),
        ("application/json, text/event-stream", false),
        ("*/*", false),
        ("text/html", false),
        ("", false),
    ] {
        let request = central.client.get(central.url(&format!("{FEED}?offset=0")));
        let request = request.header("x-api-key", ADMIN).header("accept", accept);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{accept}");
        let expected = match streamed {
            true => "text/event-stream",
            false => "application/json",
        };
        assert_eq!(
            header(&response, "content-type"),
            Some(expected),
            "{accept}"
        );
    }
    central.stop().await;
}
