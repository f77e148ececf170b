use std::num::ParseIntError;

use super::*;

/// A life of the log, as short as a test likes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life(u8);

impl FromStr for Life {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

impl Display for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

fn uri(query: &str) -> Uri {
    format!("/v1/inventory/events?{query}").parse().unwrap()
}

fn fields(problem: &Problem) -> Vec<&str> {
    let details = problem.details.iter();
    details.map(|detail| detail.field.as_str()).collect()
}

#[test]
fn every_fault_of_a_question_is_named_at_once() {
    let none = HeaderMap::new();
    for (query, code, expected) in [
        ("", ProblemCode::EventsError, &["query.offset"][..]),
        (
            "offset=x&limit=0&wait=-1&gen=no&cursor=1.5",
            ProblemCode::EventsError,
            &[
                "query.offset",
                "query.limit",
                "query.wait",
                "query.gen",
                "query.cursor",
            ],
        ),
        (
            "offset=3&limit=abc&gen=999",
            ProblemCode::InvalidRequest,
            &["query.limit", "query.gen"],
        ),
        (
            "offset=9007199254740992",
            ProblemCode::EventsError,
            &["query.offset"],
        ),
    ] {
        let problem = Ask::<Life>::polled(&uri(query), &none).unwrap_err();
        assert_eq!(
            (problem.code, &fields(&problem)[..]),
            (code, expected),
            "{query}"
        );
    }
}

#[test]
fn a_stream_goes_on_behind_the_last_event_that_was_seen_and_a_poll_does_not_know_of_it() {
    let mut headers = HeaderMap::new();
    headers.insert(LAST_EVENT_ID, HeaderValue::from_static("41"));
    let uri = uri("offset=7&limit=5000&wait=99&gen=3");
    let polled = Ask::<Life>::polled(&uri, &headers).unwrap();
    assert_eq!((polled.offset, polled.limit), (7, limits::FEED_LIMIT_MAX));
    assert_eq!(
        (polled.wait, polled.log_gen),
        (limits::FEED_WAIT_MAX, Some(Life(3)))
    );
    assert_eq!(Ask::<Life>::streamed(&uri, &headers).unwrap().offset, 42);
    headers.insert(LAST_EVENT_ID, HeaderValue::from_static("x"));
    let problem = Ask::<Life>::streamed(&uri, &headers).unwrap_err();
    assert_eq!(fields(&problem), ["header.Last-Event-ID"]);
}

#[test]
fn only_a_full_chunk_is_for_ever_and_a_cursor_is_never_given_twice() {
    let now = Timestamp::from_millis(2_000_000);
    for (query, count, cache, cursor) in [
        (
            "offset=20&limit=10",
            10,
            "public, max-age=31536000, immutable",
            "100",
        ),
        ("offset=25&limit=10", 10, "public, max-age=60", "100"),
        ("offset=20&limit=10", 9, "public, max-age=60", "100"),
        (
            "offset=20&limit=10&cursor=99",
            0,
            "public, max-age=1",
            "100",
        ),
        (
            "offset=20&limit=10&cursor=100",
            0,
            "public, max-age=1",
            "101",
        ),
    ] {
        let ask = Ask::<Life>::polled(&uri(query), &HeaderMap::new()).unwrap();
        let answered = Answered {
            log_gen: Life(3),
            head: 40,
            count,
            coding: Coding::Zstd,
            now,
        };
        let mut headers = HeaderMap::new();
        answered.write(&ask, &mut headers);
        let written = |name: &str| headers.get(name).unwrap().to_str().unwrap();
        assert_eq!(
            (written("cache-control"), written("log-cursor")),
            (cache, cursor),
            "{query}"
        );
        let etag = format!("\"3:{}:{}-zstd\"", ask.offset, ask.offset + count as u64);
        assert_eq!(written("etag"), etag);
        assert_eq!((written("log-gen"), written("log-head")), ("3", "40"));
    }
}
