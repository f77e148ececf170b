use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;

use futures_util::stream;
use http_body::{Frame, SizeHint};
use serde::Deserialize;
use tokio::time::Instant;

use super::*;

const RULES: BodyRules = BodyRules {
    bytes_max: 1_000,
    deadline: Duration::from_secs(30),
};

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        let value = HeaderValue::from_str(value).unwrap();
        (http::HeaderName::from_static(name), value)
    });
    pairs.collect()
}

async fn read(pairs: &[(&'static str, &str)], body: impl Into<Body>) -> Result<Bytes, Problem> {
    read_body_by(RULES, &headers(pairs), body.into()).await
}

#[track_caller]
fn refused(result: Result<Bytes, Problem>, status: u16) -> Problem {
    let problem = result.expect_err("refused");
    assert_eq!(problem.code.status().as_u16(), status, "{problem:?}");
    problem
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// A body in parts, whose length nobody says.
fn parts(parts: Vec<Vec<u8>>) -> Body {
    let parts = parts.into_iter().map(Ok::<_, Infallible>);
    Body::from_stream(stream::iter(parts))
}

#[tokio::test]
async fn a_body_is_json_or_says_nothing() {
    for name in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        " application/json ;charset=utf-8",
        "application/problem+json",
        "APPLICATION/vnd.api+JSON",
        "application/x-www-form-urlencoded",
    ] {
        let body = read(&[("content-type", name)], "{}").await;
        assert_eq!(body.unwrap(), "{}", "{name}");
    }
    assert_eq!(read(&[], "{}").await.unwrap(), "{}");
    for name in [
        "",
        "text/plain",
        "text/json",
        "application/jsonp",
        "application/xml",
        "application/",
        "application",
        "json",
        "multipart/form-data; boundary=json",
        "image/svg+json",
        "application/jso",
    ] {
        let problem = refused(read(&[("content-type", name)], "{}").await, 415);
        assert!(problem.detail.contains("application/json"), "{name}");
    }
}

#[tokio::test]
async fn known_encodings_are_taken_off_and_others_refused() {
    for (name, body) in [
        ("gzip", gzip(b"{\"a\":1}")),
        ("x-gzip", gzip(b"{\"a\":1}")),
        ("GZip", gzip(b"{\"a\":1}")),
        (" gzip ", gzip(b"{\"a\":1}")),
        ("zstd", zstd(b"{\"a\":1}")),
        ("identity", b"{\"a\":1}".to_vec()),
        ("", b"{\"a\":1}".to_vec()),
    ] {
        let read = read(&[("content-encoding", name)], body).await;
        assert_eq!(read.unwrap(), "{\"a\":1}", "{name}");
    }
    for name in ["br", "deflate", "gzip, zstd", "gzip;q=1", "*", "gzipp"] {
        let problem = refused(read(&[("content-encoding", name)], "{}").await, 415);
        assert!(problem.detail.contains("gzip, zstd or identity"), "{name}");
    }
    // A file that was made of two, as some tools make them.
    let two = [gzip(b"{\"a\":"), gzip(b"1}")].concat();
    let whole = read(&[("content-encoding", "gzip")], two).await;
    assert_eq!(whole.unwrap(), "{\"a\":1}");
    let two = [zstd(b"{\"a\":"), zstd(b"1}")].concat();
    let whole = read(&[("content-encoding", "zstd")], two).await;
    assert_eq!(whole.unwrap(), "{\"a\":1}");
}

#[tokio::test]
async fn a_body_that_is_not_what_its_encoding_says_is_broken() {
    for (name, whole) in [("gzip", gzip(&[b'x'; 500])), ("zstd", zstd(&[b'x'; 500]))] {
        let encoding = [("content-encoding", name)];
        for end in 1..whole.len() {
            refused(read(&encoding, whole[..end].to_vec()).await, 400);
        }
        refused(read(&encoding, "{\"a\":1}").await, 400);
        let tail = [whole.as_slice(), b"tail"].concat();
        refused(read(&encoding, tail).await, 400);
        // The control.
        assert_eq!(read(&encoding, whole).await.unwrap().len(), 500);
    }
    let mut changed = gzip(&[b'x'; 500]);
    let crc = changed.len() - 8;
    changed[crc] ^= 1;
    refused(read(&[("content-encoding", "gzip")], changed).await, 400);
}

#[tokio::test]
async fn the_limit_is_on_what_is_decoded_and_exact() {
    let fits = vec![b' '; 1_000];
    let more = vec![b' '; 1_001];
    assert_eq!(read(&[], fits.clone()).await.unwrap().len(), 1_000);
    let problem = refused(read(&[], more.clone()).await, 413);
    assert!(problem.detail.contains("1000 bytes"), "{}", problem.detail);
    for size in [1, 7, 250, 999] {
        let chunked = |bytes: &[u8]| parts(bytes.chunks(size).map(<[u8]>::to_vec).collect());
        assert_eq!(read(&[], chunked(&fits)).await.unwrap(), fits, "{size}");
        refused(read(&[], chunked(&more)).await, 413);
    }
    for (name, encode) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
        let encoding = [("content-encoding", name)];
        assert_eq!(read(&encoding, encode(&fits)).await.unwrap(), fits);
        refused(read(&encoding, encode(&more)).await, 413);
    }
}

#[tokio::test]
async fn a_bomb_costs_no_more_than_the_limit() {
    let zeros = vec![0_u8; 64 << 20];
    for (name, bomb) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros))] {
        let rules = BodyRules {
            bytes_max: 1 << 20,
            ..RULES
        };
        assert!(bomb.len() < rules.bytes_max, "{name} hides it");
        let headers = headers(&[("content-encoding", name)]);
        let body = read_body_by(rules, &headers, bomb.into()).await;
        refused(body, 413);
    }
    // A frame that asks for a window of 128 MiB is refused before anything is set aside for it.
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&zeros).unwrap();
    let wide = encoder.finish().unwrap();
    let rules = BodyRules {
        bytes_max: 128 << 20,
        ..RULES
    };
    let headers = headers(&[("content-encoding", "zstd")]);
    refused(read_body_by(rules, &headers, wide.into()).await, 400);
}

/// A body that counts how often somebody reads it.
struct Counted(Arc<AtomicUsize>);

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[tokio::test]
async fn what_is_refused_by_its_head_is_not_read() {
    for pairs in [
        [("content-length", "1001")],
        [("content-type", "text/plain")],
        [("content-encoding", "br")],
    ] {
        let polled = Arc::new(AtomicUsize::new(0));
        let outcome = read(&pairs, Body::new(Counted(Arc::clone(&polled)))).await;
        assert!(outcome.is_err(), "{pairs:?}");
        assert_eq!(polled.load(Ordering::Relaxed), 0, "{pairs:?}");
    }
    let polled = Arc::new(AtomicUsize::new(0));
    let body = Body::new(Counted(Arc::clone(&polled)));
    assert!(
        read(&[("content-length", "1000")], body)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(polled.load(Ordering::Relaxed), 1);
}

/// A body of `count` bytes, one every `period`.
fn slow(period: Duration, count: usize) -> Body {
    Body::from_stream(stream::unfold(0, move |sent| async move {
        tokio::time::sleep(period).await;
        (sent < count).then(|| (Ok::<_, Infallible>("x"), sent + 1))
    }))
}

#[tokio::test(start_paused = true)]
async fn a_body_has_its_time_and_no_more() {
    let begun = Instant::now();
    let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let problem = refused(read(&[], never).await, 408);
    assert_eq!(begun.elapsed(), RULES.deadline);
    assert!(problem.detail.contains("30 s"), "{}", problem.detail);

    // One byte a second is not progress enough.
    let begun = Instant::now();
    refused(read(&[], slow(Duration::from_secs(1), 1_000)).await, 408);
    assert_eq!(begun.elapsed(), RULES.deadline);

    // Slow, but in time.
    let begun = Instant::now();
    let body = read(&[], slow(Duration::from_secs(1), 28)).await.unwrap();
    assert_eq!((body.len(), begun.elapsed().as_secs()), (28, 29));

    // What is there already needs no time at all.
    let begun = Instant::now();
    let none = BodyRules {
        deadline: Duration::ZERO,
        ..RULES
    };
    let body = read_body_by(none, &HeaderMap::new(), "{}".into()).await;
    assert_eq!((body.unwrap().len(), begun.elapsed()), (2, Duration::ZERO));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_said_to_and_not_taken_for_whole() {
    let broken = stream::iter([Ok("{}"), Err(std::io::Error::other("reset"))]);
    let problem = refused(read(&[], Body::from_stream(broken)).await, 400);
    assert!(!problem.detail.contains("reset"), "{}", problem.detail);
}

#[tokio::test]
async fn no_body_is_an_empty_one() {
    assert!(read(&[], Body::empty()).await.unwrap().is_empty());
    assert!(
        read(&[], parts(vec![vec![], vec![]]))
            .await
            .unwrap()
            .is_empty()
    );
}

#[derive(Debug, Deserialize)]
struct Line {
    #[expect(dead_code, reason = "read for its faults")]
    delta: i64,
}

#[derive(Debug, Deserialize)]
struct Order {
    lines: Vec<Line>,
}

#[test]
fn a_fault_names_its_field() {
    for (text, field) in [
        (r#"{"lines":[{"delta":1},{"delta":"x"}]}"#, "lines[1].delta"),
        (r#"{"lines":[{"delta":1.5}]}"#, "lines[0].delta"),
        (r#"{"lines":[{}]}"#, "lines[0]"),
        (r#"{"lines":7}"#, "lines"),
        ("{}", "body"),
        ("", "body"),
        ("{", "body"),
        ("[]", "body"),
        (r#"{"lines":[]}x"#, "body"),
        ("\u{feff}{}", "body"),
    ] {
        let problem = parse_json::<Order>(text.as_bytes()).expect_err(text);
        assert_eq!(problem.code, ProblemCode::BadRequest, "{text}");
        assert_eq!(problem.details.len(), 1, "{text}");
        assert_eq!(problem.details[0].field, field, "{text}");
        assert!(problem.detail.starts_with("Invalid JSON: "), "{text}");
    }
    let whole = JsonBody(Bytes::from_static(br#"{"lines":[{"delta":-1}]}"#));
    assert_eq!(whole.parse::<Order>().unwrap().lines.len(), 1);
}

#[test]
fn what_a_client_sent_is_not_echoed_without_bound() {
    let long = "é".repeat(100_000);
    for text in [
        format!(r#"{{"lines":[{{"delta":"{long}"}}]}}"#),
        format!(r#"{{"lines":"{long}"}}"#),
    ] {
        let problem = parse_json::<Order>(text.as_bytes()).unwrap_err();
        let detail = &problem.details[0];
        assert!(detail.issue.len() <= limits::FAULT_TEXT_BYTES + '…'.len_utf8());
        assert!(problem.detail.len() < 600, "{}", problem.detail.len());
    }
    let unknown = BodyRules::default();
    assert_eq!(unknown.bytes_max, limits::BODY_BYTES);
    assert_eq!(unknown.deadline, limits::BODY_READ);
}
