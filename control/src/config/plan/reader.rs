//! Typed values out of a configuration: one function for each way to read one. Refusals name place, key,
//! value and fix.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::super::secret::{HIDDEN, quote};
use super::super::units::{self, Expected};
use super::super::values::Given;
use super::super::{Config, ConfigError, Key, Place};

/// Reads typed values out of a [`Config`].
pub(super) struct Reader<'a>(pub(super) &'a Config);

impl Reader<'_> {
    /// What `parse` makes of it.
    pub(super) fn with<T>(
        &self,
        key: Key,
        parse: impl FnOnce(&str) -> Result<T, Expected>,
    ) -> Result<T, ConfigError> {
        parse(&self.0.given(key).text).map_err(|Expected(expected)| {
            self.refuse(key, "not understood", format!("write {expected}"))
        })
    }

    /// A number of the unit that `parse` reads, within `range`.
    pub(super) fn within(
        &self,
        key: Key,
        parse: fn(&str) -> Result<u64, Expected>,
        range: RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        let value = self.with(key, parse)?;
        if range.contains(&value) {
            return Ok(value);
        }
        let side = if value < *range.start() { "too small" } else { "too large" };
        Err(self.refuse(key, side, format!("write {} to {}", range.start(), range.end())))
    }

    /// The same, for what memory is taken by.
    pub(super) fn size(
        &self,
        key: Key,
        parse: fn(&str) -> Result<u64, Expected>,
        range: RangeInclusive<u64>,
    ) -> Result<usize, ConfigError> {
        let value = self.within(key, parse, range)?;
        Ok(usize::try_from(value).expect("usize has 64 bits on every host of DPDK we build for"))
    }

    /// A span of time within `range`.
    pub(super) fn time(
        &self,
        key: Key,
        range: RangeInclusive<Duration>,
    ) -> Result<Duration, ConfigError> {
        let value = self.with(key, units::duration)?;
        if range.contains(&value) {
            return Ok(value);
        }
        let side = if value < *range.start() { "too short" } else { "too long" };
        let (start, end) = (units::spell(*range.start()), units::spell(*range.end()));
        Err(self.refuse(key, side, format!("write {start} to {end}")))
    }

    /// A deadline of the workers.
    pub(super) fn millis(&self, key: Key) -> Result<u64, ConfigError> {
        let value = self.time(key, DEADLINE)?;
        Ok(u64::try_from(value.as_millis()).expect("DEADLINE ends within u64 milliseconds"))
    }

    /// A path; the empty one is none.
    pub(super) fn path(&self, key: Key) -> Option<PathBuf> {
        let Given { text, .. } = self.0.given(key);
        (!text.is_empty()).then(|| text.into())
    }

    /// `value`, which may not exceed `limit`; a default gives way, a value that was given does not.
    pub(super) fn at_most<T: Ord>(
        &self,
        key: Key,
        value: T,
        bound: Key,
        limit: T,
    ) -> Result<T, ConfigError> {
        if value <= limit || self.0.given(key).place == Place::Default {
            return Ok(value.min(limit));
        }
        let problem = format!("more than {}", self.spell(bound));
        let fix = format!("lower {} or raise {}", key.path(), bound.path());
        Err(self.refuse(key, problem, fix).against(bound))
    }

    /// `section.key = "value"`.
    pub(super) fn spell(&self, key: Key) -> String {
        format!("{} = {:?}", key.path(), self.0.given(key).text)
    }

    /// The value of `key` is not good.
    pub(super) fn refuse(
        &self,
        key: Key,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> ConfigError {
        refuse(key, self.0.given(key), problem, fix)
    }
}

/// `given`, which was said of `key`, is not good.
pub(super) fn refuse(
    key: Key,
    given: Given,
    problem: impl Into<String>,
    fix: impl Into<String>,
) -> ConfigError {
    let value = quote(key, &given.text);
    let mut problem = problem.into();
    if value != given.text && !given.text.is_empty() {
        problem = problem.replace(&given.text, HIDDEN);
    }
    ConfigError::Value { place: given.place, key, value, problem, fix: fix.into(), other: None }
}

/// What a deadline may be.
pub(super) const DEADLINE: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(86_400);
