//! Reading server-sent events as they come.
//!
//! As much of the format as central writes: lines `id:` and `data:`, an empty line behind each event,
//! comments in between. Parts of the body end anywhere. An event that does not fit into the bound is
//! none of central's, and ends the stream.

use shared::limits;

/// What one event says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Everything up to this offset, itself included, has been told or was nobody's here.
    pub(super) id: u64,
    /// The text of the event at that offset, if it is wanted.
    pub(super) data: Option<String>,
}

/// The stream is none of central's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAFeed;

/// What has come and is no whole event yet.
#[derive(Debug, Default)]
pub(super) struct Parser {
    rest: Vec<u8>,
    /// So many bytes of it hold no end of an event.
    looked: usize,
}

impl Parser {
    /// Takes the next part of the body; the events that are whole now.
    ///
    /// # Errors
    /// [`NotAFeed`].
    pub(super) fn push(&mut self, part: &[u8]) -> Result<Vec<Told>, NotAFeed> {
        self.rest.extend_from_slice(part);
        let mut told = Vec::new();
        let mut begin = 0;
        while let Some(length) = self.end_from(self.looked) {
            let end = self.looked + length;
            let event = self.rest.get(begin..end).unwrap_or_default();
            told.extend(parse(event)?);
            (begin, self.looked) = (end, end);
        }
        self.rest.drain(..begin);
        // The first half of an end may be there.
        self.looked = self.rest.len().saturating_sub(1);
        if self.rest.len() > limits::ORDER_EVENT_BYTES {
            return Err(NotAFeed);
        }
        Ok(told)
    }

    /// Bytes from `from` to the next end of an event, the end included.
    fn end_from(&self, from: usize) -> Option<usize> {
        let pairs = self.rest.get(from..)?.windows(2);
        let at = pairs.into_iter().position(|pair| pair == b"\n\n")?;
        Some(at + 2)
    }
}

/// What an event says; `None` for a comment, or for one that names no offset.
fn parse(event: &[u8]) -> Result<Option<Told>, NotAFeed> {
    let event = std::str::from_utf8(event).map_err(|_| NotAFeed)?;
    let field = |name: &str| {
        let mut values = event.lines().filter_map(|line| line.strip_prefix(name));
        values.next().map(str::trim_start)
    };
    let Some(id) = field("id:") else {
        return Ok(None);
    };
    let id = id.parse().map_err(|_| NotAFeed)?;
    let data = field("data:").map(str::to_owned);
    Ok(Some(Told { id, data }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_wherever_the_parts_end() {
        let text = ": \n\nid: 7\ndata: {\"a\":1}\n\nevent: ping\ndata: {}\n\ndata: {\"b\":2}\nid:8\n\nid: 9\n\nid: 10\n";
        let told = |id, data: Option<&str>| Told {
            id,
            data: data.map(str::to_owned),
        };
        let expected = [
            told(7, Some("{\"a\":1}")),
            told(8, Some("{\"b\":2}")),
            told(9, None),
        ];
        for size in 1..=text.len() {
            let mut parser = Parser::default();
            let parts = text.as_bytes().chunks(size);
            let found: Vec<_> = parts.flat_map(|part| parser.push(part).unwrap()).collect();
            assert_eq!(found, expected, "parts of {size}");
        }
    }

    #[test]
    fn what_is_no_feed_ends_it_and_nothing_grows_without_bound() {
        assert_eq!(
            Parser::default().push(b"id: x\ndata: {}\n\n"),
            Err(NotAFeed)
        );
        assert_eq!(
            Parser::default().push(b"id: 1\ndata: \xff\n\n"),
            Err(NotAFeed)
        );
        let mut parser = Parser::default();
        let half = vec![b'x'; limits::ORDER_EVENT_BYTES / 2];
        assert_eq!(parser.push(&half), Ok(Vec::new()));
        assert_eq!(parser.push(&half), Ok(Vec::new()));
        assert_eq!(parser.push(b"x"), Err(NotAFeed));
        // Many events in one part are no long event.
        let many = b"id: 1\n\n".repeat(limits::ORDER_EVENT_BYTES / 4);
        assert_eq!(
            Parser::default().push(&many).unwrap().len(),
            limits::ORDER_EVENT_BYTES / 4
        );
    }
}
