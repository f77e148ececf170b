//! Reservations that cannot be.

use super::{Of, all_noticed, traded_in};

const HOLD: Of = Of::Key("hold-kept");

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn a_reservation_that_cannot_be_is_noticed() {
    let (_dir, healthy) = traded_in().await;
    all_noticed(
        &healthy,
        &[
            (
                "units that are held and not counted",
                HOLD,
                &[(
                    "\"reserved\":6,\"allotted\":0,\"available\":4",
                    "\"reserved\":4,\"allotted\":0,\"available\":6",
                )],
                "A has 4 reserved, its reservations hold 6",
            ),
            (
                "units that are given back and still counted",
                Of::Key("release"),
                &[(
                    "\"reserved\":4,\"allotted\":0,\"available\":6",
                    "\"reserved\":6,\"allotted\":0,\"available\":4",
                )],
                "A has 6 reserved, its reservations hold 4",
            ),
            (
                "a hold that no event made",
                Of::Key("extend"),
                &[("\"reservationId\":\"kept\"", "\"reservationId\":\"fresh\"")],
                "no event says that 2 of A are reserved for fresh",
            ),
            (
                "a release after which it still holds",
                Of::Key("release"),
                &[("\"state\":\"released\"", "\"state\":\"active\"")],
                "2 of A are released for released, which does not say so",
            ),
            (
                "an end after an end",
                Of::Key("commit"),
                &[(
                    "\"reservationId\":\"committed\"",
                    "\"reservationId\":\"released\"",
                )],
                "reservation released goes from released to committed",
            ),
            (
                "an end before a beginning",
                Of::Key("commit"),
                &[(
                    "\"reservationId\":\"committed\"",
                    "\"reservationId\":\"nobody\"",
                )],
                "reservation nobody goes from nothing to committed",
            ),
            (
                "an id that is given twice",
                Of::Key("hold-committed"),
                &[(
                    "\"reservationId\":\"committed\"",
                    "\"reservationId\":\"released\"",
                )],
                "2 of A are reserved for released, which does not say so",
            ),
            (
                "a hold of a product that is not there",
                HOLD,
                &[(
                    "{\"productId\":\"B\",\"quantity\":1}",
                    "{\"productId\":\"Z\",\"quantity\":1}",
                )],
                "reservation kept holds Z, which is not there",
            ),
            (
                "a hold of nothing",
                HOLD,
                &[(
                    "{\"productId\":\"B\",\"quantity\":1}",
                    "{\"productId\":\"B\",\"quantity\":0}",
                )],
                "reservation kept holds 0 of B",
            ),
            (
                "a hold with two lines for one product",
                HOLD,
                &[(
                    "{\"productId\":\"B\",\"quantity\":1}",
                    "{\"productId\":\"A\",\"quantity\":1}",
                )],
                "reservation kept has two lines for A",
            ),
            (
                "a hold that becomes one of other units",
                Of::Key("release"),
                &[(
                    "{\"productId\":\"B\",\"quantity\":1}",
                    "{\"productId\":\"B\",\"quantity\":2}",
                )],
                "reservation released holds other units than before",
            ),
            (
                "a hold that becomes another's",
                Of::Key("commit"),
                &[("\"owner\":\"ann\"", "\"owner\":\"bob\"")],
                "reservation committed is another's than before",
            ),
            (
                "a hold of another time",
                HOLD,
                &[("\"createdAt\":\"2", "\"createdAt\":\"3")],
                "reservation kept was not made at its time",
            ),
            (
                "an end at another time",
                Of::Key("release"),
                &[("\"resolvedAt\":\"2", "\"resolvedAt\":\"3")],
                "reservation released was not resolved at its time",
            ),
            (
                "units that leave and stay",
                Of::Key("commit"),
                &[
                    (
                        "\"onHand\":8,\"reserved\":2,\"allotted\":0,\"available\":6",
                        "\"onHand\":10,\"reserved\":2,\"allotted\":0,\"available\":8",
                    ),
                    ("\"delta\":-2,", ""),
                ],
                "2 committed, and 0 in the house",
            ),
            (
                "a hold for an order that is not there",
                Of::Event("ord-open", "order_reserved"),
                &[(
                    "\"orderId\":\"ord-open\",\"lines\"",
                    "\"orderId\":\"ord-none\",\"lines\"",
                )],
                "units are held for order ord-none, which is not there",
            ),
        ],
    );
}
