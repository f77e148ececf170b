//! Which content coding a caller takes, and text in it.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// A content coding that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// The word for `Content-Encoding`; none where nothing was done.
    #[must_use]
    pub const fn token(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// What tells the entity tags of one text in different codings apart.
    #[must_use]
    pub const fn tag_suffix(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Gzip => "-gzip",
            Self::Zstd => "-zstd",
        }
    }

    /// The coding that the caller likes best; of those it likes equally, the cheapest one for both.
    /// A caller that says nothing gets the text as it is, and so does one that takes nothing we have.
    #[must_use]
    pub fn accepted(headers: &HeaderMap) -> Self {
        let mut weights = Weights::default();
        for value in headers.get_all(ACCEPT_ENCODING) {
            let text = value.to_str().unwrap_or_default();
            text.split(',').for_each(|item| weights.take(item.trim()));
        }
        let rest = weights.rest.unwrap_or(0);
        let zstd = weights.zstd.unwrap_or(rest);
        let gzip = weights.gzip.unwrap_or(rest);
        // Unnamed, it is acceptable, but whoever names others wants those.
        let identity = weights.identity.unwrap_or(0);
        if zstd > 0 && zstd >= gzip && zstd >= identity {
            Self::Zstd
        } else if gzip > 0 && gzip >= identity {
            Self::Gzip
        } else {
            Self::Identity
        }
    }
}

/// How hard to try: quick levels save most of what there is to save.
const ZSTD_LEVEL: i32 = 1;

/// Text that is packed as it is made.
pub enum Packer {
    /// Not at all.
    Identity(Vec<u8>),
    /// RFC 1952.
    Gzip(GzEncoder<Vec<u8>>),
    /// RFC 8878.
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Identity(_) => "Packer(identity)",
            Self::Gzip(_) => "Packer(gzip)",
            Self::Zstd(_) => "Packer(zstd)",
        })
    }
}

impl Packer {
    /// Nothing yet.
    ///
    /// # Errors
    /// There is no memory for the tables.
    pub fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Identity => Self::Identity(Vec::new()),
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Coding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        })
    }

    /// Takes `text` and gives what is packed so far; perhaps nothing.
    ///
    /// # Errors
    /// As the encoders'.
    pub fn push(&mut self, text: &[u8]) -> io::Result<Vec<u8>> {
        let packed = match self {
            Self::Identity(out) => {
                out.extend_from_slice(text);
                out
            }
            Self::Gzip(encoder) => {
                encoder.write_all(text)?;
                encoder.get_mut()
            }
            Self::Zstd(encoder) => {
                encoder.write_all(text)?;
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(packed))
    }

    /// What is left, and the end.
    ///
    /// # Errors
    /// As the encoders'.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// What a header says of each coding, in thousandths.
#[derive(Default)]
struct Weights {
    zstd: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    rest: Option<u16>,
}

impl Weights {
    fn take(&mut self, item: &str) {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let place = match name.to_ascii_lowercase().as_str() {
            "zstd" => &mut self.zstd,
            "gzip" | "x-gzip" => &mut self.gzip,
            "identity" => &mut self.identity,
            "*" => &mut self.rest,
            _ => return,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        *place = Some(weight.map_or(1_000, thousandths));
    }
}

/// A weight such as `1`, `0.5` or `0.125`; what is not one counts as 0.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "1" => 1_000,
        "0" if digits => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_best_liked_coding_is_taken_and_silence_means_none() {
        for (header, expected) in [
            (None, Coding::Identity),
            (Some(""), Coding::Identity),
            (Some("br"), Coding::Identity),
            (Some("gzip"), Coding::Gzip),
            (Some("GZIP"), Coding::Gzip),
            (Some("gzip, deflate, br, zstd"), Coding::Zstd),
            (Some("zstd;q=0.5, gzip"), Coding::Gzip),
            (Some("zstd;q=0, gzip;q=0"), Coding::Identity),
            (Some("gzip;q=0.3, identity;q=0.8"), Coding::Identity),
            (Some("*"), Coding::Zstd),
            (Some("*;q=0"), Coding::Identity),
            (Some("zstd;q=0, *"), Coding::Gzip),
            (Some("gzip;q=nonsense"), Coding::Identity),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(text) = header {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
            }
            assert_eq!(Coding::accepted(&headers), expected, "{header:?}");
        }
    }

    #[test]
    fn weights_are_read_in_thousandths() {
        for (text, expected) in [
            ("1", 1_000),
            ("1.000", 1_000),
            ("0", 0),
            ("0.5", 500),
            ("0.05", 50),
            ("0.125", 125),
            ("0.1250", 0),
            ("-1", 0),
            ("", 0),
        ] {
            assert_eq!(thousandths(text), expected, "{text:?}");
        }
    }
}
