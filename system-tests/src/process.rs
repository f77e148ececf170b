//! The real programs, started and ended as an operator or a power failure would.
//!
//! A service is started with a free port and its own data folder, logs into a file beside it, and is
//! ready once its log says that it listens. It can be killed without warning and started again on
//! the same port and data. Dropping one kills it, so nothing outlives its test.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a service may take to listen.
const START: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The key of a till in these tests.
pub const KEY: &str = "demo";
/// The key of an operator in these tests.
pub const ADMIN_KEY: &str = "admin-demo";

/// A running service.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    dir: PathBuf,
    settings: Vec<(String, String)>,
    /// MiB of a disk of its own for its data, which is gone with the process.
    disk: Option<u32>,
    child: Child,
    address: SocketAddr,
    metrics: SocketAddr,
    starts: u32,
}

impl Service {
    /// Starts central on the data in `dir`.
    ///
    /// # Errors
    /// The program is not built, or does not start.
    pub async fn central(dir: &Path) -> io::Result<Self> {
        Self::central_with(dir, &[]).await
    }

    /// The same, with settings of one's own.
    ///
    /// # Errors
    /// The program is not built, or does not start.
    pub async fn central_with(dir: &Path, more: &[(&str, &str)]) -> io::Result<Self> {
        let settings = [
            ("API_KEYS", KEY),
            ("ADMIN_API_KEYS", ADMIN_KEY),
            ("RATE_LIMIT_ENABLED", "false"),
        ];
        let settings = [&settings, more].concat();
        Self::start("central-api", dir, &settings).await
    }

    /// Starts the store `id` on the data in `dir`, following `central`.
    ///
    /// # Errors
    /// The program is not built, or does not start.
    pub async fn store(id: &str, dir: &Path, central: SocketAddr) -> io::Result<Self> {
        Self::store_with(id, dir, central, &[]).await
    }

    /// The same, with settings of one's own.
    ///
    /// # Errors
    /// The program is not built, or does not start.
    pub async fn store_with(
        id: &str,
        dir: &Path,
        central: SocketAddr,
        more: &[(&str, &str)],
    ) -> io::Result<Self> {
        let url = format!("http://{central}");
        let settings = [
            ("STORE_ID", id),
            ("CENTRAL_API_URL", url.as_str()),
            ("CENTRAL_API_KEY", KEY),
            ("API_KEYS", KEY),
            ("ADMIN_API_KEYS", ADMIN_KEY),
            ("RATE_LIMIT_ENABLED", "false"),
        ];
        let settings = [&settings, more].concat();
        Self::start("store-api", dir, &settings).await
    }

    /// Starts central on a disk of its own, of so many MiB; its data is gone with the process. What is
    /// on that disk is seen through [`Service::small_disk`].
    ///
    /// # Errors
    /// The program is not built or does not start, or this user may not mount anything in a namespace
    /// of its own.
    pub async fn central_on_a_small_disk(dir: &Path, mib: u32) -> io::Result<Self> {
        std::fs::create_dir_all(dir.join("data"))?;
        let settings = [
            ("API_KEYS", KEY),
            ("ADMIN_API_KEYS", ADMIN_KEY),
            ("RATE_LIMIT_ENABLED", "false"),
        ];
        Self::start_on("central-api", dir, &settings, Some(mib)).await
    }

    /// The data folder as the process sees it, on its small disk.
    #[must_use]
    pub fn small_disk(&self) -> PathBuf {
        let data = self.data();
        let seen = data.strip_prefix("/").unwrap_or(&data);
        PathBuf::from(format!("/proc/{}/root", self.pid())).join(seen)
    }

    async fn start(name: &'static str, dir: &Path, settings: &[(&str, &str)]) -> io::Result<Self> {
        Self::start_on(name, dir, settings, None).await
    }

    async fn start_on(
        name: &'static str,
        dir: &Path,
        settings: &[(&str, &str)],
        disk: Option<u32>,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let (child, address, metrics) = launch(name, dir, &settings, disk, (0, 1)).await?;
        Ok(Self {
            name,
            dir: dir.to_owned(),
            settings,
            disk,
            child,
            address,
            metrics,
            starts: 1,
        })
    }

    /// Where it listens; the same after every start.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its metrics are; another port after every start.
    #[must_use]
    pub const fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    /// The URL of `path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its process, as long as it runs.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder, with its logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Ends it as a power failure would, as far as the process is concerned (SIGKILL).
    ///
    /// # Errors
    /// It cannot be signalled.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again on the same port and data.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.starts += 1;
        let port = self.address.port();
        let (child, address, metrics) = launch(
            self.name,
            &self.dir,
            &self.settings,
            self.disk,
            (port, self.starts),
        )
        .await?;
        self.child = child;
        self.address = address;
        self.metrics = metrics;
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and waits for its end. Returns whether it ended well.
    ///
    /// # Errors
    /// It cannot be signalled, or does not end within `within`.
    pub async fn stop(&mut self, within: Duration) -> io::Result<bool> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            if Instant::now() >= deadline {
                return Err(io::Error::other(format!("{} did not stop", self.name)));
            }
            sleep(LOOK).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself, which is what its test then says.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn launch(
    name: &str,
    dir: &Path,
    settings: &[(String, String)],
    disk: Option<u32>,
    (port, start): (u16, u32),
) -> io::Result<(Child, SocketAddr, SocketAddr)> {
    let log = dir.join(format!("log-{start}.ndjson"));
    let output = File::create(&log)?;
    let errors = output.try_clone()?;
    let data = dir.join("data");
    let mut child = command(program(name)?, &data, disk)
        .env_clear()
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .env("HOST", "127.0.0.1")
        .env("PORT", port.to_string())
        .env("METRICS_PORT", "0")
        .env("DATA_DIR", data)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()?;
    let deadline = Instant::now() + START;
    loop {
        let text = std::fs::read_to_string(&log)?;
        let addresses = (said(&text, "listening"), said(&text, "metrics listening"));
        if let (Some(address), Some(metrics)) = addresses {
            return Ok((child, address, metrics));
        }
        if child.try_wait()?.is_some() || Instant::now() >= deadline {
            drop(child.kill());
            return Err(io::Error::other(format!("{name} did not start:\n{text}")));
        }
        sleep(LOOK).await;
    }
}

/// How the program is started: as it is, or where its data folder is a disk of its own, which takes a
/// namespace and no rights.
fn command(binary: PathBuf, data: &Path, disk: Option<u32>) -> Command {
    let Some(mib) = disk else {
        return Command::new(binary);
    };
    let mut command = Command::new("/usr/bin/unshare");
    let mount = format!("/bin/mount -t tmpfs -o size={mib}m tmpfs \"$0\" && exec \"$1\"");
    command.args(["--map-root-user", "--mount", "/bin/sh", "-c", &mount]);
    command.arg(data).arg(binary);
    command
}

/// The address in the log line that says `message`.
fn said(log: &str, message: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        (line.get("message")? == message).then_some(())?;
        line.get("address")?.as_str()?.parse().ok()
    })
}

/// The program, which lies beside the folder that this test was built into.
///
/// # Errors
/// It is not built.
pub fn program(name: &str) -> io::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let beside = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name));
    beside
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| io::Error::other(format!("{name} is not built: cargo build --workspace")))
}

/// Waits until `condition` holds.
///
/// # Errors
/// It does not hold within `within`.
pub async fn until<F: Future<Output = bool>>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> F,
) -> io::Result<()> {
    let deadline = Instant::now() + within;
    while !condition().await {
        if Instant::now() >= deadline {
            return Err(io::Error::other(format!("not within {within:?}: {what}")));
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// An HTTP client for tests.
///
/// # Errors
/// The client cannot be built.
pub fn client() -> reqwest::Result<reqwest::Client> {
    // A second test in the same process finds it installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .tcp_nodelay(true)
        .build()
}
