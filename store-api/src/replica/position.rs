//! Where a copy of the log stands: a generation and the next offset it wants.
//!
//! An offset alone means nothing: after a restored backup the same number names another event. Both
//! travel together everywhere in the store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names one life of central's log: 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gen(pub u64);

/// The text is not 16 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 16 hexadecimal digits")]
pub struct NotHex16;

/// Parses 16 lower-case hex digits; the form of generations and digests.
///
/// # Errors
/// [`NotHex16`] for anything else.
pub fn parse_hex16(text: &str) -> Result<u64, NotHex16> {
    let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 16 || !text.bytes().all(digits) {
        return Err(NotHex16);
    }
    u64::from_str_radix(text, 16).map_err(|_| NotHex16)
}

impl FromStr for Gen {
    type Err = NotHex16;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex16(text).map(Self)
    }
}

impl fmt::Display for Gen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Gen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Gen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Gen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Gen;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("16 lower-case hex digits")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Gen, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which log.
    pub r#gen: Gen,
    /// The next offset wanted; everything below it is applied.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.r#gen, self.offset)
    }
}

impl FromStr for Position {
    type Err = NotHex16;

    /// Parses `<gen>-<offset>`, the form in file names and snapshot URLs.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (generation, offset) = text.split_once('-').ok_or(NotHex16)?;
        let plain = !offset.is_empty() && offset.bytes().all(|byte| byte.is_ascii_digit());
        if !plain || (offset.len() > 1 && offset.starts_with('0')) {
            return Err(NotHex16);
        }
        Ok(Self {
            r#gen: generation.parse()?,
            offset: offset.parse().map_err(|_| NotHex16)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_only() {
        let position = Position {
            r#gen: Gen(0xab),
            offset: 7,
        };
        assert_eq!(position.to_string(), "00000000000000ab-7");
        assert_eq!("00000000000000ab-7".parse(), Ok(position));
        for text in [
            "",
            "-",
            "00000000000000ab-",
            "00000000000000AB-7",
            "00000000000000ab-07",
            "ab-7",
            "00000000000000ab-+7",
            "00000000000000ab-99999999999999999999",
        ] {
            assert_eq!(text.parse::<Position>(), Err(NotHex16), "{text:?}");
        }
    }
}
