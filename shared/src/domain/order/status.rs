//! How an order stands, and where it can go from there.

use serde::{Deserialize, Serialize};

/// How an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Written down, nothing held yet; only ever seen by the rules themselves.
    Pending,
    /// Its units are held and its payment is under way.
    Reserved,
    /// Nobody knows yet whether it was paid.
    Undecided,
    /// Paid; its units are its buyer's.
    Paid,
    /// Its units have left the shelf.
    Confirmed,
    /// Handed over. The end.
    Completed,
    /// Came to nothing. The end.
    Failed,
    /// Called off. The end.
    Cancelled,
}

impl OrderStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Reserved,
        Self::Undecided,
        Self::Paid,
        Self::Confirmed,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Reserved => "reserved",
            Self::Undecided => "undecided",
            Self::Paid => "paid",
            Self::Confirmed => "confirmed",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Parses the word on the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Where a caller can take an order from here.
    #[must_use]
    pub const fn allowed(self) -> &'static [Self] {
        match self {
            Self::Pending | Self::Reserved | Self::Undecided => &[Self::Cancelled],
            Self::Paid => &[Self::Confirmed, Self::Cancelled],
            Self::Confirmed => &[Self::Completed, Self::Cancelled],
            Self::Completed | Self::Failed | Self::Cancelled => &[],
        }
    }

    /// Whether nothing more can become of it.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether whoever placed it can be told what became of it.
    #[must_use]
    pub const fn is_decided(self) -> bool {
        !matches!(self, Self::Pending | Self::Reserved | Self::Undecided)
    }
}
