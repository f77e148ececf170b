//! What is believed of an answer, and what leads to a snapshot.

use std::collections::HashSet;

use shared::wire::event::Batch;

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn every_flaw_is_found() {
    let batch = |id, size, index| Some(Batch { id, size, index });
    let good = page(G1, 10, 3, 0);
    let edited = |edit: fn(&mut Page)| {
        let mut page = good.clone();
        edit(&mut page);
        page
    };
    let split = |index: usize, places: &[Option<Batch>]| {
        let mut page = good.clone();
        for (place, batch) in page.places.iter_mut().skip(index).zip(places) {
            place.batch = *batch;
        }
        page
    };
    let rows = [
        ("later start", page(G1, 11, 3, 0), Flaw::WrongStart),
        ("earlier start", page(G1, 9, 3, 0), Flaw::WrongStart),
        (
            "gap",
            edited(|page| page.places[2].offset = 13),
            Flaw::NotDense,
        ),
        (
            "twice",
            edited(|page| page.places[1].offset = 10),
            Flaw::NotDense,
        ),
        ("count", edited(|page| page.count = 2), Flaw::WrongCount),
        (
            "cut off",
            edited(|page| page.places.truncate(2)),
            Flaw::WrongCount,
        ),
        (
            "next too far",
            edited(|page| page.next_offset = 14),
            Flaw::WrongNext,
        ),
        (
            "next too near",
            edited(|page| page.next_offset = 12),
            Flaw::WrongNext,
        ),
        (
            "silent jump",
            Page {
                next_offset: 99,
                head: Some(99),
                ..page(G1, 10, 0, 0)
            },
            Flaw::WrongNext,
        ),
        (
            "head behind",
            edited(|page| page.head = Some(12)),
            Flaw::HeadBehind,
        ),
        (
            "up to date short of the head",
            edited(|page| page.head = Some(14)),
            Flaw::WrongUpToDate,
        ),
        (
            "empty short of the head",
            Page {
                up_to_date: false,
                ..page(G1, 10, 0, 5)
            },
            Flaw::WrongUpToDate,
        ),
        (
            "begins in a batch",
            split(0, &[batch(9, 2, 1)]),
            Flaw::SplitBatch,
        ),
        (
            "ends in a batch",
            split(2, &[batch(12, 2, 0)]),
            Flaw::SplitBatch,
        ),
        (
            "batch out of order",
            split(0, &[batch(10, 3, 0), batch(10, 3, 2)]),
            Flaw::SplitBatch,
        ),
    ];
    for (name, page, flaw) in rows {
        let (mut core, mut now) = (core(), secs(0));
        let before = core.position();
        let verdict = step(&mut core, &mut now, &Answer::Page(page));
        assert_eq!(verdict, Verdict::Discard(flaw), "{name}");
        assert_eq!(core.position(), before, "{name}");
    }
    let mut core = core();
    let whole = split(0, &[batch(10, 2, 0), batch(10, 2, 1)]);
    assert_eq!(
        step(&mut core, &mut secs(0), &Answer::Page(whole)),
        Verdict::Apply
    );
}

#[test]
fn a_flawed_answer_is_asked_for_anew_and_the_third_leads_to_a_snapshot() {
    let (mut core, mut now) = (core(), secs(0));
    let mut cursors = HashSet::new();
    for _ in 0..2 {
        let bad = Answer::Page(page(G1, 11, 1, 0));
        assert_eq!(
            step(&mut core, &mut now, &bad),
            Verdict::Discard(Flaw::WrongStart)
        );
        assert!(
            matches!(core.plan(now), Plan::Rest(_)),
            "no pause after a bad answer"
        );
        let poll = poll_of(core.plan(now + secs(60)));
        assert!(
            cursors.insert(poll.cursor) && poll.cursor.is_some(),
            "the same URL again"
        );
    }
    step(&mut core, &mut now, &Answer::Page(page(G1, 11, 1, 0)));
    assert_eq!(core.plan(now), Plan::LoadSnapshot(Reason::BrokenAnswers));
    assert_eq!(core.phase(), Phase::Stale);
}

#[test]
fn a_good_answer_forgives_what_was_before() {
    let (mut core, mut now) = (core(), secs(0));
    for offset in 10..30 {
        step(&mut core, &mut now, &Answer::Page(page(G1, 99, 1, 0)));
        step(&mut core, &mut now, &Answer::Diverged);
        let good = Answer::Page(page(G1, offset, 1, 3));
        assert_eq!(step(&mut core, &mut now, &good), Verdict::Apply);
    }
}

#[test]
fn refusals_are_believed_when_they_are_repeated() {
    for (answer, times, reason) in [
        (Answer::Diverged, 2, Reason::Diverged),
        (Answer::Gone, 2, Reason::Gone),
        (Answer::Ahead, 3, Reason::Ahead),
    ] {
        let (mut core, mut now) = (core(), secs(0));
        for time in 1..=times {
            assert_eq!(core.wanted(), None, "{answer:?} {time}");
            assert_eq!(step(&mut core, &mut now, &answer), Verdict::Refused);
        }
        assert_eq!(core.plan(now), Plan::LoadSnapshot(reason));
        assert_eq!(core.position(), Some(at(G1, 10)), "the old copy stays");
    }
}

#[test]
fn a_new_generation_is_taken_over_and_the_old_one_never_comes_back() {
    let (mut core, mut now) = (core(), secs(0));
    assert_eq!(
        step(&mut core, &mut now, &Answer::Page(page(G2, 10, 2, 0))),
        Verdict::Apply
    );
    assert_eq!(core.position(), Some(at(G2, 12)));
    // A cache that still has the answer of the time before, at the very offset that is asked for.
    let stale = Answer::Page(page(G1, 12, 2, 0));
    assert_eq!(
        step(&mut core, &mut now, &stale),
        Verdict::Discard(Flaw::OldGeneration)
    );
    assert_eq!(core.position(), Some(at(G2, 12)));
}

#[test]
fn a_snapshot_of_a_left_generation_is_turned_down_until_it_insists() {
    let (mut core, mut now) = (core(), secs(0));
    step(&mut core, &mut now, &Answer::Page(page(G2, 10, 2, 0)));
    assert!(core.takes_snapshot_of(G2));
    assert!(core.takes_snapshot_of(G3));
    assert!(!core.takes_snapshot_of(G1));
    assert!(!core.takes_snapshot_of(G1));
    assert!(core.takes_snapshot_of(G1));
    core.resynced(at(G1, 5), 5, true, now);
    // Now it is the other way round.
    let other = Answer::Page(page(G2, 5, 0, 0));
    assert_eq!(
        step(&mut core, &mut now, &other),
        Verdict::Discard(Flaw::OldGeneration)
    );
}

#[test]
fn another_digest_at_the_head_leads_to_a_snapshot() {
    let mut core = core();
    let poll = poll_of(core.plan(secs(0)));
    let page = Page {
        digest: Some(5),
        ..page(G1, 10, 1, 0)
    };
    let answer = Answer::Page(page.clone());
    assert_eq!(
        core.judge(&poll, secs(0), &answer, secs(1), 0),
        Verdict::Apply
    );
    core.applied(&page, 6, secs(1), 0);
    assert_eq!(
        core.plan(secs(1)),
        Plan::LoadSnapshot(Reason::DigestMismatch)
    );
    assert_eq!(core.proven_at(), None);
    // Should the snapshot be no better, the next one is not loaded at once.
    core.resynced(at(G1, 11), 11, false, secs(1));
    let poll = poll_of(core.plan(secs(1)));
    let page = Page {
        digest: Some(5),
        ..super::page(G1, 11, 0, 0)
    };
    core.judge(&poll, secs(1), &Answer::Page(page.clone()), secs(1), 0);
    core.applied(&page, 6, secs(1), u64::MAX);
    assert!(matches!(core.plan(secs(1)), Plan::Rest(_)));
}

#[test]
fn an_answer_to_an_older_question_changes_nothing() {
    let mut core = core();
    let long = poll_of(core.plan(secs(0)));
    let side = core.side_poll().unwrap();
    assert_ne!(long.cursor, side.cursor);
    let answer = Answer::Page(page(G1, 10, 2, 0));
    assert_eq!(
        core.judge(&side, secs(1), &answer, secs(1), 0),
        Verdict::Apply
    );
    assert_eq!(
        core.judge(&long, secs(0), &answer, secs(2), 0),
        Verdict::Obsolete
    );
    assert_eq!(
        core.judge(&long, secs(0), &Answer::Diverged, secs(2), 0),
        Verdict::Obsolete
    );
    assert_eq!(
        (core.position(), core.phase()),
        (Some(at(G1, 12)), Phase::Live)
    );
}
