//! The feed's question and the frame of its answer, the same at central and at every relay.
//!
//! A follower may be pointed at either and must not notice which: the same parameters, the same
//! faults named in the same words, the same cache rules. Cache rules: a full chunk never changes; a
//! shorter tail is a prefix of the truth and never wrong; an empty answer is worth a second and
//! carries a cursor that makes the next URL another one. What there is to read, and whether a
//! question can be answered at all, each service knows by itself.

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, Uri};

use super::encoding::Coding;
use super::query::QueryParams;
use super::sse::LAST_EVENT_ID;
use crate::clock::Timestamp;
use crate::limits;
use crate::wire::headers::{LOG_CURSOR, LOG_GEN, LOG_HEAD};
use crate::wire::problem::{Detail, Problem, ProblemCode};

/// Seconds that one cursor lasts: two polls in a row never have the same URL.
const CURSOR_SECONDS: i64 = 20;

/// What a reader of the feed asks for; `G` names a life of the log.
#[derive(Clone, Copy, Debug)]
pub struct Ask<G> {
    /// The first event wanted.
    pub offset: u64,
    /// Events wanted, softly.
    pub limit: usize,
    /// How long to wait for an event if there is none yet.
    pub wait: Duration,
    /// The life of the log that the reader followed so far, if it says.
    pub log_gen: Option<G>,
    /// The cursor of the answer before.
    pub cursor: Option<i64>,
    /// How the answer may be packed.
    pub coding: Coding,
}

impl<G> Ask<G>
where
    G: FromStr,
    G::Err: Display,
{
    /// The question of a poll.
    ///
    /// # Errors
    /// 400 with every fault.
    pub fn polled(uri: &Uri, headers: &HeaderMap) -> Result<Self, Problem> {
        let coding = Coding::accepted(headers);
        Self::parse(uri, None).map(|ask| Self { coding, ..ask })
    }

    /// The question of a stream: `Last-Event-ID`, which a browser sends when it comes back, goes
    /// before the offset in the address, which still says where it began.
    ///
    /// # Errors
    /// 400 with every fault.
    pub fn streamed(uri: &Uri, headers: &HeaderMap) -> Result<Self, Problem> {
        Self::parse(uri, headers.get(LAST_EVENT_ID))
    }

    fn parse(uri: &Uri, last_event_id: Option<&HeaderValue>) -> Result<Self, Problem> {
        let mut params = QueryParams::parse(uri);
        let asked = match (last_event_id, params.raw("offset")) {
            // Whoever says what it has seen goes on after it, or is told that it cannot.
            (Some(last), _) => last
                .to_str()
                .ok()
                .and_then(offset)
                .map(|last| last + 1)
                .ok_or(("header.Last-Event-ID", "invalid Last-Event-ID header")),
            (None, None) => Err(("query.offset", "offset parameter is required")),
            (None, Some(text)) => offset(text).ok_or(("query.offset", "invalid offset parameter")),
        };
        let limit_max = i64::try_from(limits::FEED_LIMIT_MAX).unwrap_or(i64::MAX);
        let limit = params.integer_capped("limit", 1..=limit_max);
        let wait_max = i64::try_from(limits::FEED_WAIT_MAX.as_secs()).unwrap_or(i64::MAX);
        let wait = params.integer_capped("wait", 0..=wait_max).unwrap_or(0);
        let log_gen = params.parsed::<G>("gen");
        let cursor = params.integer("cursor", 0..=limits::EXACT_MAX - 1);
        let offset = match asked {
            Ok(offset) => offset,
            Err((field, sentence)) => {
                let mut problem = Problem::new(ProblemCode::EventsError, sentence);
                problem.details = vec![Detail::new(field, "must be an offset, such as 0")];
                problem.details.extend(params.into_faults());
                return Err(problem);
            }
        };
        params.finish()?;
        Ok(Self {
            offset,
            limit: limit
                .and_then(|limit| usize::try_from(limit).ok())
                .unwrap_or(limits::FEED_LIMIT_DEFAULT),
            wait: Duration::from_secs(wait.unsigned_abs()),
            log_gen,
            cursor,
            coding: Coding::Identity,
        })
    }
}

/// An offset as people write it, small enough for every client to read exactly.
pub(super) fn offset(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let offset = digits.then(|| text.parse::<u64>().ok()).flatten();
    offset.filter(|offset| *offset < 1 << 53)
}

/// What an answer holds, as far as its headers say it.
#[derive(Clone, Copy, Debug)]
pub struct Answered<G> {
    /// The life of the log.
    pub log_gen: G,
    /// Where the log ends.
    pub head: u64,
    /// Events in the answer.
    pub count: usize,
    /// How the body is packed.
    pub coding: Coding,
    /// The present moment.
    pub now: Timestamp,
}

impl<G: Display> Answered<G> {
    /// Writes the headers of the answer to `ask`.
    ///
    /// # Panics
    /// If a generation is written in characters that a header cannot have; ours are hex digits.
    pub fn write(&self, ask: &Ask<G>, headers: &mut HeaderMap) {
        let Self { log_gen, count, .. } = self;
        let full = *count >= ask.limit && ask.offset.is_multiple_of(ask.limit as u64);
        let cache = match (full, count) {
            (true, _) => "public, max-age=31536000, immutable",
            (false, 0) => "public, max-age=1",
            (false, _) => "public, max-age=60",
        };
        // Strictly above the one that came, so that a cached answer never points at its own URL.
        let now = self.now.as_millis() / 1_000 / CURSOR_SECONDS;
        let cursor = ask.cursor.map_or(now, |echoed| now.max(echoed + 1));
        let (offset, next) = (ask.offset, ask.offset + *count as u64);
        let etag = format!("\"{log_gen}:{offset}:{next}{}\"", self.coding.tag_suffix());
        let header = |text: String| HeaderValue::try_from(text).expect("figures are valid headers");
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        headers.insert(ETAG, header(etag));
        if let Some(token) = self.coding.token() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(token));
        }
        headers.insert(LOG_GEN, header(log_gen.to_string()));
        headers.insert(LOG_HEAD, HeaderValue::from(self.head));
        headers.insert(LOG_CURSOR, HeaderValue::from(cursor));
    }
}
