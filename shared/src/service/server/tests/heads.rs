//! Heads that come slowly, half, too large or many at a time.

use tokio::time::{Instant, interval};

use super::*;

#[tokio::test]
async fn clients_that_withhold_a_head_are_closed_while_others_are_served() {
    let server = TestServer::start(hello(), options()).await;
    let patient = TestServer::start(hello(), ServerOptions::default()).await;
    let (mut silent, mut half, mut slow) = (
        server.client().await,
        server.client().await,
        server.client().await,
    );
    let mut normal = server.client().await;
    // The control: the same silence, where the limit is longer, is not closed.
    let tolerated = patient.client().await;
    let began = Instant::now();
    half.send("GET / HTTP/1.1\r\nhost: h\r\nx-unfinished: ")
        .await;
    let drip = async {
        let mut pace = interval(ms(25));
        loop {
            pace.tick().await;
            if slow.0.write_all(b"G").await.is_err() {
                return;
            }
            if slow.0.try_read(&mut [0; 16]).is_ok_and(|read| read == 0) {
                return;
            }
        }
    };
    let serve_on = async {
        let mut served = 0;
        while began.elapsed() < ms(800) {
            assert!(normal.get("/").await.starts_with("HTTP/1.1 200"));
            served += 1;
        }
        served
    };
    let (.., served) = tokio::join!(
        async {
            silent.closed().await;
            assert!(began.elapsed() >= ms(390), "not before its time");
        },
        half.closed(),
        async {
            timeout(PATIENCE, drip)
                .await
                .expect("the dripping client is closed");
        },
        serve_on,
    );
    assert!(began.elapsed() < ms(800) + SLACK, "{:?}", began.elapsed());
    assert!(served > 10);
    assert!(tolerated.is_open() && normal.is_open());
    assert_eq!(server.stop().await.cut, 0);
    patient.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_kept_past_the_time_for_a_head_and_not_for_ever() {
    let options = ServerOptions {
        header_read: ms(150),
        idle: ms(700),
        ..options()
    };
    let server = TestServer::start(hello(), options).await;
    let mut client = server.client().await;
    client.get("/").await;
    let idle_since = Instant::now();
    client.closed().await;
    let idled = idle_since.elapsed();
    // Noticed at most an interval late.
    assert!(idled >= ms(690) && idled < ms(850) + SLACK, "{idled:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_stops_half_way_is_closed_on_an_old_connection_too() {
    let server = TestServer::start(hello(), options()).await;
    let (mut stops, mut idles) = (server.client().await, server.client().await);
    stops.get("/").await;
    idles.get("/").await;
    let began = Instant::now();
    stops.send("GET /").await;
    stops.closed().await;
    assert!(began.elapsed() >= ms(390) && began.elapsed() < ms(400) + SLACK);
    assert!(idles.is_open(), "idling is something else");
    server.stop().await;
}

#[tokio::test]
async fn a_slow_body_is_not_a_slow_head() {
    let server = TestServer::start(hello(), options()).await;
    let mut client = server.client().await;
    client
        .send("POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n")
        .await;
    let mut pace = interval(ms(200));
    for byte in ["s", "l", "o", "w", "!"] {
        pace.tick().await;
        client.send(byte).await;
    }
    assert!(client.answer().await.ends_with("slow!"));
    // And it leaves nothing behind that would make the next idling look like a head.
    let mut later = server.client().await;
    later.closed().await;
    assert!(client.is_open());
    assert!(client.get("/").await.ends_with("hello"));
    server.stop().await;
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let server = TestServer::start(hello(), options()).await;
    let mut client = server.client().await;
    let ahead = "POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\n";
    client.send(&format!("{ahead}1{ahead}2{ahead}3")).await;
    let mut text = String::new();
    while !text.contains("\r\n\r\n3") {
        let mut read = Vec::new();
        let got = timeout(PATIENCE, client.0.read_buf(&mut read))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(got, 0, "{text}");
        text.push_str(&String::from_utf8(read).unwrap());
    }
    let bodies: Vec<_> = text
        .match_indices("\r\n\r\n")
        .map(|(at, _)| &text[at + 4..at + 5])
        .collect();
    assert_eq!(bodies, ["1", "2", "3"]);
    server.stop().await;
}

#[tokio::test]
async fn a_head_beyond_its_bound_is_refused() {
    let server = TestServer::start(hello(), options()).await;
    for (bytes, status) in [(6_000, "200"), (40_000, "431")] {
        let mut client = server.client().await;
        let filler = "x".repeat(bytes);
        // The refusal may come while we still write.
        drop(
            client
                .0
                .write_all(
                    format!("GET / HTTP/1.1\r\nhost: h\r\nx-filler: {filler}\r\n\r\n").as_bytes(),
                )
                .await,
        );
        let answer = client.answer().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    server.stop().await;
}
