//! Calls that are repeated under their key until somebody says what became of them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bench::client::Connection;
use bench::request::Template;
use serde_json::Value;
use tokio::time::{sleep, timeout};

/// Time for one answer. A shop waits for a slow bank up to 20 s before it says that nobody knows.
const PATIENCE: Duration = Duration::from_secs(25);
/// Attempts at one call, a second apart, before it is given up.
const ATTEMPTS: u32 = 30;

/// A connection to a service that may go away and come back.
pub(crate) struct Line {
    address: SocketAddr,
    key: &'static str,
    connection: Option<Connection>,
}

impl Line {
    pub(crate) fn to(port: u16, key: &'static str) -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            key,
            connection: None,
        }
    }

    /// Sends `body` under `key` until there is an answer that says what became of it.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> io::Result<(u16, Value)> {
        let headers = [
            ("x-api-key", self.key),
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        let mut request = Vec::new();
        Template::new("POST", path, &headers).with_body(&mut request, body.to_string().as_bytes());
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                sleep(Duration::from_secs(1)).await;
            }
            match self.ask(&request).await {
                Ok((status, _)) if status >= 500 || status == 429 => last = status.to_string(),
                Ok(answer) => return Ok(answer),
                Err(fault) => last = fault.to_string(),
            }
        }
        Err(io::Error::other(format!("{path}: given up, last {last}")))
    }

    /// One request, one answer; connects first if need be.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<(u16, Value)> {
        // Put back only after a whole answer: a connection with half of one is of no use.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        let answer = timeout(PATIENCE, connection.exchange(request)).await??;
        let answer = (
            answer.status,
            serde_json::from_slice(answer.body).map_err(io::Error::other)?,
        );
        self.connection = Some(connection);
        Ok(answer)
    }
}
