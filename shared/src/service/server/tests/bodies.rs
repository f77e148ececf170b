//! Bodies that nobody reads, on either side.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, interval};

use super::*;

/// A body without end, in chunks; tells when it is given up, and counts.
fn endless(given_up: &Arc<Notify>, chunks: &Arc<AtomicU32>) -> Router {
    let (given_up, chunks) = (Arc::clone(given_up), Arc::clone(chunks));
    Router::new().route(
        "/endless",
        get(move || {
            let (guard, chunks) = (Dropped(Arc::clone(&given_up)), Arc::clone(&chunks));
            async move {
                let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
                Body::from_stream(stream::repeat(chunk).map(move |chunk| {
                    let _: &Dropped = &guard;
                    chunks.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, std::convert::Infallible>(chunk)
                }))
            }
        }),
    )
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_cut() {
    let (given_up, chunks) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let options = ServerOptions {
        write_stall: ms(300),
        ..options()
    };
    let server = TestServer::start(endless(&given_up, &chunks), options).await;
    let mut client = server.client().await;
    client
        .send("GET /endless HTTP/1.1\r\nhost: h\r\n\r\n")
        .await;
    timeout(PATIENCE, given_up.notified())
        .await
        .expect("the body is given up");
    // The control: one that reads, however slowly, goes on well past the limit.
    let mut reader = server.client().await;
    reader
        .send("GET /endless HTTP/1.1\r\nhost: h\r\n\r\n")
        .await;
    let (began, mut pace) = (Instant::now(), interval(ms(50)));
    let mut buffer = vec![0; 1024 * 1024];
    while began.elapsed() < ms(1_000) {
        pace.tick().await;
        assert_ne!(
            timeout(PATIENCE, reader.0.read(&mut buffer))
                .await
                .unwrap()
                .unwrap(),
            0
        );
    }
    drop(reader);
    timeout(PATIENCE, given_up.notified())
        .await
        .expect("gone with its reader");
    server.stop().await;
}

#[tokio::test]
async fn who_is_still_sending_reads_why_it_was_refused() {
    let app = Router::new().route("/", axum::routing::post(|| async { "no" }));
    let server = TestServer::start(app, ServerOptions::default()).await;
    let mut client = server.client().await;
    // Far more than the sockets hold between them, so this ends only if somebody reads it.
    let bytes = limits::BODY_PASSED_OVER / 2;
    client
        .send(&format!(
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {bytes}\r\n\r\n"
        ))
        .await;
    client.send(&"x".repeat(bytes)).await;
    assert!(client.answer().await.starts_with("HTTP/1.1 200"));
    server.stop().await;
}

#[tokio::test]
async fn what_nobody_wants_is_not_read_for_ever() {
    let app = Router::new().route("/", axum::routing::post(|| async { "no" }));
    let server = TestServer::start(app, ServerOptions::default()).await;
    let mut client = server.client().await;
    client
        .send("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    let sent = async {
        let mut sent = 0;
        while client.0.write_all(chunk.as_bytes()).await.is_ok() {
            sent += chunk.len();
        }
        sent
    };
    let sent = timeout(PATIENCE, sent).await.expect("the server hangs up");
    assert!(sent >= limits::BODY_PASSED_OVER / 2, "{sent} bytes");
    server.stop().await;
}
