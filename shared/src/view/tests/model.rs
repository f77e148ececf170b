//! Goal: whatever happened, every list is what sorting and filtering all products would give.
//! Method: random histories are published to a catalogue and to a plain map; between the changes
//! every kind of query is asked of both, page by page.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::text;
use super::*;
use crate::domain::money::Money;

/// The catalogue as anyone would write it.
#[derive(Default)]
struct Model(BTreeMap<String, Product>);

/// Filters and order of one query, as the model understands them.
#[derive(Clone, Debug, Default)]
struct Asked {
    text: Option<String>,
    barcode: Option<String>,
    category: Option<String>,
    in_stock: Option<bool>,
    low_stock: Option<bool>,
    shortfall: Option<bool>,
    sort: Sort,
    direction: Direction,
}

impl Asked {
    fn query(&self) -> Query {
        let filter = Filter {
            barcode: self.barcode.as_deref().map(Box::from),
            category: self.category.as_deref().map(Box::from),
            in_stock: self.in_stock,
            low_stock: self.low_stock,
            shortfall: self.shortfall,
            text: self.text.as_deref().and_then(SearchText::new),
        };
        Query {
            filter,
            sort: self.sort,
            direction: self.direction,
        }
    }

    fn wants(&self, product: &Product) -> bool {
        let details = &product.details;
        let available = product.available();
        let low = details
            .low_stock_threshold
            .is_some_and(|at| available <= at);
        let fields = [
            Some(product.id.as_str()),
            Some(&*details.name),
            details.sku.as_deref(),
            details.barcode.as_deref(),
            details.category.as_deref(),
        ];
        let has = |text: &String| {
            let text = text::fold(text);
            fields
                .iter()
                .flatten()
                .any(|field| text::fold(field).contains(&text))
        };
        self.text.as_ref().is_none_or(has)
            && (self.barcode.is_none() || self.barcode.as_deref() == details.barcode.as_deref())
            && (self.category.is_none() || self.category.as_deref() == details.category.as_deref())
            && self.in_stock.is_none_or(|asked| asked == (available > 0))
            && self.low_stock.is_none_or(|asked| asked == low)
            && self.shortfall.is_none_or(|asked| asked == (available < 0))
    }

    fn order(&self, one: &Product, other: &Product) -> Ordering {
        let (name, other_name) = (&one.details.name, &other.details.name);
        let keys = match self.sort {
            Sort::ProductId => Ordering::Equal,
            Sort::Name => text::fold(name).cmp(&text::fold(other_name)),
            Sort::Available => one.available().cmp(&other.available()),
            Sort::Price => one.details.price.cmp(&other.details.price),
        };
        let order = keys.then_with(|| one.id.as_str().cmp(other.id.as_str()));
        match self.direction {
            Direction::Ascending => order,
            Direction::Descending => order.reverse(),
        }
    }
}

impl Model {
    fn list(&self, asked: &Asked) -> Vec<Product> {
        let wanted = self.0.values().filter(|product| asked.wants(product));
        let mut rows: Vec<_> = wanted.cloned().collect();
        rows.sort_by(|one, other| asked.order(one, other));
        rows
    }

    fn categories(&self) -> Vec<(Arc<str>, usize)> {
        let mut counts = BTreeMap::new();
        for product in self.0.values() {
            if let Some(category) = &product.details.category {
                *counts.entry(Arc::clone(category)).or_insert(0) += 1;
            }
        }
        counts.into_iter().collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<Product>),
    Move(Vec<(usize, i64)>),
    Delete(usize),
    ByOffset(Asked, usize, usize),
    ByCursor(Asked, usize),
    Maintain,
    Reload,
}

fn any_text() -> impl Strategy<Value = String> {
    // Few letters, so that texts overlap; all the lengths at which letters differ.
    prop_oneof![
        3 => "[abAB1 ]{0,6}",
        1 => "[aäÄßσςΣ茶🎧]{1,4}",
        1 => "(wireless |Wired ){1,3}",
    ]
}

fn any_product() -> impl Strategy<Value = Product> {
    let label = || proptest::option::of("[a-cA1]{1,3}");
    (
        "[a-cA]{1,3}",
        any_text(),
        (label(), label(), label()),
        0_i64..5,
        proptest::option::of(0_i64..4),
        -3_i64..6,
        0_i64..2,
    )
        .prop_map(
            |(id, name, (category, sku, barcode), price, low, on_hand, reserved)| {
                let mut product = product(&id, on_hand);
                product.stock.reserved = reserved;
                product.details = Arc::new(Details {
                    name: name.into(),
                    description: None,
                    category: category.map(Arc::from),
                    sku: sku.map(Box::from),
                    barcode: barcode.map(Box::from),
                    price: Money::from_minor(price).unwrap(),
                    low_stock_threshold: low,
                });
                product
            },
        )
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let flag = || proptest::option::weighted(0.2, any::<bool>());
    (
        proptest::option::of(any_text()),
        proptest::option::weighted(0.2, "[a-cA1]{1,2}"),
        proptest::option::weighted(0.2, "[a-cA1]{1,2}"),
        (flag(), flag(), flag()),
        prop::sample::select(&Sort::ALL),
        any::<bool>(),
    )
        .prop_map(|(text, barcode, category, flags, sort, down)| Asked {
            text: text.filter(|text| !text.is_empty()),
            barcode,
            category,
            in_stock: flags.0,
            low_stock: flags.1,
            shortfall: flags.2,
            sort,
            direction: if down {
                Direction::Descending
            } else {
                Direction::Ascending
            },
        })
}

fn any_step() -> impl Strategy<Value = Step> {
    let moves = prop::collection::vec((any::<usize>(), -4_i64..5), 1..8);
    prop_oneof![
        4 => prop::collection::vec(any_product(), 1..20).prop_map(Step::Put),
        3 => moves.prop_map(Step::Move),
        1 => any::<usize>().prop_map(Step::Delete),
        3 => (any_asked(), 0_usize..30, 1_usize..8)
            .prop_map(|(asked, offset, limit)| Step::ByOffset(asked, offset, limit)),
        3 => (any_asked(), 1_usize..8).prop_map(|(asked, limit)| Step::ByCursor(asked, limit)),
        1 => Just(Step::Maintain),
        1 => Just(Step::Reload),
    ]
}

/// Both sides of the comparison.
#[derive(Default)]
struct Pair {
    catalogue: Catalogue,
    model: Model,
}

impl Pair {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Put(products) => {
                let products: Vec<_> = products.iter().map(|one| self.next(one)).collect();
                self.publish(&products);
            }
            Step::Move(moves) => {
                let moved = moves.iter().filter_map(|(at, delta)| {
                    let mut product = self.pick(*at)?;
                    product.stock.on_hand += delta;
                    Some(self.next(&product))
                });
                let moved: Vec<_> = moved.collect();
                self.publish(&moved);
            }
            Step::Delete(at) => {
                let Some(product) = self.pick(*at) else {
                    return;
                };
                self.model.0.remove(product.id.as_str());
                let deletion = Change {
                    product: &self.next(&product),
                    live: false,
                    record: 1,
                };
                self.catalogue.publish([deletion], Head::default());
            }
            Step::ByOffset(asked, offset, limit) => self.check_page(asked, *offset, *limit),
            Step::ByCursor(asked, limit) => self.check_walk(asked, *limit),
            Step::Maintain => self.catalogue.maintain(),
            Step::Reload => {
                let mut entries = Vec::new();
                self.catalogue.for_each(|published, last_record| {
                    entries.push(Entry {
                        product: published.product.clone(),
                        live: published.live,
                        last_record,
                    });
                });
                self.catalogue = Catalogue::load(entries, Head::default());
            }
        }
    }

    fn pick(&self, at: usize) -> Option<Product> {
        let products = self.model.0.values();
        products
            .cycle()
            .nth(at % self.model.0.len().max(1))
            .cloned()
    }

    /// The product under the version that follows what is known of its id.
    fn next(&self, product: &Product) -> Product {
        let known = self.catalogue.published(product.id.as_str());
        Product {
            version: known.map_or(1, |known| known.version + 1),
            ..product.clone()
        }
    }

    fn publish(&mut self, products: &[Product]) {
        for product in products {
            self.model
                .0
                .insert(product.id.as_str().to_owned(), product.clone());
        }
        self.catalogue
            .publish(products.iter().map(put), Head::default());
    }

    fn check_page(&self, asked: &Asked, offset: usize, limit: usize) {
        let rows = self.model.list(asked);
        let page = self.catalogue.list(&ListRequest {
            query: asked.query(),
            start: Start::Offset(offset),
            limit,
        });
        let expected: Vec<_> = rows.iter().skip(offset).take(limit).collect();
        let got: Vec<_> = page.products.iter().map(|row| &row.product).collect();
        assert_eq!(got, expected, "{asked:?} {offset} {limit}");
        assert_eq!(page.total, rows.len(), "{asked:?}");
        assert_eq!(
            page.next.is_some(),
            offset + limit < rows.len(),
            "{asked:?}"
        );
    }

    fn check_walk(&self, asked: &Asked, limit: usize) {
        let rows = self.model.list(asked);
        let mut walked = Vec::new();
        let mut start = Start::Offset(0);
        loop {
            let page = self.catalogue.list(&ListRequest {
                query: asked.query(),
                start,
                limit,
            });
            assert_eq!(page.offset, walked.len());
            assert_eq!(page.total, rows.len());
            walked.extend(page.products.iter().map(|row| row.product.clone()));
            let Some(next) = page.next else { break };
            assert_eq!(page.products.len(), limit);
            start = Start::After(Cursor::parse(&next).unwrap());
        }
        assert_eq!(walked, rows, "{asked:?}");
    }

    fn check_rest(&self) {
        assert_eq!(self.catalogue.len(), self.model.0.len());
        assert_eq!(self.catalogue.categories(), self.model.categories());
        for (id, product) in &self.model.0 {
            assert_eq!(&self.catalogue.get(id).unwrap().product, product);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_list_is_what_sorting_everything_would_give(
        steps in prop::collection::vec(any_step(), 1..60)
    ) {
        let mut pair = Pair::default();
        for step in &steps {
            pair.take(step);
        }
        pair.check_rest();
    }

    #[test]
    fn a_walk_shows_every_row_that_did_not_move_exactly_once(
        before in prop::collection::vec(any_product(), 1..60),
        asked in any_asked(),
        limit in 1_usize..6,
        between in prop::collection::vec(any_step(), 1..40),
    ) {
        let mut pair = Pair::default();
        pair.take(&Step::Put(before));
        let at_first = pair.model.list(&asked);
        let mut untouched: BTreeMap<_, _> =
            at_first.into_iter().map(|row| (row.id.clone(), row)).collect();
        let mut seen = Vec::new();
        let mut start = Start::Offset(0);
        let mut between = between.iter();
        loop {
            let page = pair.catalogue.list(&ListRequest { query: asked.query(), start, limit });
            seen.extend(page.products.iter().map(|row| row.product.clone()));
            let Some(next) = page.next else { break };
            start = Start::After(Cursor::parse(&next).unwrap());
            if let Some(step) = between.next() {
                pair.take(step);
            }
            untouched.retain(|id, row| pair.model.0.get(id.as_str()) == Some(row));
        }
        for row in untouched.values() {
            let times = seen.iter().filter(|one| one.id == row.id).count();
            prop_assert_eq!(times, 1, "{:?} {:?}", row, asked);
        }
    }
}
