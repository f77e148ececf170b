//! A data folder taken apart into frames and lines, changed, and put together again with checksums
//! that are right: damage that only somebody who reads the content can notice.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use central_api::journal::frame::{Counts, First, Frame, HEADER_BYTES, Offsets};
use serde_json::Value;

/// The journal and the snapshots of a folder.
pub(crate) struct Folder {
    pub(crate) segments: Vec<Segment>,
    pub(crate) snapshots: Vec<Snapshot>,
}

pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) frames: Vec<FrameParts>,
    /// Bytes behind the last frame.
    pub(crate) rest: Vec<u8>,
}

#[derive(Clone)]
pub(crate) struct FrameParts {
    pub(crate) seq: u64,
    pub(crate) offset: u64,
    pub(crate) order_offset: u64,
    pub(crate) records: u32,
    pub(crate) events: u32,
    pub(crate) order_events: u32,
    pub(crate) lines: Vec<String>,
    /// Written instead of the frame, if there is something.
    pub(crate) bytes: Option<Vec<u8>>,
}

pub(crate) struct Snapshot {
    pub(crate) name: String,
    /// Without the trailer.
    pub(crate) lines: Vec<String>,
}

/// Where a record stands: segment, frame, line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(pub(crate) usize, pub(crate) usize, pub(crate) usize);

impl FrameParts {
    fn first(&self) -> First {
        First {
            seq: self.seq,
            offsets: Offsets {
                inventory: self.offset,
                orders: self.order_offset,
            },
        }
    }

    fn counts(&self) -> Counts {
        Counts {
            records: self.records,
            events: self.events,
            order_events: self.order_events,
        }
    }

    pub(crate) fn sealed(&self) -> Vec<u8> {
        if let Some(bytes) = &self.bytes {
            return bytes.clone();
        }
        let mut bytes = vec![0; HEADER_BYTES];
        for line in &self.lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        let frame = Frame::seal(bytes, self.first(), self.counts());
        frame.bytes.to_vec()
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

impl Folder {
    pub(crate) fn read(dir: &Path) -> Self {
        let segment = |name: String| {
            let mut rest = Bytes::from(fs::read(dir.join("journal").join(&name)).unwrap());
            let mut frames = Vec::new();
            while let Some(frame) = Frame::parse(&rest) {
                let lines = frame
                    .lines()
                    .map(|line| String::from_utf8(line.to_vec()).unwrap());
                frames.push(FrameParts {
                    seq: frame.header.first.seq,
                    offset: frame.header.first.offsets.inventory,
                    order_offset: frame.header.first.offsets.orders,
                    records: frame.header.counts.records,
                    events: frame.header.counts.events,
                    order_events: frame.header.counts.order_events,
                    lines: lines.collect(),
                    bytes: None,
                });
                rest = rest.slice(frame.bytes.len()..);
            }
            assert!(rest.is_empty(), "{name} is whole before it is damaged");
            Segment {
                name,
                frames,
                rest: Vec::new(),
            }
        };
        let snapshot = |name: String| {
            let text = fs::read_to_string(dir.join("snapshots").join(&name)).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.pop();
            Snapshot { name, lines }
        };
        Self {
            segments: names(&dir.join("journal"))
                .into_iter()
                .map(segment)
                .collect(),
            snapshots: names(&dir.join("snapshots"))
                .into_iter()
                .map(snapshot)
                .collect(),
        }
    }

    /// Writes everything into an empty folder.
    pub(crate) fn write(&self, dir: &Path) {
        for folder in ["journal", "snapshots"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        for segment in &self.segments {
            let frames = segment.frames.iter().flat_map(FrameParts::sealed);
            let bytes: Vec<u8> = frames.chain(segment.rest.iter().copied()).collect();
            fs::write(dir.join("journal").join(&segment.name), bytes).unwrap();
        }
        for snapshot in &self.snapshots {
            let mut text = snapshot.lines.join("\n");
            text.push('\n');
            let crc = crc32c::crc32c(text.as_bytes());
            text.push_str(&format!("{{\"end\":{{\"crc32c\":\"{crc:08x}\"}}}}\n"));
            fs::write(dir.join("snapshots").join(&snapshot.name), text).unwrap();
        }
    }

    pub(crate) fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (segment, parts) in self.segments.iter().enumerate() {
            for (frame, parts) in parts.frames.iter().enumerate() {
                places.extend((0..parts.lines.len()).map(|line| Place(segment, frame, line)));
            }
        }
        places
    }

    /// The record that `is` true of, the only one or the first.
    pub(crate) fn find(&self, is: impl Fn(&Value) -> bool) -> Place {
        let mut places = self.places().into_iter();
        places.find(|place| is(&self.record(*place))).unwrap()
    }

    /// The record with this key.
    pub(crate) fn keyed(&self, key: &str) -> Place {
        self.find(|record| record["key"] == key)
    }

    pub(crate) fn frame(&mut self, Place(segment, frame, _): Place) -> &mut FrameParts {
        &mut self.segments[segment].frames[frame]
    }

    pub(crate) fn line(&mut self, place: Place) -> &mut String {
        &mut self.frame(place).lines[place.2]
    }

    pub(crate) fn record(&self, Place(segment, frame, line): Place) -> Value {
        let line = &self.segments[segment].frames[frame].lines[line];
        serde_json::from_str(line).unwrap()
    }

    /// Its number, as its place in the log says.
    pub(crate) fn seq(&self, place: Place) -> u64 {
        self.segments[place.0].frames[place.1].seq + place.2 as u64
    }

    pub(crate) fn file(&self, place: Place) -> String {
        format!("journal/{}", self.segments[place.0].name)
    }

    /// First byte of the frame.
    pub(crate) fn frame_byte(&self, Place(segment, frame, _): Place) -> u64 {
        let before = &self.segments[segment].frames[..frame];
        before.iter().map(|frame| frame.sealed().len() as u64).sum()
    }

    /// First byte of the record's line.
    pub(crate) fn byte(&self, place: Place) -> u64 {
        let lines = &self.segments[place.0].frames[place.1].lines[..place.2];
        let before: u64 = lines.iter().map(|line| line.len() as u64 + 1).sum();
        self.frame_byte(place) + HEADER_BYTES as u64 + before
    }

    /// Changes a record and keeps everything else as it was written.
    pub(crate) fn change(&mut self, place: Place, pairs: &[(&str, &str)]) {
        let line = self.line(place);
        for (from, to) in pairs {
            assert!(line.contains(from), "{from} in {line}");
            *line = line.replace(from, to);
        }
    }
}

impl Snapshot {
    pub(crate) fn file(&self) -> String {
        format!("snapshots/{}", self.name)
    }

    pub(crate) fn seq(&self) -> u64 {
        let digits = self.name.strip_prefix("snapshot-").unwrap();
        digits.strip_suffix(".ndjson").unwrap().parse().unwrap()
    }

    /// The only line that holds `text`.
    pub(crate) fn line(&mut self, text: &str) -> &mut String {
        let mut found = self.lines.iter_mut().filter(|line| line.contains(text));
        let line = found.next().unwrap();
        assert!(found.next().is_none(), "{text} stands in one line only");
        line
    }

    pub(crate) fn change(&mut self, line: &str, from: &str, to: &str) {
        let line = self.line(line);
        assert!(line.contains(from), "{from} in {line}");
        *line = line.replace(from, to);
    }
}
