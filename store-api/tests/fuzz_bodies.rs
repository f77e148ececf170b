//! The body of the fuzz target `store_files` on the ordinary compiler, over damaged valid folders.
//!
//! A fuzzer that is guided by coverage finds more, and runs apart (`docs/fuzzing.md`); this keeps
//! what it found from coming back, in a few seconds. Every run changes the same inputs in the same
//! ways, so a failure names the input that shows it again.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../../system-tests/fuzz/bodies/archive.rs"]
mod archive;
#[path = "../../system-tests/fuzz/bodies/mutate.rs"]
mod mutate;
#[path = "../../system-tests/fuzz/bodies/store_files.rs"]
mod store_files;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use shared::clock::Timestamp;
use shared::disk::Disk;
use shared::disk::sim::{Faults, SimDisk};
use shared::domain::ids::ProductId;
use shared::domain::inventory::{
    Details, Event, EventKind, Inventory, Movement, MovementKind, Product, Stock,
};
use shared::domain::origin::Origin;
use shared::wire::event::{Batch, Position as EventPosition};
use shared::wire::product::Encoder;
use store_api::replica::files::{Folder, Install, Summary, row_of};
use store_api::replica::position::{Gen, Position};

const INPUTS: usize = 20_000;
const NOW: Timestamp = Timestamp::from_millis(1_768_473_000_123);
const OLD: Gen = Gen(0x1111);
const NEW: Gen = Gen(0x2222);
const DIR: &str = "/cache";

#[test]
fn any_cache_folder_opens_and_what_is_found_is_checked_and_stays() {
    let files = aged();
    let plain = mutate::pack(&files);
    let sealed = [store_files::SEALED, &plain].concat();
    for found in mutate::kept("store_files") {
        store_files::run(&found);
    }
    mutate::each(5, &[plain], INPUTS / 2, store_files::run);
    mutate::each(6, &[sealed], INPUTS / 2, store_files::run);
}

#[test]
fn the_seed_is_a_folder_that_is_believed_whole() {
    // Else the test above would only ever see folders that are refused at once.
    let disk = SimDisk::new(1, Faults::default());
    disk.create_dir(Path::new(DIR)).unwrap();
    for (name, bytes) in archive::unpack(&mutate::pack(&aged())) {
        archive::put(&disk, Path::new(DIR), &name, &bytes);
    }
    let (_, copy) = Folder::open(Arc::new(disk), Path::new(DIR)).unwrap();
    let copy = copy.unwrap();
    assert_eq!(
        (copy.snapshot.offset, copy.end.offset, copy.end.r#gen),
        (6, 12, NEW)
    );
    assert_eq!((copy.products.len(), copy.events.len()), (2, 6));
}

/// The products of a small shop, and its log.
#[derive(Default)]
struct Shop {
    state: Inventory,
    offset: u64,
}

impl Shop {
    /// One decision about `ids`, and the bytes of its events.
    fn decide(&mut self, kind: EventKind, ids: &[&str], on_hand: i64) -> Vec<Bytes> {
        let first = self.offset;
        let size = u32::try_from(ids.len()).unwrap();
        let mut encoded = Vec::new();
        for (id, index) in ids.iter().zip(0..) {
            let known = self.state.entry(id);
            let version = known.map_or(1, |entry| entry.product.version + 1);
            let event = Event {
                kind,
                product: product(id, on_hand, version),
                movement: Movement::of(MovementKind::Adjusted),
            };
            self.state.apply(&event);
            let position = EventPosition {
                offset: self.offset,
                at: NOW,
                batch: (size > 1).then_some(Batch {
                    id: first,
                    size,
                    index,
                }),
            };
            let mut bytes = Vec::new();
            Encoder::new().event(&mut bytes, position, &event, &Origin::internal("fuzz"));
            encoded.push(bytes.into());
            self.offset += 1;
        }
        encoded
    }

    fn summary(&self) -> Summary {
        Summary {
            count: self.state.len() as u64,
            digest: self.state.digest(),
        }
    }
}

fn product(id: &str, on_hand: i64, version: u64) -> Product {
    Product {
        id: ProductId::parse(id).unwrap(),
        details: Details {
            name: format!("Name of {id}").into(),
            ..Details::default()
        }
        .into(),
        stock: Stock {
            on_hand,
            ..Stock::default()
        },
        version,
        last_updated: NOW,
    }
}

/// The files of a store that has lived: a full sync, a checkpoint, batches, a deletion, two lives of
/// the log.
fn aged() -> Vec<(String, Vec<u8>)> {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1, Faults::default()));
    let dir = Path::new(DIR);
    let (mut folder, _) = Folder::open(Arc::clone(&disk), dir).unwrap();
    let mut shop = Shop::default();
    shop.decide(EventKind::Created, &["A", "B", "quo\"te"], 5);
    receive(&mut folder, &shop);
    let events = shop.decide(EventKind::Updated, &["A", "B"], 4);
    folder.append(OLD, &events).unwrap();
    let events = shop.decide(EventKind::Deleted, &["B"], 4);
    folder.append(OLD, &events).unwrap();
    let job = folder.begin_checkpoint(shop.summary()).unwrap().unwrap();
    let merged = job.run().unwrap();
    folder.finish_checkpoint(&merged).unwrap();
    let events = shop.decide(EventKind::Updated, &["A", "quo\"te"], 9);
    folder.append(OLD, &events).unwrap();
    let events = shop.decide(EventKind::Created, &["B"], 1);
    folder.append(NEW, &events).unwrap();
    let events = shop.decide(EventKind::Updated, &["A", "B", "quo\"te"], 0);
    folder.append(NEW, &events).unwrap();
    folder.sync().unwrap();
    let names = disk.list(dir).unwrap();
    let files: Vec<_> = names
        .into_iter()
        .map(|name| {
            let bytes = disk.read(&dir.join(&name)).unwrap();
            (name, bytes)
        })
        .collect();
    assert!(files.len() > 3, "two snapshots and their journals");
    files
}

fn receive(folder: &mut Folder, shop: &Shop) {
    let position = Position {
        r#gen: OLD,
        offset: shop.offset,
    };
    let mut writer = folder
        .begin_install(position, shop.summary().count)
        .unwrap();
    for entry in shop.state.entries() {
        writer.row(&row_of(b"", &entry.product)).unwrap();
    }
    let snapshot = writer.finish(shop.summary().digest).unwrap();
    let runs = vec![(OLD, Vec::new())];
    folder.install(&Install { snapshot, runs }).unwrap();
}
