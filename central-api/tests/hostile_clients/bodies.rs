//! Requests that are too large, broken, or written by the letter of an old standard.

use std::io::Write;

use crate::program::{Program, Wire, get, read, request, sale};

const HEAD: &str = "POST /v1/inventory/updates HTTP/1.1\r\nx-api-key: demo\r\n";
const LARGE: usize = 16 * 1024 * 1024;

async fn shop(dir: &tempfile::TempDir) -> Program {
    let program = Program::start(dir.path()).await;
    program.create("A", 100).await;
    program
}

/// Sends `bytes` on a connection of their own, expects `status`, and that nothing has happened.
async fn refused(program: &Program, bytes: &[u8], status: u16) {
    let before = program.head().await;
    let mut wire = Wire::open(program.address).await;
    wire.send(bytes).await;
    let answer = wire.answer().await.expect("a refusal");
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(program.head().await, before);
}

fn encoded(encoding: &str, body: &[u8]) -> Vec<u8> {
    request(&format!("{HEAD}content-encoding: {encoding}\r\n"), body)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whatever_it_says_of_itself() {
    let dir = tempfile::tempdir().unwrap();
    let program = shop(&dir).await;
    // Refused by what it says, before a byte of it is sent.
    let announced = format!(
        "{HEAD}host: c\r\ncontent-type: application/json\r\ncontent-length: {LARGE}\r\n\r\n"
    );
    refused(&program, announced.as_bytes(), 413).await;
    // Refused while it comes: a chunk that just does not fit, and no end.
    let most = shared::limits::BODY_BYTES + 1;
    let head = format!(
        "{HEAD}host: c\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{most:x}\r\n"
    );
    let chunked = [head.as_bytes(), &vec![b' '; most], b"\r\n"].concat();
    refused(&program, &chunked, 413).await;
    // The control: as much as is allowed is read, and found to be no JSON.
    refused(&program, &request(HEAD, &vec![b' '; most - 1]), 400).await;
}

#[tokio::test]
async fn a_small_body_that_unpacks_to_a_large_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let program = shop(&dir).await;
    let before = program.resident_kb();
    let zeros = vec![b' '; 512 * LARGE / 16];
    let bomb = gzip(&zeros);
    assert!(bomb.len() < 1024 * 1024, "{} bytes", bomb.len());
    refused(&program, &encoded("gzip", &bomb), 413).await;
    let bomb = zstd::encode_all(zeros.as_slice(), 3).unwrap();
    refused(&program, &encoded("zstd", &bomb), 413).await;
    assert!(
        program.resident_kb() < before + 64 * 1024,
        "it was unpacked"
    );
    let text = br#"{"productId":"A","delta":-1,"idempotencyKey":"z"}"#;
    let whole = gzip(text);
    refused(&program, &encoded("gzip", &whole[..whole.len() / 2]), 400).await;
    refused(&program, &encoded("gzip", text), 400).await;
    refused(&program, &encoded("br", text), 415).await;
    // The control: the same, whole, is a sale.
    let mut wire = Wire::open(program.address).await;
    wire.send(&encoded("gzip", &whole)).await;
    assert_eq!(wire.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_head_without_measure_ends_its_connection_only() {
    let dir = tempfile::tempdir().unwrap();
    let program = shop(&dir).await;
    let mut wire = Wire::open(program.address).await;
    let line = format!(
        "GET /v1/inventory/A HTTP/1.1\r\nx-api-key: demo\r\nx-long: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    wire.send(line.as_bytes()).await;
    let answer = wire.answer().await;
    assert!(answer.is_none_or(|answer| answer.status == 431));
    assert_eq!(get(program.address, "/v1/inventory/A").await.status, 200);
}

#[tokio::test]
async fn requests_in_one_breath_are_answered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let program = shop(&dir).await;
    let mut wire = Wire::open(program.address).await;
    let all: Vec<u8> = (0..20)
        .flat_map(|number| sale(&format!("p-{number}")))
        .collect();
    wire.send(&all).await;
    for number in 0..20 {
        let answer = wire.answer().await.unwrap().json();
        assert_eq!(answer["idempotencyKey"], format!("p-{number}"));
        assert_eq!(answer["newQuantity"], 99 - number);
    }
}

#[tokio::test]
async fn who_wants_the_connection_closed_gets_it_closed() {
    let dir = tempfile::tempdir().unwrap();
    let program = shop(&dir).await;
    let old = "GET /v1/inventory/A HTTP/1.0\r\nx-api-key: demo\r\n\r\n";
    let close =
        "GET /v1/inventory/A HTTP/1.1\r\nhost: c\r\nx-api-key: demo\r\nconnection: close\r\n\r\n";
    for text in [old, close] {
        let mut wire = Wire::open(program.address).await;
        wire.send(text.as_bytes()).await;
        let answer = wire.answer().await.unwrap();
        assert_eq!(
            (answer.status, &answer.json()["productId"]),
            (200, &"A".into())
        );
        assert!(
            wire.answer().await.is_none(),
            "closed after: {}",
            answer.head
        );
    }
    // The control: otherwise it stays open.
    let mut wire = Wire::open(program.address).await;
    for _ in 0..2 {
        wire.send(&read("/v1/inventory/A")).await;
        assert_eq!(wire.answer().await.unwrap().status, 200);
    }
}
