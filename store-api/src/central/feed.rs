//! Reading the body of a feed answer.
//!
//! Each event keeps its bytes (a slice of the body, nothing is copied), because they go into the
//! store's journal and on to those who follow the store.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::wire::event::FeedEvent;

use super::SyncFault;
use crate::replica::answer::{Page, Place};
use crate::replica::live::Incoming;
use crate::replica::position::{Gen, parse_hex16};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventsText<'a> {
    #[serde(borrow)]
    events: Option<Vec<&'a RawValue>>,
    next_offset: u64,
    count: u64,
    r#gen: Gen,
    #[serde(default)]
    head_offset: Option<u64>,
    #[serde(default)]
    up_to_date: bool,
    #[serde(default)]
    digest: Option<String>,
}

/// Parses the body of a 200. `cursor` and `age` come from its headers.
///
/// # Errors
/// What is wrong with it.
pub fn parse(
    body: &Bytes,
    cursor: Option<u64>,
    age: Duration,
) -> Result<(Page, Vec<Incoming>), SyncFault> {
    let malformed = |_| SyncFault::new("an answer of the feed cannot be parsed");
    let text: EventsText<'_> = serde_json::from_slice(body).map_err(malformed)?;
    let raw = text.events.unwrap_or_default();
    let mut events = Vec::with_capacity(raw.len());
    for raw in raw {
        let event = FeedEvent::parse(raw.get()).map_err(malformed)?;
        events.push(Incoming {
            event,
            bytes: body.slice_ref(raw.get().as_bytes()),
        });
    }
    let digest = text.digest.map(|digits| parse_hex16(&digits)).transpose();
    let page = Page {
        r#gen: text.r#gen,
        places: events
            .iter()
            .map(|incoming| Place {
                offset: incoming.event.offset,
                batch: incoming.event.batch,
            })
            .collect(),
        next_offset: text.next_offset,
        count: text.count,
        head: text.head_offset,
        up_to_date: text.up_to_date,
        digest: digest
            .map_err(|_| SyncFault::new("an answer of the feed has a malformed digest"))?,
        cursor,
        age,
    };
    Ok((page, events))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::testing::TestLog;

    fn body(events: &[Bytes], rest: &str) -> Bytes {
        let texts: Vec<_> = events
            .iter()
            .map(|event| String::from_utf8_lossy(event))
            .collect();
        let body = format!(r#"{{"events":[{}],{rest}}}"#, texts.join(","));
        Bytes::from(body)
    }

    #[test]
    fn events_keep_their_bytes() {
        let log = TestLog::default().fork(0, 5, 1);
        let body = body(
            &log.events,
            r#""nextOffset":5,"hasMore":false,"count":5,"gen":"00000000000000ab","headOffset":5,"upToDate":true,"digest":"0123456789abcdef","other":1"#,
        );
        let (page, events) = parse(&body, Some(3), Duration::from_secs(2)).unwrap();
        let bytes: Vec<_> = events.into_iter().map(|incoming| incoming.bytes).collect();
        assert_eq!(bytes, log.events);
        assert_eq!(page.places.len(), 5);
        assert_eq!(
            (page.r#gen, page.head, page.digest),
            (Gen(0xab), Some(5), Some(0x0123_4567_89ab_cdef))
        );
    }

    #[test]
    fn what_is_not_an_answer_of_the_feed_is_refused() {
        let good =
            r#"{"events":null,"nextOffset":5,"hasMore":false,"count":0,"gen":"00000000000000ab"}"#;
        assert!(parse(&Bytes::from(good), None, Duration::ZERO).is_ok());
        for bad in [
            "",
            "<html>",
            "{}",
            "null",
            r#"{"events":[],"nextOffset":5,"count":0}"#,
            r#"{"events":[],"nextOffset":-5,"count":0,"gen":"00000000000000ab"}"#,
            r#"{"events":[],"nextOffset":5,"count":0,"gen":"ab"}"#,
            r#"{"events":[{}],"nextOffset":5,"count":0,"gen":"00000000000000ab"}"#,
            r#"{"events":[],"nextOffset":5,"count":0,"gen":"00000000000000ab","digest":"x"}"#,
        ] {
            assert!(
                parse(&Bytes::from(bad), None, Duration::ZERO).is_err(),
                "{bad}"
            );
        }
        for cut in 0..good.len() {
            let cut = Bytes::from(good).slice(..cut);
            assert!(parse(&cut, None, Duration::ZERO).is_err());
        }
    }
}
