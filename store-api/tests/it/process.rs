//! The real binary: it says where it listens, drains on SIGTERM, and survives SIGKILL.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::fake_central::FakeCentral;
use crate::harness::{client, eventually};

struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(central: &str, dir: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_store-api"))
            .env_clear()
            .envs([
                ("PORT", "0"),
                ("API_KEYS", "demo"),
                ("CENTRAL_API_URL", central),
            ])
            .env("DATA_DIR", dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = lines.find_map(|line| {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            (line["message"] == "listening").then_some(line)
        });
        let address = listening.unwrap()["address"].as_str().unwrap().to_owned();
        // The rest of the log must be read, or the process would wait for us.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            url: format!("http://{address}"),
        }
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
