//! The real binary: it says where it listens and what troubles it, drains on SIGTERM, whoever reads
//! its log, and survives SIGKILL.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::fake_central::FakeCentral;
use crate::harness::{client, eventually};

struct Process {
    child: Child,
    url: String,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Process {
    fn start(central: &str, dir: &std::path::Path) -> Self {
        Self::with(central, dir, &[("API_KEYS", "demo")])
    }

    fn with(central: &str, dir: &std::path::Path, settings: &[(&str, &str)]) -> Self {
        let (process, lines) = Self::unread(central, dir, settings);
        let log = Arc::clone(&process.log);
        std::thread::spawn(move || {
            for line in lines {
                log.lock()
                    .push(serde_json::from_str(&line.unwrap()).unwrap());
            }
        });
        process
    }

    /// One of whose log nothing is read once it listens.
    fn unread(
        central: &str,
        dir: &std::path::Path,
        settings: &[(&str, &str)],
    ) -> (Self, Lines<BufReader<ChildStdout>>) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_store-api"))
            .env_clear()
            .envs([
                ("PORT", "0"),
                ("METRICS_PORT", "0"),
                ("CENTRAL_API_URL", central),
            ])
            .envs(settings.iter().copied())
            .env("DATA_DIR", dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut log = Vec::new();
        let address = loop {
            let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            // The metrics have an address of their own.
            let address = line["address"].as_str().map(str::to_owned);
            let address = address.filter(|_| line["message"] == "listening");
            log.push(line);
            if let Some(address) = address {
                break address;
            }
        };
        let process = Self {
            child,
            url: format!("http://{address}"),
            log: Arc::new(Mutex::new(log)),
        };
        (process, lines)
    }

    /// The lines of the log with this level and message.
    fn said(&self, level: &str, message: &str) -> Vec<Value> {
        let log = self.log.lock();
        let lines = log
            .iter()
            .filter(|line| line["level"] == level && line["message"].as_str() == Some(message));
        lines.cloned().collect()
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }

    async fn available(&self, id: &str) -> Option<i64> {
        let request = client().get(format!("{}/v1/store/inventory/{id}", self.url));
        let answer = request.header("x-api-key", "demo").send().await.ok()?;
        answer.json::<Value>().await.ok()?["available"].as_i64()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_answers_what_waits_and_ends_well() {
    let central = FakeCentral::start(2).await;
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(&central.url(), dir.path());
    eventually("it serves", async || {
        process.available("PROD-001").await == Some(10)
    })
    .await;
    let poll = client().get(format!(
        "{}/v1/inventory/events?offset=2&wait=15",
        process.url
    ));
    let poll = tokio::spawn(poll.header("x-api-key", "demo").send());
    let polls = central.polls();
    eventually("the poll is under way", async || central.polls() >= polls).await;
    let begun = tokio::time::Instant::now();
    process.signal("-TERM");
    let exit = tokio::task::spawn_blocking(move || process.child.wait().unwrap())
        .await
        .unwrap();
    assert!(exit.success(), "{exit}");
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    drop(poll.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_store_comes_back_with_its_copy() {
    let central = FakeCentral::start(2).await;
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let process = Process::start(&central.url(), dir.path());
        central.put("PROD-001", round);
        eventually("it serves", async || {
            process.available("PROD-001").await == Some(round)
        })
        .await;
        process.signal("-KILL");
    }
    central.vanish().await;
    let process = Process::start(&central.url(), dir.path());
    assert_eq!(process.available("PROD-001").await, Some(2));
    assert_eq!(central.snapshots(), 1);
}

const TROUBLE: &str = "the copy cannot be kept current; trying on";

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_a_fault_once_and_its_end_once() {
    let central = FakeCentral::start(1).await;
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(&central.url(), dir.path());
    eventually("it serves", async || {
        process.available("PROD-001").await == Some(10)
    })
    .await;
    assert_eq!(process.said("WARN", TROUBLE), Vec::<Value>::new());
    central.misbehave(|spoilt| spoilt.garbage = u32::MAX);
    let polls = central.polls();
    eventually("it is tried again and again", async || {
        central.polls() >= polls + 5
    })
    .await;
    central.misbehave(|spoilt| spoilt.garbage = 0);
    eventually("the log says that it is over", async || {
        !process.said("INFO", "central is followed again").is_empty()
    })
    .await;
    let warnings = process.said("WARN", TROUBLE);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(
        warnings[0]["fault"],
        "an answer of the feed cannot be parsed"
    );
    let over = process.said("INFO", "central is followed again");
    // The control: it was not one attempt only.
    assert!(over[0]["attempts"].as_u64().unwrap() >= 4, "{over:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_keys_is_warned_of() {
    let central = FakeCentral::start(1).await;
    let warnings = |process: &Process| {
        let log = process.log.lock();
        log.iter().filter(|line| line["level"] == "WARN").count()
    };
    let dir = tempfile::tempdir().unwrap();
    let process = Process::with(&central.url(), dir.path(), &[]);
    assert_eq!(warnings(&process), 2, "{:?}", process.log.lock());
    drop(process);
    let keys = [("API_KEYS", "demo"), ("CENTRAL_API_KEY", "k")];
    let process = Process::with(&central.url(), dir.path(), &keys);
    assert_eq!(warnings(&process), 0, "{:?}", process.log.lock());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_does_not_hold_the_end() {
    let central = FakeCentral::start(1).await;
    let dir = tempfile::tempdir().unwrap();
    let settings = [("API_KEYS", "demo"), ("LOG_LEVEL", "debug")];
    let (mut process, lines) = Process::unread(&central.url(), dir.path(), &settings);
    let client = client();
    for _ in 0..800 {
        let request = client.get(format!("{}/health", process.url));
        assert!(request.send().await.is_ok());
    }
    let begun = tokio::time::Instant::now();
    process.signal("-TERM");
    let exit = loop {
        if let Some(exit) = process.child.try_wait().unwrap() {
            break exit;
        }
        assert!(begun.elapsed().as_secs() < 15, "it hangs");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    assert!(exit.success(), "{exit}");
    // The control: the log's thread was stuck before the end, so the last word is not in the pipe.
    let left: Vec<_> = lines.map_while(Result::ok).collect();
    assert!(left.len() > 100, "{} lines", left.len());
    assert!(!left.iter().any(|line| line.contains("\"stopped\"")));
}

#[test]
fn every_fault_of_the_settings_is_named_at_once() {
    let output = Command::new(env!("CARGO_BIN_EXE_store-api"))
        .env_clear()
        .envs([("PORT", "99999"), ("SYNC_INTERVAL_SECONDS", "soon")])
        .envs([("BREAKER_FAILURE_PERCENT", "300"), ("STORE_ID", "a b")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let complaints = String::from_utf8(output.stderr).unwrap();
    for variable in [
        "PORT",
        "SYNC_INTERVAL_SECONDS",
        "BREAKER_FAILURE_PERCENT",
        "STORE_ID",
    ] {
        let line = format!("  {variable}: ");
        assert_eq!(
            complaints.matches(&line).count(),
            1,
            "{variable}: {complaints}"
        );
    }
}
