//! How an answer of central is packed, and the bytes that it stands for.
//!
//! The client asks for one coding and unpacks it itself, so that the bound on an answer holds for
//! what it unpacks to and not only for what came over the line: a few kilobytes can stand for
//! gigabytes. Streams (snapshots) are unpacked where they are read; this is for whole bodies.

use std::io::{self, Read as _};

use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use shared::limits;

use super::{Packing, SyncFault};

/// What the client takes.
pub(super) const ACCEPTED: HeaderValue = HeaderValue::from_static("zstd");

/// How the answer with this head is packed.
pub(super) fn packing(head: &HeaderMap) -> Result<Packing, SyncFault> {
    match head.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => Ok(Packing::Plain),
        Some(b"zstd") => Ok(Packing::Zstd),
        Some(_) => Err(SyncFault::new("the answer is packed in an unknown way")),
    }
}

/// What `body` stands for, of at most `most` bytes. Long ones are unpacked on a thread that may take
/// its time.
pub(super) async fn unpacked(
    packing: Packing,
    body: Bytes,
    most: usize,
) -> Result<Bytes, SyncFault> {
    if packing == Packing::Plain {
        return Ok(body);
    }
    let unpacked = if body.len() <= limits::PACK_INLINE_BYTES {
        unpack(&body, most)
    } else {
        let work = tokio::task::spawn_blocking(move || unpack(&body, most));
        work.await.unwrap_or_else(|error| Err(error.into()))
    };
    let bytes = unpacked.map_err(|_| SyncFault::new("central's answer cannot be unpacked"))?;
    if bytes.len() > most {
        return Err(SyncFault::new("central's answer is too large"));
    }
    Ok(Bytes::from(bytes))
}

/// Unpacks up to one byte more than `most`, which tells that there is more.
fn unpack(body: &[u8], most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(body)?;
    decoder.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(coding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))])
    }

    #[test]
    fn a_coding_that_was_not_asked_for_is_a_fault() {
        assert_eq!(packing(&HeaderMap::new()).unwrap(), Packing::Plain);
        assert_eq!(packing(&head("zstd")).unwrap(), Packing::Zstd);
        assert!(packing(&head("br")).is_err());
    }

    #[tokio::test]
    async fn an_answer_unpacks_to_at_most_so_many_bytes() {
        let text = vec![b'x'; 1 << 20];
        let packed = Bytes::from(zstd::encode_all(text.as_slice(), 1).unwrap());
        let whole = unpacked(Packing::Zstd, packed.clone(), text.len()).await;
        assert_eq!(whole.unwrap(), text);
        let bomb = unpacked(Packing::Zstd, packed.clone(), text.len() - 1).await;
        assert_eq!(bomb.unwrap_err().what, "central's answer is too large");
        let cut = packed.slice(..packed.len() - 1);
        assert!(unpacked(Packing::Zstd, cut, text.len()).await.is_err());
    }
}
