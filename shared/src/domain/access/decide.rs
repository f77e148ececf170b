//! Which keys come to be and end.

use std::sync::Arc;

use super::{Access, ApiKey, Command, Secret};
use crate::clock::Timestamp;
use crate::domain::decision::{Decision, ItemResult};
use crate::domain::ids::Principal;
use crate::domain::rejection::Rejection;
use crate::limits;

/// Decides `command` against the keys there are at `now`.
#[must_use]
pub fn decide(access: &Access, command: &Command, now: Timestamp) -> Decision {
    match decided(access, command, now) {
        Ok(Some(key)) => Decision {
            results: vec![ItemResult::Applied(0)],
            api_keys: vec![Arc::new(key)],
            ..Decision::default()
        },
        Ok(None) => Decision::unchanged(),
        Err(rejection) => Decision::refused(rejection),
    }
}

/// The key as it stands afterwards; `None` if it stands so already.
fn decided(
    access: &Access,
    command: &Command,
    now: Timestamp,
) -> Result<Option<ApiKey>, Rejection> {
    match command {
        Command::Create {
            key,
            name,
            scope,
            store,
            expires_at,
            secret,
            by,
        } => {
            check_new(access, name, *expires_at, now)?;
            Ok(Some(ApiKey {
                key_id: key.clone(),
                name: name.clone(),
                scope: *scope,
                store_id: store.clone(),
                created_at: now,
                created_by: by.clone(),
                expires_at: *expires_at,
                revoked_at: None,
                revoked_by: None,
                secrets: vec![Secret {
                    hash: secret.clone(),
                    created_at: now,
                    valid_until: None,
                }],
            }))
        }
        Command::Rotate {
            key,
            secret,
            overlap_millis,
        } => {
            let mut key = known(access, key.as_str())?.clone();
            if let Some(ended_at) = key.ended(now) {
                let key_id = key.key_id;
                return Err(Rejection::ApiKeyEnded { key_id, ended_at });
            }
            // Two secrets at most: the one that took somebody's place long ago makes way.
            let mut last = key.secrets.pop();
            if let Some(last) = &mut last {
                last.valid_until = Some(now.plus_millis(*overlap_millis));
            }
            key.secrets = last.into_iter().filter(|_| *overlap_millis > 0).collect();
            key.secrets.push(Secret {
                hash: secret.clone(),
                created_at: now,
                valid_until: None,
            });
            Ok(Some(key))
        }
        Command::Revoke { key, by } => {
            let mut key = known(access, key.as_str())?.clone();
            if key.revoked_at.is_some() {
                return Ok(None);
            }
            key.revoked_at = Some(now);
            key.revoked_by = Some(by.clone());
            // What opens nothing any more is not kept.
            key.secrets.clear();
            Ok(Some(key))
        }
    }
}

/// Whether there can be one more: there is room, or one that has ended makes it; the name is free; it
/// would count.
fn check_new(
    access: &Access,
    name: &Principal,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Rejection> {
    let is_live = |key: &&Arc<ApiKey>| key.ended(now).is_none();
    if access.len() >= limits::API_KEYS && access.iter().all(|key| is_live(&key)) {
        return Err(Rejection::TooManyApiKeys {});
    }
    let mut live = access.iter().filter(is_live);
    if let Some(known) = live.find(|known| known.name == *name) {
        return Err(Rejection::ApiKeyExists {
            key_id: known.key_id.clone(),
            name: name.clone(),
        });
    }
    match expires_at.filter(|at| *at <= now) {
        Some(expires_at) => Err(Rejection::ApiKeyExpiryPast { expires_at, now }),
        None => Ok(()),
    }
}

fn known<'a>(access: &'a Access, id: &str) -> Result<&'a ApiKey, Rejection> {
    access
        .get(id)
        .map(|key| &**key)
        .ok_or_else(|| Rejection::ApiKeyNotFound { key_id: id.into() })
}
