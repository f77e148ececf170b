use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use super::*;
use crate::service::request_context::{RequestContext, RequestContextLayer};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Everything in a test happens within this, or the test has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a busy machine may add to a deadline.
const SLACK: Duration = Duration::from_secs(1);

struct TestServer {
    address: SocketAddr,
    shutdown: CancellationToken,
    running: JoinHandle<ServeReport>,
}

impl TestServer {
    async fn start(app: Router, options: ServerOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let app = app.layer(RequestContextLayer::default());
        let running = tokio::spawn(serve(listener, app, shutdown.clone(), options, &[]));
        Self {
            address,
            shutdown,
            running,
        }
    }

    async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    async fn stop(self) -> ServeReport {
        self.shutdown.cancel();
        timeout(PATIENCE, self.running)
            .await
            .expect("the server ends")
            .unwrap()
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// One answer with a `Content-Length`.
    async fn answer(&mut self) -> String {
        let mut read = Vec::new();
        let whole = async {
            loop {
                let text = String::from_utf8_lossy(&read).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head
                        .lines()
                        .find_map(|line| line.strip_prefix("content-length: "));
                    if body.len() >= length.map_or(0, |digits| digits.parse().unwrap()) {
                        return text;
                    }
                }
                assert_ne!(
                    self.0.read_buf(&mut read).await.unwrap(),
                    0,
                    "ended after {text:?}"
                );
            }
        };
        timeout(PATIENCE, whole).await.expect("an answer")
    }

    async fn get(&mut self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"))
            .await;
        self.answer().await
    }

    /// Waits until the other side closes; whatever came before counts as nothing.
    async fn closed(&mut self) {
        let mut rest = Vec::new();
        let end = async {
            // A reset is a close too.
            while self.0.read_buf(&mut rest).await.is_ok_and(|read| read > 0) {}
        };
        timeout(PATIENCE, end)
            .await
            .expect("the server closes the connection");
    }

    fn is_open(&self) -> bool {
        let waits = self.0.try_read(&mut [0; 1]);
        waits.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

fn options() -> ServerOptions {
    ServerOptions {
        header_read: ms(400),
        idle: Duration::from_secs(60),
        ..ServerOptions::default()
    }
}

fn hello() -> Router {
    let echo = |body: Bytes| async move { body };
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(echo))
}

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

/// Notifies when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

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
async fn a_stop_lets_the_request_under_way_finish_and_takes_no_other() {
    let (began, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = oneshot::channel::<()>();
    let released = Arc::new(Mutex::new(Some(released)));
    let wait = move || {
        let released = released.lock().unwrap().take();
        began.send(()).unwrap();
        async move {
            if let Some(released) = released {
                released.await.unwrap();
            }
            "done"
        }
    };
    let server = TestServer::start(hello().route("/wait", get(wait)), options()).await;
    let (mut waits, mut idles) = (server.client().await, server.client().await);
    idles.get("/").await;
    waits.send("GET /wait HTTP/1.1\r\nhost: h\r\n\r\n").await;
    timeout(PATIENCE, has_begun.recv()).await.unwrap();
    let mut silent = server.client().await;
    server.shutdown.cancel();
    // What waits for nothing is closed at once; new connections are refused.
    idles.closed().await;
    silent.closed().await;
    let refused = async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused)
        .await
        .expect("the listener is gone");
    assert!(!server.running.is_finished());
    release.send(()).unwrap();
    let answer = waits.answer().await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
        "{answer}"
    );
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(server.stop().await.cut, 0);
}

#[tokio::test]
async fn the_end_is_bounded_however_busy() {
    let given_up = Arc::new(Notify::new());
    let guard = Arc::clone(&given_up);
    let stuck = move || {
        let guard = Dropped(Arc::clone(&guard));
        async move {
            std::future::pending::<()>().await;
            drop(guard);
        }
    };
    let options = ServerOptions {
        drain: ms(300),
        ..options()
    };
    let server = TestServer::start(Router::new().route("/", get(stuck)), options).await;
    let mut client = server.client().await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    // The drain begins only when the request has: a connection that was never accepted is not cut.
    while server.running.is_finished() || !client.is_open() {
        tokio::task::yield_now().await;
    }
    let mut other = server.client().await;
    other.closed().await;
    let began = Instant::now();
    let report = server.stop().await;
    assert!(began.elapsed() >= ms(290) && began.elapsed() < ms(300) + SLACK);
    assert_eq!(report.cut, 1);
    timeout(PATIENCE, given_up.notified())
        .await
        .expect("its handler is dropped");
    client.closed().await;
}

#[tokio::test]
async fn connections_past_the_bound_wait_for_a_place() {
    let options = ServerOptions {
        connections: 2,
        ..options()
    };
    let server = TestServer::start(hello(), options).await;
    let (mut first, mut second) = (server.client().await, server.client().await);
    first.get("/").await;
    second.get("/").await;
    let mut third = server.client().await;
    third.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    // The control: the other two are served meanwhile and the third is not.
    for _ in 0..50 {
        first.get("/").await;
    }
    assert!(third.is_open());
    drop(second);
    assert!(third.answer().await.ends_with("hello"));
    server.stop().await;
}

#[tokio::test]
async fn a_handler_learns_who_is_at_the_other_end() {
    let peer = |context: RequestContext, request: Request| async move {
        // The layer has moved it; there is one place to look.
        assert!(
            request
                .extensions()
                .get::<crate::service::request_context::Peer>()
                .is_none()
        );
        context.peer().unwrap().to_string()
    };
    let server = TestServer::start(Router::new().route("/", get(peer)), options()).await;
    let mut client = server.client().await;
    let own = client.0.local_addr().unwrap().to_string();
    assert!(client.get("/").await.ends_with(&own));
    server.stop().await;
}

#[tokio::test]
async fn a_panic_ends_neither_the_connection_nor_the_server() {
    async fn panics() -> &'static str {
        panic!("a defect")
    }
    let server = TestServer::start(hello().route("/panics", get(panics)), options()).await;
    let mut client = server.client().await;
    let answer = client.get("/panics").await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(
        answer.contains("internal_error") && !answer.contains("a defect"),
        "{answer}"
    );
    assert!(client.get("/").await.ends_with("hello"));
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
