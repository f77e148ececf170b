//! Records that are well written and do not follow from what came before.

use super::damage::{Folder, Place};
use super::{Expected, changed, line, lived_in, noticed};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn an_effect_that_does_not_follow_from_what_came_before_is_noticed() {
    let (_dir, healthy) = lived_in().await;
    let noticed = |name: &str, damage: fn(&mut Folder) -> Expected| noticed(&healthy, name, damage);
    noticed("time that goes back", |folder| {
        let place = folder.keyed("late-2");
        let at = folder.record(place)["at"].as_str().unwrap().to_owned();
        folder.change(place, &[(&at, "2001-01-01T00:00:00.000Z")]);
        line(folder, place, "time goes back from")
    });
    noticed("two lives of one name", |folder| {
        let first = folder.record(Place(0, 0, 0))["gen"].clone();
        let first = first.as_str().unwrap();
        let second = folder.find(|record| record["gen"].as_str().is_some_and(|name| name != first));
        let name = folder.record(second)["gen"].as_str().unwrap().to_owned();
        folder.change(second, &[(&name, first)]);
        line(folder, second, "began before")
    });
    noticed("a life that begins at another offset", |folder| {
        let second = folder.find(|record| record["gen"].is_string() && record["offset"] != 0);
        folder.change(second, &[("\"offset\":7", "\"offset\":6")]);
        line(folder, second, "it says offset 6, which should be 7")
    });
    noticed("a decision before any life of the log", |folder| {
        let mut sale = folder.record(folder.keyed("refused"));
        let first = folder.record(Place(0, 0, 0));
        sale["seq"] = 1.into();
        sale["at"] = first["at"].clone();
        sale["offset"] = 0.into();
        *folder.line(Place(0, 0, 0)) = sale.to_string();
        line(
            folder,
            Place(0, 0, 0),
            "no life of the log has begun before it",
        )
    });
    noticed("one key with two effects", |folder| {
        let words = [("\"late-1\"", "\"sale\"")];
        changed(folder, "late-1", &words, "key sale was used by record 5")
    });
    noticed("one key with an effect and a refusal", |folder| {
        changed(
            folder,
            "refused",
            &[("\"refused\",\"finger", "\"sale\",\"finger")],
            "key sale was used by record 5",
        )
    });
    noticed("a link to a wrong record", |folder| {
        let words = [("\"prev\":{\"A\":2}", "\"prev\":{\"A\":1}")];
        changed(
            folder,
            "sale",
            &words,
            "the record about A before it is 2, not 1",
        )
    });
    noticed("a refusal's link to a wrong record", |folder| {
        let words = [("\"prev\":{\"A\":5}", "\"prev\":{\"A\":2}")];
        changed(
            folder,
            "refused",
            &words,
            "the record about A before it is 5, not 2",
        )
    });
    noticed("a link that is missing", |folder| {
        let words = [("\"prev\":{\"A\":2}", "\"prev\":{}")];
        changed(
            folder,
            "sale",
            &words,
            "it does not name the record about A before it",
        )
    });
    noticed("an item that names an event that is not there", |folder| {
        let words = [(
            ",\"offset\":3,\"events\"",
            ",\"results\":[{\"applied\":4}],\"offset\":3,\"events\"",
        )];
        changed(
            folder,
            "sale",
            &words,
            "its items do not name its events one by one",
        )
    });
    noticed("an event that no item asked for", |folder| {
        let words = [(
            ",\"offset\":5,\"events\"",
            ",\"results\":[{\"applied\":0}],\"offset\":5,\"events\"",
        )];
        changed(
            folder,
            "both",
            &words,
            "its items do not name its events one by one",
        )
    });
    noticed("a version that is passed over", |folder| {
        let words = [("\"version\":2", "\"version\":3")];
        changed(folder, "sale", &words, "event 3: version 3 follows 1")
    });
    noticed("a version that begins again after a deletion", |folder| {
        let place = folder.find(|record| {
            record["events"][0]["eventType"] == "product_created"
                && record["events"][0]["productId"] == "C"
                && record["events"][0]["version"] != 1
        });
        folder.change(place, &[("\"version\":3", "\"version\":1")]);
        line(folder, place, "version 1 follows 2")
    });
    noticed("a product that is created though it is there", |folder| {
        let words = [("product_updated", "product_created")];
        changed(
            folder,
            "sale",
            &words,
            "event 3: product_created, though it is there",
        )
    });
    noticed("a product that changes though it is not there", |folder| {
        let place = folder.find(|record| record["events"][0]["productId"] == "B");
        folder.change(place, &[("product_created", "product_updated")]);
        line(folder, place, "event 1: product_updated, though it is not")
    });
    noticed("units that come from nowhere", |folder| {
        let words = [
            ("\"onHand\":7", "\"onHand\":8"),
            ("\"available\":7", "\"available\":8"),
        ];
        changed(
            folder,
            "sale",
            &words,
            "event 3: units are not conserved: 10 and -3 give 8",
        )
    });
    noticed("another delta than what was moved", |folder| {
        let words = [("\"delta\":-3", "\"delta\":-4")];
        changed(
            folder,
            "sale",
            &words,
            "event 3: units are not conserved: 10 and -4 give 7",
        )
    });
    noticed("promises that a sale changes", |folder| {
        let words = [
            ("\"reserved\":0", "\"reserved\":1"),
            ("\"available\":7", "\"available\":6"),
        ];
        changed(
            folder,
            "sale",
            &words,
            "event 3: promised units change by sale",
        )
    });
    noticed("a sale of what is not there", |folder| {
        let words = [
            ("\"onHand\":7", "\"onHand\":-1"),
            ("\"available\":7", "\"available\":-1"),
            ("\"delta\":-3", "\"delta\":-11"),
        ];
        changed(
            folder,
            "sale",
            &words,
            "event 3: a promise leaves -1 available",
        )
    });
    noticed("a product that changed at another time", |folder| {
        let words = [("\"lastUpdated\":\"2", "\"lastUpdated\":\"3")];
        changed(
            folder,
            "sale",
            &words,
            "event 3: lastUpdated is not its time",
        )
    });
}
