//! The lines of a batch, of which no more are kept than are needed to refuse it.
//!
//! A line of three bytes becomes a struct of hundreds; without a bound here, a body within its own
//! limit would take a hundred times its size.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use shared::limits;
use shared::wire::object::Object;

use super::LineText;

/// All lines, or the first [`limits::BATCH_LINES`] and one more if there are more.
pub(super) struct Lines<'a>(pub(super) Vec<Object<LineText<'a>>>);

impl<'de: 'a, 'a> Deserialize<'de> for Lines<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Bounded)
    }
}

struct Bounded;

impl<'de> Visitor<'de> for Bounded {
    type Value = Lines<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<Lines<'de>, A::Error> {
        let mut kept = Vec::new();
        while kept.len() <= limits::BATCH_LINES {
            match lines.next_element()? {
                Some(line) => kept.push(line),
                None => return Ok(Lines(kept)),
            }
        }
        while lines.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Lines(kept))
    }
}
