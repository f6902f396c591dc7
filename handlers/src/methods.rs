//! Sets of methods, and the `Allow` field that tells of them.

use http1::Method;

/// A set of methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Methods(u8);

impl Methods {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// All methods.
    pub const ANY: Self = Self(u8::MAX >> (u8::BITS as usize - Method::ALL.len()));

    /// GET alone, and HEAD with it.
    pub const GET: Self = Self(bit(Method::Get) | bit(Method::Head));

    /// POST alone.
    pub const POST: Self = Self(bit(Method::Post));

    /// This set and `method`; HEAD comes with GET.
    #[must_use]
    pub const fn with(self, method: Method) -> Self {
        match method {
            Method::Get => Self(self.0 | Self::GET.0),
            other => Self(self.0 | bit(other)),
        }
    }

    /// Whether `method` is in it.
    pub const fn has(self, method: Method) -> bool {
        self.0 & bit(method) != 0
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in it, in the order of [`Method::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Method> {
        Method::ALL.iter().copied().filter(move |&method| self.has(method))
    }

    /// Whether everything of `other` is in it.
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The value of an `Allow` field for a path with these methods (RFC 9110 10.2.1).
    pub(crate) fn allow(self) -> String {
        let mut names: Vec<_> =
            self.iter().filter(|&method| method != Method::Options).map(Method::name).collect();
        names.push(Method::Options.name());
        names.join(", ")
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Method> for Methods {
    fn from_iter<I: IntoIterator<Item = Method>>(methods: I) -> Self {
        methods.into_iter().fold(Self::NONE, Self::with)
    }
}

const fn bit(method: Method) -> u8 {
    1 << method as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_comes_with_get_and_options_is_told_last() {
        let set: Methods = [Method::Patch, Method::Get].into_iter().collect();
        assert!(set.has(Method::Head) && !set.has(Method::Options));
        assert_eq!(set.allow(), "GET, HEAD, PATCH, OPTIONS");
        assert_eq!(set.with(Method::Options).allow(), set.allow());
        assert_eq!(Methods::NONE.allow(), "OPTIONS");
        assert_eq!(Methods::POST.union(Methods::GET).allow(), "GET, HEAD, POST, OPTIONS");
        assert!(set.covers(Methods::GET) && !Methods::GET.covers(set));
    }
}
