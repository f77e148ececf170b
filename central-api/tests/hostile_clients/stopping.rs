//! The program is asked to stop while everybody is busy with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shared::limits;
use tokio::time::{sleep, timeout};

use crate::program::{Program, SOON, Wire, get, read, sale};

const SELLERS: usize = 100;
const POLLS: usize = 50;
const UNITS: i64 = 1_000_000;

/// Goal: a stop loses nothing that was acknowledged and keeps nobody waiting. Method: it comes while
/// a hundred clients sell as fast as they can, beside fifty idle connections; then the program starts
/// again and is asked for every sale.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_everybody_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::start(dir.path()).await;
    program.create("A", UNITS).await;
    let answers = Arc::new(AtomicUsize::new(0));
    let mut idle = Vec::new();
    for _ in 0..POLLS {
        let mut wire = Wire::open(program.address).await;
        wire.send(&read("/v1/inventory/A")).await;
        assert_eq!(wire.answer().await.unwrap().status, 200);
        idle.push(wire);
    }
    let sellers: Vec<_> = (0..SELLERS)
        .map(|seller| tokio::spawn(sell(program.address, seller, Arc::clone(&answers))))
        .collect();
    timeout(SOON * 4, async {
        while answers.load(Ordering::SeqCst) < SELLERS * 5 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("sales");
    program.terminate();
    assert!(program.ended_well(limits::DRAIN + SOON).await);
    let (mut sold, mut open) = (Vec::new(), 0);
    for seller in sellers {
        let (keys, unanswered) = seller.await.unwrap();
        sold.extend(keys);
        open += i64::from(unanswered);
    }
    for mut wire in idle {
        assert!(wire.answer().await.is_none(), "closed");
    }

    let program = Program::start(dir.path()).await;
    let mut wire = Wire::open(program.address).await;
    for key in &sold {
        wire.send(&sale(key)).await;
        let answer = wire.answer().await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(
            answer.head.contains("idempotent-replayed: true"),
            "{key} is lost"
        );
    }
    let left = get(program.address, "/v1/inventory/A").await.json()["available"]
        .as_i64()
        .unwrap();
    let missing = UNITS - left;
    let acknowledged = i64::try_from(sold.len()).unwrap();
    assert!(
        (acknowledged..=acknowledged + open).contains(&missing),
        "{missing} {acknowledged} {open}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_every_long_poll_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::start(dir.path()).await;
    program.create("A", UNITS).await;
    let mut polls = Vec::new();
    for _ in 0..POLLS {
        let mut wire = Wire::open(program.address).await;
        wire.send(&read("/v1/inventory/events?offset=1&wait=60"))
            .await;
        polls.push(wire);
    }
    // They have arrived once a request sent after them is answered on every connection's thread;
    // a poll that comes later than the stop is answered or closed all the same.
    assert_eq!(get(program.address, "/v1/inventory/A").await.status, 200);
    program.terminate();
    for mut poll in polls {
        // `answer` has its own deadline, far below the minute that they would wait.
        if let Some(answer) = poll.answer().await {
            assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        }
    }
    assert!(program.ended_well(limits::DRAIN).await);
}

/// Sells until the program no longer answers. Returns the keys of what was acknowledged, and whether
/// one request was left without an answer.
async fn sell(
    address: std::net::SocketAddr,
    seller: usize,
    answers: Arc<AtomicUsize>,
) -> (Vec<String>, bool) {
    let mut wire = Wire::open(address).await;
    let mut sold = Vec::new();
    for number in 0.. {
        let key = format!("s{seller}-{number}");
        if !wire.send(&sale(&key)).await {
            return (sold, true);
        }
        match wire.answer().await {
            Some(answer) if answer.status == 200 => sold.push(key),
            Some(answer) => {
                assert_eq!(answer.status, 503, "{answer:?}");
                return (sold, false);
            }
            None => return (sold, true),
        }
        answers.fetch_add(1, Ordering::SeqCst);
    }
    (sold, false)
}
