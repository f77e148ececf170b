//! A server that speaks TLS: who is served over it, and who is not waited for.

use http::Version;
use reqwest::Certificate;
use tempfile::TempDir;

use super::*;
use crate::testing::certificates::{Authority, Files};

/// A server with a certificate, and who vouches for it.
struct Secure {
    server: TestServer,
    authority: Authority,
    files: Files,
    tls: Arc<Tls>,
    _dir: TempDir,
}

impl Secure {
    async fn start(app: Router, options: ServerOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let files = authority.issue(dir.path());
        let tls = Arc::new(files.load());
        let server = TestServer::start_over(Some(Arc::clone(&tls)), app, options).await;
        Self {
            server,
            authority,
            files,
            tls,
            _dir: dir,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.server.address)
    }
}

/// A client that trusts `authority` and nobody else, and speaks HTTP/2 if it may.
fn client(authority: &Authority, http_2: bool) -> reqwest::Client {
    let root = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    // The tests of this crate share the process that installs it.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    let client = client.tls_certs_only([root]);
    let client = if http_2 { client } else { client.http1_only() };
    client.build().unwrap()
}

#[tokio::test]
async fn the_client_chooses_the_version_and_nobody_is_served_in_clear() {
    let secure = Secure::start(hello(), options()).await;
    for (http_2, version) in [(true, Version::HTTP_2), (false, Version::HTTP_11)] {
        let client = client(&secure.authority, http_2);
        let answer = client.get(secure.url("/")).send().await.unwrap();
        assert_eq!(answer.version(), version);
        assert_eq!(answer.text().await.unwrap(), "hello");
        let body = "x".repeat(300_000);
        let echo = client.post(secure.url("/echo")).body(body.clone());
        assert_eq!(echo.send().await.unwrap().text().await.unwrap(), body);
    }
    // Who trusts somebody else is not fooled, and who speaks in clear is not served.
    let stranger = client(&Authority::new(), true);
    assert!(stranger.get(secure.url("/")).send().await.is_err());
    let mut clear = secure.server.client().await;
    clear.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let mut answer = Vec::new();
    let read = clear.0.read_to_end(&mut answer);
    timeout(PATIENCE, read).await.unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"));
    let client = client(&secure.authority, true);
    assert!(client.get(secure.url("/")).send().await.is_ok());
    drop(client);
    assert_eq!(secure.server.stop().await.cut, 0);
}

#[tokio::test]
async fn who_does_not_shake_hands_is_not_waited_for() {
    let secure = Secure::start(hello(), options()).await;
    let mut silent = secure.server.client().await;
    silent.closed().await;
    // The beginning of a handshake, and then nothing.
    let mut slow = secure.server.client().await;
    slow.0.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
    slow.closed().await;
    // Nor does one hold up the end.
    let mut late = secure.server.client().await;
    let client = client(&secure.authority, true);
    client.get(secure.url("/")).send().await.unwrap();
    drop(client);
    assert_eq!(secure.server.stop().await.cut, 0);
    late.closed().await;
}

#[tokio::test]
async fn a_new_certificate_is_for_who_comes_next() {
    let secure = Secure::start(hello(), options()).await;
    let before = client(&secure.authority, true);
    before.get(secure.url("/")).send().await.unwrap();
    // The same files, from another authority.
    let renewed = Authority::new();
    let folder = secure.files.key.parent().unwrap();
    renewed.issue(folder);
    secure.tls.reload().unwrap();
    let after = client(&renewed, true);
    after.get(secure.url("/")).send().await.unwrap();
    // The open connection goes on; whoever trusts the old authority alone gets no new one.
    before.get(secure.url("/")).send().await.unwrap();
    let again = client(&secure.authority, true);
    assert!(again.get(secure.url("/")).send().await.is_err());
    drop((before, after, again));
    secure.server.stop().await;
}

#[tokio::test]
async fn requests_of_one_connection_do_not_wait_for_each_other_and_are_finished_at_the_end() {
    let (began, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let release = Arc::new(Notify::new());
    let wait = {
        let release = Arc::clone(&release);
        move || {
            began.send(()).unwrap();
            let release = Arc::clone(&release);
            async move {
                release.notified().await;
                "done"
            }
        }
    };
    let secure = Secure::start(hello().route("/wait", get(wait)), options()).await;
    let client = client(&secure.authority, true);
    let parked = tokio::spawn(client.get(secure.url("/wait")).send());
    timeout(PATIENCE, has_begun.recv()).await.unwrap();
    // Longer than a head may take: what is being answered is nobody's head.
    for _ in 0..20 {
        let answer = client.get(secure.url("/")).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "hello");
    }
    secure.server.shutdown.cancel();
    release.notify_one();
    let answer = timeout(PATIENCE, parked).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), "done");
    drop(client);
    assert_eq!(secure.server.stop().await.cut, 0);
}

#[tokio::test]
async fn an_idle_connection_makes_room_and_the_end_is_bounded() {
    let options = ServerOptions {
        connections: 1,
        idle: ms(300),
        drain: ms(300),
        ..options()
    };
    let app = hello().route("/stuck", get(std::future::pending::<&'static str>));
    let secure = Secure::start(app, options).await;
    // Each keeps its connection, and the next has only the place of the one before.
    let clients = [true, false, true].map(|http_2| client(&secure.authority, http_2));
    for client in &clients {
        client.get(secure.url("/")).send().await.unwrap();
    }
    let [.., last] = &clients;
    let stuck = tokio::spawn(last.get(secure.url("/stuck")).send());
    last.get(secure.url("/")).send().await.unwrap();
    assert_eq!(secure.server.stop().await.cut, 1);
    assert!(timeout(PATIENCE, stuck).await.unwrap().unwrap().is_err());
}
