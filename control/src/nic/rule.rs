//! The rules that keep a NIC with the kernel, by the names that `--force` takes.

use std::str::FromStr as _;

use strum::{VariantArray, VariantNames};

/// Why a NIC must not be bound.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
    strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Rule {
    /// A default route leads over it.
    DefaultRoute,
    /// An SSH session comes in over it.
    SshSession,
    /// It has an address, or its interface is in another namespace.
    Address,
    /// There is a bond, bridge, VLAN or the like above it.
    UpperDevice,
    /// The root file system is reached over it.
    NetworkRoot,
    /// No other NIC has a carrier.
    OnlyCarrier,
    /// It shares its IOMMU group with a device in use.
    IommuGroup,
}

impl Rule {
    /// All, in the order they are judged in.
    pub(crate) const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// The rule of this name.
    ///
    /// # Errors
    /// There is none; the message lists the names.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        Self::from_str(name).map_err(|_| {
            let names = <Self as VariantNames>::VARIANTS.join(", ");
            format!("no rule is called {name:?}; the rules are {names}")
        })
    }
}
