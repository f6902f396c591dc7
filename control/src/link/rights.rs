//! What this process may do, and what each kind of link takes (capabilities(7)). Without the right, a
//! driver fails in its own words, which rarely say so.

use std::fs;

use dpdk::DeviceKind;

/// Effective capabilities, as a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights(u64);

impl Rights {
    /// Everything: what is assumed where the kernel does not tell.
    pub(crate) const ALL: Self = Self(u64::MAX);

    /// Those of this process.
    pub(crate) fn read() -> Self {
        Self::parse(&fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    /// Whether RLIMIT_MEMLOCK does not bind it.
    pub(crate) fn may_lock_memory(self) -> bool {
        self.0 & IPC_LOCK.0 != 0
    }

    fn parse(status: &str) -> Self {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let bits = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        bits.map_or(Self::ALL, Self)
    }

    /// What is lacking for a link of `kind`, in words.
    pub(crate) fn lacking(self, kind: DeviceKind) -> Option<String> {
        let needed: &[Right] = match kind {
            DeviceKind::AfXdp => &[NET_ADMIN, NET_RAW, SYS_ADMIN],
            DeviceKind::AfPacket => &[NET_ADMIN, NET_RAW],
            DeviceKind::Tap | DeviceKind::Vhost => &[NET_ADMIN],
            DeviceKind::Pci | DeviceKind::Memif | DeviceKind::Other => &[],
        };
        let lacking: Vec<&str> =
            needed.iter().filter(|right| self.0 & right.0 == 0).map(|right| right.1).collect();
        (!lacking.is_empty()).then(|| {
            format!("this process may not: it lacks {} (run it as root)", lacking.join(", "))
        })
    }
}

impl Default for Rights {
    fn default() -> Self {
        Self::ALL
    }
}

/// Its bit of linux/capability.h, and its name.
struct Right(u64, &'static str);

const NET_ADMIN: Right = Right(1 << 12, "CAP_NET_ADMIN");
const NET_RAW: Right = Right(1 << 13, "CAP_NET_RAW");
const IPC_LOCK: Right = Right(1 << 14, "CAP_IPC_LOCK");
/// CAP_BPF does not do: libxdp asks for its program by id, and BPF_PROG_GET_FD_BY_ID (bpf(2)) is refused to
/// all others.
const SYS_ADMIN: Right = Right(1 << 21, "CAP_SYS_ADMIN");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_needs_its_own() {
        let rights = Rights::parse("Name:\tx\nCapEff:\t0000000000001000\n");
        assert!(!rights.may_lock_memory() && Rights::ALL.may_lock_memory());
        assert_eq!(rights.lacking(DeviceKind::Tap), None);
        assert_eq!(rights.lacking(DeviceKind::Memif), None);
        assert_eq!(
            rights.lacking(DeviceKind::AfXdp).as_deref(),
            Some("this process may not: it lacks CAP_NET_RAW, CAP_SYS_ADMIN (run it as root)")
        );
        let with_bpf = Rights::parse("CapEff:\t0000008000003000\n");
        assert_eq!(
            with_bpf.lacking(DeviceKind::AfXdp).as_deref(),
            Some("this process may not: it lacks CAP_SYS_ADMIN (run it as root)")
        );
        assert_eq!(Rights::parse("").lacking(DeviceKind::AfXdp), None, "nothing is known");
    }
}
