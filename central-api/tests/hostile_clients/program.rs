//! The program under test, and a client that shows what is on the wire.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that should take no time.
pub(crate) const SOON: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(60);

/// A running central; dropping it kills it.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Program {
    pub(crate) async fn start(dir: &Path) -> Self {
        let log = dir.join("log.ndjson");
        let output = File::create(&log).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_central-api"))
            .env_clear()
            .envs([
                ("API_KEYS", "demo"),
                ("ADMIN_API_KEYS", "admin"),
                ("PORT", "0"),
                ("METRICS_PORT", "0"),
                // There, and never in the way.
                ("RATE_LIMIT_REQUESTS_PER_MINUTE", "1000000000"),
            ])
            .env("DATA_DIR", dir.join("data"))
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + START;
        loop {
            let text = std::fs::read_to_string(&log).unwrap();
            let listening = text.lines().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                (line["message"] == "listening").then_some(())?;
                line["address"].as_str()?.parse().ok()
            });
            if let Some(address) = listening {
                return Self { child, address };
            }
            let ended = child.try_wait().unwrap().is_some();
            assert!(
                !ended && Instant::now() < deadline,
                "it did not start: {text}"
            );
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn create(&self, id: &str, available: i64) {
        let product = json!({"productId": id, "name": id, "available": available, "price": 1});
        let body = json!({"products": [product]}).to_string();
        let mut wire = Wire::open(self.address).await;
        let head = "POST /v1/admin/products/create HTTP/1.1\r\nx-api-key: admin\r\n";
        wire.send(request(head, body.as_bytes()).as_slice()).await;
        let answer = wire.answer().await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    pub(crate) async fn head(&self) -> u64 {
        let info = get(self.address, "/v1/info").await;
        info.json()["headOffset"].as_u64().unwrap()
    }

    /// Kilobytes of memory that it holds.
    pub(crate) fn resident_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end; whether it ended well.
    pub(crate) async fn ended_well(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(
                Instant::now() < deadline,
                "it did not end within {within:?}"
            );
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Wire {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let read = Vec::new();
        Self { stream, read }
    }

    /// Sends what the server takes; it may have closed already.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next answer; `None` if the connection ends first.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        timeout(SOON, self.read_answer())
            .await
            .expect("an answer or the end, soon")
    }

    async fn read_answer(&mut self) -> Option<Answer> {
        let end = loop {
            let found = self.read.windows(4).position(|at| at == b"\r\n\r\n");
            if let Some(end) = found {
                break end + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.read[..end].to_vec())
            .unwrap()
            .to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |digits| digits.parse::<usize>().unwrap());
        while self.read.len() < end + length {
            self.more().await?;
        }
        let body = String::from_utf8_lossy(&self.read[end..end + length]).into_owned();
        self.read.drain(..end + length);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Answer { status, head, body })
    }

    async fn more(&mut self) -> Option<()> {
        match self.stream.read_buf(&mut self.read).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }
}

/// `head` without its end, completed for `body`.
pub(crate) fn request(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let rest =
        format!("host: c\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), rest.as_bytes(), body].concat()
}

/// A sale of one A under `key`.
pub(crate) fn sale(key: &str) -> Vec<u8> {
    let body = json!({"storeId": "s-1", "productId": "A", "delta": -1, "idempotencyKey": key});
    let head = "POST /v1/inventory/updates HTTP/1.1\r\nx-api-key: demo\r\n";
    request(head, body.to_string().as_bytes())
}

/// The bytes of a read.
pub(crate) fn read(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: c\r\nx-api-key: demo\r\n\r\n").into_bytes()
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    let mut wire = Wire::open(address).await;
    wire.send(&read(path)).await;
    wire.answer().await.unwrap()
}
