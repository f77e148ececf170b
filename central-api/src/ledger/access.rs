//! API keys as requests see them: who presents one, and when it was used last.
//!
//! The same collection that the writer decides with, folded from the same facts once they are
//! durable, and beside it what authentication needs at once: a caller for each key. The flusher puts a
//! change in before it answers whoever asked for it, so a key that was revoked opens nothing from the
//! moment its revocation is known to anybody.
//!
//! What must stay true: a key that changes ends every answer that still goes on under it. Whoever
//! holds one that still counts comes back by itself.
//!
//! When a key was used last is no fact of the log: a record for every request would cost more than it
//! tells. It is kept here, and written beside the log now and then.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::RwLock;
use shared::clock::Timestamp;
use shared::domain::access::{Access, ApiKey, Secret};
use shared::domain::ids::ApiKeyId;
use shared::service::auth::{Caller, CreatedKey, KeyLife};
use tokio_util::sync::CancellationToken;

use crate::ids;

/// Never used.
const NEVER: i64 = i64::MIN;

/// Why a key that can be one of ours opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// No key of ours has this secret.
    Unknown,
    /// It had it until then.
    Ended(Timestamp),
}

/// The keys that were created.
#[derive(Debug)]
pub struct AccessBook {
    inner: RwLock<Inner>,
}

#[derive(Debug)]
struct Inner {
    access: Access,
    /// The last record that changed them.
    seq: u64,
    /// By the token of its id, which is what is presented.
    holders: HashMap<Box<str>, Holder>,
}

/// Whoever holds a key.
#[derive(Debug)]
struct Holder {
    key: Arc<ApiKey>,
    /// Whoever presents one of its secrets, in their order.
    callers: Vec<Opened>,
    changed: CancellationToken,
    last_used: AtomicI64,
}

/// What a secret opens.
#[derive(Debug)]
struct Opened {
    caller: Caller,
    /// When its time is over.
    until: Option<Timestamp>,
}

impl Holder {
    fn of(key: &Arc<ApiKey>, last_used: i64) -> Self {
        let changed = CancellationToken::new();
        let caller = Caller::new(key.scope, key.store_id.clone(), Some(key.name.clone()));
        let opened = |secret: &Secret| {
            let until = [key.expires_at, secret.valid_until];
            let until = until.into_iter().flatten().min();
            let life = KeyLife {
                changed: changed.clone(),
                until,
            };
            Opened {
                caller: caller.clone().living(life),
                until,
            }
        };
        Self {
            callers: key.secrets.iter().map(opened).collect(),
            key: Arc::clone(key),
            changed,
            last_used: AtomicI64::new(last_used),
        }
    }

    /// What the secret of `key` opens, if it is one of these.
    fn opened(&self, key: CreatedKey<'_>) -> Option<&Opened> {
        let mut secrets = self.key.secrets.iter().zip(&self.callers).rev();
        let found = secrets.find(|(secret, _)| key.opens(&secret.hash));
        found.map(|(_, opened)| opened)
    }
}

impl AccessBook {
    /// What a state has, as of the record `seq`.
    #[must_use]
    pub fn of(access: &Access, seq: u64) -> Self {
        let holders = access.iter();
        let holders = holders.map(|key| (token_of(&key.key_id), Holder::of(key, NEVER)));
        let inner = Inner {
            holders: holders.collect(),
            access: access.clone(),
            seq,
        };
        Self {
            inner: RwLock::new(inner),
        }
    }

    /// Who presents `key` at `now`.
    ///
    /// # Errors
    /// [`NotOpened`] if it opens nothing.
    pub fn find(&self, key: CreatedKey<'_>, now: Timestamp) -> Result<Caller, NotOpened> {
        let inner = self.inner.read();
        let holder = inner.holders.get(key.token());
        let holder = holder.ok_or(NotOpened::Unknown)?;
        let Opened { caller, until } = holder.opened(key).ok_or(NotOpened::Unknown)?;
        if let Some(ended) = until.filter(|until| *until <= now) {
            return Err(NotOpened::Ended(ended));
        }
        holder
            .last_used
            .fetch_max(now.as_millis(), Ordering::Relaxed);
        Ok(caller.clone())
    }

    /// A key by its id, and when it was used last.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<(Arc<ApiKey>, Option<Timestamp>)> {
        let inner = self.inner.read();
        let holder = inner.holders.get(ids::token_of(id));
        // Without its beginning it is no id.
        holder.filter(|it| it.key.key_id.as_str() == id).map(shown)
    }

    /// Up to `count` keys whose ids come before `before`, the newest first.
    #[must_use]
    pub fn before(
        &self,
        before: Option<&str>,
        count: usize,
    ) -> Vec<(Arc<ApiKey>, Option<Timestamp>)> {
        let inner = self.inner.read();
        let all = inner.access.iter().rev();
        let rest = all.filter(|key| before.is_none_or(|before| key.key_id.as_str() < before));
        let found = rest.filter_map(|key| inner.holders.get(ids::token_of(key.key_id.as_str())));
        found.take(count).map(shown).collect()
    }

    /// Every key as it stands, and the last record that changed one.
    #[must_use]
    pub fn copy(&self) -> (Access, u64) {
        let inner = self.inner.read();
        (inner.access.clone(), inner.seq)
    }

    /// Puts in what the record `seq` made of `keys`, which must be durable.
    pub(super) fn put(&self, keys: &[Arc<ApiKey>], seq: u64) {
        let mut inner = self.inner.write();
        for key in keys {
            let forgotten = inner.access.put(key);
            if let Some(forgotten) = forgotten {
                inner.holders.remove(&token_of(&forgotten.key_id));
            }
            let token = token_of(&key.key_id);
            let before = inner.holders.get(&token);
            let last_used = before.map_or(NEVER, |it| it.last_used.load(Ordering::Relaxed));
            let holder = Holder::of(key, last_used);
            if let Some(before) = inner.holders.insert(token, holder) {
                before.changed.cancel();
            }
        }
        inner.seq = seq;
    }

    /// When each key was used last, of those that were.
    #[must_use]
    pub fn uses(&self) -> Vec<(ApiKeyId, Timestamp)> {
        let inner = self.inner.read();
        let uses = inner.holders.values().map(shown);
        let uses = uses.filter_map(|(key, used)| Some((key.key_id.clone(), used?)));
        uses.collect()
    }

    /// Takes in when keys were used before this process began.
    pub fn used(&self, uses: impl IntoIterator<Item = (ApiKeyId, Timestamp)>) {
        let inner = self.inner.read();
        for (id, at) in uses {
            if let Some(holder) = inner.holders.get(ids::token_of(id.as_str())) {
                holder
                    .last_used
                    .fetch_max(at.as_millis(), Ordering::Relaxed);
            }
        }
    }
}

/// What its holder is found by.
fn token_of(id: &ApiKeyId) -> Box<str> {
    ids::token_of(id.as_str()).into()
}

fn shown(holder: &Holder) -> (Arc<ApiKey>, Option<Timestamp>) {
    let used = holder.last_used.load(Ordering::Relaxed);
    let used = (used != NEVER).then(|| Timestamp::from_millis(used));
    (Arc::clone(&holder.key), used)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use shared::domain::access::{self, Command, Scope};
    use shared::domain::ids::Principal;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_768_473_000_000 + millis)
    }

    /// A book with one key, and its secret.
    fn book(expires_at: Option<Timestamp>) -> (AccessBook, Access, String) {
        let (key, secret) = CreatedKey::generate("01", [7; 32], [9; 16]);
        let key = key.expose_secret().to_owned();
        let by = Principal::parse("root").unwrap();
        let command = Command::Create {
            key: ApiKeyId::parse("key-01").unwrap(),
            name: Principal::parse("till").unwrap(),
            scope: Scope::Store,
            store: None,
            expires_at,
            secret,
            by,
        };
        let mut access = Access::default();
        let book = AccessBook::of(&access, 0);
        act(&book, &mut access, &command, at(0));
        (book, access, key)
    }

    fn act(book: &AccessBook, access: &mut Access, command: &Command, now: Timestamp) {
        let decision = access::decide(access, command, now);
        decision.api_keys.iter().for_each(|key| {
            access.put(key);
        });
        book.put(&decision.api_keys, 1);
    }

    fn find(book: &AccessBook, key: &str, now: Timestamp) -> Result<Caller, NotOpened> {
        book.find(CreatedKey::parse(key.as_bytes()).unwrap(), now)
    }

    #[test]
    fn a_key_opens_until_its_time_is_over() {
        let (book, _, key) = book(Some(at(1_000)));
        let caller = find(&book, &key, at(999)).unwrap();
        assert_eq!(caller.principal_for(None).as_str(), "till");
        assert_eq!(
            find(&book, &key, at(1_000)).unwrap_err(),
            NotOpened::Ended(at(1_000))
        );
        // Who was let in before is let go too.
        assert!(!caller.has_ended(at(999)) && caller.has_ended(at(1_000)));
    }

    #[test]
    fn no_other_secret_opens_it() {
        let (book, _, key) = book(None);
        let mut others = vec![key[..key.len() - 1].to_owned(), format!("{key}0")];
        for at in 0.."0123456789abcdef".len() {
            let mut other = key.clone();
            other.replace_range(key.len() - 1.., &format!("{at:x}"));
            others.push(other);
        }
        for other in others.into_iter().filter(|other| *other != key) {
            assert_eq!(
                find(&book, &other, at(1)).unwrap_err(),
                NotOpened::Unknown,
                "{other}"
            );
        }
        find(&book, &key, at(1)).unwrap();
    }

    #[test]
    fn a_revoked_key_opens_nothing_and_ends_what_goes_on_under_it() {
        let (book, mut access, key) = book(None);
        let caller = find(&book, &key, at(1)).unwrap();
        let revoke = Command::Revoke {
            key: ApiKeyId::parse("key-01").unwrap(),
            by: Principal::parse("root").unwrap(),
        };
        act(&book, &mut access, &revoke, at(2));
        assert_eq!(find(&book, &key, at(2)).unwrap_err(), NotOpened::Unknown);
        assert!(caller.has_ended(at(2)));
    }

    #[test]
    fn the_last_use_is_kept_through_changes_and_never_goes_back() {
        let (book, mut access, key) = book(None);
        find(&book, &key, at(5)).unwrap();
        find(&book, &key, at(3)).unwrap();
        let rotate = Command::Rotate {
            key: ApiKeyId::parse("key-01").unwrap(),
            secret: CreatedKey::generate("01", [8; 32], [1; 16]).1,
            overlap_millis: 1_000,
        };
        act(&book, &mut access, &rotate, at(6));
        assert_eq!(book.get("key-01").unwrap().1, Some(at(5)));
        let again = AccessBook::of(&access, 2);
        assert_eq!(again.get("key-01").unwrap().1, None);
        again.used(book.uses());
        assert_eq!(again.get("key-01").unwrap().1, Some(at(5)));
    }
}
