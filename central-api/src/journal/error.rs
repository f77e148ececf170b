//! What can go wrong with a journal.

use std::io;

/// Why the journal cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed.
    #[error("cannot {action} {file}")]
    Io {
        /// What was tried, such as "read".
        action: &'static str,
        /// Which file, relative to the data folder.
        file: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A sync failed: what was written may be gone though a later sync reports success. Never go on
    /// after one.
    #[error("cannot sync {file}")]
    Sync {
        /// Which file or folder, relative to the data folder.
        file: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Bytes that were durable have changed.
    #[error("{file} is damaged at byte {position}: {what}")]
    Damaged {
        /// Which file, relative to the data folder.
        file: String,
        /// Where in the file.
        position: u64,
        /// What is wrong there.
        what: String,
    },
    /// A snapshot knows of records that the journal does not have.
    #[error("the journal ends at record {last} but the snapshot {file} holds record {snapshot}")]
    TailLost {
        /// The snapshot.
        file: String,
        /// Its record.
        snapshot: u64,
        /// The journal's last record.
        last: u64,
    },
    /// Retention has dropped what was asked for.
    #[error("record {wanted} is gone; the oldest is {oldest}")]
    Gone {
        /// The record or offset asked for.
        wanted: u64,
        /// The oldest there is.
        oldest: u64,
    },
    /// An earlier write failed; nothing is written any more.
    #[error("an earlier write failed, so nothing more is written")]
    Poisoned,
    /// Too many read old parts of the log at the same time; nothing was read.
    #[error("too many requests read old parts of the log")]
    Busy,
    /// A thread that decides or writes has panicked; what it left undone is unknown.
    #[error("the thread {thread} panicked: {what}")]
    Panicked {
        /// Which thread.
        thread: &'static str,
        /// What the panic said.
        what: String,
    },
}

impl JournalError {
    /// An I/O error while trying to `action` `file`.
    pub fn io(action: &'static str, file: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Io {
            action,
            file,
            source,
        }
    }

    /// A failed sync of `file`.
    pub fn sync(file: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Sync { file, source }
    }
}
