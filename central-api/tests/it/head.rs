//! The head of the log and what is shown of it, looked at while both move.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::served::Served;
use crate::shop::{place, placed, readdressed, stocked};

/// Whoever is told of an order is told a head that has come so far; whoever is told a head finds the
/// order as far; and no list leads beyond the feed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_is_ahead_of_the_head_and_none_behind_it() {
    const CHANGES: u64 = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    stocked(&central.ledger, &["A"], 10).await;
    placed(&central.ledger, place("1", "ada", None)).await;
    let done = Arc::new(AtomicBool::new(false));
    let published = Arc::clone(central.ledger.published());
    let until = Arc::clone(&done);
    let reader = thread::spawn(move || {
        let record = || published.books.order_record("ord-1").unwrap();
        let mut moves = 0_u64;
        let mut last = 0;
        while !until.load(Ordering::Relaxed) {
            let order = record();
            let head = published.head().seq;
            assert!(order <= head, "the order is at {order}, the head at {head}");
            // All that happens is about this order.
            let order = record();
            assert!(order >= head, "the order is at {order}, the head at {head}");
            let list = published.view.head().seq;
            let head = published.head().seq;
            assert!(list <= head, "a list is at {list}, the head at {head}");
            moves += u64::from(head != last);
            last = head;
        }
        moves
    });
    for number in 0..CHANGES {
        readdressed(&central.ledger, "1", &format!("{number} Mill Lane")).await;
    }
    done.store(true, Ordering::Relaxed);
    let moves = reader.join().expect("what was read agrees");
    assert!(moves > CHANGES / 10, "it looked at {moves} moves only");
    central.stop().await;
}
