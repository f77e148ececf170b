use std::sync::mpsc;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::get;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::service::request_context::RequestContextLayer;
use crate::wire::problem::{Problem, ProblemCode};

/// An output that can be read while it is written.
#[derive(Clone, Debug, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    }
}

/// Runs `talk` with a log of `level` and `format`, and gives what was written.
fn logged(level: Level, format: LogFormat, talk: impl FnOnce()) -> Output {
    let output = Output::default();
    let (queue, guard) = LogQueue::start(output.clone()).unwrap();
    tracing::subscriber::with_default(subscriber(queue, level, format).0, talk);
    drop(guard);
    output
}

#[test]
fn a_line_is_one_json_object_whatever_is_in_it() {
    let output = logged(Level::INFO, LogFormat::Json, || {
        tracing::info!(target: "shared", product = "a\"b\n{}\u{7}é", count = 7, "said\nso");
        tracing::warn!(target: "shared", ok = true, "again");
    });
    let lines = output.lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["product"], "a\"b\n{}\u{7}é");
    assert_eq!(lines[0]["count"], 7);
    assert_eq!(lines[0]["message"], "said\nso");
    assert_eq!(lines[0]["level"], "INFO");
    assert_eq!(lines[0]["target"], "shared");
    let at = lines[0]["timestamp"].as_str().unwrap();
    assert!(at.ends_with('Z') && at.contains('T'), "{at}");
    assert_eq!(
        (&lines[1]["ok"], &lines[1]["level"]),
        (&Value::Bool(true), &"WARN".into())
    );
}

#[test]
fn our_lines_follow_the_level_and_those_of_libraries_only_warn() {
    let talk = || {
        for_each_level("ours");
        tracing::debug!(target: "hyper::proto", "library debug");
        tracing::info!(target: "hyper::proto", "library info");
        tracing::warn!(target: "hyper::proto", "library warn");
        tracing::error!(target: "hyper::proto", "library error");
    };
    fn for_each_level(who: &str) {
        tracing::debug!(target: "central_api::http", "{who} debug");
        tracing::info!(target: "store_api", "{who} info");
        tracing::warn!(target: "shared::service", "{who} warn");
        tracing::error!(target: "central_api", "{who} error");
    }
    for (level, expected) in [
        (
            Level::DEBUG,
            vec![
                "ours debug",
                "ours info",
                "ours warn",
                "ours error",
                "library warn",
                "library error",
            ],
        ),
        (
            Level::INFO,
            vec![
                "ours info",
                "ours warn",
                "ours error",
                "library warn",
                "library error",
            ],
        ),
        (
            Level::WARN,
            vec!["ours warn", "ours error", "library warn", "library error"],
        ),
        (Level::ERROR, vec!["ours error", "library error"]),
    ] {
        let output = logged(level, LogFormat::Json, talk);
        let lines = output.lines();
        let said: Vec<_> = lines
            .iter()
            .map(|line| line["message"].as_str().unwrap())
            .collect();
        assert_eq!(said, expected, "{level}");
    }
}

#[test]
fn how_much_is_written_changes_while_it_runs() {
    let output = Output::default();
    let (queue, guard) = LogQueue::start(output.clone()).unwrap();
    let (subscriber, dial) = subscriber(queue, Level::INFO, LogFormat::Json);
    tracing::subscriber::with_default(subscriber, || {
        for (level, word) in [("info", "one"), ("debug", "two"), ("error", "three")] {
            dial.reload(filter(level_of(level).unwrap())).unwrap();
            tracing::debug!(target: "shared", "debug {word}");
            tracing::info!(target: "shared", "info {word}");
        }
    });
    drop(guard);
    let lines = output.lines();
    let said = lines.iter().map(|line| line["message"].as_str().unwrap());
    let said: Vec<_> = said.collect();
    assert_eq!(said, ["info one", "debug two", "info two"]);
}

#[test]
fn a_pretty_line_is_for_people() {
    let output = logged(Level::INFO, LogFormat::Pretty, || {
        tracing::info!(target: "shared", count = 7, "said");
    });
    let text = output.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains("said") && text.contains("count") && !text.starts_with('{'),
        "{text}"
    );
    assert_eq!("json".parse(), Ok(LogFormat::Json));
    assert_eq!("pretty".parse(), Ok(LogFormat::Pretty));
    for other in ["", "JSON", "text"] {
        assert_eq!(other.parse::<LogFormat>(), Err(NotAFormat), "{other}");
    }
}

#[tokio::test]
async fn a_request_is_logged_with_its_ids_and_without_what_is_nobodys_business() {
    async fn refuses(_: Request) -> Problem {
        Problem::new(ProblemCode::Internal, "of no use")
    }
    let app = Router::new()
        .route("/products/{id}", get(|| async { "fine" }).post(refuses))
        .layer(RequestContextLayer::default());
    let ask = async || {
        for (method, status) in [("GET", 200), ("POST", 500), ("DELETE", 405)] {
            let request = http::Request::builder()
                .method(method)
                .uri("/products/secret-path?token=secret-query")
                .header("x-api-key", "secret-key")
                .header("authorization", "Bearer secret-bearer")
                .header("cookie", "session=secret-cookie")
                .header("idempotency-key", "secret-idempotency")
                .header("x-request-id", format!("request-{method}"))
                .header("x-correlation-id", "work-7")
                .body(Body::from("secret-body"))
                .unwrap();
            assert_eq!(app.clone().oneshot(request).await.unwrap().status(), status);
        }
    };
    // Once for nobody: a place in the code that another test reaches for the first time just now may
    // note that nobody listens while this one begins to.
    ask().await;
    let output = Output::default();
    let (queue, guard) = LogQueue::start(output.clone()).unwrap();
    let (subscriber, _dial) = subscriber(queue, Level::DEBUG, LogFormat::Json);
    let scope = tracing::subscriber::set_default(subscriber);
    ask().await;
    drop(scope);
    drop(guard);
    let text = output.text();
    assert!(!text.contains("secret"), "{text}");
    let lines = output.lines();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, (method, status, level)) in lines.iter().zip([
        ("GET", 200, "DEBUG"),
        ("POST", 500, "WARN"),
        ("DELETE", 405, "INFO"),
    ]) {
        assert_eq!(line["method"], method);
        assert_eq!(line["status"], status);
        assert_eq!(line["level"], level, "{line}");
        assert_eq!(line["route"], "/products/{id}");
        assert_eq!(line["request_id"], format!("request-{method}"));
        assert_eq!(line["correlation_id"], "work-7");
        assert!(line["duration_us"].is_u64());
    }
}

/// An output that takes nothing until it is told to.
#[derive(Clone, Debug)]
struct Stuck {
    open: Arc<(Mutex<bool>, Condvar)>,
    reached: mpsc::SyncSender<()>,
    output: Output,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reached.try_send(()).ok();
        let (open, changed) = &*self.open;
        let guard = changed.wait_while(open.lock().unwrap(), |open| !*open);
        drop(guard.unwrap());
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_takes_nothing_stops_nobody_and_the_gap_is_counted() {
    let (reached, wait) = mpsc::sync_channel(1);
    let stuck = Stuck {
        open: Arc::default(),
        reached,
        output: Output::default(),
    };
    let (queue, guard) = LogQueue::start(stuck.clone()).unwrap();
    let dropped = Arc::clone(&queue.dropped);
    let mut said = 0_u64;
    tracing::subscriber::with_default(subscriber(queue, Level::INFO, LogFormat::Json).0, || {
        let say = |said: &mut u64| {
            *said += 1;
            tracing::info!(target: "shared", number = *said, "line");
        };
        say(&mut said);
        wait.recv_timeout(Duration::from_secs(20))
            .expect("the first line is being written");
        // As much as waits, and more: none of these calls waits.
        while dropped.load(Ordering::Relaxed) < 10 {
            assert!(said < 10_000_000, "the queue has an end");
            say(&mut said);
        }
    });
    *stuck.open.0.lock().unwrap() = true;
    stuck.open.1.notify_all();
    drop(guard);
    let lines = stuck.output.lines();
    let gaps = lines
        .iter()
        .filter(|line| line["message"] == "log lines dropped");
    let lost: u64 = gaps.map(|line| line["count"].as_u64().unwrap()).sum();
    let kept = lines
        .iter()
        .filter(|line| line["message"] == "line")
        .count() as u64;
    assert_eq!((lost, kept + lost), (10, said));
    let numbers = lines.iter().filter_map(|line| line["number"].as_u64());
    assert!(numbers.is_sorted());
}

/// An output that is gone.
#[derive(Debug)]
struct Closed(Arc<AtomicU64>);

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn an_output_that_is_gone_ends_nothing() {
    let tried = Arc::new(AtomicU64::new(0));
    let (queue, guard) = LogQueue::start(Closed(Arc::clone(&tried))).unwrap();
    tracing::subscriber::with_default(subscriber(queue, Level::INFO, LogFormat::Json).0, || {
        for number in 0..1_000 {
            tracing::info!(target: "shared", number, "line");
        }
    });
    drop(guard);
    assert!(tried.load(Ordering::Relaxed) > 0);
}
