//! A feed as a stream of server-sent events, of everybody's or of one store's orders.
//!
//! Each event has its offset as its id, with which a reader that comes back goes on. Where others'
//! events are left out, ids have gaps. Past [`limits::STREAM_UNTOLD_EVENTS`] of those the reader is told an
//! id alone, so that whoever comes back after a quiet day does not look at everybody's orders of that
//! day again. The answer's `Log-Gen` is the life of the log that the ids count in.
//!
//! What must stay true: an event that is wanted is sent, or the stream ends before it.

use std::borrow::Cow;

use axum::response::Response;
use axum::response::sse::Event;
use http::HeaderValue;
use serde::Deserialize;
use shared::domain::ids::StoreId;
use shared::limits;
use shared::service::sse;
use shared::wire::headers::LOG_GEN;
use tokio::sync::watch;

use super::{Feed, refusal};
use crate::feed::answer::{FeedHead, texts};

/// Streams `feed` from `offset` on, which is in it, until the reader's key counts no more.
pub(super) fn answer(feed: Feed, offset: u64) -> Response {
    let log_gen = HeaderValue::try_from(feed.published().log_gen().to_string());
    let ended = feed.caller.ended(feed.state.ledger.now());
    let reader = Reader {
        moves: feed.moves(),
        feed,
        offset,
        told: offset,
    };
    let runs = futures_util::stream::unfold(reader, |mut reader| async {
        let events = reader.next().await?;
        Some((events, reader))
    });
    let mut response = sse::stream(runs, ended);
    response
        .headers_mut()
        .insert(LOG_GEN, log_gen.expect("hex digits are valid in a header"));
    response
}

/// One reader of a stream.
struct Reader {
    feed: Feed,
    moves: watch::Receiver<()>,
    /// The next event to look at.
    offset: u64,
    /// Behind the last id that the reader was told.
    told: u64,
}

impl Reader {
    /// What is to be sent next; `None` at the end. A log that cannot be read ends the stream; the reader
    /// comes back and is told why.
    async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            self.moves.mark_unchanged();
            let head = self.feed.head();
            if self.offset < head.offset {
                let run = self.run(head).await?;
                if !run.is_empty() {
                    self.told = self.offset;
                    return Some(run);
                }
                // Others' events, perhaps very many; the worker has more to do.
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                changed = self.moves.changed() => changed.ok()?,
                () = self.feed.state.shutdown.cancelled() => return None,
            }
        }
    }

    /// Looks at the next events; those that are wanted.
    async fn run(&mut self, head: FeedHead) -> Option<Vec<Event>> {
        let (feed, limit) = (&self.feed, limits::FEED_LIMIT_DEFAULT);
        let found = texts(feed.published(), self.offset, limit, head).await;
        let found = found.inspect_err(refusal::note_unreadable).ok()?;
        let (last, _) = found.last()?;
        let last = *last;
        self.offset = last + 1;
        let wants = |text: &str| feed.only.as_ref().is_none_or(|store| is_of(text, store));
        let wanted = found.into_iter().filter(|(_, text)| wants(text));
        let mut run: Vec<Event> = wanted
            .map(|(at, text)| Event::default().id(at.to_string()).data(text))
            .collect();
        let feed_metrics = &feed.published().feed_metrics;
        feed_metrics.delivered(feed.stream, run.len());
        if run.is_empty() && self.offset - self.told >= limits::STREAM_UNTOLD_EVENTS {
            run.push(Event::default().id(last.to_string()));
        }
        Some(run)
    }
}

/// Whether the text of an order's event is of an order of `store`. Most are not, and most of those are
/// known by a look, which is what a thousand shops that listen cost for each event.
fn is_of(text: &str, store: &StoreId) -> bool {
    #[derive(Deserialize)]
    struct Text<'a> {
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data<'a> {
        #[serde(borrow, default)]
        store_id: Option<Cow<'a, str>>,
    }
    let id = store.as_str();
    // These two are written otherwise in JSON.
    let may_differ = id.contains(['"', '\\']);
    (may_differ || text.contains(id))
        && serde_json::from_str::<Text<'_>>(text)
            .is_ok_and(|text| text.data.store_id.as_deref() == Some(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_of_the_store_that_it_names_and_of_no_other() {
        let of = |event: &str, store: &str| is_of(event, &StoreId::parse(store).unwrap());
        let event = r#"{"offset":1,"orderId":"store-s2","data":{"orderId":"o","storeId":"store-s1","customerId":"store-s3"},"cause":{"storeId":"store-s4"}}"#;
        assert!(of(event, "store-s1"));
        for other in ["store-s2", "store-s3", "store-s4", "store-s", "s1"] {
            assert!(!of(event, other), "{other}");
        }
        let odd = r#"{"data":{"storeId":"a\"b\\c"}}"#;
        assert!(of(odd, r#"a"b\c"#));
        assert!(!of(r#"{"data":{"orderId":"store-s1"}}"#, "store-s1"));
        assert!(!of("store-s1", "store-s1"));
    }
}
