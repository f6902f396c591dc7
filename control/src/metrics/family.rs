//! Metric families as plain data: what is known of a number before it is written down.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::buckets::Folded;

/// Label names and values of one sample.
pub(super) type Labels = Vec<(&'static str, String)>;

/// What a family's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FamilyKind {
    /// Only grows; its samples end in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Always 1; the labels say it. Its samples end in `_info`.
    Info,
    /// Cumulative buckets, a sum and a count.
    Histogram,
}

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Of a counter.
    Count(u64),
    /// Of a gauge that is a whole number.
    Level(i64),
    /// Of a gauge that is not.
    Real(f64),
    /// Of an info.
    Present,
    /// Of a histogram.
    Histogram(Folded),
}

/// All samples of one name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Family {
    /// What it means.
    pub(super) help: Cow<'static, str>,
    /// What its samples are.
    pub(super) kind: FamilyKind,
    /// The samples, each with its own labels.
    pub(super) samples: Vec<(Labels, Value)>,
}

/// Families by name, without the suffix of a counter or an info.
#[derive(Clone, Debug, Default)]
pub(super) struct Families(BTreeMap<String, Family>);

impl Families {
    /// The family of this name, which is made if it is not there.
    pub(super) fn family(
        &mut self,
        name: impl Into<String>,
        kind: FamilyKind,
        help: impl Into<Cow<'static, str>>,
    ) -> &mut Family {
        let help = help.into();
        self.0.entry(name.into()).or_insert(Family { help, kind, samples: Vec::new() })
    }

    /// In the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Family)> {
        self.0.iter().map(|(name, family)| (name.as_str(), family))
    }
}

impl Family {
    /// Adds a counter's or a gauge's sample.
    pub(super) fn number(&mut self, labels: Labels, value: u64) {
        let value = match self.kind {
            FamilyKind::Counter => Value::Count(value),
            _ => Value::Level(i64::try_from(value).unwrap_or(i64::MAX)),
        };
        self.samples.push((labels, value));
    }
}
