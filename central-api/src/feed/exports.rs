//! Snapshots of the catalogue that are ready to be loaded by followers.
//!
//! Made when somebody asks, one at a time, and given to everybody who asks soon after: a thousand
//! shops that come back together cost one snapshot. Each is kept compressed in a file without a
//! name, so that nothing is left behind however the process ends, and the one before the newest is
//! kept too, for whoever was sent to it just before the newest came. A download holds the file it
//! reads; nothing is taken away from under it.
//!
//! What must stay true: a snapshot is handed out only when the log has published its offset, and
//! only if its digest is the one that the log has there; and only while the log still has the events
//! behind it.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use shared::limits;
use tokio::time::Instant;

use super::snapshot::CatalogueCut;
use crate::journal::{JournalError, LogGen};
use crate::ledger::Published;

/// Quick, and still a tenth of the text.
const ZSTD_LEVEL: i32 = 1;
/// Bytes read from the file at once.
const BLOCK: usize = 256 * 1024;

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log cannot be read.
    #[error("cannot read the log")]
    Journal(#[from] JournalError),
    /// The file cannot be written.
    #[error("cannot write the snapshot")]
    Io(#[from] io::Error),
    /// The snapshot is not the state that the log has at its offset. A defect.
    #[error("the snapshot at {offset} has digest {found:016x}, the log has {expected:016x}")]
    Digest {
        /// Its offset.
        offset: u64,
        /// Its digest.
        found: u64,
        /// The log's.
        expected: u64,
    },
    /// The work was cut short: the process is ending.
    #[error("the snapshot was not finished")]
    Ended,
}

/// One snapshot, ready to be loaded.
#[derive(Debug)]
pub struct Export {
    /// The life of the log that made it.
    pub log_gen: LogGen,
    /// The state after every event below this offset.
    pub offset: u64,
    /// Its digest.
    pub digest: u64,
    /// Products.
    pub products: usize,
    /// Bytes of the compressed file.
    pub bytes: u64,
    file: File,
    made: Instant,
}

impl Export {
    /// Its name in URLs.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}", self.log_gen, self.offset)
    }

    fn write(cut: &CatalogueCut, folder: &PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let file = tempfile::tempfile_in(folder)?;
        let mut packed = zstd::stream::write::Encoder::new(&file, ZSTD_LEVEL)?;
        packed.include_checksum(true)?;
        cut.write(&mut packed)?;
        packed.finish()?.flush()?;
        Ok(Self {
            log_gen: cut.log_gen(),
            offset: cut.offset(),
            digest: cut.digest(),
            products: cut.len(),
            bytes: file.metadata()?.len(),
            file,
            made: Instant::now(),
        })
    }

    /// Whether a reader who asks when the log stands at `head` may be given this one.
    fn is_fresh(&self, head: u64, oldest: u64) -> bool {
        let age = self.made.elapsed();
        let behind = head.saturating_sub(self.offset);
        // Reading a tenth of the catalogue as events costs less than a new catalogue.
        let little = (self.products as u64 / 10).max(limits::EXPORT_EVENTS_BEHIND);
        let recent = age <= limits::EXPORT_REUSE;
        let close = behind <= little && age <= limits::EXPORT_AGE_MAX;
        self.offset >= oldest && (behind == 0 || close || recent)
    }

    /// The compressed bytes.
    #[must_use]
    pub fn packed(self: &Arc<Self>) -> impl Read + Send + use<> {
        FileFrom {
            export: Arc::clone(self),
            at: 0,
        }
    }

    /// The text.
    ///
    /// # Errors
    /// The decoder cannot be made.
    pub fn text(self: &Arc<Self>) -> io::Result<impl Read + Send + use<>> {
        let packed = BufReader::with_capacity(BLOCK, self.packed());
        zstd::stream::read::Decoder::with_buffer(packed)
    }
}

/// Reads the file of an export from a place of its own, so that many may read at once.
struct FileFrom {
    export: Arc<Export>,
    at: u64,
}

impl Read for FileFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.export.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The snapshots that can be loaded.
#[derive(Debug)]
pub struct Exports {
    folder: PathBuf,
    /// Newest first.
    kept: RwLock<Vec<Arc<Export>>>,
    building: tokio::sync::Mutex<()>,
}

impl Exports {
    /// No snapshots yet; their files will be in `folder`.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            kept: RwLock::default(),
            building: tokio::sync::Mutex::default(),
        }
    }

    /// The snapshot with this name, if it is still kept and the log goes on where it ends: the one
    /// before the newest may be older than what retention has dropped.
    #[must_use]
    pub fn find(&self, name: &str, published: &Published) -> Option<Arc<Export>> {
        let oldest = published.journal.oldest().offsets.inventory;
        let kept = self.kept.read();
        let mut kept = kept.iter().filter(|export| export.offset >= oldest);
        kept.find(|export| export.name() == name).cloned()
    }

    /// A snapshot that is recent enough to start from; makes one if there is none.
    ///
    /// # Errors
    /// It cannot be made; those that are kept still are.
    pub async fn current(
        self: &Arc<Self>,
        published: &Arc<Published>,
    ) -> Result<Arc<Export>, ExportError> {
        if let Some(export) = self.fresh(published) {
            return Ok(export);
        }
        let (this, published) = (Arc::clone(self), Arc::clone(published));
        // A task of its own: a caller who goes away does not let a second one begin beside it.
        let work = tokio::spawn(async move {
            let _building = this.building.lock().await;
            if let Some(export) = this.fresh(&published) {
                return Ok(export);
            }
            this.make(&published).await
        });
        work.await.map_err(|_| ExportError::Ended)?
    }

    fn fresh(&self, published: &Published) -> Option<Arc<Export>> {
        let (head, oldest) = (
            published.head().offset,
            published.journal.oldest().offsets.inventory,
        );
        let kept = self.kept.read();
        let newest = kept.first()?;
        newest.is_fresh(head, oldest).then(|| Arc::clone(newest))
    }

    async fn make(&self, published: &Arc<Published>) -> Result<Arc<Export>, ExportError> {
        let started = Instant::now();
        let (source, folder) = (Arc::clone(published), self.folder.clone());
        let work = tokio::task::spawn_blocking(move || {
            let cut = CatalogueCut::take(&source)?;
            Export::write(&cut, &folder).map_err(ExportError::Io)
        });
        let export = work.await.map_err(|_| ExportError::Ended)??;
        agree(published, &export).await?;
        tracing::info!(
            offset = export.offset,
            products = export.products,
            bytes = export.bytes,
            millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "a snapshot for followers is made"
        );
        let export = Arc::new(export);
        let mut kept = self.kept.write();
        // Made only when the log has gone on, so its name is a new one.
        kept.insert(0, Arc::clone(&export));
        kept.truncate(limits::EXPORTS_KEPT);
        Ok(export)
    }
}

/// Waits until the log has published the offset of `export`, and compares what both say is there.
async fn agree(published: &Published, export: &Export) -> Result<(), ExportError> {
    let mut watch = published.watch();
    let reached = watch.wait_for(|head| head.offset >= export.offset);
    let reached = tokio::time::timeout(limits::PUBLISHED_WITHIN, reached).await;
    let head = match reached {
        Ok(Ok(head)) => *head,
        Ok(Err(_)) | Err(_) => return Err(ExportError::Ended),
    };
    let expected = if head.offset == export.offset {
        Some(head.digest)
    } else {
        published.ring.digest_at(export.offset)
    };
    match expected {
        Some(expected) if expected != export.digest => Err(ExportError::Digest {
            offset: export.offset,
            found: export.digest,
            expected,
        }),
        Some(_) | None => Ok(()),
    }
}
