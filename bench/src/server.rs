//! Starts the servers that are measured, as processes of their own, and stops them.
//!
//! A server gets port 0 and a fresh folder for its data, and says in its log where it listens. It
//! is stopped by its process id: a bench never touches a server that it did not start.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::workload::{ADMIN_KEY, KEY};

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(60);
/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(30);

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    program: Program,
    data: TempDir,
}

/// What to run, and with which settings.
#[derive(Debug)]
struct Program {
    binary: PathBuf,
    settings: Vec<(&'static str, String)>,
}

impl Server {
    /// Starts central from `binary`, with its data in a fresh folder under `data_root`.
    ///
    /// # Errors
    /// If it does not start or does not say where it listens.
    pub async fn central(binary: &Path, data_root: &Path) -> io::Result<Self> {
        let settings = vec![("ADMIN_API_KEYS", ADMIN_KEY.to_owned())];
        Self::start(binary, settings, data_root).await
    }

    /// Starts the store `id` from `binary`, following `central`.
    ///
    /// # Errors
    /// If it does not start or does not say where it listens.
    pub async fn store(
        binary: &Path,
        data_root: &Path,
        id: &str,
        central: SocketAddr,
    ) -> io::Result<Self> {
        let settings = vec![
            ("STORE_ID", id.to_owned()),
            ("STORE_NAME", format!("Bench {id}")),
            ("CENTRAL_API_URL", format!("http://{central}")),
            ("CENTRAL_API_KEY", KEY.to_owned()),
        ];
        Self::start(binary, settings, data_root).await
    }

    /// Starts the ceiling: the program `ceiling` beside this one.
    ///
    /// # Errors
    /// If it was not built, does not start or does not say where it listens.
    pub async fn ceiling(data_root: &Path) -> io::Result<Self> {
        Self::start(&beside_this("ceiling")?, Vec::new(), data_root).await
    }

    async fn start(
        binary: &Path,
        settings: Vec<(&'static str, String)>,
        data_root: &Path,
    ) -> io::Result<Self> {
        let data = TempDir::with_prefix_in("holdfast-bench-", data_root)?;
        let program = Program {
            binary: binary.to_owned(),
            settings,
        };
        Self::run(program, data).await
    }

    /// Stops it and starts it again with its data. Says how long it took from its start until it
    /// listened.
    ///
    /// # Errors
    /// If it had to be killed, or does not start.
    pub async fn restart(self) -> io::Result<(Self, Duration)> {
        let (program, data) = self.end().await?;
        let began = Instant::now();
        let server = Self::run(program, data).await?;
        Ok((server, began.elapsed()))
    }

    async fn run(program: Program, data: TempDir) -> io::Result<Self> {
        let mut command = Command::new(&program.binary);
        command.envs(program.settings.iter().map(|(name, value)| (name, value)));
        let mut child = command
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .env("METRICS_PORT", "0")
            .env("DATA_DIR", data.path())
            .env("API_KEYS", KEY)
            .env("RATE_LIMIT_ENABLED", "false")
            .env("LOG_LEVEL", "info")
            .env("LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("the server has no output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let address = timeout(START, address_in(&mut lines))
            .await
            .map_err(|_| io::Error::other("the server did not say where it listens"))??;
        // Its log must be read on, or it stops at a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            address,
            child,
            program,
            data,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its resident memory in bytes.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        kib.checked_mul(1024)
    }

    /// The processor time it has used.
    #[must_use]
    pub fn processor_time(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?)).ok()?;
        // The program's name, in brackets, may hold spaces; user and system time are fields 14
        // and 15 of the whole, in ticks of 10 ms.
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse().unwrap_or(0))
            .fold(0, u64::saturating_add);
        Some(Duration::from_millis(ticks.saturating_mul(10)))
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Errors
    /// If it had to be killed.
    pub async fn stop(self) -> io::Result<()> {
        self.end().await.map(drop)
    }

    async fn end(mut self) -> io::Result<(Program, TempDir)> {
        if let Some(pid) = self.pid() {
            Command::new("kill")
                .args(["-TERM", &pid.to_string()])
                .status()
                .await?;
        }
        if let Ok(status) = timeout(STOP, self.child.wait()).await {
            status?;
            return Ok((self.program, self.data));
        }
        self.child.kill().await?;
        Err(io::Error::other("the server did not stop when asked"))
    }
}

/// Waits for the line that says where a server listens.
async fn address_in(lines: &mut Lines<BufReader<ChildStdout>>) -> io::Result<SocketAddr> {
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = listening_address(&line) {
            return Ok(address);
        }
    }
    Err(io::Error::other(
        "the server ended before it listened (its complaint is above)",
    ))
}

/// The address in a log line that says `listening`, if it is the one for the public port.
fn listening_address(line: &str) -> Option<SocketAddr> {
    if !line.contains("listening") || line.contains("metrics") {
        return None;
    }
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let address = line
        .get("address")
        .or_else(|| line.pointer("/fields/address"));
    address?.as_str()?.parse().ok()
}

/// The program `name` in the folder of this program, where Cargo puts both.
///
/// # Errors
/// If it is not there.
pub fn beside_this(name: &str) -> io::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(io::Error::other(format!(
            "{name} is not built: cargo build --release --workspace"
        )))
    }
}

/// Asks `condition` every 20 ms until it holds.
///
/// # Errors
/// If it does not hold within `limit`; says that `what` did not happen.
pub async fn until<F>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> F,
) -> io::Result<()>
where
    F: Future<Output = bool>,
{
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(limit, waiting)
        .await
        .map_err(|_| io::Error::other(format!("{what}: not within {} s", limit.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_wherever_the_log_puts_it() {
        let address = Some("127.0.0.1:4711".parse().unwrap());
        for line in [
            r#"{"level":"INFO","message":"listening","address":"127.0.0.1:4711"}"#,
            r#"{"level":"INFO","fields":{"message":"listening","address":"127.0.0.1:4711"}}"#,
        ] {
            assert_eq!(listening_address(line), address, "{line}");
        }
        for line in [
            "listening",
            r#"{"message":"starting","address":"127.0.0.1:1"}"#,
            r#"{"message":"metrics listening","address":"127.0.0.1:1"}"#,
            r#"{"message":"listening"}"#,
        ] {
            assert_eq!(listening_address(line), None, "{line}");
        }
    }
}
