//! The rules that keep a NIC with the kernel, by the names that `--force` takes.

/// Why a NIC must not be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub(crate) const ALL: [Self; 7] = [
        Self::DefaultRoute,
        Self::SshSession,
        Self::Address,
        Self::UpperDevice,
        Self::NetworkRoot,
        Self::OnlyCarrier,
        Self::IommuGroup,
    ];

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::DefaultRoute => "default-route",
            Self::SshSession => "ssh-session",
            Self::Address => "address",
            Self::UpperDevice => "upper-device",
            Self::NetworkRoot => "network-root",
            Self::OnlyCarrier => "only-carrier",
            Self::IommuGroup => "iommu-group",
        }
    }

    /// The rule of this name.
    ///
    /// # Errors
    /// There is none; the message lists the names.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|rule| rule.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no rule is called {name:?}; the rules are {names}")
        })
    }
}
