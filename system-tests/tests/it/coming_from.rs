//! `docs/coming-from.md` does what it says: every command on it is run, against the real programs.
//!
//! A command promises a status in a comment at its end: `# → 201`, `# → 504 or 503`, or, in a loop,
//! `# → 201, 2 times`. Each part of the page has services of its own. Ports are replaced by free ones,
//! the process that is frozen by the one that this test started, and a wait of 30 seconds and a delay
//! of five by short ones, because the breaker's and the shops' times are short here. Nothing else is
//! changed: bash runs the blocks in order, in one shell, with a curl that also notes each status.
//! There is no way to leave a block out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use system_tests::process::{Service, client, until};
use tempfile::TempDir;

use crate::scene::{PATIENCE, SHORT, status};

const PAGE: &str = include_str!("../../../docs/coming-from.md");
const CATALOGUE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../central-api/catalogue/sample.csv"
);
/// Keys as `start.sh` hands them out.
const KEYS: &str = "demo,demo-s1@store-s1,demo-s2@store-s2";
/// Notes the status of each answer on standard error.
const CURL: &str = r#"#!/bin/bash
PATH="${PATH#*:}"
exec curl --noproxy '*' --max-time 60 -w '%{stderr}\n@@status %{http_code}\n' "$@"
"#;

/// The statuses that one answer may have.
type Promise = Vec<u16>;

/// A block of commands.
#[derive(Debug)]
struct Block {
    /// Where it begins on the page.
    line: usize,
    text: String,
    promises: Vec<Promise>,
}

/// The blocks of a part of the page that can be run.
fn blocks(part: &str) -> Vec<Block> {
    let heading = format!("## {part}:");
    let mut blocks: Vec<Block> = Vec::new();
    let (mut is_here, mut is_open) = (false, false);
    for (number, line) in PAGE.lines().enumerate() {
        match line {
            "```" => is_open = false,
            "```sh" if is_here => {
                is_open = true;
                let (line, text, promises) = (number + 1, String::new(), Vec::new());
                blocks.push(Block {
                    line,
                    text,
                    promises,
                });
            }
            _ if line.starts_with("## ") => is_here = line.starts_with(&heading),
            _ if is_open => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
                if let Some((_, promise)) = line.split_once("# → ") {
                    block.promises.extend(promised(promise));
                }
            }
            _ => {}
        }
    }
    blocks
}

/// `504 or 503, 6 times`, as one promise for each answer.
fn promised(text: &str) -> Vec<Promise> {
    let (statuses, times) = match text.split_once(", ") {
        Some((statuses, times)) => (statuses, times.strip_suffix(" times").unwrap()),
        None => (text, "1"),
    };
    let statuses = statuses.split(" or ");
    let promise: Promise = statuses.map(|it| it.trim().parse().unwrap()).collect();
    vec![promise; times.parse().unwrap()]
}

/// Central and two shops, as `start.sh` starts them.
struct Site {
    dir: TempDir,
    central: Service,
    stores: [Service; 2],
}

impl Site {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = [
            ("API_KEYS", KEYS),
            ("SEED_CATALOG", CATALOGUE),
            ("FAULT_INJECTION", "true"),
        ];
        let folder = dir.path().join("central");
        let central = Service::central_with(&folder, &settings).await.unwrap();
        let client = client().unwrap();
        let stores = [
            store(dir.path(), "store-s1", "demo-s1", &central).await,
            store(dir.path(), "store-s2", "demo-s2", &central).await,
        ];
        for store in &stores {
            until("the store is live", PATIENCE, || async {
                let status = status(&client, store).await;
                status.is_some_and(|status| status["state"] == "live")
            })
            .await
            .unwrap();
        }
        Self {
            dir,
            central,
            stores,
        }
    }

    /// The text with this site's ports and processes in it.
    fn here(&self, text: &str) -> String {
        let [one, two] = &self.stores;
        let at = |service: &Service| service.address().to_string();
        text.replace("127.0.0.1:8081", &at(&self.central))
            .replace("127.0.0.1:8083", &at(one))
            .replace("127.0.0.1:8084", &at(two))
            .replace("$(pgrep -x central-api)", &self.central.pid().to_string())
            .replace("sleep 30", "sleep 6")
            .replace(r#""delayMs":5000"#, r#""delayMs":500"#)
    }

    /// Runs blocks in one shell. Answers what came out on standard error, and on standard output.
    fn run(&self, blocks: &[Block]) -> (String, String) {
        let bin = self.dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("curl"), CURL).unwrap();
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(bin.join("curl"), executable).unwrap();
        let mut script = format!("PATH='{}':\"$PATH\"\n", bin.display());
        for block in blocks {
            script += &format!("printf '\\n@@block {}\\n' >&2\n", block.line);
            script += &self.here(&block.text);
        }
        assert!(!script.contains("127.0.0.1:808"), "a port is not replaced");
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]);
        let output = bash.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stderr), text(&output.stdout))
    }
}

async fn store(dir: &Path, id: &str, key: &str, central: &Service) -> Service {
    let mut settings = SHORT.to_vec();
    settings.push(("CENTRAL_API_KEY", key));
    // Long enough for a busy machine; a bank's answer that is lost takes its time.
    settings.push(("ORDER_TIMEOUT_MS", "3000"));
    settings.push(("BREAKER_OPEN_MS", "5000"));
    Service::store_with(id, &dir.join(id), central.address(), &settings)
        .await
        .unwrap()
}

/// The statuses that came, block by block.
fn came(errors: &str) -> Vec<(usize, Vec<u16>)> {
    let mut blocks: Vec<(usize, Vec<u16>)> = Vec::new();
    for line in errors.lines() {
        if let Some(number) = line.strip_prefix("@@block ") {
            blocks.push((number.parse().unwrap(), Vec::new()));
        } else if let Some(status) = line.strip_prefix("@@status ") {
            blocks.last_mut().unwrap().1.push(status.parse().unwrap());
        }
    }
    blocks
}

async fn works(part: &str) {
    let blocks = blocks(part);
    assert!(blocks.len() > 1, "the page has no such part");
    let site = Site::start().await;
    let (errors, output) = site.run(&blocks);
    let came = came(&errors);
    assert_eq!(came.len(), blocks.len(), "{errors}");
    for (block, (line, statuses)) in blocks.iter().zip(&came) {
        let kept = block.promises.len() == statuses.len()
            && block
                .promises
                .iter()
                .zip(statuses)
                .all(|(promise, status)| promise.contains(status));
        let promises = &block.promises;
        assert!(
            kept,
            "line {line} promises {promises:?}, and these came: {statuses:?}\n{errors}\n{output}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn circuit_breaker_behind_a_gateway() {
    works("000").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn saga_with_inventory_and_payment() {
    works("001").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_and_inventory_over_messages() {
    works("002").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn central_and_stores() {
    works("003").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_inventory_and_a_black_box() {
    works("004").await;
}

#[test]
fn every_block_is_run_and_every_command_promises_something() {
    let parts = PAGE.matches("\n## ").count();
    assert_eq!(parts, 5, "each part has a test");
    for line in PAGE.lines().filter(|line| line.starts_with("```")) {
        assert!(["```", "```sh"].contains(&line), "{line}");
    }
    let is_run: usize = ["000", "001", "002", "003", "004"]
        .map(|part| blocks(part).len())
        .iter()
        .sum();
    assert_eq!(
        is_run,
        PAGE.matches("```sh\n").count(),
        "a block has no part"
    );
    for part in ["000", "001", "002", "003", "004"] {
        for block in blocks(part) {
            let asked = block.text.matches("curl ").count();
            let kept = block.text.matches("# → ").count();
            assert_eq!(asked, kept, "the block at line {}", block.line);
        }
    }
}
