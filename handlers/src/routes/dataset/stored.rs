//! Bodies of a data set that are made when the site is built: for every count, and for the multipliers
//! that are asked for in practice.

use std::ops::RangeInclusive;

use http1::coding::Coding;

use crate::config::{Bounds, DatasetConfig};
use crate::error::SettingError;
use crate::store::EntryId;

use crate::response::{VALUES_MAX, Values};

/// Where those bodies are: for each combination of the values on the axes, one in each of the codings.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    axes: Vec<Axis>,
    codings: Box<[Coding]>,
    first: EntryId,
}

/// The values of one parameter for which there are bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    parameter: usize,
    values: RangeInclusive<i64>,
}

impl Axis {
    /// The axes of a data set of `len` items: all counts, and the multipliers 1 to 8.
    pub(crate) fn all(
        config: &DatasetConfig,
        count: Option<usize>,
        len: usize,
    ) -> Result<Vec<Self>, SettingError> {
        let error = |problem: &str| {
            Err(SettingError::new("compress", "precomputed", problem, "write per-request"))
        };
        let mut others = (0..config.parameters.len()).filter(|&at| Some(at) != count);
        let multiplier = others.next();
        if others.next().is_some() {
            return error("more than a count and one other parameter: too many bodies to make");
        }
        let mut axes = Vec::new();
        for at in multiplier.into_iter().chain(count) {
            // Those of `Parameters::compile`: whole.
            let bounds = config.parameters[at].bounds.as_ref().and_then(Bounds::to_integers);
            let (least, greatest) = bounds.unwrap_or((i64::MIN, i64::MAX));
            let (first, last) = match Some(at) == count {
                true => (0, i64::try_from(len).expect("items fit memory")),
                false => (*STORED_K.start(), *STORED_K.end()),
            };
            let values = first.max(least)..=last.min(greatest);
            if values.is_empty() {
                return error("no multiplier from 1 to 8 is within the bounds");
            }
            axes.push(Self { parameter: at, values });
        }
        Ok(axes)
    }

    fn len(&self) -> usize {
        usize::try_from(self.values.end() - self.values.start() + 1).expect("few, and some")
    }
}

impl Stored {
    /// Bodies for all combinations, of which the first is stored there.
    pub(crate) fn new(axes: Vec<Axis>, codings: Box<[Coding]>, first: EntryId) -> Self {
        Self { axes, codings, first }
    }

    /// The body for these values in this coding, if there is one.
    pub(crate) fn find(&self, Values(values): Values, coding: Coding) -> Option<EntryId> {
        let coding = self.codings.iter().position(|&stored| stored == coding)?;
        let mut row = 0;
        for axis in &self.axes {
            let value = values[axis.parameter];
            if !axis.values.contains(&value) {
                return None;
            }
            let at = usize::try_from(value - axis.values.start()).ok()?;
            row = row * axis.len() + at;
        }
        u32::try_from(row * self.codings.len() + coding).ok().map(|at| self.first.plus(at))
    }
}

/// All combinations, in the order in which they are stored.
pub(crate) fn every(axes: &[Axis]) -> Vec<Values> {
    let mut all = vec![Values([0; VALUES_MAX])];
    for axis in axes {
        let with = |Values(values): &Values, value| {
            let mut values = *values;
            values[axis.parameter] = value;
            Values(values)
        };
        all = all
            .iter()
            .flat_map(|values| axis.values.clone().map(move |value| with(values, value)))
            .collect();
    }
    all
}

/// Multipliers whose coded bodies are made when the site is built.
const STORED_K: RangeInclusive<i64> = 1..=8;
