//! What comes back from central, read within bounds.
//!
//! No body is read past its limit, and nothing is waited for in silence. What is passed on of an answer
//! is a short list of headers. Errors lose the address they are about: they go into the log and onto
//! the status page.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use reqwest::Response;
use shared::limits;
use shared::wire::headers;

use super::{CallFault, Reply, SyncFault};

/// Sends a call, and tells an error before anything was sent from every later one.
pub(super) async fn sent(request: reqwest::RequestBuilder) -> Result<Response, CallFault> {
    request.send().await.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            CallFault::NotSent
        } else {
            CallFault::Unknown {
                timed_out: error.is_timeout(),
            }
        }
    })
}

/// An answer, read whole, with the headers that matter to the caller.
pub(super) async fn reply(response: Response) -> Result<Reply, CallFault> {
    let status = response.status();
    let mut kept = HeaderMap::new();
    for name in [
        CONTENT_TYPE,
        ETAG,
        LOCATION,
        RETRY_AFTER,
        headers::LOG_HEAD,
        headers::IDEMPOTENT_REPLAYED,
        headers::REQUEST_ID,
    ] {
        if let Some(value) = response.headers().get(&name) {
            kept.insert(name, value.clone());
        }
    }
    let body = read_all(response, limits::REPLY_BYTES).await;
    let body = body.map_err(|_| CallFault::Unknown { timed_out: false })?;
    Ok(Reply {
        status,
        headers: kept,
        body,
    })
}

/// Reads a body of at most `most` bytes.
pub(super) async fn read_all(response: Response, most: usize) -> Result<Bytes, SyncFault> {
    let mut body = BytesMut::new();
    let mut stream = response.bytes_stream();
    while let Some(part) = stream.next().await {
        body.extend_from_slice(&part.map_err(|error| fault_of(&error))?);
        if body.len() > most {
            return Err(SyncFault::new("central's answer is too large"));
        }
    }
    Ok(body.freeze())
}

/// A body whose next bytes must come before long.
pub(super) fn stalling(response: Response) -> BoxStream<'static, Result<Bytes, SyncFault>> {
    let stream = response.bytes_stream();
    Box::pin(futures_util::stream::unfold(Some(stream), |stream| async {
        let mut stream = stream?;
        match tokio::time::timeout(limits::ANSWER_STALL, stream.next()).await {
            Ok(Some(Ok(part))) => Some((Ok(part), Some(stream))),
            Ok(Some(Err(error))) => Some((Err(fault_of(&error)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(SyncFault::new("the answer stopped coming")), None)),
        }
    }))
}

/// A header that is a number.
pub(super) fn number(head: &HeaderMap, name: &axum::http::HeaderName) -> Option<u64> {
    head.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The `code` of a problem, if the body is one.
#[must_use]
pub fn problem_code(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Text {
        code: String,
    }
    serde_json::from_slice::<Text>(body)
        .ok()
        .map(|text| text.code)
}

/// A refusal as the follower knows it.
pub(super) fn refused(status: StatusCode, code: Option<&str>, head: &HeaderMap) -> SyncFault {
    // It goes into the log and onto the status page, and may be anything.
    let code = code.filter(|code| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_graphic()));
    let what = match code {
        Some(code) => format!("central answered {} {code}", status.as_u16()),
        None => format!("central answered {}", status.as_u16()),
    };
    SyncFault {
        what,
        is_missing: status == StatusCode::NOT_FOUND,
        retry_after: number(head, &RETRY_AFTER).map(Duration::from_secs),
    }
}

/// A fault without the address in it.
pub(super) fn fault_of(error: &reqwest::Error) -> SyncFault {
    SyncFault::new(if error.is_connect() {
        "central cannot be reached"
    } else if error.is_timeout() {
        "central did not answer in time"
    } else if error.is_body() || error.is_decode() {
        "central's answer was cut off"
    } else {
        "the connection to central broke"
    })
}
