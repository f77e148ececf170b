//! A command: what one decision is about.

use super::ids::StoreId;
use super::inventory::Print;
use super::{access, inventory, order};

/// A command: what one decision is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// About products and the units that are held of them.
    Inventory(inventory::Command),
    /// About an order, and whatever follows for the units it holds.
    Order(order::Command),
    /// About API keys.
    Access(access::Command),
}

impl From<inventory::Command> for Command {
    fn from(command: inventory::Command) -> Self {
        Self::Inventory(command)
    }
}

impl From<order::Command> for Command {
    fn from(command: order::Command) -> Self {
        Self::Order(command)
    }
}

impl From<access::Command> for Command {
    fn from(command: access::Command) -> Self {
        Self::Access(command)
    }
}

impl Command {
    /// The word for this kind of command in records.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Inventory(command) => command.kind(),
            Self::Order(command) => command.kind(),
            Self::Access(command) => command.kind(),
        }
    }

    /// The fingerprint of a parsed command: equal for equal commands, across restarts and releases.
    ///
    /// FNV-1a-64 over an unambiguous text of every field, the shop it is for included; it guards
    /// against one key being used for two commands, not against an attacker.
    #[must_use]
    pub fn fingerprint(&self, store: Option<&StoreId>) -> u64 {
        match self {
            Self::Inventory(inventory) => inventory::fingerprint(inventory, store),
            Self::Order(order) => {
                let mut print = Print::new();
                print.text(order.kind());
                print.option(store.map(StoreId::as_str));
                order.print(&mut print);
                print.finish()
            }
            Self::Access(access) => {
                let mut print = Print::new();
                print.text(access.kind());
                print.option(store.map(StoreId::as_str));
                access.print(&mut print);
                print.finish()
            }
        }
    }
}
