//! Unpacking, parsing and checking a snapshot as it comes.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use shared::domain::inventory::Product;
use shared::limits;
use tokio::sync::{mpsc, oneshot};

use super::Received;
use crate::central::{Packing, SyncFault};
use crate::replica::files::{Header, SnapshotWriter, Summary, Trailer, row_of};
use crate::replica::position::parse_hex16;

/// Unpacks, parses and checks a snapshot. Blocking.
pub(super) fn parse(
    pieces: Pieces,
    packing: Packing,
    header_out: oneshot::Sender<Header>,
    writer_in: oneshot::Receiver<Option<SnapshotWriter>>,
) -> Result<Received, SyncFault> {
    let fault = pieces.fault.clone();
    let reader: Box<dyn Read> = match packing {
        Packing::Plain => Box::new(pieces),
        Packing::Zstd => {
            let decoder = zstd::stream::read::Decoder::new(pieces);
            Box::new(decoder.map_err(|_| SyncFault::new("the snapshot cannot be unpacked"))?)
        }
    };
    let parsed = parse_lines(
        BufReader::with_capacity(256 * 1024, reader),
        header_out,
        writer_in,
    );
    // What the network said explains better than what the parser missed.
    parsed.map_err(|problem| fault.lock().take().unwrap_or(problem))
}

fn parse_lines(
    mut reader: impl BufRead,
    header_out: oneshot::Sender<Header>,
    writer_in: oneshot::Receiver<Option<SnapshotWriter>>,
) -> Result<Received, SyncFault> {
    let damaged = || SyncFault::new("the snapshot is damaged");
    let mut line = Vec::new();
    read_line(&mut reader, &mut line)?;
    let mut crc = crc32c::crc32c(&line);
    let header: Header = serde_json::from_slice(&line).map_err(|_| damaged())?;
    header_out.send(header).ok();
    let turned_down = || SyncFault::new("the snapshot is of a log that was left behind");
    let mut writer = writer_in.blocking_recv().map_err(|_| turned_down())?;
    let mut products = Vec::with_capacity(usize::try_from(header.count.min(1 << 20)).unwrap_or(0));
    let mut summary = Summary::default();
    for _ in 0..header.count {
        read_line(&mut reader, &mut line)?;
        crc = crc32c::crc32c_append(crc, &line);
        let row = line.strip_suffix(b"\n").ok_or_else(damaged)?;
        let product: Product = serde_json::from_slice(row).map_err(|_| damaged())?;
        summary = summary.plus(product.digest());
        if let Some(open) = &mut writer
            && let Err(error) = open.row(&row_of(row, &product))
        {
            tracing::error!(%error, "the snapshot cannot be kept on disk");
            writer = None;
        }
        products.push(product);
    }
    read_line(&mut reader, &mut line)?;
    let trailer: Trailer = serde_json::from_slice(&line).map_err(|_| damaged())?;
    let whole = trailer.count == summary.count
        && trailer.crc == format!("{crc:08x}")
        && parse_hex16(&trailer.digest) == Ok(summary.digest)
        && reader.fill_buf().map_err(|_| damaged())?.is_empty();
    if !whole {
        return Err(damaged());
    }
    let snapshot = writer.and_then(|writer| match writer.finish(summary.digest) {
        Ok(finished) => Some(finished),
        Err(error) => {
            tracing::error!(%error, "the snapshot cannot be kept on disk");
            None
        }
    });
    Ok(Received {
        header,
        products,
        summary,
        snapshot,
    })
}

/// Reads one line with its newline, of bounded length.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<(), SyncFault> {
    line.clear();
    let read = reader
        .take(limits::ROW_BYTES as u64)
        .read_until(b'\n', line);
    match read {
        Ok(_) if line.ends_with(b"\n") => Ok(()),
        Ok(_) | Err(_) => Err(SyncFault::new("the snapshot is cut off")),
    }
}

/// The pieces of a body as something to read from. Blocking.
pub(super) struct Pieces {
    inbox: mpsc::Receiver<Result<Bytes, SyncFault>>,
    current: Bytes,
    fault: Arc<Mutex<Option<SyncFault>>>,
}

impl Pieces {
    pub(super) fn new(inbox: mpsc::Receiver<Result<Bytes, SyncFault>>) -> Self {
        Self {
            inbox,
            current: Bytes::new(),
            fault: Arc::default(),
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.inbox.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.current = piece,
                Some(Err(fault)) => {
                    *self.fault.lock() = Some(fault);
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        let len = into.len().min(self.current.len());
        let piece = self.current.split_to(len);
        if let Some(place) = into.get_mut(..len) {
            place.copy_from_slice(&piece);
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::testing::{TestLog, products};

    /// A snapshot as central sends it, and how many rows it has.
    fn snapshot() -> (Vec<u8>, usize) {
        let state = TestLog::default().fork(0, 40, 5).state(40);
        let rows = products(&state);
        let header = Header {
            r#gen: crate::replica::position::Gen(7),
            offset: 40,
            count: rows.len() as u64,
            serial: 0,
        };
        let mut text = serde_json::to_vec(&header).unwrap();
        text.push(b'\n');
        for row in &rows {
            text.extend_from_slice(&row_of(b"", row));
            text.push(b'\n');
        }
        let trailer = Trailer {
            count: rows.len() as u64,
            crc: format!("{:08x}", crc32c::crc32c(&text)),
            digest: format!("{:016x}", state.digest()),
        };
        text.extend_from_slice(&serde_json::to_vec(&trailer).unwrap());
        text.push(b'\n');
        (text, rows.len())
    }

    fn read(text: &[u8]) -> Result<usize, SyncFault> {
        let (header_out, _header_in) = oneshot::channel();
        let (writer_out, writer_in) = oneshot::channel();
        writer_out.send(None).unwrap();
        let parsed = parse_lines(text, header_out, writer_in)?;
        Ok(parsed.products.len())
    }

    #[test]
    fn a_snapshot_is_believed_whole_or_not_at_all() {
        let (text, rows) = snapshot();
        assert_eq!(read(&text).unwrap(), rows);
        for cut in 0..text.len() {
            assert!(read(&text[..cut]).is_err(), "cut at {cut}");
        }
        for byte in 0..text.len() {
            let mut damaged = text.clone();
            damaged[byte] ^= 0x10;
            assert!(read(&damaged).is_err(), "byte {byte}");
        }
        let more = [&text[..], b"\n"].concat();
        assert!(read(&more).is_err(), "something behind its end");
    }

    #[test]
    fn a_line_without_end_is_not_collected() {
        let endless = vec![b'x'; 4 * limits::ROW_BYTES];
        assert!(read(&endless).is_err());
    }
}
