//! What this process takes of the host's memory, and what hugepages there are.

use std::fs;

/// Memory of this process now, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryUse {
    /// Ordinary pages in RAM (`VmRSS`; hugepages are not in it).
    pub(crate) resident: u64,
    /// Hugepages mapped (`HugetlbPages`).
    pub(crate) hugepages: u64,
}

impl MemoryUse {
    /// Asks the kernel. What it does not report counts as zero.
    pub(crate) fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            resident: kibibytes(&status, "VmRSS:"),
            hugepages: kibibytes(&status, "HugetlbPages:"),
        }
    }
}

/// The host's pool of default-sized hugepages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HugepagePool {
    /// Bytes of one page.
    pub(crate) page: u64,
    /// Pages in the pool.
    pub(crate) total: u64,
    /// Pages that nobody has taken or reserved.
    pub(crate) free: u64,
}

impl HugepagePool {
    /// Asks the kernel. What it does not report counts as zero.
    pub(crate) fn read() -> Self {
        Self::parse(&fs::read_to_string("/proc/meminfo").unwrap_or_default())
    }

    /// Of the content of `/proc/meminfo`. What it does not report counts as zero.
    pub(crate) fn parse(meminfo: &str) -> Self {
        let pages = |name| field(meminfo, name).unwrap_or(0);
        Self {
            page: kibibytes(meminfo, "Hugepagesize:"),
            total: pages("HugePages_Total:"),
            free: pages("HugePages_Free:").saturating_sub(pages("HugePages_Rsvd:")),
        }
    }

    /// Pages that `bytes` take.
    pub(crate) fn pages_for(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.page.max(1))
    }
}

fn kibibytes(text: &str, name: &str) -> u64 {
    field(text, name).unwrap_or(0) * 1024
}

fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24684000 kB\n\
                           HugePages_Total:     512\n\
                           HugePages_Free:      300\n\
                           HugePages_Rsvd:       44\n\
                           Hugepagesize:       2048 kB\n";

    #[test]
    fn reserved_pages_are_not_free() {
        let pool = HugepagePool::parse(MEMINFO);
        assert_eq!(pool, HugepagePool { page: 2 << 20, total: 512, free: 256 });
        assert_eq!(pool.pages_for(1), 1);
        assert_eq!(pool.pages_for(4 << 20), 2);
    }

    #[test]
    fn this_process_is_resident() {
        assert!(MemoryUse::read().resident > 1 << 20);
    }
}
