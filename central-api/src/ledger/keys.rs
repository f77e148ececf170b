//! The idempotency window: which keys were used, for which command, and where the answer stands.
//!
//! An entry holds no answer. It points at the record, which has everything the answer is made of,
//! so a million remembered keys cost 64 MB and not a gigabyte. Keys are kept as two keyed 64-bit
//! hashes of principal and key; whoever replays an answer compares the texts in the record, so a
//! collision, however it came about, is noticed and never answers with somebody else's outcome.
//!
//! The window is a fold of the log: the same records give the same window. Only the hash seeds
//! differ from process to process, and they are never written down.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashMap;
use shared::clock::Timestamp;
use shared::domain::ids::{IdempotencyKey, Principal};

/// How long and how many keys are remembered.
#[derive(Clone, Copy, Debug)]
pub struct KeyRetention {
    /// Milliseconds after which a key is forgotten.
    pub millis: i64,
    /// Keys above which the oldest are forgotten.
    pub count: usize,
}

impl Default for KeyRetention {
    fn default() -> Self {
        Self {
            millis: 7 * 24 * 3_600_000,
            count: shared::limits::IDEMPOTENCY_KEYS,
        }
    }
}

/// What is remembered in memory, and for how long. Every copy of a log must be folded by the same.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Keys.
    pub keys: KeyRetention,
    /// How many orders that are over are kept; older ones are found in the log.
    pub ended_orders: usize,
}

impl From<KeyRetention> for Retention {
    fn from(keys: KeyRetention) -> Self {
        Self {
            keys,
            ended_orders: shared::limits::ORDERS_ENDED_KEPT,
        }
    }
}

/// What is known of a used key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedKey {
    /// The record that holds the answer.
    pub seq: u64,
    /// Fingerprint of the command it was used for.
    pub fingerprint: u64,
}

/// Where the window has a key, whether it is there or not; good for the window that gave it.
#[derive(Clone, Copy, Debug)]
pub struct KeyPlace(u128);

/// The remembered keys.
#[derive(Debug)]
pub struct KeyWindow {
    retention: KeyRetention,
    used: HashMap<u128, UsedKey, PlainHasher>,
    /// In order of use, for forgetting.
    order: VecDeque<(u128, Timestamp)>,
    seeds: (RandomState, RandomState),
}

impl KeyWindow {
    /// An empty window.
    #[must_use]
    pub fn new(retention: KeyRetention) -> Self {
        Self {
            retention,
            used: HashMap::with_hasher(PlainHasher),
            order: VecDeque::new(),
            seeds: (RandomState::new(), RandomState::new()),
        }
    }

    /// Keys that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// The place of `key` of `principal`; finding it is what looking up and remembering cost most.
    #[must_use]
    pub fn place(&self, principal: &Principal, key: &IdempotencyKey) -> KeyPlace {
        let high = self.seeds.0.hash_one((principal.as_str(), key.as_str()));
        let low = self.seeds.1.hash_one((principal.as_str(), key.as_str()));
        KeyPlace(u128::from(high) << 64 | u128::from(low))
    }

    /// What is known of `key` of `principal`.
    #[must_use]
    pub fn get(&self, principal: &Principal, key: &IdempotencyKey) -> Option<UsedKey> {
        self.get_at(self.place(principal, key))
    }

    /// What is known of the key at `place`.
    #[must_use]
    pub fn get_at(&self, place: KeyPlace) -> Option<UsedKey> {
        self.used.get(&place.0).copied()
    }

    /// Remembers a key, and forgets those that are too old at `at` or too many.
    pub fn insert(
        &mut self,
        principal: &Principal,
        key: &IdempotencyKey,
        used: UsedKey,
        at: Timestamp,
    ) {
        self.insert_at(self.place(principal, key), used, at);
    }

    /// As [`insert`](Self::insert), for the key at `place`.
    pub fn insert_at(&mut self, KeyPlace(hash): KeyPlace, used: UsedKey, at: Timestamp) {
        if self.used.insert(hash, used).is_none() {
            self.order.push_back((hash, at));
        }
        self.forget(at);
    }

    /// Forgets the keys that are too old at `at`, or too many. Due at every record, with or without a
    /// key: a key must not outlast the record that its answer is made of.
    pub fn forget(&mut self, at: Timestamp) {
        while let Some((oldest, since)) = self.order.front().copied() {
            let stale = at.millis_since(since) > self.retention.millis;
            if !stale && self.used.len() <= self.retention.count {
                break;
            }
            self.used.remove(&oldest);
            self.order.pop_front();
        }
    }
}

/// Passes on a part of a value that is a hash already.
#[derive(Clone, Copy, Debug)]
struct PlainHasher;

impl BuildHasher for PlainHasher {
    type Hasher = Plain;
    fn build_hasher(&self) -> Plain {
        Plain(0)
    }
}

#[derive(Debug)]
struct Plain(u64);

impl std::hash::Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(count: usize) -> KeyWindow {
        KeyWindow::new(KeyRetention {
            millis: 1_000,
            count,
        })
    }

    fn use_key(window: &mut KeyWindow, name: &str, seq: u64, at: i64) {
        let used = UsedKey {
            seq,
            fingerprint: 7,
        };
        window.insert(&principal(), &key(name), used, Timestamp::from_millis(at));
    }

    fn principal() -> Principal {
        Principal::parse("store-s1").unwrap()
    }

    fn key(name: &str) -> IdempotencyKey {
        IdempotencyKey::parse(name).unwrap()
    }

    #[test]
    fn the_scope_is_principal_and_key() {
        let mut window = window(10);
        use_key(&mut window, "k", 1, 0);
        assert_eq!(window.get(&principal(), &key("k")).unwrap().seq, 1);
        let other = Principal::parse("store-s2").unwrap();
        assert_eq!(window.get(&other, &key("k")), None);
        // "ab"+"c" and "a"+"bc" are different scopes.
        let (ab, a) = (
            Principal::parse("ab").unwrap(),
            Principal::parse("a").unwrap(),
        );
        assert_ne!(
            window.place(&ab, &key("c")).0,
            window.place(&a, &key("bc")).0
        );
    }

    #[test]
    fn the_oldest_keys_go_first_by_count_and_by_age() {
        let mut window = window(2);
        for (name, seq) in [("a", 1), ("b", 2), ("c", 3)] {
            use_key(&mut window, name, seq, 0);
        }
        assert_eq!(window.get(&principal(), &key("a")), None);
        assert!(window.get(&principal(), &key("b")).is_some());
        use_key(&mut window, "d", 4, 2_000);
        assert_eq!(window.len(), 1);
        assert!(window.get(&principal(), &key("d")).is_some());
        // Time passes for keys also where no key is used.
        window.forget(Timestamp::from_millis(3_000));
        assert_eq!(window.len(), 1, "not too old yet");
        window.forget(Timestamp::from_millis(3_001));
        assert!(window.is_empty());
    }
}
