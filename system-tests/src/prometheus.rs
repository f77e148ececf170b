//! Debian's Prometheus with the repository's own configuration and rules.
//!
//! It runs what is in `prometheus/`, in a folder of its own: the same file with shorter intervals, the
//! same rules, and target files that name the services of the test. So what is tested is what an
//! operator gets. It takes a free port, which is read from the kernel: its log does not say which.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::until;

/// How long it may take to be ready.
const START: Duration = Duration::from_secs(60);
/// What is changed in the configuration, so that a test takes seconds.
const SHORTER: [(&str, &str); 4] = [
    ("scrape_interval: 15s", "scrape_interval: 1s"),
    ("scrape_timeout: 5s", "scrape_timeout: 1s"),
    ("evaluation_interval: 15s", "evaluation_interval: 1s"),
    ("refresh_interval: 30s", "refresh_interval: 1s"),
];

/// A running Prometheus; ends when it is dropped.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    port: u16,
    client: Client,
    _dir: TempDir,
}

impl Prometheus {
    /// Starts one with the configuration in `source`, which asks central and the named stores at the
    /// addresses of their metrics.
    ///
    /// # Errors
    /// The package `prometheus` is not installed, or it does not take the configuration.
    pub async fn start(
        client: &Client,
        source: &Path,
        central: SocketAddr,
        stores: &[(&str, SocketAddr)],
    ) -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        configure(source, dir.path(), central, stores)?;
        let mut child = Command::new("prometheus")
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg("--web.listen-address=127.0.0.1:0")
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("log"))?)
            .spawn()
            .map_err(|error| {
                io::Error::other(format!("install the package prometheus: {error}"))
            })?;
        let port = find_port(&mut child, dir.path()).await?;
        let this = Self {
            child,
            port,
            client: client.clone(),
            _dir: dir,
        };
        until("Prometheus is ready", START, || async {
            let asked = this.client.get(this.url("/-/ready")).send().await;
            asked.is_ok_and(|answer| answer.status().is_success())
        })
        .await?;
        Ok(this)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The values of `expression` at this moment.
    ///
    /// # Errors
    /// What Prometheus says is wrong with it.
    pub async fn query(&self, expression: &str) -> Result<Vec<f64>, String> {
        let url = self.url("/api/v1/query");
        let request = self.client.get(url).query(&[("query", expression)]);
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let body: Value = answer.json().await.map_err(|error| error.to_string())?;
        let Some(samples) = body.pointer("/data/result").and_then(Value::as_array) else {
            let error = body.get("error").and_then(Value::as_str);
            return Err(error.unwrap_or("no result").to_owned());
        };
        let value = |sample: &Value| sample.pointer("/value/1")?.as_str()?.parse().ok();
        Ok(samples.iter().filter_map(value).collect())
    }

    /// Every rule, as Prometheus understands it.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn rules(&self) -> reqwest::Result<Vec<Value>> {
        let request = self.client.get(self.url("/api/v1/rules"));
        let body: Value = request.send().await?.json().await?;
        let groups = body.pointer("/data/groups").and_then(Value::as_array);
        let of = |group: &Value| group.get("rules").and_then(Value::as_array).cloned();
        let lists = groups.into_iter().flatten().filter_map(of);
        Ok(lists.flatten().collect())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Writes the configuration of `source` with these targets into `dir`.
fn configure(
    source: &Path,
    dir: &Path,
    central: SocketAddr,
    stores: &[(&str, SocketAddr)],
) -> io::Result<()> {
    let mut text = fs::read_to_string(source.join("prometheus.yml"))?;
    for (long, short) in SHORTER {
        if !text.contains(long) {
            return Err(io::Error::other(format!("{long} is not there any more")));
        }
        text = text.replace(long, short);
    }
    fs::write(dir.join("prometheus.yml"), text)?;
    fs::create_dir(dir.join("rules"))?;
    for entry in fs::read_dir(source.join("rules"))? {
        let entry = entry?;
        fs::copy(entry.path(), dir.join("rules").join(entry.file_name()))?;
    }
    let targets = dir.join("targets");
    fs::create_dir_all(targets.join("stores"))?;
    let text = format!("- targets: ['{central}']\n");
    fs::write(targets.join("central.yml"), text)?;
    for (id, address) in stores {
        let text = format!("- targets: ['{address}']\n  labels: {{store: {id}}}\n");
        fs::write(targets.join(format!("stores/{id}.yml")), text)?;
    }
    Ok(())
}

/// The port that `child` listens on.
async fn find_port(child: &mut Child, dir: &Path) -> io::Result<u16> {
    let pid = child.id();
    let listens = until("Prometheus listens", START, || {
        let is_decided = listening(pid).is_some() || !matches!(child.try_wait(), Ok(None));
        async move { is_decided }
    })
    .await;
    let port = listening(pid);
    if let (Ok(()), Some(port)) = (&listens, port) {
        return Ok(port);
    }
    drop(child.kill());
    drop(child.wait());
    let log = fs::read_to_string(dir.join("log"))?;
    Err(io::Error::other(format!(
        "Prometheus did not start:\n{log}"
    )))
}

/// The port that the process listens on, as the kernel knows it.
fn listening(pid: u32) -> Option<u16> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let target = |link: fs::DirEntry| -> Option<PathBuf> { fs::read_link(link.path()).ok() };
    let sockets: Vec<_> = links.flatten().filter_map(target).collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let [_, local, _, state, _, _, _, _, _, inode, ..] = columns[..] else {
            return None;
        };
        let is_ours = sockets.contains(&PathBuf::from(format!("socket:[{inode}]")));
        (state == "0A" && is_ours).then_some(())?;
        u16::from_str_radix(local.rsplit(':').next()?, 16).ok()
    })
}
