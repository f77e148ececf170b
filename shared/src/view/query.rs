//! What a list is asked for, parsed from a query string.

use super::cursor::Cursor;
use super::text;
use crate::domain::inventory::Product;
use crate::limits;
use crate::wire::problem::Detail;

/// What a list is ordered by. Equal keys are ordered by product id, in the same direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// The id, byte for byte.
    #[default]
    ProductId,
    /// The name, without regard to case.
    Name,
    /// Units available.
    Available,
    /// The price.
    Price,
}

impl Sort {
    /// Every order.
    pub const ALL: [Self; 4] = [Self::ProductId, Self::Name, Self::Available, Self::Price];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProductId => "productId",
            Self::Name => "name",
            Self::Available => "available",
            Self::Price => "price",
        }
    }
}

/// Which way a list runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Least first.
    #[default]
    Ascending,
    /// Greatest first.
    Descending,
}

/// A text to search for, without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SearchText(Box<str>);

impl SearchText {
    /// Searches for `text`; empty text asks for nothing.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text::fold(text).into()))
    }

    /// The text as folded fields contain it.
    pub(super) fn folded(&self) -> &str {
        &self.0
    }
}

/// Which products a list has. Everything asked for must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Part of the id, name, SKU, barcode or category.
    pub text: Option<SearchText>,
    /// Exactly this barcode.
    pub barcode: Option<Box<str>>,
    /// Exactly this category.
    pub category: Option<Box<str>>,
    /// Whether anything is available.
    pub in_stock: Option<bool>,
    /// Whether `available` is at or below the product's threshold; without one it never is.
    pub low_stock: Option<bool>,
    /// Whether more is promised than there is.
    pub shortfall: Option<bool>,
}

impl Filter {
    /// The same, with what is not asked for here taken from `other`.
    fn or(self, other: &Self) -> Self {
        let Self {
            text,
            barcode,
            category,
            in_stock,
            low_stock,
            shortfall,
        } = self;
        Self {
            text: text.or_else(|| other.text.clone()),
            barcode: barcode.or_else(|| other.barcode.clone()),
            category: category.or_else(|| other.category.clone()),
            in_stock: in_stock.or(other.in_stock),
            low_stock: low_stock.or(other.low_stock),
            shortfall: shortfall.or(other.shortfall),
        }
    }

    /// Appends the filter as a cursor carries it: three flags of a byte each, then three texts,
    /// each behind its length. A text is never empty, so no length means that there is none.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Self {
            text,
            barcode,
            category,
            in_stock,
            low_stock,
            shortfall,
        } = self;
        for flag in [in_stock, low_stock, shortfall] {
            out.push(flag.map_or(2, u8::from));
        }
        let text = text.as_ref().map(|text| &text.0);
        for text in [text, barcode.as_ref(), category.as_ref()] {
            let text = text.map_or("", |text| text);
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend(text.bytes().take(usize::from(length)));
        }
    }

    /// Reads what [`Filter::write`] wrote and gives what lies behind it.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (flags, mut rest) = bytes.split_first_chunk::<3>()?;
        let flag = |byte: u8| match byte {
            0 | 1 => Some(Some(byte == 1)),
            2 => Some(None),
            _ => None,
        };
        let [in_stock, low_stock, shortfall] = flags.map(flag);
        let mut text = || {
            let (length, behind) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (text, behind) = behind.split_at_checked(length)?;
            rest = behind;
            let text = std::str::from_utf8(text).ok()?;
            Some((length > 0).then(|| Box::<str>::from(text)))
        };
        let filter = Self {
            text: text()?.map(SearchText),
            barcode: text()?,
            category: text()?,
            in_stock: in_stock?,
            low_stock: low_stock?,
            shortfall: shortfall?,
        };
        Some((filter, rest))
    }
}

/// Whether anything of `product` is available.
pub(super) const fn is_in_stock(product: &Product) -> bool {
    product.available() > 0
}

/// Whether `product` is to be ordered again.
pub(super) fn is_low(product: &Product) -> bool {
    let threshold = product.details.low_stock_threshold;
    threshold.is_some_and(|threshold| product.available() <= threshold)
}

/// Whether more of `product` is promised than there is.
pub(super) const fn is_short(product: &Product) -> bool {
    product.available() < 0
}

/// Which products, in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Which products.
    pub filter: Filter,
    /// What they are ordered by.
    pub sort: Sort,
    /// Which way the order runs.
    pub direction: Direction,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// After this many rows.
    Offset(usize),
    /// After the row that the cursor names.
    After(Cursor),
}

/// One page of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest {
    /// The query.
    pub query: Query,
    /// Where the page begins.
    pub start: Start,
    /// Most rows of the page.
    pub limit: usize,
}

impl Default for ListRequest {
    fn default() -> Self {
        Self {
            query: Query::default(),
            start: Start::Offset(0),
            limit: limits::PAGE_DEFAULT,
        }
    }
}

impl ListRequest {
    /// Parses the decoded parameters of a query string: `q`, `barcode`, `category`, `inStock`,
    /// `lowStock`, `shortfall`, `sort`, `order`, `offset`, `cursor`, `limit`. Others are passed
    /// over, and so are empty ones, which forms send; an empty `cursor` is a walk's beginning. Any
    /// other brings the filters and the order of its list, which may be repeated but not changed.
    ///
    /// # Errors
    /// Every fault found.
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, Vec<Detail>> {
        let mut text = Pairs::default();
        for (name, value) in pairs {
            text.take(name.as_ref(), value.as_ref());
        }
        let request = text.request();
        if text.faults.is_empty() {
            Ok(request)
        } else {
            Err(text.faults)
        }
    }
}

/// The parameters known here, in the order of [`Pairs::values`].
const NAMES: [&str; 11] = [
    "q",
    "barcode",
    "category",
    "inStock",
    "lowStock",
    "shortfall",
    "sort",
    "order",
    "offset",
    "cursor",
    "limit",
];

/// Parameters as they came, and what is wrong with them.
#[derive(Default)]
struct Pairs {
    values: [Option<Box<str>>; NAMES.len()],
    faults: Vec<Detail>,
}

impl Pairs {
    fn take(&mut self, name: &str, value: &str) {
        let at = NAMES.iter().position(|known| *known == name);
        let Some(place) = at.and_then(|at| self.values.get_mut(at)) else {
            return;
        };
        if place.is_some() {
            self.fault(name, "is given more than once");
        } else {
            *place = Some(value.into());
        }
    }

    fn fault(&mut self, name: &str, issue: &str) {
        self.faults
            .push(Detail::new(format!("query.{name}"), issue));
    }

    /// The value of a parameter, as it came.
    fn raw(&mut self, name: &str) -> Option<Box<str>> {
        let at = NAMES.iter().position(|known| *known == name)?;
        self.values.get_mut(at)?.take()
    }

    fn label(&mut self, name: &str, most: usize) -> Option<Box<str>> {
        let value = self.raw(name).filter(|value| !value.is_empty())?;
        if value.len() > most {
            self.fault(name, &format!("must be at most {most} bytes"));
            return None;
        }
        Some(value)
    }

    fn one_of<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.raw(name).filter(|value| !value.is_empty())?;
        let found = choices.iter().find(|(word, _)| *word == &*value);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            self.fault(name, &format!("must be one of: {}", words.join(", ")));
        }
        found.map(|(_, choice)| *choice)
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        self.one_of(name, &[("true", true), ("false", false)])
    }

    fn number(&mut self, name: &str, least: usize) -> Option<usize> {
        let value = self.raw(name).filter(|value| !value.is_empty())?;
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        // Digits that do not fit are a number above every maximum.
        let number = digits.then(|| value.parse().unwrap_or(usize::MAX));
        let number = number.filter(|number| *number >= least);
        if number.is_none() {
            self.fault(name, &format!("must be a whole number of at least {least}"));
        }
        number
    }

    fn request(&mut self) -> ListRequest {
        let text = self.label("q", limits::QUERY_BYTES);
        let filter = Filter {
            text: text.and_then(|text| SearchText::new(&text)),
            barcode: self.label("barcode", limits::LABEL_BYTES),
            category: self.label("category", limits::LABEL_BYTES),
            in_stock: self.flag("inStock"),
            low_stock: self.flag("lowStock"),
            shortfall: self.flag("shortfall"),
        };
        let sorts = Sort::ALL.map(|sort| (sort.as_str(), sort));
        let sort = self.one_of("sort", &sorts);
        let directions = [
            ("asc", Direction::Ascending),
            ("desc", Direction::Descending),
        ];
        let direction = self.one_of("order", &directions);
        let mut query = Query {
            filter,
            sort: sort.unwrap_or_default(),
            direction: direction.unwrap_or_default(),
        };
        // Behind every end, and no more than a JSON reader holds exactly: pages say where they begin.
        let end = usize::try_from(limits::EXACT_MAX).unwrap_or(usize::MAX);
        let offset = self.number("offset", 0).map(|offset| offset.min(end));
        let cursor = self.raw("cursor");
        if offset.is_some() && cursor.is_some() {
            self.fault("cursor", "cannot be given together with offset");
        }
        let most = match cursor {
            Some(_) => limits::PAGE_BY_CURSOR,
            None => limits::PAGE_BY_OFFSET,
        };
        let limit = self.number("limit", 1).unwrap_or(limits::PAGE_DEFAULT);
        let start = match cursor.filter(|cursor| !cursor.is_empty()) {
            None => Start::Offset(offset.unwrap_or(0)),
            Some(cursor) => self.after(&cursor, &mut query, sort, direction),
        };
        ListRequest {
            query,
            start,
            limit: limit.min(most),
        }
    }

    /// The cursor brings its filters and its order; what the request says besides must agree with it.
    fn after(
        &mut self,
        cursor: &str,
        query: &mut Query,
        sort: Option<Sort>,
        direction: Option<Direction>,
    ) -> Start {
        match Cursor::parse(cursor) {
            Ok(cursor) => {
                query.sort = sort.unwrap_or(cursor.sort);
                query.direction = direction.unwrap_or(cursor.direction);
                query.filter = std::mem::take(&mut query.filter).or(&cursor.filter);
                if let Err(fault) = cursor.check(query) {
                    self.fault("cursor", &fault.to_string());
                }
                Start::After(cursor)
            }
            Err(fault) => {
                self.fault("cursor", &fault.to_string());
                Start::Offset(0)
            }
        }
    }
}
