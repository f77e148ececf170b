//! Identifiers, parsed once.
//!
//! Every id is 1–128 bytes of visible ASCII without `/`, compared byte for byte. They share one
//! rule so that a value valid in a URL is valid in a body, a header and a file. Cloning one costs a
//! reference count.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// More than [`limits::ID_BYTES`] bytes.
    #[error("must be at most 128 characters")]
    TooLong,
    /// A character outside visible ASCII, or `/`.
    #[error("must be visible ASCII without spaces or '/'")]
    Forbidden,
}

/// Checks `text` against the one rule for ids.
///
/// # Errors
/// The first reason for which `text` is not an id.
pub fn check_id(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > limits::ID_BYTES {
        return Err(InvalidId::TooLong);
    }
    if text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'/')
    {
        Ok(())
    } else {
        Err(InvalidId::Forbidden)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses `text`.
            ///
            /// # Errors
            /// [`InvalidId`] if `text` breaks the rule for ids.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                check_id(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an id of 1-128 visible ASCII characters without '/'")
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::parse(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

id!(
    /// A product; case-sensitive.
    ProductId
);
id!(
    /// A shop.
    StoreId
);
id!(
    /// Units held for somebody for a while.
    ReservationId
);
id!(
    /// A customer's order.
    OrderId
);
id!(
    /// The money side of one order.
    PaymentId
);
id!(
    /// Who buys; the shop's own name for them.
    CustomerId
);
id!(
    /// On whose behalf units are held.
    Owner
);
id!(
    /// Who acts: the owner of an API key, never the key itself.
    Principal
);
id!(
    /// An API key that was created, not the key itself.
    ApiKeyId
);
id!(
    /// The caller's own name for one intended effect.
    IdempotencyKey
);
id!(
    /// One HTTP attempt.
    RequestId
);
id!(
    /// One piece of work across services and attempts.
    CorrelationId
);

impl From<Principal> for Owner {
    /// Who acts for nobody else acts for itself; ids share one rule.
    fn from(principal: Principal) -> Self {
        Self(principal.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_rule() {
        let longest = "x".repeat(limits::ID_BYTES);
        for ok in [
            "A",
            "PROD-001",
            "constructor",
            "__proto__",
            "~!@",
            longest.as_str(),
        ] {
            assert_eq!(check_id(ok), Ok(()), "{ok:?}");
        }
        let too_long = "x".repeat(limits::ID_BYTES + 1);
        for (bad, why) in [
            ("", InvalidId::Empty),
            (too_long.as_str(), InvalidId::TooLong),
            ("a b", InvalidId::Forbidden),
            ("a/b", InvalidId::Forbidden),
            ("a\u{0}", InvalidId::Forbidden),
            ("tab\t", InvalidId::Forbidden),
            ("ä", InvalidId::Forbidden),
        ] {
            assert_eq!(check_id(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn case_matters() {
        assert_ne!(
            ProductId::parse("a").unwrap(),
            ProductId::parse("A").unwrap()
        );
    }
}
