//! Query parameters, read so that one answer names every fault.
//!
//! A typed struct with serde would stop at the first bad value and could not say which parameter it
//! was. Here each getter notes what is wrong and goes on; [`QueryParams::finish`] turns the notes
//! into one 400. Malformed values are never replaced by a default: a client that asks for
//! `limit=abc` has a bug, and a page of fifty would hide it.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use http::Uri;

use crate::limits;
use crate::wire::problem::{Detail, Problem, ProblemCode};

/// The parameters of one request and the faults found so far.
#[derive(Debug)]
pub struct QueryParams<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    faults: Vec<Detail>,
}

impl<'a> QueryParams<'a> {
    /// Reads the query of `uri`; a pair that is not percent-encoded UTF-8 is a fault.
    #[must_use]
    pub fn parse(uri: &'a Uri) -> Self {
        let mut params = Self {
            pairs: Vec::new(),
            faults: Vec::new(),
        };
        for pair in uri.query().unwrap_or_default().split('&') {
            if pair.is_empty() {
                continue;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(name), decode(value)) {
                (Some(name), Some(value)) => params.add(name, value),
                (Some(name), None) => params.fault(&name, "must be percent-encoded UTF-8"),
                (None, _) => params.fault("?", "names must be percent-encoded UTF-8"),
            }
        }
        params
    }

    fn add(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        if self.pairs.iter().any(|(known, _)| *known == name) {
            self.fault(&name, "must be given once");
        } else {
            self.pairs.push((name, value));
        }
    }

    /// Notes that the parameter `name` is wrong.
    pub fn fault(&mut self, name: &str, issue: impl Into<String>) {
        let name = name.get(..name.floor_char_boundary(64)).unwrap_or_default();
        self.faults
            .push(Detail::new(format!("query.{name}"), issue));
    }

    /// Every parameter, decoded.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// The value of `name` as it came.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        pairs
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_ref())
    }

    /// An integer within `range`.
    pub fn integer(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.integer_capped(name, range.clone())?;
        let asked = self.raw(name).and_then(integer);
        if asked.is_none_or(|asked| asked > value) {
            self.fault(name, in_range(&range));
            return None;
        }
        Some(value)
    }

    /// An integer within `range`, where more than its end means its end. Less is a fault.
    pub fn integer_capped(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let text = self.raw(name)?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let shaped = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match integer(text) {
            Some(value) if range.start() <= &value => Some(value.min(*range.end())),
            // Too many digits for 64 bits is still more than the end.
            None if shaped && !text.starts_with('-') => Some(*range.end()),
            _ => {
                self.fault(name, in_range(&range));
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.raw(name)? {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.fault(name, "must be true or false");
                None
            }
        }
    }

    /// A text of at most `bytes_max` bytes; empty counts as absent.
    pub fn text(&mut self, name: &str, bytes_max: usize) -> Option<Cow<'a, str>> {
        let mut pairs = self.pairs.iter();
        let (_, value) = pairs.find(|(known, _)| known == name)?;
        if value.len() > bytes_max {
            self.fault(name, format!("must be at most {bytes_max} bytes"));
            return None;
        }
        (!value.is_empty()).then(|| value.clone())
    }

    /// One of the words of `choices`.
    pub fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.raw(name)?;
        let found = choices.iter().find(|(word, _)| *word == value);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            self.fault(name, format!("must be one of {}", words.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    /// Anything that reads itself from text, such as an id or a time.
    pub fn parsed<T>(&mut self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.parsed_by(name, T::from_str)
    }

    /// Anything that `read` makes from text.
    pub fn parsed_by<T, E: Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match read(self.raw(name)?) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.fault(name, fault.to_string());
                None
            }
        }
    }

    /// Notes every parameter that is not in `known`.
    pub fn unknown_rejected(&mut self, known: &[&str]) {
        let names = self.pairs.iter().map(|(name, _)| name);
        let unknown = names.filter(|name| !known.contains(&name.as_ref()));
        for name in unknown.cloned().collect::<Vec<_>>() {
            self.fault(&name, "is not a parameter of this call");
        }
    }

    /// The faults noted so far, to be joined with those of a body.
    #[must_use]
    pub fn into_faults(self) -> Vec<Detail> {
        self.faults
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 with every fault noted.
    pub fn finish(self) -> Result<(), Problem> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(Problem::with_details(
            ProblemCode::InvalidRequest,
            self.faults,
        ))
    }
}

/// A whole number as people write it: no plus, no spaces, no underscores.
fn integer(text: &str) -> Option<i64> {
    (!text.starts_with('+'))
        .then(|| text.parse().ok())
        .flatten()
}

fn in_range(range: &RangeInclusive<i64>) -> String {
    let (start, end) = (range.start(), range.end());
    if *end >= limits::EXACT_MAX {
        format!("must be a whole number from {start}")
    } else {
        format!("must be a whole number from {start} to {end}")
    }
}

/// Percent-decoding with `+` for a space; `None` for a broken escape or broken UTF-8.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Some(Cow::Borrowed(text));
    }
    let hex = |byte: Option<u8>| char::from(byte?).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (hex(bytes.next())?, hex(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}
