//! API keys that are well written and cannot be.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use super::damage::Folder;
use super::{line, noticed, snapshot, verify};
use crate::served::Served;

const KEYS: &str = "/v1/admin/api-keys";

/// A folder in which keys were made, replaced and revoked, and a snapshot of them.
async fn with_keys() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    for name in ["till", "gone"] {
        let key = json!({"name": name, "scope": "store"});
        let key = central.post(KEYS, &[], &key).await.expect(201);
        let path = format!("{KEYS}/{}", key["keyId"].as_str().unwrap());
        let rotate = format!("{path}/rotate");
        central.post(&rotate, &[], &json!({})).await.expect(200);
        if name == "gone" {
            central
                .send(Method::DELETE, &path, &[], None)
                .await
                .expect(200);
        }
    }
    let published = std::sync::Arc::clone(central.ledger.published());
    let taken = tokio::task::spawn_blocking(move || published.take_snapshot());
    taken.await.unwrap().unwrap();
    central.stop().await;
    let folder = dir.path().to_owned();
    (dir, folder)
}

#[tokio::test]
async fn a_key_that_cannot_be_is_noticed() {
    let (_dir, healthy) = with_keys().await;
    assert_eq!(verify(&healthy).findings, []);
    for (name, kind, of, words, what) in [
        (
            "made by somebody else",
            "create_api_key",
            "till",
            ("\"createdBy\":\"admin\"", "\"createdBy\":\"nobody\""),
            "was not made by whoever asked for it",
        ),
        (
            "a name that is taken",
            "create_api_key",
            "gone",
            ("\"name\":\"gone\"", "\"name\":\"till\""),
            "has a name that another one has",
        ),
        (
            "another scope after a rotation",
            "rotate_api_key",
            "till",
            ("\"scope\":\"store\"", "\"scope\":\"admin\""),
            "is another one than before",
        ),
        (
            "a secret that never ends",
            "rotate_api_key",
            "till",
            ("\"validUntil\"", "\"validUnknown\""),
            "has more than one secret for good",
        ),
        (
            "revoked by somebody else",
            "revoke_api_key",
            "gone",
            ("\"revokedBy\":\"admin\"", "\"revokedBy\":\"nobody\""),
            "was not revoked by whoever asked for it",
        ),
    ] {
        noticed(&healthy, name, |folder: &mut Folder| {
            let place =
                folder.find(|record| record["kind"] == kind && record["apiKeys"][0]["name"] == of);
            folder.change(place, &[words]);
            line(folder, place, what)
        });
    }
}

#[tokio::test]
async fn a_snapshot_with_other_keys_than_the_log_is_noticed() {
    let (_dir, healthy) = with_keys().await;
    noticed(
        &healthy,
        "a key that came back to life",
        |folder: &mut Folder| {
            folder.snapshots[0].change(
                "revokedBy",
                "\"revokedBy\":\"admin\"",
                "\"revokedBy\":\"nobody\"",
            );
            snapshot(folder, 0, "differs from the log")
        },
    );
}
