//! Stretches of the feed, packed once for all who read them.
//!
//! Hundreds of shops that catch up read the same thousand events, and what surrounds the events in an
//! answer differs: where the head is, how far the log goes back. Packing each answer whole would do
//! the costly part again and again. So the events are packed once, up to a point where the packed
//! stream can be cut, and each answer's end is put behind as a piece that is not packed: a stored
//! block of RFC 1951, a raw block of RFC 8878. It is one member, one frame; the oldest decoder reads
//! it.
//!
//! What must stay true: an offset names the same event for ever, so a stretch once packed is never
//! wrong; the cache is bounded in entries, each of them by the feed's largest answer.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};
use parking_lot::Mutex;
use shared::limits;
use shared::service::encoding::Coding;
use tokio::sync::OnceCell;

use super::answer::Slice;
use crate::journal::Stream;

/// Member header of RFC 1952: deflate, no name, no time, quick, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
const ZSTD_LEVEL: i32 = 1;
/// Room that the deflate stream is given at a time: more than it ever holds back.
const DEFLATE_ROOM: usize = 256 * 1024;
/// What a flush ends in: the length of an empty stored block.
const SYNC_MARK: [u8; 4] = [0, 0, 0xff, 0xff];

/// A beginning of an answer, packed, to which an end can be put.
#[derive(Debug)]
pub struct Packed {
    coding: Coding,
    bytes: Vec<u8>,
    /// Of the text; only the end of a gzip member wants it.
    crc: Crc,
}

impl Packed {
    /// Packs `parts`, one after the other.
    ///
    /// # Errors
    /// As the encoders'.
    pub fn new(coding: Coding, parts: &[&[u8]]) -> io::Result<Self> {
        let mut crc = Crc::new();
        let bytes = match coding {
            Coding::Identity => parts.concat(),
            Coding::Gzip => {
                parts.iter().for_each(|part| crc.update(part));
                deflated(parts)?
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                parts.iter().try_for_each(|part| encoder.write_all(part))?;
                encoder.flush()?;
                encoder.get_ref().clone()
            }
        };
        Ok(Self { coding, bytes, crc })
    }

    /// The whole, ending in `end`, which must be shorter than 64 KiB.
    #[must_use]
    pub fn ending_in(&self, end: &[u8]) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.bytes.len() + end.len() + 16);
        whole.extend_from_slice(&self.bytes);
        let length = u16::try_from(end.len()).expect("the end of an answer is some figures");
        match self.coding {
            Coding::Identity => whole.extend_from_slice(end),
            Coding::Gzip => {
                // The last block, stored.
                whole.push(1);
                whole.extend_from_slice(&length.to_le_bytes());
                whole.extend_from_slice(&(!length).to_le_bytes());
                whole.extend_from_slice(end);
                let mut crc = Crc::new();
                crc.combine(&self.crc);
                crc.update(end);
                whole.extend_from_slice(&crc.sum().to_le_bytes());
                whole.extend_from_slice(&crc.amount().to_le_bytes());
            }
            Coding::Zstd => {
                // The last block, raw: bit 0 says last, bits 1 and 2 raw, the rest how long.
                let header = (u32::from(length) << 3) | 1;
                let [one, two, three, _] = header.to_le_bytes();
                whole.extend_from_slice(&[one, two, three]);
                whole.extend_from_slice(end);
            }
        }
        whole
    }
}

/// A gzip member up to a flush, which ends at a byte so that another block can follow.
///
/// By hand, because the encoder's own `flush` is lost where output is still waiting: the deflate
/// stream then hands out what waits and does not flush.
fn deflated(parts: &[&[u8]]) -> io::Result<Vec<u8>> {
    let mut out = GZIP_HEADER.to_vec();
    let mut deflate = Compress::new(Compression::fast(), false);
    let mut step = |text: &[u8], out: &mut Vec<u8>, flush| {
        out.reserve(DEFLATE_ROOM);
        let before = (deflate.total_in(), deflate.total_out());
        deflate
            .compress_vec(text, out, flush)
            .map_err(io::Error::other)?;
        let taken = usize::try_from(deflate.total_in() - before.0).map_err(io::Error::other)?;
        Ok::<_, io::Error>((taken, deflate.total_out() != before.1))
    };
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            let (taken, _) = step(rest, &mut out, FlushCompress::None)?;
            rest = rest.get(taken..).unwrap_or_default();
        }
    }
    while step(&[], &mut out, FlushCompress::None)?.1 {}
    step(&[], &mut out, FlushCompress::Sync)?;
    if out.ends_with(&SYNC_MARK) {
        // It may be kept for long.
        out.shrink_to_fit();
        Ok(out)
    } else {
        Err(io::Error::other("the deflate stream did not flush"))
    }
}

/// What makes two stretches the same: the feed, where it begins, how many events, in which coding.
type Key = (Stream, u64, usize, Coding);
type Cell = Arc<OnceCell<Arc<Packed>>>;

/// Stretches that were packed lately.
#[derive(Debug, Default)]
pub struct PackedSlices(Mutex<Vec<(Key, Cell)>>);

impl PackedSlices {
    /// `slice` behind `beginning` in `coding`, packed now if nobody has done so. Of many who ask at
    /// once, one packs and the others wait.
    ///
    /// # Errors
    /// As the encoders'.
    pub async fn get(
        &self,
        coding: Coding,
        beginning: &'static [u8],
        slice: &Slice,
    ) -> io::Result<Arc<Packed>> {
        let cell = self.cell((slice.stream, slice.offset, slice.count, coding));
        let events = slice.events.clone();
        let packed = cell.get_or_try_init(|| async move {
            let pack = move |events: &Bytes| Packed::new(coding, &[beginning, events]);
            if events.len() <= limits::PACK_INLINE_BYTES {
                return pack(&events).map(Arc::new);
            }
            let work = tokio::task::spawn_blocking(move || pack(&events));
            work.await.map_err(io::Error::other)?.map(Arc::new)
        });
        packed.await.cloned()
    }

    fn cell(&self, key: Key) -> Cell {
        let mut known = self.0.lock();
        let cell = match known.iter().position(|(known, _)| *known == key) {
            // Back to the end: what is asked for stays.
            Some(at) => known.remove(at).1,
            None => Cell::default(),
        };
        if known.len() >= limits::PACKED_SLICES {
            known.remove(0);
        }
        known.push((key, Arc::clone(&cell)));
        cell
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn unpacked(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        match coding {
            Coding::Identity => text.extend_from_slice(bytes),
            // Reads one member and no more.
            Coding::Gzip => {
                let mut decoder = flate2::bufread::GzDecoder::new(bytes);
                decoder.read_to_end(&mut text).unwrap();
                assert!(
                    decoder.into_inner().is_empty(),
                    "something follows the member"
                );
            }
            Coding::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(bytes).unwrap();
                let mut decoder = decoder.single_frame();
                decoder.read_to_end(&mut text).unwrap();
                assert!(
                    decoder.finish().buffer().is_empty(),
                    "something follows the frame"
                );
            }
        }
        text
    }

    proptest! {
        #[test]
        fn whatever_is_packed_and_ended_unpacks_to_itself(
            events in prop::collection::vec(any::<u8>(), 0..200_000),
            repeats in 1_usize..4,
            end in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let events = events.repeat(repeats);
            for coding in [Coding::Identity, Coding::Gzip, Coding::Zstd] {
                let packed = Packed::new(coding, &[b"{\"events\":[", &events]).unwrap();
                let text = [b"{\"events\":[".as_slice(), &events, &end].concat();
                prop_assert_eq!(&unpacked(coding, &packed.ending_in(&end)), &text);
                // Once packed, it can be ended again, otherwise.
                let text = [b"{\"events\":[".as_slice(), &events].concat();
                prop_assert_eq!(&unpacked(coding, &packed.ending_in(b"")), &text);
            }
        }
    }

    #[tokio::test]
    async fn many_who_ask_for_the_same_get_the_same_bytes_and_few_are_kept() {
        let slices = PackedSlices::default();
        let slice = |offset| Slice {
            stream: Stream::Inventory,
            events: Bytes::from(vec![b'x'; 100_000]),
            count: 10,
            offset,
        };
        let (one, other) = (slice(0), slice(0));
        let asked = tokio::join!(
            slices.get(Coding::Gzip, b"[", &one),
            slices.get(Coding::Gzip, b"[", &other),
        );
        let first = asked.0.unwrap();
        assert!(Arc::ptr_eq(&first, &asked.1.unwrap()));
        for offset in 1..=2 * limits::PACKED_SLICES as u64 {
            let kept = slices.get(Coding::Gzip, b"[", &slice(0)).await.unwrap();
            assert!(Arc::ptr_eq(&first, &kept), "what is asked for stays");
            slices
                .get(Coding::Zstd, b"[", &slice(offset))
                .await
                .unwrap();
        }
        assert_eq!(slices.0.lock().len(), limits::PACKED_SLICES);
    }
}
