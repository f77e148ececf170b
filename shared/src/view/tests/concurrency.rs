//! One publisher, many readers, at the same time.

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
