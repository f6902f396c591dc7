//! Sets of methods, and the `Allow` field that tells of them.

use http1::Method;

/// A set of methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Methods(u8);

impl Methods {
    /// The empty set.
    pub const NONE: Self = Self(0);

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

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

const fn bit(method: Method) -> u8 {
    1 << method as u8
}
