//! What caches may keep of the feed's refusals.

use shared::domain::inventory::Command;

use crate::served::{Served, create, decide};

fn some_products() -> Command {
    create((0..3).map(|number| format!("P-{number}")), 5)
}

/// Whoever is lost asks again at once, and others like it do too: a proxy may answer them all.
#[tokio::test]
async fn a_refusal_that_is_about_the_log_may_be_shared_for_a_second_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let central = Served::start(&dir).await;
    decide(&central.ledger, some_products()).await;
    for (query, status, code, cache) in [
        (
            "offset=0&gen=00000000000000aa",
            409,
            "log_diverged",
            "public, max-age=1",
        ),
        ("offset=99", 409, "offset_ahead", "public, max-age=1"),
        ("", 400, "EVENTS_ERROR", "no-store"),
        ("offset=0&limit=x", 400, "invalid_request", "no-store"),
    ] {
        let answer = central.get(&format!("/v1/inventory/events?{query}")).await;
        assert_eq!(answer.expect(status)["code"], code, "{query}");
        assert_eq!(answer.header("cache-control"), cache, "{query}");
    }
    let stranger = [("x-api-key", "nobody")];
    let answer = central
        .get_with("/v1/inventory/events?offset=99", &stranger)
        .await;
    assert_eq!(answer.expect(401)["code"], "unauthorized");
    assert_eq!(answer.header("cache-control"), "no-store");
    central.stop().await;
}
