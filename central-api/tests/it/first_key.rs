//! The first admin key, with the real program: shown once, kept as a digest, good after a restart.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::{client, eventually};

/// The program over a folder; dropping it kills it.
struct Program {
    child: Child,
    url: String,
    /// What it said, log and all.
    said: String,
}

impl Program {
    async fn start(dir: &Path, settings: &[(&str, &str)]) -> Self {
        let log = dir.join("said");
        let output = File::create(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_central-api"))
            .env_clear()
            .env("PORT", "0")
            .env("METRICS_PORT", "0")
            .env("DATA_DIR", dir.join("data"))
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output)
            .spawn()
            .unwrap();
        let said = || std::fs::read_to_string(&log).unwrap();
        eventually("it listens", async || address(&said()).is_some()).await;
        let said = said();
        Self {
            child,
            url: format!("http://{}", address(&said).unwrap()),
            said,
        }
    }

    /// The key that it showed.
    fn shown(&self) -> Option<&str> {
        let mut words = self.said.split_whitespace();
        words.find(|word| word.starts_with("hfadmin_"))
    }

    /// The status of a call that only an admin may make.
    async fn admin_call(&self, key: &str) -> u16 {
        let url = format!("{}/v1/admin/products/export", self.url);
        let request = client().get(url).header("x-api-key", key);
        request.send().await.unwrap().status().as_u16()
    }

    fn stop(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn address(said: &str) -> Option<String> {
    said.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["message"] == "listening").then_some(())?;
        line["address"].as_str().map(str::to_owned)
    })
}

#[tokio::test]
async fn the_first_admin_key_is_shown_once_and_works_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), &[]).await;
    let key = program.shown().unwrap().to_owned();
    assert_eq!(program.admin_call(&key).await, 200);
    assert_eq!(program.admin_call("hfadmin_0").await, 401);
    let in_log = program.said.lines().filter(|line| line.starts_with('{'));
    assert!(in_log.clone().count() > 0);
    assert!(in_log.clone().all(|line| !line.contains(&key)));
    program.stop();
    for entry in std::fs::read_dir(dir.path().join("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let kept = bytes.windows(key.len()).any(|part| part == key.as_bytes());
            assert!(!kept, "{}", path.display());
        }
    }

    let program = Program::start(dir.path(), &[]).await;
    assert_eq!(program.shown(), None, "{}", program.said);
    assert_eq!(program.admin_call(&key).await, 200);
    program.stop();

    // Configuring the tills does not lock the operator out.
    let program = Program::start(dir.path(), &[("API_KEYS", "till")]).await;
    assert_eq!(program.shown(), None, "{}", program.said);
    assert_eq!(program.admin_call(&key).await, 200);
    assert_eq!(program.admin_call("till").await, 403);
}

#[tokio::test]
async fn a_central_with_keys_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), &[("ADMIN_API_KEYS", "mine")]).await;
    assert_eq!(program.shown(), None, "{}", program.said);
    assert_eq!(program.admin_call("mine").await, 200);
    assert!(!dir.path().join("data/first-admin-key.json").exists());
}
