//! What becomes of this shop's orders, heard from central as it happens, for the shop's page.
//!
//! ```text
//! central's order feed, this store's orders only ─▶ follow ─▶ OrderNews (ring) ─▶ pages
//! ```
//!
//! A store keeps no copy of orders: whoever wants to know how one stands asks central. This is only
//! the news of them, so a bounded ring in memory is enough. A page that was told everything from some
//! point on goes on from there; one that may have missed something is told to load its data anew.
//!
//! A page counts in offsets of products, because one id serves both feeds. So each entry has a
//! *label*: the offset of the next product event when it was put here. Labels never fall between two
//! [`restart`](OrderNews::restart)s, and a page looks at the tip, is told of the orders that are here,
//! and only then of products up to that tip. Whoever comes back wanting product event *n* has therefore
//! been told everything with a label below *n*.
//!
//! What must stay true: between two restarts nothing is left out; what is dropped for want of room is
//! known to be gone; a label is taken under the lock that puts the entry here, so that no page can look
//! in between and be told of later products first.

mod follow;
mod parse;

use std::collections::VecDeque;

use parking_lot::Mutex;
use shared::limits;
use tokio::sync::watch;

pub use follow::follow;

/// The newest events of this shop's orders.
#[derive(Debug, Default)]
pub struct OrderNews {
    kept: Mutex<Kept>,
    /// The number of the entry that comes next.
    moved: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The number of the first entry in the list.
    first: u64,
    list: VecDeque<Entry>,
    /// Bytes of their texts.
    bytes: usize,
    /// Whether anything has been listened to; before that nobody is told of orders, and misses none.
    begun: bool,
    /// Who wants an earlier product event than this may have missed something.
    complete_from: u64,
}

#[derive(Debug)]
struct Entry {
    label: u64,
    text: String,
}

impl Kept {
    fn next(&self) -> u64 {
        self.first + self.list.len() as u64
    }
}

impl OrderNews {
    /// Everything is heard from now on, while the next product event is `tip`; what was before may
    /// have gone unheard, so whoever listens is to load its data anew.
    pub fn restart(&self, tip: impl FnOnce() -> u64) {
        let mut kept = self.kept.lock();
        // One number is nobody's: whoever wanted the next entry learns that there was a gap.
        kept.first = kept.next() + 1;
        kept.list.clear();
        kept.bytes = 0;
        kept.begun = true;
        kept.complete_from = tip().saturating_add(1);
        let next = kept.next();
        drop(kept);
        self.moved.send_replace(next);
    }

    /// An event was heard while the next product event is `tip`.
    pub fn heard(&self, text: String, tip: impl FnOnce() -> u64) {
        let mut kept = self.kept.lock();
        let tip = tip();
        let label = kept.list.back().map_or(tip, |last| tip.max(last.label));
        kept.bytes += text.len();
        kept.list.push_back(Entry { label, text });
        while kept.bytes > limits::ORDER_NEWS_BYTES
            && let Some(gone) = kept.list.pop_front()
        {
            kept.first += 1;
            kept.bytes -= gone.text.len();
            kept.complete_from = kept.complete_from.max(gone.label.saturating_add(1));
        }
        let next = kept.next();
        drop(kept);
        self.moved.send_replace(next);
    }

    /// Tells when something is heard.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// Where a page begins that loads its data now.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.kept.lock().next()
    }

    /// Where a page goes on that comes back and wants the product event `next`; `None` if it may have
    /// missed something.
    #[must_use]
    pub fn since(&self, next: u64) -> Option<u64> {
        let kept = self.kept.lock();
        if kept.begun && next < kept.complete_from {
            return None;
        }
        let unseen = kept.list.iter().rev();
        let unseen = unseen.take_while(|entry| entry.label >= next).count();
        Some(kept.next() - unseen as u64)
    }

    /// About `limit` entries from number `from` on; `None` if some of them are gone.
    #[must_use]
    pub fn read(&self, from: u64, limit: usize) -> Option<Vec<String>> {
        let kept = self.kept.lock();
        let passed = usize::try_from(from.checked_sub(kept.first)?).ok()?;
        let texts = kept.list.iter().skip(passed).take(limit);
        Some(texts.map(|entry| entry.text.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(news: &OrderNews, from: u64) -> Option<Vec<String>> {
        news.read(from, 100)
    }

    #[test]
    fn a_page_goes_on_where_it_was_and_is_told_when_that_is_gone() {
        let news = OrderNews::default();
        // Whoever comes back before anything can be heard waits for the beginning, and is told of it.
        let early = news.since(0).unwrap();
        assert_eq!(texts(&news, early).unwrap(), [""; 0]);
        news.restart(|| 10);
        assert_eq!(texts(&news, early), None);
        let page = news.end();
        for (text, tip) in [("a", 10), ("b", 11), ("c", 11), ("d", 14)] {
            news.heard(text.to_owned(), || tip);
        }
        assert_eq!(texts(&news, page).unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(texts(&news, page + 3).unwrap(), ["d"]);
        assert_eq!(texts(&news, news.end()).unwrap(), [""; 0]);
        // Who wants product event 11 may not have been told of what was heard at 11.
        let back = |next| news.since(next).and_then(|from| texts(&news, from));
        assert_eq!(back(11).unwrap(), ["b", "c", "d"]);
        assert_eq!(back(12).unwrap(), ["d"]);
        assert_eq!(back(15).unwrap(), [""; 0]);
        // At 10 the listening began; what was just before is not known.
        assert_eq!(back(10), None);
        // A gap: everybody loads anew, also who was at the end.
        let at_end = news.end();
        news.restart(|| 14);
        assert_eq!(texts(&news, at_end), None);
        assert_eq!(news.since(14), None);
        assert_eq!(texts(&news, news.end()).unwrap(), [""; 0]);
    }

    #[test]
    fn no_room_is_a_gap_and_only_for_those_who_are_behind() {
        let news = OrderNews::default();
        news.restart(|| 0);
        let begun = news.end();
        let text = "x".repeat(limits::ORDER_NEWS_BYTES / 100);
        for number in 0..102 {
            news.heard(text.clone(), || number);
        }
        assert_eq!(news.read(begun + 1, 1), None);
        assert_eq!(news.read(begun + 2, 1).unwrap(), [&*text]);
        assert_eq!(news.read(begun + 2, 1_000).unwrap().len(), 100);
        assert_eq!(news.since(1), None);
        assert_eq!(news.since(2), Some(begun + 2));
        // One that is too long for any room leaves nothing behind but the gap.
        news.heard("x".repeat(limits::ORDER_NEWS_BYTES + 1), || 200);
        assert_eq!((news.since(200), news.since(201)), (None, Some(news.end())));
    }

    #[test]
    fn a_tip_that_falls_back_hides_nothing() {
        let news = OrderNews::default();
        news.restart(|| 100);
        news.heard("a".to_owned(), || 120);
        news.heard("b".to_owned(), || 90);
        let from = news.since(110).unwrap();
        assert_eq!(texts(&news, from).unwrap(), ["a", "b"]);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_news_and_by_a_gap() {
        let news = OrderNews::default();
        let mut watch = news.watch();
        news.restart(|| 1);
        watch.changed().await.unwrap();
        news.heard("a".to_owned(), || 1);
        watch.changed().await.unwrap();
        assert!(!watch.has_changed().unwrap());
    }
}
