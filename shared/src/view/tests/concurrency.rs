//! One publisher, many readers, at the same time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;

const PRODUCTS: usize = 200;
const ROUNDS: u64 = 400;

fn id(at: usize) -> String {
    format!("P-{at:04}")
}

/// Product `at` at `version`; its stock and its category say the version too.
fn versioned(at: usize, version: u64) -> Product {
    let mut product = product(&id(at), i64::try_from(version).unwrap());
    product.version = version;
    Arc::make_mut(&mut product.details).category = Some(format!("round {version}").into());
    product
}

/// Goal: a reader that knows of a publication sees it, in a point read and in every list, and
/// never goes back to an older version. Method: the publisher raises `done` after each round; what
/// readers find is compared with what `done` said before they looked.
#[test]
fn what_was_published_is_seen_and_never_unseen() {
    let catalogue = Catalogue::new();
    let done = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for reader in 0..3 {
            let (catalogue, done, stop) = (&catalogue, &done, &stop);
            scope.spawn(move || {
                let mut newest = vec![0; PRODUCTS];
                while !stop.load(Ordering::Acquire) {
                    match reader {
                        0 => read_points(catalogue, done, &mut newest),
                        1 => read_list(catalogue, done, &mut newest),
                        _ => catalogue.maintain(),
                    }
                }
            });
        }
        for version in 1..=ROUNDS {
            let products: Vec<_> = (0..PRODUCTS).map(|at| versioned(at, version)).collect();
            let head = Head {
                orders: 0,
                offset: version,
                digest: version,
                seq: version,
            };
            catalogue.publish(products.iter().map(put), head);
            done.store(version, Ordering::Release);
        }
        stop.store(true, Ordering::Release);
    });
    let page = catalogue.list(&request(&[("limit", "200")]));
    assert!(page.products.iter().all(|row| row.version == ROUNDS));
    let last = [(Arc::from(format!("round {ROUNDS}")), PRODUCTS)];
    assert_eq!(catalogue.categories(), last);
}

fn read_points(catalogue: &Catalogue, done: &AtomicU64, newest: &mut [u64]) {
    for (at, newest) in newest.iter_mut().enumerate() {
        let least = done.load(Ordering::Acquire);
        let version = catalogue.get(&id(at)).map_or(0, |row| row.version);
        assert!(
            version >= least.max(*newest),
            "{version} < {least} or {newest}"
        );
        *newest = version;
    }
    let least = done.load(Ordering::Acquire);
    let head = catalogue.head();
    assert!(head.offset >= least);
    assert_eq!((head.offset, head.offset), (head.digest, head.seq));
}

fn read_list(catalogue: &Catalogue, done: &AtomicU64, newest: &mut [u64]) {
    let least = done.load(Ordering::Acquire);
    let page = catalogue.list(&request(&[("sort", "available"), ("limit", "200")]));
    assert!(page.head.offset >= least);
    assert!(least == 0 || page.products.len() == PRODUCTS);
    let stocks: Vec<_> = page.products.iter().map(|row| row.available()).collect();
    assert!(stocks.is_sorted());
    for row in &page.products {
        let at: usize = row.id.as_str().trim_start_matches("P-").parse().unwrap();
        assert!(row.version >= least.max(newest[at]) && row.version >= page.head.offset);
        newest[at] = row.version;
    }
}

/// Goal: where publications are to be seen whole, no list shows a part of one, nor do its categories,
/// also while maintenance takes in some of it. Method: a publication gives every product the same
/// version, and more products than maintenance takes in at a time; every page must be of one version.
#[test]
fn a_list_of_whole_publications_never_shows_a_part_of_one() {
    const MANY: usize = 1_500;
    let catalogue = Catalogue::new().in_whole();
    let stop = AtomicBool::new(false);
    let one_version = || {
        let page = catalogue.list(&request(&[("limit", "200")]));
        let versions: BTreeSet<u64> = page.products.iter().map(|row| row.version).collect();
        assert!(versions.len() <= 1, "{versions:?}");
        assert!(page.products.is_empty() || page.products.len() == 200);
        let categories = catalogue.categories();
        assert!(
            categories.iter().all(|(_, count)| *count == MANY),
            "{categories:?}"
        );
        versions.into_iter().next()
    };
    let reads = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                catalogue.maintain();
            }
        });
        let reader = scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                one_version();
                reads.fetch_add(1, Ordering::AcqRel);
            }
        });
        for version in 1..=ROUNDS / 2 {
            let products: Vec<_> = (0..MANY).map(|at| versioned(at, version)).collect();
            // Not before the others have begun.
            while version == 2 && reads.load(Ordering::Acquire) == 0 && !reader.is_finished() {
                thread::yield_now();
            }
            catalogue.fold(products.iter().map(put), version, version);
        }
        stop.store(true, Ordering::Release);
    });
    assert_eq!(one_version(), Some(ROUNDS / 2));
}

/// Goal: readers of lists do not hold up the publisher. Method: publishing goes on to its end while
/// a reader sits on the index.
#[test]
fn publishing_does_not_wait_for_a_reader_of_lists() {
    let catalogue = catalogue_of(&[product("A", 1)]);
    let _reader = catalogue.hold_index();
    for version in 2..100 {
        catalogue.publish([put(&versioned(1, version))], Head::default());
        assert_eq!(catalogue.get("P-0001").unwrap().version, version);
    }
}
