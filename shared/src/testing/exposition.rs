//! Reads Prometheus' text format back, strictly.
//!
//! What a scraper would put up with is refused too: a family in two places, samples before their type,
//! a series twice, buckets that do not add up.

use std::collections::{BTreeMap, BTreeSet};

/// What was served.
#[derive(Debug, Default)]
pub struct Exposition(BTreeMap<String, Served>);

/// One family.
#[derive(Debug)]
struct Served {
    kind: String,
    help: String,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Exposition {
    /// Reads `text`.
    ///
    /// # Errors
    /// The line that is wrong, and how; or the family that contradicts itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut found = Self::default();
        let mut current = String::new();
        let mut help: Option<(String, String)> = None;
        if !text.ends_with('\n') {
            return Err("the last line does not end".to_owned());
        }
        for line in text.lines() {
            let fault = |what: &str| format!("{what}: {line}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, text) = rest.split_once(' ').ok_or_else(|| fault("no help"))?;
                help = Some((name.to_owned(), text.to_owned()));
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| fault("no type"))?;
                let (of, help) = help.take().ok_or_else(|| fault("a type without help"))?;
                let served = Served {
                    kind: kind.to_owned(),
                    help,
                    samples: Vec::new(),
                };
                let again = found.0.insert(name.to_owned(), served).is_some();
                if of != name || again || !["counter", "gauge", "histogram"].contains(&kind) {
                    return Err(fault("a family in two places, or of no type"));
                }
                name.clone_into(&mut current);
            } else {
                let sample = Sample::parse(line).ok_or_else(|| fault("not a sample"))?;
                let served = found.0.get_mut(&current).ok_or_else(|| fault("no type"))?;
                let suffix = sample.name.strip_prefix(&current);
                let fits = match served.kind.as_str() {
                    "histogram" => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
                    _ => suffix == Some(""),
                };
                if !fits {
                    return Err(fault("not of the family above it"));
                }
                served.samples.push(sample);
            }
        }
        for (name, served) in &found.0 {
            served.check().map_err(|what| format!("{name}: {what}"))?;
        }
        Ok(found)
    }

    /// The value of a series; `None` if it is not served. `labels` are all that it has.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| self.0.get(name.strip_suffix(suffix)?))
            .chain(self.0.get(name))
            .next()?;
        let wanted: BTreeMap<_, _> = labels.iter().copied().collect();
        let is_it = |sample: &&Sample| {
            let has = sample.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
            sample.name == name && has.eq(wanted.iter().map(|(k, v)| (*k, *v)))
        };
        family.samples.iter().find(is_it).map(|sample| sample.value)
    }

    /// Every value that a label has anywhere.
    #[must_use]
    pub fn label_values(&self, label: &str) -> BTreeSet<&str> {
        let samples = self.0.values().flat_map(|served| &served.samples);
        samples
            .filter_map(|sample| sample.labels.get(label).map(String::as_str))
            .collect()
    }

    /// Names, types, labels and help: what dashboards and alerts depend on, one family a line.
    #[must_use]
    pub fn shape(&self) -> String {
        let lines = self.0.iter().map(|(name, served)| {
            let labels: BTreeSet<&str> = served
                .samples
                .iter()
                .flat_map(|sample| sample.labels.keys().map(String::as_str))
                .filter(|label| *label != "le")
                .collect();
            let labels: Vec<&str> = labels.into_iter().collect();
            let (kind, help) = (&served.kind, &served.help);
            format!("{kind} {name}{{{}}}: {help}\n", labels.join(","))
        });
        lines.collect()
    }

    /// The names of all families.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Served {
    fn check(&self) -> Result<(), String> {
        if self.samples.is_empty() {
            return Err("nothing is served".to_owned());
        }
        let mut seen = BTreeSet::new();
        let mut buckets: BTreeMap<BTreeMap<&str, &str>, Vec<(f64, f64)>> = BTreeMap::new();
        for sample in &self.samples {
            if !seen.insert((&sample.name, &sample.labels)) {
                return Err(format!("{sample:?} is there twice"));
            }
            if self.kind != "gauge" && sample.value < 0.0 {
                return Err(format!("{sample:?} counts below 0"));
            }
            let others = sample.labels.iter().filter(|(label, _)| *label != "le");
            let others = others.map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let end = match sample.labels.get("le").map(|end| end.parse::<f64>()) {
                Some(end) => end.map_err(|_| format!("{sample:?} ends nowhere"))?,
                None => continue,
            };
            buckets.entry(others).or_default().push((end, sample.value));
        }
        for (labels, buckets) in buckets {
            let rises = buckets
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            let of_these = |sample: &&Sample| {
                sample.name.ends_with("_count")
                    && sample
                        .labels
                        .iter()
                        .map(|(k, v)| (k.as_str(), v.as_str()))
                        .eq(labels.iter().map(|(k, v)| (*k, *v)))
            };
            let count = self.samples.iter().find(of_these).map(|it| it.value);
            let last = buckets.last().copied();
            if !rises
                || last.map(|(end, _)| end) != Some(f64::INFINITY)
                || last.map(|(_, n)| n) != count
            {
                return Err(format!("buckets of {labels:?} do not add up"));
            }
        }
        Ok(())
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Self> {
        let name_end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
        let (name, mut rest) = line.split_at(name_end);
        let mut labels = BTreeMap::new();
        if let Some(mut inside) = rest.strip_prefix('{') {
            loop {
                let (label, after) = inside.split_once("=\"")?;
                let (value, after) = quoted(after)?;
                let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
                if label.is_empty() || !label.chars().all(is_name) {
                    return None;
                }
                if labels.insert(label.to_owned(), value).is_some() {
                    return None;
                }
                match after.strip_prefix(',') {
                    Some(more) => inside = more,
                    None => {
                        rest = after.strip_prefix('}')?;
                        break;
                    }
                }
            }
        }
        Some(Self {
            name: name.to_owned(),
            labels,
            value: rest.strip_prefix(' ')?.parse().ok()?,
        })
    }
}

/// A text up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                _ => return None,
            }),
            _ => value.push(c),
        }
    }
    None
}
