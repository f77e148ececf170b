//! A layer that packs long answers for callers who take that.
//!
//! For answers that are whole in memory, which lists are; streams pack themselves as they are made.
//! It stands around single routes, because the answer to a till is short and would pay for the look
//! without ever gaining. Nothing behind it holds a secret beside text that a stranger chose, so the
//! length of an answer tells nothing.
//!
//! What must stay true: the bytes after unpacking are the bytes before; an answer with a strong entity
//! tag is left alone, since such a tag names bytes, and a weak one goes with every coding (RFC 9110,
//! 8.8.1); every answer that could have been packed says
//! `Vary: Accept-Encoding`, packed or not, so that no cache mixes them up.

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, VARY};
use http_body_util::BodyExt as _;

use super::encoding::{Coding, Packer};
use crate::limits;

/// Packs the answer to `request` if it is long and the caller takes it packed.
pub async fn compress(request: Request, next: Next) -> Response {
    let coding = Coding::accepted(request.headers());
    compressed(coding, next.run(request).await).await
}

/// Packs `response` if it is long and has no strong entity tag. For calls whose answers are long only
/// sometimes.
pub async fn compressed(coding: Coding, mut response: Response) -> Response {
    let headers = response.headers();
    let is_strong = |tag: &HeaderValue| !tag.as_bytes().starts_with(b"W/");
    if headers.contains_key(CONTENT_ENCODING) || headers.get(ETAG).is_some_and(is_strong) {
        return response;
    }
    let vary = HeaderValue::from_static("Accept-Encoding");
    response.headers_mut().append(VARY, vary);
    let Some(token) = coding.token() else {
        return response;
    };
    let long = |bytes: u64| bytes > limits::PLAIN_BYTES as u64;
    if !response.body().size_hint().exact().is_some_and(long) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = match body.collect().await {
        Ok(text) => text.to_bytes(),
        // A whole body is there already; what is not cannot become an answer.
        Err(_) => Bytes::new(),
    };
    let Some(packed) = packed(coding, text.clone()).await else {
        return Response::from_parts(parts, Body::from(text));
    };
    parts.headers.remove(CONTENT_LENGTH);
    let token = HeaderValue::from_static(token);
    parts.headers.insert(CONTENT_ENCODING, token);
    Response::from_parts(parts, Body::from(packed))
}

/// Packs `text`, long ones on a thread that may take its time; `None` if it is short, or if packing
/// saves nothing. For answers that have an entity tag of their own for each coding.
pub async fn packed(coding: Coding, text: Bytes) -> Option<Vec<u8>> {
    if coding == Coding::Identity || text.len() <= limits::PLAIN_BYTES {
        return None;
    }
    if text.len() <= limits::PACK_INLINE_BYTES {
        return pack(coding, &text);
    }
    let work = tokio::task::spawn_blocking(move || pack(coding, &text));
    work.await.ok().flatten()
}

fn pack(coding: Coding, text: &[u8]) -> Option<Vec<u8>> {
    let mut packer = Packer::new(coding).ok()?;
    let mut packed = packer.push(text).ok()?;
    packed.append(&mut packer.finish().ok()?);
    (packed.len() < text.len()).then_some(packed)
}
