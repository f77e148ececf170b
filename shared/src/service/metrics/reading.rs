//! Figures that are looked up when somebody scrapes.
//!
//! A [`Family`] is a constant: name, help, type, labels. A closure puts a value for each combination
//! of labels into [`Readings`]. A combination that is not put is not served, which is how "there is
//! none" is said.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// A metric that is read on scrape.
#[derive(Debug)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    counts_up: bool,
}

impl Family {
    /// Something that goes up and down.
    #[must_use]
    pub const fn gauge(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            help,
            labels,
            counts_up: false,
        }
    }

    /// Something that only grows, as long as the process lives.
    #[must_use]
    pub const fn counter(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            help,
            labels,
            counts_up: true,
        }
    }

    fn desc(&self) -> Desc {
        let labels = self.labels.iter().map(|&label| label.to_owned()).collect();
        let (name, help) = (self.name.to_owned(), self.help.to_owned());
        Desc::new(name, help, labels, HashMap::new()).expect("a valid name and help")
    }
}

/// A value of a metric. Prometheus knows floats only, in base units.
pub trait Figure {
    /// The value; durations in seconds.
    fn figure(self) -> f64;
}

macro_rules! figures {
    ($($kind:ty),+) => {
        $(impl Figure for $kind {
            #[expect(
                clippy::cast_precision_loss,
                reason = "beyond 2^53 a metric may be off by one"
            )]
            fn figure(self) -> f64 {
                self as f64
            }
        })+
    };
}

figures!(u64, usize, i64);

impl Figure for f64 {
    fn figure(self) -> f64 {
        self
    }
}

impl Figure for bool {
    fn figure(self) -> f64 {
        u8::from(self).into()
    }
}

impl Figure for Duration {
    fn figure(self) -> f64 {
        self.as_secs_f64()
    }
}

/// What was read for one scrape.
#[derive(Debug)]
pub struct Readings {
    families: Vec<(&'static Family, Vec<Metric>)>,
}

impl Readings {
    fn of(families: &[&'static Family]) -> Self {
        let families = families.iter().map(|&family| (family, Vec::new()));
        Self {
            families: families.collect(),
        }
    }

    /// Puts the value of `family` for these values of its labels, in their order. The family must be
    /// one of those that were announced.
    pub fn put(&mut self, family: &Family, labels: &[&str], value: impl Figure) {
        debug_assert_eq!(labels.len(), family.labels.len(), "{}", family.name);
        let value = value.figure();
        let mut metric = Metric::from_label(pairs(family.labels, labels));
        if family.counts_up {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        let announced = self.families.iter_mut();
        let mut of_this = announced.filter(|(known, _)| known.name == family.name);
        match of_this.next() {
            Some((_, metrics)) => metrics.push(metric),
            None => debug_assert!(false, "{} was not announced", family.name),
        }
    }

    /// Puts 1 for the value of the family's one label that is `present`, and 0 for `all` others.
    pub fn put_state(&mut self, family: &Family, all: &[&str], present: &str) {
        for state in all {
            self.put(family, &[state], *state == present);
        }
    }
}

/// Labels with their values, sorted by name as the format wants them.
fn pairs(names: &[&str], values: &[&str]) -> Vec<LabelPair> {
    let mut pairs: Vec<_> = names
        .iter()
        .zip(values)
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        })
        .collect();
    pairs.sort_by(|one, other| one.name().cmp(other.name()));
    pairs
}

/// Calls a closure for each scrape.
pub(super) struct OnScrape<F> {
    families: &'static [&'static Family],
    descs: Vec<Desc>,
    read: F,
}

impl<F> OnScrape<F> {
    pub(super) fn new(families: &'static [&'static Family], read: F) -> Self {
        Self {
            families,
            descs: families.iter().map(|family| family.desc()).collect(),
            read,
        }
    }
}

impl<F> fmt::Debug for OnScrape<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnScrape")
            .field("families", &self.families)
            .finish_non_exhaustive()
    }
}

impl<F: Fn(&mut Readings) + Send + Sync> Collector for OnScrape<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut readings = Readings::of(self.families);
        (self.read)(&mut readings);
        readings
            .families
            .into_iter()
            .map(|(family, metrics)| {
                let mut served = MetricFamily::default();
                served.set_name(family.name.to_owned());
                served.set_help(family.help.to_owned());
                served.set_field_type(if family.counts_up {
                    MetricType::COUNTER
                } else {
                    MetricType::GAUGE
                });
                served.set_metric(metrics);
                served
            })
            .collect()
    }
}
