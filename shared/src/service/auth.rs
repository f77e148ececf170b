//! Who is calling: API keys, their scopes, and as whom they act.
//!
//! A key is kept as its SHA-256 and looked up by it. The lookup itself need not be constant in
//! time: what it could leak is how a digest compares to stored digests, and a caller cannot steer
//! the digest of a guess. The one comparison that decides is constant in time all the same, so that
//! this stays true if somebody changes the map. Hashing 64 bytes costs about 100 ns with the CPU's
//! own instructions, a few per cent of the cheapest request; a cache of verified keys would save
//! that and keep live secrets in memory, so there is none. A slow hash is for passwords: keys are
//! random, and a slow hash on every request is a gift to an attacker.
//!
//! What must stay true: a key is never printed, logged or part of an error; faults in the settings
//! name the entry by its number.
//!
//! A key that was created over HTTP carries its id and is looked up by that ([`CreatedKey`]); what is
//! kept of it is salted, so that two logs cannot be searched for one key.
//!
//! Left out: which created keys there are, and sessions. Their owner answers [`Authenticate`] itself
//! and falls back to the [`ApiKeys`] of the settings.
//!
//! Longer than most files, because whoever may see a digest should be seen at once.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

use super::rate_limit::Subject;
use crate::clock::Timestamp;
pub use crate::domain::access::Scope;
use crate::domain::access::{Hex, SecretHash};
use crate::domain::ids::{Principal, StoreId};
use crate::limits;
use crate::wire::headers::API_KEY;
use crate::wire::problem::{Detail, Problem, ProblemCode};

/// Somebody whose key is known. Cloning costs a reference count or two.
#[derive(Clone, Debug)]
pub struct Caller {
    who: Arc<Who>,
    /// Until when the key counts; a key of the settings counts as long as the process lives.
    life: Option<KeyLife>,
}

/// Until when a key counts.
#[derive(Clone, Debug)]
pub struct KeyLife {
    /// Cancelled when the key changes: whoever held it asks again, if it still may.
    pub changed: CancellationToken,
    /// When its time is over.
    pub until: Option<Timestamp>,
}

#[derive(Debug)]
struct Who {
    scope: Scope,
    store: Option<StoreId>,
    /// As whom the key acts whatever the body says: its store, else its name.
    fixed: Option<Principal>,
    /// As whom it acts when nothing else says.
    fallback: Principal,
    /// Whose requests its requests are counted as.
    subject: Subject,
}

impl Caller {
    /// The owner of a key with `scope`, bound to `store` if given, called `name` if it was created
    /// under a name.
    #[must_use]
    pub fn new(scope: Scope, store: Option<StoreId>, name: Option<Principal>) -> Self {
        Self::made(scope, store, name, None)
    }

    /// The owner of a key of the settings, which stands at `place` there. If it is not bound to a store
    /// it has no name; its requests are counted under its place, so that two of them do not share a
    /// limit.
    fn of_settings(scope: Scope, store: Option<StoreId>, place: &str) -> Self {
        Self::made(scope, store, None, Some(place))
    }

    fn made(
        scope: Scope,
        store: Option<StoreId>,
        name: Option<Principal>,
        place: Option<&str>,
    ) -> Self {
        let word = |word| Principal::parse(word).expect("our words and places are valid ids");
        let fixed = store.as_ref().map(as_principal).or(name);
        let fallback = word(scope.as_str());
        let counted = fixed.clone().or_else(|| place.map(word));
        let subject = Subject::Principal(counted.unwrap_or_else(|| fallback.clone()));
        let who = Arc::new(Who {
            scope,
            store,
            fixed,
            fallback,
            subject,
        });
        Self { who, life: None }
    }

    /// Whose requests its requests are counted as: the same for all secrets of a key, and for all keys
    /// that are bound to one store.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.who.subject
    }

    /// Whether both may do the same in the same name, wherever their keys stand.
    fn means_the_same(&self, other: &Self) -> bool {
        let (one, other) = (&*self.who, &*other.who);
        (one.scope, &one.store, &one.fixed) == (other.scope, &other.store, &other.fixed)
    }

    /// The same, whose key counts for as long as `life` says.
    #[must_use]
    pub fn living(self, life: KeyLife) -> Self {
        let life = Some(life);
        Self { life, ..self }
    }

    /// Whether the key counts no more at `now`, though it did when it was presented.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.life.as_ref().is_some_and(|life| {
            life.changed.is_cancelled() || life.until.is_some_and(|until| until <= now)
        })
    }

    /// Waits until the key counts no more, for answers that go on and on.
    pub fn ended(&self, now: Timestamp) -> impl Future<Output = ()> + Send + 'static {
        let life = self.life.clone();
        async move {
            let Some(KeyLife { changed, until }) = life else {
                return std::future::pending().await;
            };
            let Some(until) = until else {
                return changed.cancelled().await;
            };
            let left = until.as_millis().saturating_sub(now.as_millis());
            let left = Duration::from_millis(left.max(0).unsigned_abs());
            tokio::select! {
                () = changed.cancelled() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// What the key may do.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.who.scope
    }

    /// The store that the key is bound to.
    #[must_use]
    pub fn store(&self) -> Option<&StoreId> {
        self.who.store.as_ref()
    }

    /// Whether the key may do what `scope` may do.
    ///
    /// # Errors
    /// 403 when not.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.who.scope >= scope {
            return Ok(());
        }
        let sentence = match scope {
            Scope::Admin => "Admin access required",
            Scope::Store | Scope::Read => "this key may only read",
        };
        Err(Problem::new(ProblemCode::Forbidden, sentence))
    }

    /// The store for which this request speaks: the key's own, else the one that the body names.
    ///
    /// # Errors
    /// 403 when the body contradicts the key.
    pub fn check_store(&self, body_store: Option<&StoreId>) -> Result<Option<StoreId>, Problem> {
        match (&self.who.store, body_store) {
            (Some(own), Some(named)) if own != named => Err(Problem::new(
                ProblemCode::Forbidden,
                "this key is bound to another store",
            )),
            (Some(own), _) => Ok(Some(own.clone())),
            (None, named) => Ok(named.cloned()),
        }
    }

    /// As whom this request acts, which scopes its idempotency key: the bound store, else the key's
    /// name, else the store that the body names, else the scope's word.
    #[must_use]
    pub fn principal_for(&self, body_store: Option<&StoreId>) -> Principal {
        match (&self.who.fixed, body_store) {
            (Some(fixed), _) => fixed.clone(),
            (None, Some(named)) => as_principal(named),
            (None, None) => self.who.fallback.clone(),
        }
    }
}

fn as_principal(store: &StoreId) -> Principal {
    Principal::parse(store.as_str()).expect("stores and principals share one rule for ids")
}

/// Tells who sent a request; implemented by a service's state.
pub trait Authenticate {
    /// Who sent the request with these headers.
    ///
    /// # Errors
    /// 401 when nobody known did.
    fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Problem>;
}

/// Put into a request by a layer that knows already who sent it, so that it is asked once.
#[derive(Clone, Debug)]
pub struct Authenticated(pub Caller);

impl<S: Authenticate + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match parts.extensions.remove::<Authenticated>() {
            Some(Authenticated(caller)) => Ok(caller),
            None => state.authenticate(&parts.headers),
        }
    }
}

/// The key that a request presents, as `X-API-Key` or `Authorization: Bearer`.
///
/// # Errors
/// 401 when there is none; 400 when there are two, since whichever was taken, the caller may have
/// meant the other one.
pub fn presented_key(headers: &HeaderMap) -> Result<&[u8], Problem> {
    let own = headers.get_all(API_KEY).iter();
    let bearers = headers.get_all(AUTHORIZATION).iter();
    let own = own.map(|value| value.as_bytes());
    let bearers = bearers.filter_map(|value| bearer(value.as_bytes()));
    let mut keys = own.chain(bearers).filter(|key| !key.is_empty());
    let Some(key) = keys.next() else {
        return Err(Problem::new(ProblemCode::Unauthorized, "API key required"));
    };
    if keys.any(|other| other != key) {
        return Err(two_keys(headers));
    }
    Ok(key)
}

/// The answer to a request that presents different keys; names the headers and shows no key.
fn two_keys(headers: &HeaderMap) -> Problem {
    let names = [(API_KEY, "X-API-Key"), (AUTHORIZATION, "Authorization")];
    let present = names
        .iter()
        .filter(|(header, _)| headers.contains_key(header));
    let details = present.map(|(_, name)| {
        let issue = "carries one key and the request another one; send one key";
        Detail::new(format!("header.{name}"), issue)
    });
    Problem {
        details: details.collect(),
        ..Problem::new(
            ProblemCode::InvalidRequest,
            "the request presents different API keys",
        )
    }
}

/// The answer to a key that nobody has.
#[must_use]
pub fn unknown_key() -> Problem {
    Problem::new(ProblemCode::Unauthorized, "Invalid API key")
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

/// The SHA-256 of a key, which is all that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of `key`.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// As 64 hex digits, to be kept in a file.
    #[must_use]
    pub fn to_hex(&self) -> String {
        Hex(self.0).to_string()
    }

    /// Reads what [`to_hex`](Self::to_hex) wrote.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        Hex::parse(text).map(|Hex(digest)| Self(digest))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

/// Tells people, and tools that look for leaked keys, what a created key is.
const CREATED_PREFIX: &str = "hfk_";
/// Characters by which people tell one secret of a key from another.
const HINT_DIGITS: usize = 4;

/// A key that was created over HTTP, as it is presented: `hfk_`, the token of its id, `_`, and 64 hex
/// digits. The id is what it is looked up by, for a salted hash cannot be.
#[derive(Clone, Copy)]
pub struct CreatedKey<'a> {
    token: &'a str,
    secret: &'a str,
    whole: &'a [u8],
}

impl CreatedKey<'_> {
    /// A new key whose id has `token`, from 256 random bits; and what is kept of it, with 128 more.
    #[must_use]
    pub fn generate(token: &str, random: [u8; 32], salt: [u8; 16]) -> (SecretString, SecretHash) {
        let secret = Hex(random).to_string();
        let key = format!("{}{secret}", Self::prefix(token));
        let hash = CreatedKey {
            token,
            secret: &secret,
            whole: key.as_bytes(),
        };
        let hash = hash.hash(salt);
        (SecretString::from(key), hash)
    }

    /// What every secret of a key begins with.
    #[must_use]
    pub fn prefix(token: &str) -> String {
        format!("{CREATED_PREFIX}{token}_")
    }
}

impl<'a> CreatedKey<'a> {
    /// What is presented, if it can be a created key.
    #[must_use]
    pub fn parse(presented: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(presented).ok()?;
        let (token, secret) = text.strip_prefix(CREATED_PREFIX)?.split_once('_')?;
        Some(Self {
            token,
            secret,
            whole: presented,
        })
    }

    /// The part of it that its id ends with.
    #[must_use]
    pub const fn token(&self) -> &'a str {
        self.token
    }

    fn hash(&self, salt: [u8; 16]) -> SecretHash {
        SecretHash {
            salt: Hex(salt),
            sha256: Hex(salted(&salt, self.whole)),
            hint: self.secret.chars().take(HINT_DIGITS).collect(),
        }
    }

    /// Whether it is the secret that `kept` was made of; takes as long whatever differs.
    #[must_use]
    pub fn opens(&self, kept: &SecretHash) -> bool {
        let Hex(salt) = kept.salt;
        bool::from(salted(&salt, self.whole).ct_eq(&kept.sha256.0))
    }
}

impl fmt::Debug for CreatedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CreatedKey({})", self.token)
    }
}

fn salted(salt: &[u8; 16], key: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(salt)
        .chain_update(key)
        .finalize()
        .into()
}

/// The keys of the settings `API_KEYS` and `ADMIN_API_KEYS`.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys {
    by_digest: HashMap<KeyDigest, Caller>,
}

impl ApiKeys {
    /// Reads both settings: comma-separated, blank entries ignored. An entry of `API_KEYS` is `key`,
    /// `key@storeId` or `key:read`; an entry of `ADMIN_API_KEYS` is the key itself.
    ///
    /// # Errors
    /// Every fault in both; none shows a key.
    pub fn parse(api_keys: &str, admin_api_keys: &str) -> Result<Self, Vec<Detail>> {
        let mut keys = Self::default();
        let mut faults = Vec::new();
        for (setting, list, scope) in [
            ("API_KEYS", api_keys, Scope::Store),
            ("ADMIN_API_KEYS", admin_api_keys, Scope::Admin),
        ] {
            for (index, entry) in list.split(',').map(str::trim).enumerate() {
                if entry.is_empty() {
                    continue;
                }
                let place = format!("{setting}[{index}]");
                if let Err(issue) = keys.add_entry(entry, scope, &place) {
                    faults.push(Detail::new(place, issue));
                }
            }
        }
        if faults.is_empty() {
            Ok(keys)
        } else {
            Err(faults)
        }
    }

    fn add_entry(&mut self, entry: &str, scope: Scope, place: &str) -> Result<(), String> {
        let (key, scope, store) = match scope {
            Scope::Admin => (entry, scope, None),
            Scope::Store | Scope::Read => parse_entry(entry)?,
        };
        let caller = Caller::of_settings(scope, store, place);
        if key.is_empty() || key.len() > limits::ID_BYTES {
            return Err("the key must have 1 to 128 characters".to_owned());
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the key must be visible ASCII without spaces".to_owned());
        }
        let earlier = self
            .by_digest
            .insert(KeyDigest::of(key.as_bytes()), caller.clone());
        match earlier {
            Some(earlier) if !earlier.means_the_same(&caller) => {
                Err("the key is there already with another meaning".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Adds a key that is not from the settings.
    pub fn add(&mut self, digest: KeyDigest, caller: Caller) {
        self.by_digest.insert(digest, caller);
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_digest.is_empty()
    }

    /// The owner of the key with `digest`.
    #[must_use]
    pub fn find(&self, digest: &KeyDigest) -> Option<&Caller> {
        let (known, caller) = self.by_digest.get_key_value(digest)?;
        bool::from(known.0.ct_eq(&digest.0)).then_some(caller)
    }
}

impl Authenticate for ApiKeys {
    fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let digest = KeyDigest::of(presented_key(headers)?);
        self.find(&digest).cloned().ok_or_else(unknown_key)
    }
}

/// `key`, `key@storeId` or `key:read`.
fn parse_entry(entry: &str) -> Result<(&str, Scope, Option<StoreId>), String> {
    if let Some((key, store)) = entry.rsplit_once('@') {
        if store.ends_with(":read") {
            return Err("a key is bound to a store or read-only, not both".to_owned());
        }
        let store = StoreId::parse(store).map_err(|fault| format!("the store id {fault}"))?;
        return Ok((key, Scope::Store, Some(store)));
    }
    if let Some(key) = entry.strip_suffix(":read") {
        return Ok((key, Scope::Read, None));
    }
    Ok((entry, Scope::Store, None))
}
