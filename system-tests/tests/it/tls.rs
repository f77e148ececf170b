//! TLS between the real programs, with an authority of our own.

use std::path::Path;
use std::process::Command;

use reqwest::{Certificate, Client, StatusCode};
use serde_json::{Value, json};
use shared::testing::certificates::{Authority, Files};
use system_tests::process::{ADMIN_KEY, KEY, Service, client, until};

use crate::scene::{PATIENCE, SHORT};

/// Central with the certificate of `files`.
async fn central(dir: &Path, files: &Files) -> Service {
    let settings = [
        ("TLS_CERT_FILE", text(&files.certificate)),
        ("TLS_KEY_FILE", text(&files.key)),
    ];
    let central = Service::central_with(&dir.join("central"), &settings).await;
    central.unwrap()
}

/// A store that follows it, trusting the authority in `ca`.
async fn store(id: &str, dir: &Path, central: &Service, ca: &Path) -> Service {
    let url = format!("https://{}", central.address());
    let own = [
        ("CENTRAL_API_URL", url.as_str()),
        ("CENTRAL_CA_FILE", text(ca)),
    ];
    let settings = [&SHORT[..], &own].concat();
    let folder = dir.join(id);
    let store = Service::store_with(id, &folder, central.address(), &settings);
    store.await.unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A client that trusts `authority` alone, with a connection of its own.
fn trusting(authority: &Authority) -> Client {
    let root = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = Client::builder().no_proxy().timeout(PATIENCE);
    client.tls_certs_only([root]).build().unwrap()
}

/// Tells `service` what an operator tells it after renewing a certificate.
fn hang_up(service: &Service) {
    let pid = service.pid().to_string();
    let sent = Command::new("kill").args(["-HUP", &pid]).status();
    assert!(sent.unwrap().success());
}

/// What a store says of product A.
async fn available(client: &Client, store: &Service) -> Option<i64> {
    let read = client.get(store.url("/v1/store/inventory/A"));
    let answer = read.header("X-API-Key", KEY).send().await.ok()?;
    answer.json::<Value>().await.ok()?["available"].as_i64()
}

/// Sells a unit of product A at a store.
async fn sell(client: &Client, store: &Service, key: &str) -> StatusCode {
    let body = json!({"productId": "A", "delta": -1, "idempotencyKey": key});
    let sale = client.post(store.url("/v1/store/inventory/updates"));
    let answer = sale.header("X-API-Key", KEY).json(&body).send().await;
    answer.unwrap().status()
}

async fn logged(service: &Service, words: &str) {
    let log = service.dir().join("log-1.ndjson");
    let said = || async { std::fs::read_to_string(&log).unwrap().contains(words) };
    until(words, PATIENCE, said).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_follows_and_sells_over_tls_and_a_renewal_disturbs_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (ca, other) = (dir.path().join("ca.pem"), dir.path().join("other.pem"));
    std::fs::write(&ca, authority.pem()).unwrap();
    std::fs::write(&other, Authority::new().pem()).unwrap();
    let central = central(dir.path(), &authority.issue(dir.path())).await;
    let create =
        json!({"products": [{"productId": "A", "name": "A", "available": 10, "price": 1}]});
    let url = format!("https://{}/v1/admin/products/create", central.address());
    let created = trusting(&authority)
        .post(&url)
        .header("X-API-Key", ADMIN_KEY);
    let created = created.json(&create).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::OK);

    let plain = client().unwrap();
    let follows = store("store-s1", dir.path(), &central, &ca).await;
    let there = async || available(&plain, &follows).await == Some(10);
    until("the product at the store", PATIENCE, there)
        .await
        .unwrap();
    assert_eq!(sell(&plain, &follows, "one").await, StatusCode::OK);

    // The control: who trusts somebody else tells central nothing, and learns nothing.
    let deceived = store("store-s2", dir.path(), &central, &other).await;
    assert_eq!(
        sell(&plain, &deceived, "two").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(available(&plain, &deceived).await, None);

    let renewed = authority.issue(dir.path());
    hang_up(&central);
    logged(&central, "certificate was read again").await;
    assert_eq!(sell(&plain, &follows, "three").await, StatusCode::OK);
    assert_eq!(
        trusting(&authority)
            .get(&url)
            .send()
            .await
            .unwrap()
            .status(),
        405
    );
    std::fs::write(&renewed.key, "half a key").unwrap();
    hang_up(&central);
    logged(&central, "goes on being served").await;
    assert_eq!(
        trusting(&authority)
            .get(&url)
            .send()
            .await
            .unwrap()
            .status(),
        405
    );
    // Who has no certificate does not end of the signal either.
    hang_up(&follows);
    logged(&follows, "no TLS certificate to read again").await;
    let sold = async || available(&plain, &follows).await == Some(8);
    until("both sales at the store", PATIENCE, sold)
        .await
        .unwrap();
}
