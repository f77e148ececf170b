//! How a server ends: what is under way may finish, and not for ever.

use std::sync::Mutex;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::*;

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
