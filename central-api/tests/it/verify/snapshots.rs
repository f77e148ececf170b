//! Snapshots, and starts from them.

use std::fs;

use super::damage::{Folder, Place, Snapshot};
use super::{Expected, IMPORTED, lived_in, noticed, program, said, snapshot, verify};

const A: &str = "\"productId\":\"A\"";

/// Has the header count so many products.
fn entries(snapshot: &mut Snapshot, count: usize) {
    let all = format!("\"entries\":{},", IMPORTED + 3);
    snapshot.change("\"snapshot\":1", &all, &format!("\"entries\":{count},"));
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn a_snapshot_that_is_not_the_state_of_the_log_is_noticed() {
    let (_dir, healthy) = lived_in().await;
    let noticed = |name: &str, damage: fn(&mut Folder) -> Expected| noticed(&healthy, name, damage);
    noticed("a product with other units", |folder| {
        // A price is not in the digest, so that only the comparison can find it.
        folder.snapshots[0].change(A, "\"price\":1.5", "\"price\":1.6");
        snapshot(folder, 0, "product A differs from the log")
    });
    noticed("a digest that is not that of its products", |folder| {
        folder.snapshots[0].change(A, "\"onHand\":6", "\"onHand\":7");
        snapshot(folder, 0, "the digest cannot be read")
    });
    noticed("a product's last record", |folder| {
        folder.snapshots[0].change(A, "{\"record\":8,", "{\"record\":5,");
        snapshot(folder, 0, "product A differs from the log")
    });
    noticed("a product that is missing", |folder| {
        // A deleted one: it is in no digest.
        let lines = &mut folder.snapshots[0].lines;
        lines.retain(|line| !line.contains("\"live\":false"));
        entries(&mut folder.snapshots[0], IMPORTED + 2);
        snapshot(folder, 0, "it lacks product C")
    });
    noticed("a product that never was", |folder| {
        let product = folder.snapshots[1]
            .line(A)
            .replace(A, "\"productId\":\"Z\"");
        let product = product.replace("\"live\":true", "\"live\":false");
        folder.snapshots[1].lines.push(product);
        entries(&mut folder.snapshots[1], IMPORTED + 4);
        snapshot(folder, 1, "product Z is not in the log")
    });
    noticed("a header that counts other products", |folder| {
        entries(&mut folder.snapshots[1], 7);
        snapshot(folder, 1, "an entry cannot be read")
    });
    noticed("the life of another log", |folder| {
        let name = folder.record(Place(0, 0, 0))["gen"]
            .as_str()
            .unwrap()
            .to_owned();
        folder.snapshots[0].change("\"snapshot\":1", &name, "0123456789abcdef");
        snapshot(folder, 0, "it has other generations than the log")
    });
    noticed("another offset", |folder| {
        let offset = format!("\"offset\":{},\"orderOffset\"", 8 + IMPORTED);
        folder.snapshots[0].change("\"snapshot\":1", &offset, "\"offset\":5,\"orderOffset\"");
        snapshot(folder, 0, "it says offset 5, the log has 128")
    });
    noticed("another time", |folder| {
        folder.snapshots[0].change("\"snapshot\":1", "\"at\":\"2", "\"at\":\"3");
        snapshot(folder, 0, "it says 3")
    });
    noticed("a key that stands for another record", |folder| {
        folder.snapshots[0].change("\"key\":\"sale\"", "\"seq\":5", "\"seq\":6");
        snapshot(folder, 0, "key sale of store-s1 differs from the log")
    });
    noticed("a key that stands for another command", |folder| {
        folder.snapshots[0].change(
            "\"key\":\"sale\"",
            "\"fingerprint\":\"",
            "\"fingerprint\":\"0000000000000000\",\"was\":\"",
        );
        snapshot(folder, 0, "key sale of store-s1 differs from the log")
    });
    noticed("a key that is forgotten", |folder| {
        let lines = &mut folder.snapshots[0].lines;
        let keys = lines
            .iter()
            .filter(|line| line.starts_with("{\"key\""))
            .count();
        lines.retain(|line| !line.starts_with("{\"key\":\"sale\""));
        let [all, fewer] = [keys, keys - 1].map(|keys| format!("\"keys\":{keys}"));
        folder.snapshots[0].change("\"snapshot\":1", &all, &fewer);
        snapshot(folder, 0, "it lacks 1 of the keys that are remembered")
    });
    noticed("a snapshot under the name of another", |folder| {
        let seq = folder.snapshots[0].seq();
        folder.snapshots[0].name = format!("snapshot-{:020}.ndjson", seq - 1);
        snapshot(folder, 0, "the header cannot be read")
    });
    noticed("a snapshot of records that the log has not", |folder| {
        folder.snapshots[1].name = "snapshot-00000000000000000900.ndjson".to_owned();
        snapshot(folder, 1, "the log ends before it, at record")
    });

    // A flipped bit, which the checksum is for.
    let copy = tempfile::tempdir().unwrap();
    let folder = Folder::read(&healthy);
    folder.write(copy.path());
    let path = copy.path().join(folder.snapshots[0].file());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let report = verify(copy.path());
    assert_eq!(report.wrong, 1);
    assert_eq!(report.findings[0].file, folder.snapshots[0].file());
    assert!(report.findings[0].what.contains("the checksum"));
    assert_eq!(program(copy.path()).status.code(), Some(1));
}

#[tokio::test]
async fn where_retention_has_dropped_the_beginning_a_snapshot_is_taken_as_given() {
    let (_dir, healthy) = lived_in().await;
    let mut folder = Folder::read(&healthy);
    let from = folder.snapshots[0].seq() + 1;
    while folder.segments[1].frames[0].seq <= from {
        folder.segments.remove(0);
    }
    assert!(folder.segments[0].frames[0].seq > 1, "something is dropped");
    let copy = tempfile::tempdir().unwrap();
    folder.write(copy.path());
    let output = program(copy.path());
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let line = format!("effects are checked from record {from}, after a snapshot\n");
    assert!(text.starts_with(&line), "{text}");

    // What comes after the snapshot is checked as ever.
    folder.change(folder.keyed("late-4"), &[("\"delta\":-1", "\"delta\":-2")]);
    let copy = tempfile::tempdir().unwrap();
    folder.write(copy.path());
    assert!(
        verify(copy.path()).findings[0]
            .what
            .contains("units are not conserved")
    );
    assert_eq!(program(copy.path()).status.code(), Some(1));
}
