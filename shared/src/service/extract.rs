//! Reading a request body: its type, its size, its encoding, its time, its JSON.
//!
//! Our own rather than axum's `Json`, whose rejections are plain text with three different
//! statuses. Every bound is on what is *decoded*: a compressed body is collected within the limit
//! and unpacked within the limit, so a bomb costs a megabyte and a few milliseconds.
//!
//! Fast path: a small body has normally arrived together with its head. It is then taken as it is,
//! without a copy and without a timer; the deadline starts only when there is something to wait
//! for. Parsing is one pass of `serde_json`; the pass that finds the path of a fault runs only when
//! there is one.
//!
//! Left out: imports, which are streamed and have their own bounds.

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io::Read;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::limits;
use crate::wire::problem::{Detail, Problem, ProblemCode};

/// What a body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyRules {
    /// Most bytes, decoded.
    pub bytes_max: usize,
    /// Time from the head to the last byte.
    pub deadline: Duration,
}

impl Default for BodyRules {
    fn default() -> Self {
        Self {
            bytes_max: limits::BODY_BYTES,
            deadline: limits::BODY_READ,
        }
    }
}

/// A whole, decoded JSON body, not yet parsed; an extractor under the default rules.
#[derive(Clone, Debug)]
pub struct JsonBody(pub Bytes);

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read_body(request).await.map(Self)
    }
}

impl JsonBody {
    /// Parses it.
    ///
    /// # Errors
    /// As [`parse_json`].
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        parse_json(&self.0)
    }
}

/// Reads a request's JSON body whole, under the default rules.
///
/// # Errors
/// As [`read_body_by`].
pub async fn read_body(request: Request) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    read_body_by(BodyRules::default(), &parts.headers, body).await
}

/// Reads the JSON `body` of a request with `headers` whole.
///
/// # Errors
/// 415 for another type or encoding, 413 when too large, 408 when too slow, 400 when broken.
pub async fn read_body_by(
    rules: BodyRules,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, Problem> {
    check_type(headers.get(CONTENT_TYPE))?;
    let encoding = Encoding::of(headers.get(CONTENT_ENCODING))?;
    // A body that says it is too large is refused before a byte of it is read.
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let declared = declared.and_then(|digits| digits.parse::<u64>().ok());
    if declared.is_some_and(|bytes| usize::try_from(bytes).map_or(true, |b| b > rules.bytes_max)) {
        return Err(too_large(rules.bytes_max));
    }
    let encoded = collect_in_time(rules, body).await?;
    match encoding {
        Encoding::None => Ok(encoded),
        Encoding::Gzip => {
            let decoder = flate2::bufread::MultiGzDecoder::new(encoded.as_ref());
            decode(decoder, rules.bytes_max)
        }
        Encoding::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(encoded.as_ref());
            let mut decoder = decoder.map_err(|_| broken_encoding())?;
            // RFC 8878: 8 MiB is what a decoder should take; a frame may ask for 2 GiB.
            decoder.window_log_max(23).map_err(|_| broken_encoding())?;
            decode(decoder, rules.bytes_max)
        }
    }
}

/// Parses a JSON body.
///
/// # Errors
/// 400 `bad_request` that names the field, where there is one.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|fault| explain::<T>(bytes, &fault))
}

#[cold]
fn explain<T: DeserializeOwned>(bytes: &[u8], fault: &serde_json::Error) -> Problem {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let path = match serde_path_to_error::deserialize::<_, T>(&mut parser) {
        Err(fault) => fault.path().to_string(),
        Ok(_) => ".".to_owned(),
    };
    let field = if path == "." || path.is_empty() || !fault.is_data() {
        "body".to_owned()
    } else {
        bounded(&path)
    };
    let detail = Detail::new(field, bounded(&fault.to_string()));
    Problem {
        detail: format!("Invalid JSON: {}: {}", detail.field, detail.issue),
        ..Problem::with_details(ProblemCode::BadRequest, vec![detail])
    }
}

/// `text`, cut where it would echo a client's data without bound.
fn bounded(text: &str) -> String {
    if text.len() <= limits::FAULT_TEXT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limits::FAULT_TEXT_BYTES);
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// JSON, or nothing said, which is what simple clients say; curl, told nothing, says "form" of
/// everything it posts. A page of another site can send that too, so it must never be enough where a
/// cookie is the key: cookie-authenticated writes need their own token.
fn check_type(value: Option<&HeaderValue>) -> Result<(), Problem> {
    let Some(value) = value else {
        return Ok(());
    };
    let text = value.as_bytes();
    let essence = text
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or(text)
        .trim_ascii();
    let json = essence.eq_ignore_ascii_case(b"application/json")
        || (has_prefix_ignoring_case(essence, b"application/")
            && has_suffix_ignoring_case(essence, b"+json"));
    let unsaid = essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded");
    if json || unsaid {
        Ok(())
    } else {
        Err(Problem::new(
            ProblemCode::UnsupportedMediaType,
            "the body must be application/json",
        ))
    }
}

fn has_prefix_ignoring_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn has_suffix_ignoring_case(text: &[u8], suffix: &[u8]) -> bool {
    let start = text.len().checked_sub(suffix.len());
    start
        .and_then(|start| text.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    None,
    Gzip,
    Zstd,
}

impl Encoding {
    fn of(value: Option<&HeaderValue>) -> Result<Self, Problem> {
        let Some(value) = value else {
            return Ok(Self::None);
        };
        let name = value.as_bytes().trim_ascii();
        for (known, encoding) in [
            (b"gzip".as_slice(), Self::Gzip),
            (b"x-gzip", Self::Gzip),
            (b"zstd", Self::Zstd),
            (b"identity", Self::None),
            (b"", Self::None),
        ] {
            if name.eq_ignore_ascii_case(known) {
                return Ok(encoding);
            }
        }
        Err(Problem::new(
            ProblemCode::UnsupportedMediaType,
            "the content encoding must be gzip, zstd or identity",
        ))
    }
}

async fn collect_in_time(rules: BodyRules, body: Body) -> Result<Bytes, Problem> {
    let mut whole = pin!(collect(rules.bytes_max, body));
    let arrived = poll_fn(|cx| match whole.as_mut().poll(cx) {
        Poll::Ready(whole) => Poll::Ready(Some(whole)),
        Poll::Pending => Poll::Ready(None),
    });
    if let Some(whole) = arrived.await {
        return whole;
    }
    let in_time = tokio::time::timeout(rules.deadline, whole).await;
    in_time.unwrap_or_else(|_| {
        let seconds = rules.deadline.as_secs();
        let sentence = format!("the body did not arrive within {seconds} s");
        Err(Problem::new(ProblemCode::BodyTimeout, sentence))
    })
}

async fn collect(bytes_max: usize, mut body: Body) -> Result<Bytes, Problem> {
    let Some(first) = next_data(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let Some(second) = next_data(&mut body).await? else {
        return Ok(first);
    };
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    let mut whole = BytesMut::with_capacity(
        (first.len() + second.len())
            .saturating_add(declared)
            .min(bytes_max),
    );
    whole.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(data) = next {
        if whole.len() + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        whole.extend_from_slice(&data);
        next = next_data(&mut body).await?;
    }
    Ok(whole.freeze())
}

/// The next bytes, skipping trailers; `None` at the end.
async fn next_data(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Problem::new(
                ProblemCode::BadRequest,
                "the body ended before it was whole",
            )
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn decode(decoder: impl Read, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut whole = Vec::new();
    // One byte more than allowed tells a body that fills the limit from one that breaks it.
    let mut bounded = decoder.take(bytes_max as u64 + 1);
    bounded
        .read_to_end(&mut whole)
        .map_err(|_| broken_encoding())?;
    if whole.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    Ok(whole.into())
}

fn broken_encoding() -> Problem {
    Problem::new(
        ProblemCode::BadRequest,
        "the body is not what its content encoding says",
    )
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(
        ProblemCode::BodyTooLarge,
        format!("the body must not exceed {bytes_max} bytes"),
    )
}
