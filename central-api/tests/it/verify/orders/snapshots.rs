//! Snapshots whose reservations or orders are not the log's.

use serde_json::Value;

use super::traded_in;
use crate::verify::damage::{Folder, Snapshot};
use crate::verify::{Expected, noticed, snapshot, verify};

const KEPT: &str = "{\"reservationId\":\"kept\"";
const SLOW: &str = "\"order\":{\"orderId\":\"ord-slow\"";

/// Leaves out the line that holds `text`, and has the header count one less of `what`.
fn leave_out(snapshot: &mut Snapshot, text: &str, what: &str) {
    let gone = snapshot.line(text).clone();
    snapshot.lines.retain(|line| *line != gone);
    let header: Value = serde_json::from_str(&snapshot.lines[0]).unwrap();
    let count = header[what].as_u64().unwrap();
    let [from, to] = [count, count - 1].map(|count| format!("\"{what}\":{count}"));
    snapshot.change("\"snapshot\":1", &from, &to);
}

#[tokio::test]
async fn a_snapshot_with_other_reservations_or_orders_is_noticed() {
    let (_dir, healthy) = traded_in().await;
    let noticed = |name: &str, damage: fn(&mut Folder) -> Expected| noticed(&healthy, name, damage);
    noticed("a hold of other units", |folder| {
        folder.snapshots[0].change(KEPT, "\"quantity\":2", "\"quantity\":1");
        snapshot(folder, 0, "reservation kept differs from the log")
    });
    noticed("a hold that ends at another time", |folder| {
        folder.snapshots[0].change(KEPT, "\"expiresAt\":\"2", "\"expiresAt\":\"3");
        snapshot(folder, 0, "reservation kept differs from the log")
    });
    noticed("an end that was another one", |folder| {
        let released = "{\"reservationId\":\"released\"";
        folder.snapshots[1].change(released, "\"state\":\"released\"", "\"state\":\"expired\"");
        snapshot(folder, 1, "reservation released differs from the log")
    });
    noticed("a hold that is missing", |folder| {
        leave_out(&mut folder.snapshots[0], KEPT, "reservations");
        snapshot(folder, 0, "it lacks reservation kept")
    });
    noticed("a hold that never was", |folder| {
        let to = "{\"reservationId\":\"never\"";
        folder.snapshots[0].change(KEPT, KEPT, to);
        snapshot(folder, 0, "reservation never is not in the log")
    });
    noticed("an order that stands otherwise", |folder| {
        folder.snapshots[0].change(SLOW, "\"status\":\"paid\"", "\"status\":\"confirmed\"");
        snapshot(folder, 0, "order ord-slow differs from the log")
    });
    noticed("an order of another buyer", |folder| {
        folder.snapshots[1].change(SLOW, "\"ada\"", "\"eve\"");
        snapshot(folder, 1, "order ord-slow differs from the log")
    });
    noticed("an order's last record", |folder| {
        folder.snapshots[0].change(SLOW, "{\"record\":11,", "{\"record\":10,");
        snapshot(folder, 0, "order ord-slow differs from the log")
    });
    noticed("an order that is missing", |folder| {
        leave_out(&mut folder.snapshots[0], SLOW, "orders");
        snapshot(folder, 0, "it lacks order ord-slow")
    });
    noticed("an order that never was", |folder| {
        folder.snapshots[0].change(SLOW, "\"ord-slow\"", "\"ord-never\"");
        snapshot(folder, 0, "order ord-never is not in the log")
    });
    noticed("another offset of orders", |folder| {
        let header: Value = serde_json::from_str(&folder.snapshots[0].lines[0]).unwrap();
        let next = header["orderOffset"].as_u64().unwrap();
        let [from, to] = [next, next + 1].map(|offset| format!("\"orderOffset\":{offset},"));
        folder.snapshots[0].change("\"snapshot\":1", &from, &to);
        snapshot(folder, 0, "it says offset 13, the log has 12")
    });
}

/// Nothing tells whether a snapshot that leads over a gap is the log's, but it can contradict itself.
#[tokio::test]
async fn a_snapshot_that_is_taken_as_given_must_agree_with_itself() {
    let (_dir, healthy) = traded_in().await;
    let mut folder = Folder::read(&healthy);
    let from = folder.snapshots[0].seq() + 1;
    let goes_on = |folder: &Folder| folder.segments.get(1).map(|next| next.frames[0].seq);
    while goes_on(&folder).is_some_and(|seq| seq <= from) {
        folder.segments.remove(0);
    }
    assert!(folder.segments[0].frames[0].seq > 1, "something is dropped");
    let copy = tempfile::tempdir().unwrap();
    folder.write(copy.path());
    assert_eq!(verify(copy.path()).findings, []);

    for (text, what, said) in [
        (
            KEPT,
            "reservations",
            "A has 4 reserved, its reservations hold 2",
        ),
        (
            SLOW,
            "orders",
            "units are held for order ord-slow, which is not there",
        ),
    ] {
        let mut folder = Folder::read(copy.path());
        leave_out(&mut folder.snapshots[0], text, what);
        let damaged = tempfile::tempdir().unwrap();
        folder.write(damaged.path());
        let found = verify(damaged.path()).findings;
        let file = folder.snapshots[0].file();
        let mut found = found.iter().filter(|finding| finding.file == file);
        assert!(found.any(|finding| finding.what == said), "{said}");
    }
}
