//! The follower's mind, answer by answer: what every one of these tests starts from.

mod answers;
mod any_answers;
mod pace;

use std::time::Duration;

use shared::policy::Backoff;

use super::*;
use crate::replica::answer::{Flaw, Place};

const G1: Gen = Gen(1);
const G2: Gen = Gen(2);
const G3: Gen = Gen(3);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn settings() -> CoreSettings {
    CoreSettings {
        wait: secs(25),
        limit: 1000,
        check_every: secs(30),
        plain_timeout: secs(5),
        grace: secs(15),
        backoff: Backoff::default(),
    }
}

const fn at(of: Gen, offset: u64) -> Position {
    Position { r#gen: of, offset }
}

fn core() -> Core {
    Core::new(settings(), Some(at(G1, 10)), secs(0))
}

/// An honest page of `count` events from `offset` on, with the head `ahead` beyond it.
fn page(of: Gen, offset: u64, count: u64, ahead: u64) -> Page {
    let places = (offset..offset + count).map(|offset| Place {
        offset,
        batch: None,
    });
    Page {
        r#gen: of,
        places: places.collect(),
        next_offset: offset + count,
        count,
        head: Some(offset + count + ahead),
        up_to_date: ahead == 0,
        digest: None,
        cursor: Some(1000),
        age: secs(0),
    }
}

fn poll_of(plan: Plan) -> Poll {
    match plan {
        Plan::Poll(poll) => poll,
        Plan::LoadSnapshot(_) | Plan::Rest(_) => panic!("{plan:?}"),
    }
}

/// Lets a second pass, asks, and gives the answer, with the greatest jitter.
fn step(core: &mut Core, now: &mut Duration, answer: &Answer) -> Verdict {
    *now += secs(60);
    let poll = poll_of(core.plan(*now));
    let asked = *now;
    *now += secs(2);
    let verdict = core.judge(&poll, asked, answer, *now, u64::MAX);
    if let (Verdict::Apply, Answer::Page(page)) = (verdict, answer) {
        core.applied(page, page.digest.unwrap_or(0), *now, u64::MAX);
    }
    verdict
}
