//! Lines with a right checksum that no writer writes.

use super::damage::Folder;
use super::{Expected, changed, line, lived_in, noticed};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn a_record_that_is_not_what_a_writer_writes_is_noticed() {
    let (_dir, healthy) = lived_in().await;
    let noticed = |name: &str, damage: fn(&mut Folder) -> Expected| noticed(&healthy, name, damage);
    noticed("a wrong number", |folder| {
        let place = folder.keyed("sale");
        let seq = folder.seq(place);
        folder.change(place, &[(&format!("\"seq\":{seq},"), "\"seq\":900,")]);
        line(folder, place, "it is numbered 900")
    });
    noticed("a wrong offset", |folder| {
        let place = folder.keyed("sale");
        folder.change(place, &[("},\"offset\":3,", "},\"offset\":4,")]);
        line(folder, place, "it says offset 4, which should be 3")
    });
    noticed("a refusal with a wrong offset", |folder| {
        let place = folder.keyed("refused");
        folder.change(place, &[(",\"offset\":4,", ",\"offset\":3,")]);
        line(folder, place, "it says offset 3, which should be 4")
    });
    noticed("a line that is no record", |folder| {
        let place = folder.keyed("sale");
        *folder.line(place) = "{\"seq\":5}".to_owned();
        line(folder, place, "the line is not a record")
    });
    noticed("an unknown outcome", |folder| {
        let words = [("\"outcome\":\"applied\"", "\"outcome\":\"perhaps\"")];
        changed(folder, "sale", &words, "unknown outcome \"perhaps\"")
    });
    noticed("a missing member", |folder| {
        let words = [("\"fingerprint\":", "\"footprint\":")];
        changed(folder, "sale", &words, "the line lacks fingerprint")
    });
    noticed("an outcome that is not what happened", |folder| {
        let words = [("\"outcome\":\"applied\"", "\"outcome\":\"refused\"")];
        changed(folder, "sale", &words, "it contradicts itself")
    });
    noticed("an event without an offset", |folder| {
        let words = [("{\"offset\":3,\"timestamp\"", "{\"timestamp\"")];
        changed(folder, "sale", &words, "event 3 cannot be read")
    });
    noticed("an event with another offset", |folder| {
        let words = [("{\"offset\":3,\"timestamp\"", "{\"offset\":2,\"timestamp\"")];
        changed(folder, "sale", &words, "event 3 has offset 2")
    });
    noticed("an event with another time", |folder| {
        let words = [("\"timestamp\":\"2", "\"timestamp\":\"3")];
        changed(
            folder,
            "sale",
            &words,
            "event 3 has another time than its record",
        )
    });
    noticed("an event in another place of its batch", |folder| {
        let words = [("\"index\":1", "\"index\":0")];
        changed(
            folder,
            "both",
            &words,
            "event 6 has a wrong place in its batch",
        )
    });
    noticed("a batch that claims to be longer", |folder| {
        let words = [("\"size\":2", "\"size\":3")];
        changed(
            folder,
            "both",
            &words,
            "event 5 has a wrong place in its batch",
        )
    });
    noticed("an event about two products", |folder| {
        let words = [(
            "\"product_updated\",\"productId\":\"A\"",
            "\"product_updated\",\"productId\":\"B\"",
        )];
        changed(folder, "sale", &words, "event 3 is about two products")
    });
    noticed("a derived figure that does not follow", |folder| {
        let words = [("\"available\":7", "\"available\":8")];
        changed(folder, "sale", &words, "it contradicts itself")
    });
    noticed(
        "an event that names another key than its record",
        |folder| {
            let words = [("\"idempotencyKey\":\"sale\"", "\"idempotencyKey\":\"sole\"")];
            changed(folder, "sale", &words, "it contradicts itself")
        },
    );
    noticed("an event with another version than its product", |folder| {
        let words = [("\"version\":2,\"cause\"", "\"version\":3,\"cause\"")];
        changed(folder, "sale", &words, "it contradicts itself")
    });
}
