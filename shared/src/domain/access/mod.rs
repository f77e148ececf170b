//! API keys: who may call, and what for.
//!
//! A key is a name with a scope, and one or two secrets that open it. The name is as whom its holder
//! acts, so it outlives every secret: a new secret changes nothing about who has done what, nor about
//! which idempotency keys were used. Of a secret nothing is known here but a salted hash that somebody
//! else made, and its first digits, by which people tell one from another.
//!
//! A key counts from the moment its record is durable until it is revoked or its time is over; a
//! secret that was replaced counts for the overlap that was asked for. Revoked and expired keys stay
//! for whoever wants to know who could call at some time, the newest [`limits::API_KEYS`] of all.
//!
//! Left out: the keys of the settings, which are no facts of the log.

pub mod decide;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::domain::ids::{ApiKeyId, Principal, StoreId};
use crate::domain::inventory::Print;
use crate::limits;

pub use self::decide::decide;

/// What a key may do; each contains the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All reads.
    Read,
    /// Reads, stock movements, orders, a store's journal.
    Store,
    /// Everything.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Read, Self::Store, Self::Admin];

    /// The word for it in settings, on the wire and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Store => "store",
            Self::Admin => "admin",
        }
    }
}

/// Bytes that are written as hexadecimal digits, and never shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> Hex<N> {
    /// Reads `2 * N` hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut bytes = [0; N];
        if digits.len().checked_div(2) != Some(N) || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut pairs = digits.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(&mut pairs) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hex(…)")
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not the hexadecimal digits"))
    }
}

/// What is kept of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretHash {
    /// Random bytes of this secret alone.
    pub salt: Hex<16>,
    /// SHA-256 of the salt and then the secret.
    pub sha256: Hex<32>,
    /// The first characters of the secret, for people to tell it from others.
    pub hint: Box<str>,
}

/// One secret of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// What it is known by.
    #[serde(flatten)]
    pub hash: SecretHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it counts, if another has taken its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
}

/// A key, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Its id, which is part of every secret of it.
    pub key_id: ApiKeyId,
    /// As whom its holder acts.
    pub name: Principal,
    /// What it may do.
    pub scope: Scope,
    /// The only store for which it may speak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_id: Option<StoreId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: Principal,
    /// When its time is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Who revoked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<Principal>,
    /// Its secrets, oldest first; the last is the one that counts for good.
    pub secrets: Vec<Secret>,
}

impl ApiKey {
    /// When it ended, if it has at `now`.
    #[must_use]
    pub fn ended(&self, now: Timestamp) -> Option<Timestamp> {
        let expired = self.expires_at.filter(|at| *at <= now);
        match (self.revoked_at, expired) {
            (Some(revoked), Some(expired)) => Some(revoked.min(expired)),
            (revoked, expired) => revoked.or(expired),
        }
    }

    /// The secrets that count at `now`; none if the key has ended.
    pub fn secrets_at(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        let live = self.ended(now).is_none();
        let counts = move |secret: &&Secret| secret.valid_until.is_none_or(|until| now < until);
        self.secrets.iter().filter(counts).filter(move |_| live)
    }
}

/// What can be asked of keys. Each says who asks, because a key says who made and who revoked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A new key.
    Create {
        /// Its id; central makes it for this one request.
        key: ApiKeyId,
        /// As whom its holder acts; no other key that counts has the name.
        name: Principal,
        /// What it may do.
        scope: Scope,
        /// The only store for which it may speak.
        store: Option<StoreId>,
        /// When its time is over.
        expires_at: Option<Timestamp>,
        /// What is kept of its secret.
        secret: SecretHash,
        /// Who asks.
        by: Principal,
    },
    /// A new secret for a key.
    Rotate {
        /// Which key.
        key: ApiKeyId,
        /// What is kept of the new secret.
        secret: SecretHash,
        /// Milliseconds for which the one before still counts.
        overlap_millis: i64,
    },
    /// The end of a key.
    Revoke {
        /// Which key.
        key: ApiKeyId,
        /// Who asks.
        by: Principal,
    },
}

impl Command {
    /// The word for this kind of command in records.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create_api_key",
            Self::Rotate { .. } => "rotate_api_key",
            Self::Revoke { .. } => "revoke_api_key",
        }
    }

    /// Writes which key it is about. No idempotency key goes with any of these: a secret is shown
    /// once, so a repeat could not be given the same answer.
    pub(in crate::domain) fn print(&self, print: &mut Print) {
        let (Self::Create { key, .. } | Self::Rotate { key, .. } | Self::Revoke { key, .. }) = self;
        print.text(key.as_str());
    }
}

/// Every key that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    keys: BTreeMap<ApiKeyId, Arc<ApiKey>>,
}

impl Access {
    /// A key by its id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<ApiKey>> {
        self.keys.get(id)
    }

    /// Every key, by id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<ApiKey>> {
        self.keys.values()
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Puts a key where it was, or beside the others; then one that ended long ago may be forgotten,
    /// and comes back.
    pub fn put(&mut self, key: &Arc<ApiKey>) -> Option<Arc<ApiKey>> {
        let known = self.keys.insert(key.key_id.clone(), Arc::clone(key));
        if known.is_some() || self.keys.len() <= limits::API_KEYS {
            return None;
        }
        let oldest = self.oldest_ended(key.created_at)?;
        self.keys.remove(oldest.as_str())
    }

    /// The key that ended first of those that have ended at `now`.
    fn oldest_ended(&self, now: Timestamp) -> Option<ApiKeyId> {
        let ended = self.keys.values();
        let ended = ended.filter_map(|key| Some((key.ended(now)?, &key.key_id)));
        ended.min().map(|(_, id)| id.clone())
    }
}

#[cfg(test)]
mod tests;
