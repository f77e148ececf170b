//! Keys: who gets which name, what rotation leaves, what ends, what is forgotten.

use super::*;
use crate::domain::decision::{Decision, ItemResult};
use crate::domain::rejection::Rejection;

const START: i64 = 1_768_473_000_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START).plus_millis(millis)
}

fn id(text: &str) -> ApiKeyId {
    ApiKeyId::parse(text).unwrap()
}

fn who(text: &str) -> Principal {
    Principal::parse(text).unwrap()
}

fn hash(n: u8) -> SecretHash {
    SecretHash {
        salt: Hex([n; 16]),
        sha256: Hex([n; 32]),
        hint: "abcd".into(),
    }
}

fn create(key: &str, name: &str, expires_at: Option<Timestamp>) -> Command {
    Command::Create {
        key: id(key),
        name: who(name),
        scope: Scope::Store,
        store: None,
        expires_at,
        secret: hash(1),
        by: who("root"),
    }
}

fn rotate(key: &str, secret: u8, overlap_millis: i64) -> Command {
    Command::Rotate {
        key: id(key),
        secret: hash(secret),
        overlap_millis,
    }
}

fn revoke(key: &str) -> Command {
    Command::Revoke {
        key: id(key),
        by: who("root"),
    }
}

/// Decides and folds in.
fn act(access: &mut Access, command: &Command, now: Timestamp) -> Decision {
    let decision = decide(access, command, now);
    for key in &decision.api_keys {
        access.put(key);
    }
    decision
}

fn rejection(decision: &Decision) -> &Rejection {
    decision.rejections().next().expect("refused")
}

fn opens(access: &Access, key: &str, secret: u8, now: Timestamp) -> bool {
    let key = access.get(key).expect("known");
    key.secrets_at(now).any(|found| found.hash == hash(secret))
}

#[test]
fn a_name_belongs_to_one_key_that_counts() {
    let mut access = Access::default();
    act(&mut access, &create("k1", "till", Some(at(1_000))), at(0));
    let taken = act(&mut access, &create("k2", "till", None), at(999));
    assert!(
        matches!(rejection(&taken), Rejection::ApiKeyExists { key_id, .. } if *key_id == id("k1"))
    );
    // Free from the moment the first one's time is over.
    let free = act(&mut access, &create("k2", "till", None), at(1_000));
    assert_eq!(free.results, [ItemResult::Applied(0)]);
    act(&mut access, &revoke("k2"), at(1_001));
    let free = act(&mut access, &create("k3", "till", None), at(1_002));
    assert_eq!(free.results, [ItemResult::Applied(0)]);
}

#[test]
fn a_key_whose_time_is_over_before_it_begins_is_refused() {
    let mut access = Access::default();
    for expires_at in [at(0), at(-1)] {
        let refused = act(&mut access, &create("k", "till", Some(expires_at)), at(0));
        assert!(matches!(
            rejection(&refused),
            Rejection::ApiKeyExpiryPast { .. }
        ));
    }
    assert!(access.is_empty());
}

#[test]
fn a_replaced_secret_counts_for_the_overlap_and_not_a_moment_longer() {
    let mut access = Access::default();
    act(&mut access, &create("k", "till", None), at(0));
    act(&mut access, &rotate("k", 2, 500), at(1_000));
    for (secret, now, expected) in [
        (1, 1_499, true),
        (1, 1_500, false),
        (2, 1_000, true),
        (2, 9_999_999, true),
    ] {
        let found = opens(&access, "k", secret, at(now));
        assert_eq!(found, expected, "{secret} at {now}");
    }
    // A third one: the first is gone at once, and without an overlap the second too.
    act(&mut access, &rotate("k", 3, 500), at(1_200));
    assert!(!opens(&access, "k", 1, at(1_200)) && opens(&access, "k", 2, at(1_699)));
    act(&mut access, &rotate("k", 4, 0), at(1_300));
    assert!(!opens(&access, "k", 3, at(1_300)) && opens(&access, "k", 4, at(1_300)));
}

#[test]
fn a_revoked_key_opens_nothing_and_its_secrets_are_not_kept() {
    let mut access = Access::default();
    act(&mut access, &create("k", "till", None), at(0));
    act(&mut access, &revoke("k"), at(5));
    assert!(!opens(&access, "k", 1, at(5)));
    let key = access.get("k").unwrap();
    assert!(key.secrets.is_empty());
    assert_eq!(
        (key.revoked_at, key.revoked_by.clone()),
        (Some(at(5)), Some(who("root")))
    );
    // Once more changes nothing, least of all the time.
    let again = act(&mut access, &revoke("k"), at(6));
    assert_eq!(again.results, [ItemResult::Unchanged]);
    let rotated = act(&mut access, &rotate("k", 2, 0), at(7));
    assert!(
        matches!(rejection(&rotated), Rejection::ApiKeyEnded { ended_at, .. } if *ended_at == at(5))
    );
}

#[test]
fn an_expired_key_cannot_be_rotated_and_an_unknown_one_is_not_found() {
    let mut access = Access::default();
    act(&mut access, &create("k", "till", Some(at(10))), at(0));
    let late = act(&mut access, &rotate("k", 2, 0), at(10));
    assert!(matches!(rejection(&late), Rejection::ApiKeyEnded { .. }));
    assert!(!opens(&access, "k", 1, at(10)) && opens(&access, "k", 1, at(9)));
    for command in [rotate("x", 2, 0), revoke("x")] {
        let unknown = act(&mut access, &command, at(0));
        assert!(matches!(
            rejection(&unknown),
            Rejection::ApiKeyNotFound { .. }
        ));
    }
}

#[test]
fn there_is_room_for_so_many_and_the_one_that_ended_first_makes_way() {
    let mut access = Access::default();
    for n in 0..limits::API_KEYS {
        let name = format!("n{n}");
        let made = act(
            &mut access,
            &create(&format!("k{n:05}"), &name, None),
            at(0),
        );
        assert_eq!(made.results, [ItemResult::Applied(0)], "{n}");
    }
    let full = act(&mut access, &create("more", "more", None), at(1));
    assert!(matches!(rejection(&full), Rejection::TooManyApiKeys {}));
    act(&mut access, &revoke("k00007"), at(2));
    act(&mut access, &revoke("k00003"), at(3));
    let made = act(&mut access, &create("more", "more", None), at(4));
    assert_eq!(made.results, [ItemResult::Applied(0)]);
    assert_eq!(access.len(), limits::API_KEYS);
    assert!(access.get("k00007").is_none() && access.get("k00003").is_some());
}

#[test]
fn secrets_are_not_shown_by_debug() {
    let mut access = Access::default();
    act(&mut access, &create("k", "till", None), at(0));
    let shown = format!("{access:?}");
    assert!(!shown.contains("0101"), "{shown}");
}
