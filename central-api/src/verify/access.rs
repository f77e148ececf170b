//! What must be true of API keys, said apart from the code that decides about them.

use std::sync::Arc;

use shared::clock::Timestamp;
use shared::domain::Decision;
use shared::domain::access::{Access, ApiKey};
use shared::domain::origin::Origin;

/// What is wrong with the keys of a decision that `origin` asked for at `at`, over what was there.
pub(super) fn changes(
    access: &Access,
    decision: &Decision,
    origin: &Origin,
    at: Timestamp,
) -> Vec<String> {
    let keys = decision.api_keys.iter();
    keys.flat_map(|key| change(access, key, origin, at))
        .collect()
}

fn change(access: &Access, key: &Arc<ApiKey>, origin: &Origin, at: Timestamp) -> Vec<String> {
    let id = &key.key_id;
    let mut wrong = Vec::new();
    let before = access.get(id.as_str());
    match before {
        None => {
            if key.created_at != at || key.created_by != origin.principal {
                wrong.push(format!("API key {id} was not made by whoever asked for it"));
            }
            let mut others = access.iter();
            if others.any(|other| other.name == key.name && other.ended(at).is_none()) {
                wrong.push(format!("API key {id} has a name that another one has"));
            }
            if key.ended(at).is_some() || key.secrets.len() != 1 {
                wrong.push(format!("API key {id} does not begin with one secret"));
            }
        }
        Some(before) => {
            let same = ApiKey {
                revoked_at: key.revoked_at,
                revoked_by: key.revoked_by.clone(),
                secrets: key.secrets.clone(),
                ..ApiKey::clone(before)
            };
            if same != **key {
                wrong.push(format!("API key {id} is another one than before"));
            }
            if before.ended(at).is_some()
                && before.secrets != key.secrets
                && !key.secrets.is_empty()
            {
                wrong.push(format!("API key {id} gets a secret though it has ended"));
            }
            if before.revoked_at.is_some() {
                wrong.push(format!("API key {id} changes after its end"));
            }
            let revoked = (Some(at), Some(&origin.principal));
            let ends = key.revoked_at.is_some();
            if ends && (key.revoked_at, key.revoked_by.as_ref()) != revoked {
                wrong.push(format!(
                    "API key {id} was not revoked by whoever asked for it"
                ));
            }
            if ends != key.secrets.is_empty() {
                wrong.push(format!("API key {id} has ended, or has a secret, not both"));
            }
        }
    }
    let replaced = key.secrets.iter().rev().skip(1);
    let last = key.secrets.last();
    let limited = replaced
        .filter(|secret| secret.valid_until.is_some())
        .count();
    if key.secrets.len() > 2
        || limited + 1 < key.secrets.len()
        || last.is_some_and(|secret| secret.valid_until.is_some())
    {
        wrong.push(format!("API key {id} has more than one secret for good"));
    }
    wrong
}

/// How the keys of a snapshot differ from those of the log.
pub(super) fn differences(log: &Access, snapshot: &Access) -> Vec<String> {
    let mut wrong = Vec::new();
    for key in log.iter() {
        let id = &key.key_id;
        match snapshot.get(id.as_str()) {
            None => wrong.push(format!("it lacks API key {id}")),
            Some(found) if found != key => wrong.push(format!("API key {id} differs from the log")),
            Some(_) => {}
        }
    }
    let unknown = snapshot.iter().map(|key| &key.key_id);
    let unknown = unknown.filter(|id| log.get(id.as_str()).is_none());
    wrong.extend(unknown.map(|id| format!("API key {id} is not in the log")));
    wrong
}
