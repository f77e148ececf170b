//! A server under test and a client that speaks raw HTTP/1.1. Here: who is served at all. How slow
//! heads and bodies fare and how a server ends have files of their own.

mod bodies;
mod ending;
mod heads;
#[cfg(feature = "testing")]
mod tls;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

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
        Self::start_over(None, app, options).await
    }

    async fn start_over(tls: Option<Arc<Tls>>, app: Router, options: ServerOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let app = app.layer(RequestContextLayer::default());
        let endpoint = Endpoint { listener, tls };
        let running = tokio::spawn(serve(endpoint, app, shutdown.clone(), options, &[]));
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

/// Notifies when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
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
