//! `docs/coming-from.md` does what it says: every command on it is run, against the real programs.
//!
//! A command promises a status in a comment at its end: `# → 201`, `# → 504 or 503`, or, in a loop,
//! `# → 201, 2 times`. It may promise more, in this order: `# → 200 with "state":"closed"` is text that
//! stands in the answer, `and` joins several, and `# → 201, the same orderId` is the value that the
//! answer before had. Each part of the page has services of its own. Ports are replaced by free ones,
//! the process that is frozen by the one that this test started, and a wait of 30 seconds and a delay
//! of five by short ones, because the breaker's and the shops' times are short here. Nothing else is
//! changed: bash runs the blocks in order, in one shell, with a curl that also notes each status.
//! There is no way to leave a block out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
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
answer=$(mktemp "$0.XXXXXXXX")
PATH="${PATH#*:}"
curl --noproxy '*' --max-time 60 -o "$answer" -w '\n@@answer %{http_code} ' "$@" >&2
echo "$answer" >&2
cat "$answer"
"#;

/// What is said about one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Promise {
    /// The statuses that it may have.
    statuses: Vec<u16>,
    /// What stands in it.
    texts: Vec<String>,
    /// The field whose value the answer before had too.
    same: Option<String>,
}

/// An answer that came.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

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

/// `504 or 503 with "a":1 and "b":2, the same orderId, 6 times`, as one promise for each answer.
fn promised(text: &str) -> Vec<Promise> {
    let (text, times) = match text
        .strip_suffix(" times")
        .map(|it| it.rsplit_once(", ").unwrap())
    {
        Some((text, times)) => (text, times.parse().unwrap()),
        None => (text, 1),
    };
    let (text, same) = match text.split_once(", the same ") {
        Some((text, field)) => (text, Some(field.to_owned())),
        None => (text, None),
    };
    let (statuses, texts) = match text.split_once(" with ") {
        Some((statuses, texts)) => (statuses, texts.split(" and ").map(str::to_owned).collect()),
        None => (text, Vec::new()),
    };
    let statuses = statuses.split(" or ").map(|it| it.parse().unwrap());
    let promise = Promise {
        statuses: statuses.collect(),
        texts,
        same,
    };
    vec![promise; times]
}

impl Promise {
    /// Whether `answer`, which came after `before`, is as it says.
    fn is_kept_by(&self, answer: &Answer, before: Option<&Answer>) -> bool {
        let is_same = |field: &String| {
            let value = |answer: &Answer| -> Option<Value> {
                let body: Value = serde_json::from_str(&answer.body).ok()?;
                body.get(field).cloned()
            };
            let value_now = value(answer);
            value_now.is_some() && value_now == before.and_then(value)
        };
        self.statuses.contains(&answer.status)
            && self.texts.iter().all(|text| answer.body.contains(text))
            && self.same.as_ref().is_none_or(is_same)
    }
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

/// The answers that came, block by block.
fn came(errors: &str) -> Vec<(usize, Vec<Answer>)> {
    let mut blocks: Vec<(usize, Vec<Answer>)> = Vec::new();
    for line in errors.lines() {
        if let Some(number) = line.strip_prefix("@@block ") {
            blocks.push((number.parse().unwrap(), Vec::new()));
        } else if let Some(answer) = line.strip_prefix("@@answer ") {
            let (status, file) = answer.split_once(' ').unwrap();
            let body = fs::read(file).unwrap();
            blocks.last_mut().unwrap().1.push(Answer {
                status: status.parse().unwrap(),
                body: String::from_utf8_lossy(&body).into_owned(),
            });
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
    let mut before: Option<&Answer> = None;
    for (block, (line, answers)) in blocks.iter().zip(&came) {
        let promises = &block.promises;
        assert_eq!(
            promises.len(),
            answers.len(),
            "line {line} promises {promises:?}, and these came: {answers:?}\n{errors}\n{output}"
        );
        for (promise, answer) in promises.iter().zip(answers) {
            let kept = promise.is_kept_by(answer, before);
            assert!(
                kept,
                "after line {line}: {promise:?}, and this came: {answer:?}\n{errors}"
            );
            before = Some(answer);
        }
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

#[test]
fn an_answer_that_is_not_as_promised_is_noticed() {
    let [promise] = &promised(r#"201 or 202 with "a":1 and "b":2, the same id"#)[..] else {
        panic!("one promise");
    };
    let answer = |status, body: &str| Answer {
        status,
        body: body.to_owned(),
    };
    let before = answer(500, r#"{"id":"x"}"#);
    let good = r#"{"id":"x","a":1,"b":2}"#;
    for status in [201, 202] {
        assert!(promise.is_kept_by(&answer(status, good), Some(&before)));
    }
    assert!(
        !promise.is_kept_by(&answer(200, good), Some(&before)),
        "the status"
    );
    assert!(
        !promise.is_kept_by(&answer(201, good), None),
        "nothing came before"
    );
    for bad in [
        r#"{"id":"y","a":1,"b":2}"#,
        r#"{"a":1,"b":2}"#,
        r#"{"id":"x","a":1}"#,
        r#"{"id":"x","a":1,"b":3}"#,
        "",
    ] {
        assert!(
            !promise.is_kept_by(&answer(201, bad), Some(&before)),
            "{bad}"
        );
    }
    let twice = promised("504 or 503, 2 times");
    assert_eq!(twice.len(), 2);
    assert_eq!(twice[1].statuses, [504, 503]);
}
