//! The hugepages that the control groups of this process allow it.
//!
//! The kernel charges a hugepage to its group when it is first touched, so that a pool of free pages says
//! nothing about them.

use crate::host::Host;

/// The limit of one group, and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HugepageLimit {
    /// The file that it stands in, from the root.
    file: String,
    /// Bytes of a page.
    page: u64,
    /// Bytes that the group may have.
    max: u64,
    /// Bytes that it has.
    used: u64,
}

impl HugepageLimit {
    /// The one that leaves least for pages of `page` bytes, of this process's group and those above it.
    /// `None`: nothing limits them.
    pub(crate) fn tightest(host: &Host, page: u64) -> Option<Self> {
        let read = |path| host.text(path).ok().flatten().unwrap_or_default();
        let (mounts, groups) = (read("proc/self/mountinfo"), read("proc/self/cgroup"));
        let limits = mounts.lines().filter_map(|line| Hierarchy::parse(line, &groups));
        let limits = limits.flat_map(|hierarchy| hierarchy.limits(host, page));
        limits.min_by_key(Self::left)
    }

    /// Pages that the group may take beside those it has.
    pub(crate) fn left(&self) -> u64 {
        self.max.saturating_sub(self.used) / self.page.max(1)
    }

    /// How much, and by which file.
    pub(crate) fn found(&self) -> String {
        let Self { file, max, .. } = self;
        format!("the control group of this process may take {} more ({file}: {max})", self.left())
    }

    /// What to do to have `pages` more.
    pub(crate) fn fix(&self, pages: u64) -> String {
        let wanted = self.used + pages * self.page;
        let unit = match self.page >> 20 {
            mib @ 0..1024 => format!("{mib}Mi"),
            mib => format!("{}Gi", mib >> 10),
        };
        format!(
            "echo {wanted} >{}; in Kubernetes, resources.limits has hugepages-{unit}",
            self.file
        )
    }
}

/// A mounted hierarchy of groups that limits hugepages, and where this process is in it.
struct Hierarchy<'a> {
    mount: &'a str,
    /// Below `mount`: empty, or from a `/` on.
    group: &'a str,
    /// How the files of limit and use end.
    files: (&'static str, &'static str),
}

impl<'a> Hierarchy<'a> {
    /// Of a line of `mountinfo` and the text of `cgroup` (proc(5), cgroups(7)).
    fn parse(line: &'a str, groups: &'a str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, mount) = (mount.next()?, mount.next()?);
        let mut system = system.split(' ');
        let (kind, options) = (system.next()?, system.nth(1)?);
        let has_hugetlb = |list: &str| list.split(',').any(|word| word == "hugetlb");
        let (is_it, files): (fn(&str) -> bool, _) = match kind {
            "cgroup2" => (str::is_empty, ("max", "current")),
            "cgroup" if has_hugetlb(options) => (
                |list| list.split(',').any(|word| word == "hugetlb"),
                ("limit_in_bytes", "usage_in_bytes"),
            ),
            _ => return None,
        };
        let of_process = groups.lines().find_map(|line| {
            let (list, path) = line.split_once(':')?.1.split_once(':')?;
            is_it(list).then_some(path)
        });
        // What is mounted may be the group itself, as in a container.
        let group = of_process.unwrap_or_default();
        let group = group.strip_prefix(root.trim_end_matches('/')).unwrap_or_default();
        Some(Self { mount, group: group.trim_end_matches('/'), files })
    }

    /// The limits of the group and of all above it.
    fn limits(&self, host: &Host, page: u64) -> Vec<HugepageLimit> {
        let ends = self.group.match_indices('/').map(|(at, _)| at).chain([self.group.len()]);
        let directories = ends.map(|end| format!("{}{}", self.mount, &self.group[..end]));
        let (max, used) = self.files;
        let mut limits = Vec::new();
        for directory in directories {
            // What is reserved is limited apart from what is used.
            for kind in ["", "rsvd."] {
                let stem = format!("{directory}/hugetlb.{}.{kind}", size(page));
                let number =
                    |file: &str| host.number(&format!("{}{file}", stem.trim_start_matches('/')));
                let Some(limit) = number(max).filter(|max| *max < UNLIMITED) else { continue };
                limits.push(HugepageLimit {
                    file: format!("{stem}{max}"),
                    page,
                    max: limit,
                    used: number(used).unwrap_or(0),
                });
            }
        }
        limits
    }
}

/// A size as the names of these files have it.
fn size(page: u64) -> String {
    match page {
        0..0x10_0000 => format!("{}KB", page >> 10),
        0x10_0000..0x4000_0000 => format!("{}MB", page >> 20),
        _ => format!("{}GB", page >> 30),
    }
}

/// Version 1 has a number where nothing is limited, just below two to the 63rd.
const UNLIMITED: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::captured::Captured;

    const PAGE: u64 = 2 << 20;

    fn unified(root: &str, group: &str) -> Captured {
        Captured::new()
            .file("proc/self/cgroup", &format!("4:memory:/elsewhere\n0::{group}\n"))
            .file(
                "proc/self/mountinfo",
                &format!(
                    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                     41 31 0:38 {root} /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
                ),
            )
    }

    fn left(captured: &Captured) -> Option<u64> {
        HugepageLimit::tightest(&captured.host(), PAGE).map(|limit| limit.left())
    }

    #[test]
    fn the_group_or_one_above_it_limits() {
        let group = "sys/fs/cgroup/a/b";
        let captured = unified("/", "/a/b")
            .file(&format!("{group}/hugetlb.2MB.max"), "41943040\n")
            .file(&format!("{group}/hugetlb.2MB.current"), "4194304\n")
            .file(&format!("{group}/hugetlb.2MB.rsvd.max"), "max\n")
            .file(&format!("{group}/hugetlb.1GB.max"), "0\n");
        assert_eq!(left(&captured), Some(18));
        let captured = captured
            .file("sys/fs/cgroup/a/hugetlb.2MB.max", "20971520\n")
            .file("sys/fs/cgroup/a/hugetlb.2MB.current", "6291456\n");
        let limit = HugepageLimit::tightest(&captured.host(), PAGE).expect("is limited");
        assert_eq!(
            (limit.found(), limit.fix(100)),
            (
                "the control group of this process may take 7 more \
                 (/sys/fs/cgroup/a/hugetlb.2MB.max: 20971520)"
                    .to_owned(),
                "echo 216006656 >/sys/fs/cgroup/a/hugetlb.2MB.max; in Kubernetes, resources.limits \
                 has hugepages-2Mi"
                    .to_owned()
            )
        );
        let captured = captured.file(&format!("{group}/hugetlb.2MB.rsvd.max"), "2097152\n");
        assert_eq!(left(&captured), Some(1), "what is reserved has a limit of its own");
    }

    #[test]
    fn a_container_sees_its_group_as_the_root() {
        for (root, group) in [("/", "/"), ("/docker/1", "/docker/1"), ("/../..", "/")] {
            let captured = unified(root, group).file("sys/fs/cgroup/hugetlb.2MB.max", "2097152\n");
            assert_eq!(left(&captured), Some(1), "{root} {group}");
        }
    }

    #[test]
    fn version_1_has_other_names() {
        let captured = Captured::new()
            .file("proc/self/cgroup", "7:cpu,hugetlb:/x\n0::/\n")
            .file(
                "proc/self/mountinfo",
                "40 31 0:37 / /sys/fs/cgroup/hugetlb rw - cgroup cgroup rw,cpu,hugetlb\n",
            )
            .file("sys/fs/cgroup/hugetlb/hugetlb.2MB.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(left(&captured), None);
        let captured = captured
            .file("sys/fs/cgroup/hugetlb/x/hugetlb.2MB.limit_in_bytes", "4194304\n")
            .file("sys/fs/cgroup/hugetlb/x/hugetlb.2MB.usage_in_bytes", "4194304\n");
        assert_eq!(left(&captured), Some(0));
    }

    #[test]
    fn a_machine_without_groups_limits_nothing() {
        assert_eq!(left(&Captured::new()), None);
        assert_eq!(left(&unified("/", "/a")), None);
    }

    #[test]
    fn sizes_are_named_as_the_kernel_does() {
        for (page, name) in
            [(64 << 10, "64KB"), (2 << 20, "2MB"), (32 << 20, "32MB"), (1 << 30, "1GB")]
        {
            assert_eq!(size(page), name);
        }
    }
}
