//! What to do where hugepages do not suffice: more in the machine's pool, or a higher limit of the control
//! group.

use std::fmt::{self, Display, Formatter};

use super::memory_requirement::MemoryRequirement;
use crate::host::Host;
use crate::hugepage_limit::HugepageLimit;

/// What a plan needs, and what keeps it from having it.
#[derive(Clone, Debug)]
pub(crate) struct HugepageShortage {
    requirement: MemoryRequirement,
    /// Of a group that is allowed less than what is free.
    limit: Option<HugepageLimit>,
}

impl HugepageShortage {
    /// Of a plan that needs this. Looks at the control groups of this process.
    pub(crate) fn find(requirement: MemoryRequirement) -> Self {
        Self::on(&Host::here(), requirement)
    }

    fn on(host: &Host, requirement: MemoryRequirement) -> Self {
        let pool = requirement.pool;
        let limit = HugepageLimit::tightest(host, pool.page);
        Self { requirement, limit: limit.filter(|limit| limit.left() < requirement.pages()) }
    }

    /// Whether a control group keeps the plan from what it needs.
    pub(crate) fn is_of_group(&self) -> bool {
        self.limit.is_some()
    }
}

impl Display for HugepageShortage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { requirement, limit } = self;
        write!(f, "{requirement}")?;
        match limit {
            Some(limit) => {
                let (found, fix) = (limit.found(), limit.fix(requirement.pages()));
                write!(f, "; but {found}: `{fix}`")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::captured::Captured;
    use crate::memory::HugepagePool;

    #[test]
    fn a_limit_below_the_need_is_named_with_its_fix() {
        let requirement = MemoryRequirement {
            mbufs: 1_000,
            frames: 4 << 20,
            buffers: 2 << 20,
            responses: 2 << 20,
            pool: HugepagePool { page: 2 << 20, total: 64, free: 64 },
        };
        let with = |max: &str| {
            let host = Captured::new()
                .file("proc/self/cgroup", "0::/a\n")
                .file("proc/self/mountinfo", "1 1 0:1 / /c rw - cgroup2 cgroup2 rw\n")
                .file("c/a/hugetlb.2MB.max", max)
                .file("c/a/hugetlb.2MB.current", "2097152\n");
            HugepageShortage::on(&host.host(), requirement)
        };
        assert!(!with("10485760\n").is_of_group());
        assert_eq!(with("max\n").to_string(), requirement.to_string());
        let short = with("8388608\n");
        assert!(short.is_of_group());
        assert_eq!(
            short.to_string(),
            format!(
                "{requirement}; but the control group of this process may take 3 more \
                 (/c/a/hugetlb.2MB.max: 8388608): `echo 10485760 >/c/a/hugetlb.2MB.max; in \
                 Kubernetes, resources.limits has hugepages-2Mi`"
            )
        );
    }
}
