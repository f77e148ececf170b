//! Compare-and-sets that came too late, and when they are told.
//!
//! Of many callers who insist on a version of one product, one is right and the others are stale. A
//! refusal costs as much of a socket and of parsing as a sale, and whoever is refused asks again at
//! once. Told as fast as they come, the stale fill the machine, and the one who knows the present
//! version waits behind them. So of each version of a product only a few ([`TOLD`]) are told at
//! once that theirs is stale. The others wait, undecided, until the version has changed again, and
//! are then refused with that one, a few at a time, the oldest first: each has the present version
//! for its next attempt, and few enough have it that one of them is soon right.
//!
//! Nothing is decided here. To have waited is to have arrived later, and requests that are under
//! way together were never promised an order; whoever is released is decided like everybody else.
//!
//! What must stay true: a lone conflict does not wait; nobody waits longer than
//! [`limits::CONFLICT_WAIT`]; first come, first told.

use std::collections::{HashMap, VecDeque};

use shared::domain::ids::ProductId;
use shared::limits;
use tokio::time::Instant;

use super::inbox::Submission;

/// How many are told of each version before the others wait for the next.
const TOLD: usize = 2;

/// Everybody who waits, by product.
#[derive(Debug, Default)]
pub(super) struct Latecomers {
    products: HashMap<ProductId, Line>,
    waiting: usize,
    closed: bool,
}

/// Those who are late for one product.
#[derive(Debug)]
struct Line {
    version: u64,
    /// Since when it has this version, as far as this line knows.
    since: Instant,
    /// How many were told of it.
    told: usize,
    waiting: VecDeque<(Instant, Submission)>,
}

impl Line {
    /// Begins anew when the version has changed, or when the race is long over.
    fn at(&mut self, version: u64, now: Instant) {
        if self.version != version || self.is_over(now) {
            self.version = version;
            self.since = now;
            self.told = 0;
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.waiting.is_empty() && now >= self.since + limits::CONFLICT_WAIT
    }

    /// Whether the one who waits longest is to be told now.
    fn is_due(&self, now: Instant) -> bool {
        self.waiting
            .front()
            .is_some_and(|(since, _)| self.told < TOLD || now >= *since + limits::CONFLICT_WAIT)
    }
}

impl Latecomers {
    /// Takes a submission that is stale now that `product` is at `version`; gives it back if it is
    /// to be told at once.
    pub(super) fn admit(
        &mut self,
        submission: Submission,
        product: &ProductId,
        version: u64,
        now: Instant,
    ) -> Option<Submission> {
        if self.closed || self.waiting >= limits::CONFLICTS_WAITING {
            return Some(submission);
        }
        let line = self.products.entry(product.clone()).or_insert(Line {
            version,
            since: now,
            told: 0,
            waiting: VecDeque::new(),
        });
        line.at(version, now);
        if line.waiting.is_empty() && line.told < TOLD {
            line.told += 1;
            return Some(submission);
        }
        line.waiting.push_back((now, submission));
        self.waiting += 1;
        None
    }

    /// Those who are to be told now, with the products at the versions that `version` gives.
    pub(super) fn due(
        &mut self,
        version: impl Fn(&ProductId) -> Option<u64>,
        now: Instant,
    ) -> Vec<Submission> {
        let mut due = Vec::new();
        let closed = self.closed;
        self.products.retain(|product, line| {
            let over = line.is_over(now);
            // Of a product that has been deleted everybody is told soon enough.
            line.at(version(product).unwrap_or(line.version), now);
            while closed || line.is_due(now) {
                let Some((_, submission)) = line.waiting.pop_front() else {
                    break;
                };
                line.told += 1;
                due.push(submission);
            }
            !over
        });
        self.waiting -= due.len();
        due
    }

    /// When somebody is due at the latest; `None` if nobody waits.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let first = |line: &Line| line.waiting.front().map(|(since, _)| *since);
        let first = self.products.values().filter_map(first).min();
        first.map(|since| since + limits::CONFLICT_WAIT)
    }

    /// Whether [`due`](Self::due) has anything to do.
    pub(super) fn is_idle(&self) -> bool {
        self.products.is_empty()
    }

    /// Whether nobody waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// From now on everybody is due.
    pub(super) const fn close(&mut self) {
        self.closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    /// Told apart by its lane.
    fn submission(number: usize) -> Submission {
        let (reply, _) = oneshot::channel();
        Submission {
            requests: Vec::new(),
            lane: number,
            reply,
        }
    }

    fn product(name: &str) -> ProductId {
        ProductId::parse(name).unwrap()
    }

    /// Whether number `number` is told at once.
    fn late(all: &mut Latecomers, id: &str, version: u64, number: usize, now: Instant) -> bool {
        all.admit(submission(number), &product(id), version, now)
            .is_some()
    }

    fn due(all: &mut Latecomers, version: Option<u64>, now: Instant) -> Vec<usize> {
        let due = all.due(|_| version, now);
        due.iter().map(|submission| submission.lane).collect()
    }

    #[test]
    fn of_each_version_a_few_are_told_in_the_order_in_which_they_came() {
        let (mut all, now) = (Latecomers::default(), Instant::now());
        let told: Vec<bool> = (0..6)
            .map(|number| late(&mut all, "A", 1, number, now))
            .collect();
        assert_eq!(told, [true, true, false, false, false, false]);
        assert!(
            late(&mut all, "B", 1, 9, now),
            "another product has no race"
        );
        assert!(due(&mut all, Some(1), now).is_empty());
        assert_eq!(due(&mut all, Some(2), now), [2, 3]);
        // Whoever comes now comes after those who wait.
        assert!(!late(&mut all, "A", 3, 6, now));
        assert_eq!(due(&mut all, Some(3), now), [4, 5]);
        assert_eq!(due(&mut all, Some(4), now), [6]);
        assert!(all.is_empty());
    }

    #[test]
    fn nobody_waits_longer_than_the_bound() {
        let (mut all, now) = (Latecomers::default(), Instant::now());
        for number in 0..4 {
            late(&mut all, "A", 1, number, now);
        }
        let deadline = all.deadline().unwrap();
        assert_eq!(deadline, now + limits::CONFLICT_WAIT);
        let before = deadline.checked_sub(std::time::Duration::from_millis(1));
        assert!(due(&mut all, Some(1), before.unwrap()).is_empty());
        // The product may even be gone.
        assert_eq!(due(&mut all, None, deadline), [2, 3]);
        assert_eq!(all.deadline(), None);
        // Nothing is kept of a race that is over.
        due(&mut all, Some(1), deadline + limits::CONFLICT_WAIT);
        assert!(all.is_idle());
    }

    #[test]
    fn conflicts_far_apart_are_no_race() {
        let (mut all, mut now) = (Latecomers::default(), Instant::now());
        for number in 0..10 {
            assert!(late(&mut all, "A", 1, number, now));
            now += limits::CONFLICT_WAIT;
        }
    }

    #[test]
    fn at_the_end_and_past_the_bound_nobody_waits() {
        let (mut all, now) = (Latecomers::default(), Instant::now());
        for number in 0..limits::CONFLICTS_WAITING + TOLD {
            late(&mut all, "A", 1, number, now);
        }
        assert!(late(&mut all, "A", 1, 0, now));
        all.close();
        assert!(late(&mut all, "A", 1, 0, now));
        let all_due = due(&mut all, Some(1), now);
        assert_eq!(all_due.len(), limits::CONFLICTS_WAITING);
        assert!(all.is_empty());
    }
}
