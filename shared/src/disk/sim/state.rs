//! What is on the simulated disk: files by number, names twice (written and durable), and the
//! changes of names that no folder sync has settled yet.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::{Cut, Faults, stopped};

/// Which file a path names.
pub(super) type Names = BTreeMap<PathBuf, u64>;

/// A file's content. It only grows at its end or is cut, so what is durable is a prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// Everything written.
    pub(super) bytes: Vec<u8>,
    /// How many of them are durable.
    pub(super) synced: usize,
    /// Ranges that a failed sync gave up: no later sync makes them durable.
    pub(super) doomed: Vec<Range<usize>>,
}

impl Inode {
    /// Cuts or zero-extends, durably.
    pub(super) fn set_len(&mut self, len: usize) {
        self.bytes.resize(len, 0);
        self.synced = len;
        self.doomed.retain_mut(|range| {
            range.end = range.end.min(len);
            range.start < range.end
        });
    }

    /// Gives up what is not durable.
    pub(super) fn doom(&mut self) {
        let lost = self.synced..self.bytes.len();
        if lost.start < lost.end {
            self.doomed.push(lost);
        }
    }
}

/// A change of names in one folder.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A new file.
    Create { name: PathBuf, inode: u64 },
    /// A file under another name, which may replace one.
    Rename {
        from: PathBuf,
        to: PathBuf,
        inode: u64,
    },
    /// A name without a file.
    Remove { name: PathBuf, inode: u64 },
}

impl Change {
    /// The folder in which it happens.
    pub(super) fn dir(&self) -> &Path {
        let (Self::Create { name, .. } | Self::Rename { to: name, .. } | Self::Remove { name, .. }) =
            self;
        folder(name)
    }

    /// Carries it out on `names`. Each change can stand without those before it, since any of them
    /// may have been lost.
    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            Self::Create { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Self::Rename { from, to, inode } => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
            Self::Remove { name, inode } => {
                if names.get(name) == Some(inode) {
                    names.remove(name);
                }
            }
        }
    }
}

/// The folder that `path` is in.
fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// One life of the disk.
#[derive(Debug)]
pub(super) struct State {
    pub(super) rng: SmallRng,
    pub(super) faults: Faults,
    pub(super) end: Option<Cut>,
    pub(super) steps: u64,
    pub(super) syncs: u64,
    pub(super) bytes_written: u64,
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) written: Names,
    pub(super) durable: Names,
    pub(super) pending: Vec<Change>,
    pub(super) dirs: BTreeSet<PathBuf>,
    next_inode: u64,
}

impl State {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            faults,
            end: None,
            steps: 0,
            syncs: 0,
            bytes_written: 0,
            inodes: BTreeMap::new(),
            written: Names::new(),
            durable: Names::new(),
            pending: Vec::new(),
            dirs: ["", ".", "/"].map(PathBuf::from).into(),
            next_inode: 1,
        }
    }

    /// The next life: the same folders and planted lies, everything else as given.
    pub(super) fn next(
        &mut self,
        inodes: BTreeMap<u64, Inode>,
        names: (Names, Names, Vec<Change>),
    ) -> Self {
        let (written, durable, pending) = names;
        Self {
            rng: SmallRng::from_rng(&mut self.rng),
            faults: Faults {
                cut: None,
                fail_sync: None,
                full_after: None,
                ..self.faults
            },
            end: None,
            steps: 0,
            syncs: 0,
            bytes_written: 0,
            inodes,
            written,
            durable,
            pending,
            dirs: self.dirs.clone(),
            next_inode: self.next_inode,
        }
    }

    /// Counts one call; says how the world ends if it ends with this one.
    pub(super) fn step(&mut self) -> io::Result<Option<Cut>> {
        if self.end.is_some() {
            return Err(stopped());
        }
        self.steps = self.steps.saturating_add(1);
        match self.faults.cut {
            Some((at, cut)) if at <= self.steps => {
                self.end = Some(cut);
                Ok(Some(cut))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Bytes that still fit.
    pub(super) fn room(&self) -> usize {
        match self.faults.full_after {
            Some(size) => {
                usize::try_from(size.saturating_sub(self.bytes_written)).unwrap_or(usize::MAX)
            }
            None => usize::MAX,
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<u64> {
        let inode = self.written.get(path).copied();
        inode.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.entry(inode).or_default()
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<u64> {
        self.check_dir(folder(path))?;
        if self.written.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = self.next_inode;
        self.next_inode = inode.saturating_add(1);
        self.inodes.insert(inode, Inode::default());
        self.change(Change::Create {
            name: path.to_owned(),
            inode,
        });
        Ok(inode)
    }

    /// Changes names as the process sees them; durable later.
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.written);
        self.pending.push(change);
    }

    /// Makes the names in `dir` durable.
    pub(super) fn settle(&mut self, dir: &Path) {
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let here = change.dir() == dir;
            if here {
                change.apply(durable);
            }
            !here
        });
    }

    pub(super) fn check_dir(&self, dir: &Path) -> io::Result<()> {
        if self.dirs.contains(dir) {
            Ok(())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Names of the files in `dir`, sorted.
    pub(super) fn names_in(&self, dir: &Path) -> Vec<String> {
        self.written
            .keys()
            .filter(|path| folder(path) == dir)
            .filter_map(|path| path.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }
}
