//! Hugepages of each NUMA node against what the plan needs there, and who holds those that are taken.

use super::cores::NodeCores;
use super::report::{Check, Finding};
use super::server::Server;
use crate::config::{Pages, Plan};
use crate::host::{Host, field};
use crate::hugepage_limit::HugepageLimit;
use crate::human;
use crate::launch::MemoryRequirement;
use crate::scripts::Script;

/// Assesses the pool. `requirement` is that of the whole plan, worked out with the pool's page size.
pub(super) fn examine(
    host: &Host,
    plan: &Plan,
    requirement: MemoryRequirement,
    server: &Server,
) -> Vec<Finding> {
    let mut findings = match plan.pages {
        Pages::Ordinary => vec![Finding::ok(CHECK, "not used: memory.pages is \"ordinary\"")],
        Pages::Huge if requirement.pool.page == 0 => {
            let fix = "boot a kernel with CONFIG_HUGETLBFS, or --set memory.pages=ordinary";
            return vec![Finding::fail(CHECK, "this kernel has no hugepages", fix)];
        }
        Pages::Huge => each_node(host, plan, requirement, server),
    };
    findings.extend(limit(host, plan, requirement, server));
    findings.extend(other_sizes(host, requirement.pool.page));
    findings
}

fn each_node(
    host: &Host,
    plan: &Plan,
    requirement: MemoryRequirement,
    server: &Server,
) -> Vec<Finding> {
    let holders = holders(host, requirement.pool.page);
    let held = holders.iter().find(|holder| Some(holder.process) == server.process());
    if let Some(Holder { process, pages }) = held {
        let free = requirement.pool.free;
        let found = format!("{pages} held by the server (process {process}); {free} more are free");
        return vec![Finding::ok(CHECK, found)];
    }
    let nodes = nodes(host, plan, requirement);
    let several = nodes.len() > 1;
    nodes.iter().map(|node| assess(host, node, several, requirement, &holders)).collect()
}

/// The pool of one node, and the workers that use it.
struct Node {
    number: Option<u32>,
    total: u64,
    free: u64,
    reserved: u64,
    workers: u64,
    of: u64,
}

/// Nodes with workers; the machine as a whole where it tells of none.
fn nodes(host: &Host, plan: &Plan, requirement: MemoryRequirement) -> Vec<Node> {
    let of = (plan.cores.len() as u64).max(1);
    let size = requirement.pool.page >> 10;
    let global = format!("sys/kernel/mm/hugepages/hugepages-{size}kB/resv_hugepages");
    let reserved = host.number(&global).unwrap_or(0);
    let mut nodes = Vec::new();
    for NodeCores { node, cores } in NodeCores::read(host) {
        let workers = plan.cores.iter().filter(|core| cores.contains(core)).count() as u64;
        let pool = format!("sys/devices/system/node/node{node}/hugepages/hugepages-{size}kB");
        let count = |name: &str| host.number(&format!("{pool}/{name}_hugepages"));
        if let (1.., Some(total), Some(free)) = (workers, count("nr"), count("free")) {
            nodes.push(Node { number: Some(node), total, free, reserved, workers, of });
        }
    }
    if nodes.iter().map(|node| node.workers).sum::<u64>() != of {
        let pool = requirement.pool;
        return vec![Node {
            number: None,
            total: pool.total,
            free: pool.free + reserved,
            reserved,
            workers: of,
            of,
        }];
    }
    nodes
}

fn assess(
    host: &Host,
    node: &Node,
    several: bool,
    requirement: MemoryRequirement,
    holders: &[Holder],
) -> Finding {
    let Node { number, total, free, reserved, workers, of } = *node;
    let share = |pages: u64| (pages * workers).div_ceil(of);
    let usable = free.saturating_sub(reserved);
    let (wanted, frames) =
        (share(requirement.pages()), share(requirement.pool.pages_for(requirement.frames)));
    let mut found = format!(
        "{total} pages of {}, {free} free, {reserved} reserved; {usable} count and the plan needs \
         {wanted}",
        human::bytes(requirement.pool.page)
    );
    if usable < wanted {
        let names: Vec<_> = holders.iter().map(|holder| holder.spell(host)).collect();
        if !names.is_empty() {
            found.push_str(&format!("; held by {}", names.join(", ")));
        }
    }
    // The script takes the total of what is ours, and keeps a number for each node.
    let pages = ours(host, number) + wanted.saturating_sub(usable);
    let on_node = number.filter(|_| several).map(|node| format!(" --node {node}"));
    let amount = format!("{pages}{}", on_node.unwrap_or_default());
    let script = Script::Hugepages;
    let fix = format!("{script} reserve {amount}; {script} persist {amount} does it at every boot");
    let finding = if usable >= wanted {
        Finding::ok(CHECK, found)
    } else if usable >= frames {
        found.push_str("; the rest would be in ordinary pages");
        Finding::warn(CHECK, found, fix)
    } else {
        Finding::fail(CHECK, found, fix)
    };
    finding.on_node(number)
}

/// What a control group allows, where that is less than a server that is to be started needs. (Where it is
/// started, its group may be another one.)
fn limit(
    host: &Host,
    plan: &Plan,
    requirement: MemoryRequirement,
    server: &Server,
) -> Option<Finding> {
    let limit = HugepageLimit::tightest(host, requirement.pool.page)?;
    let wanted = requirement.pages();
    let is_short = limit.left() < wanted;
    let counts = plan.pages == Pages::Huge && server.process().is_none();
    let found = format!("{}, and the plan needs {wanted}", limit.found());
    (is_short && counts).then(|| Finding::warn(CHECK, found, limit.fix(wanted)))
}

/// Pages of a node that `hugepages.sh` has reserved for Pollux.
fn ours(host: &Host, node: Option<u32>) -> u64 {
    let record = host.text("run/pollux/hugepages/pollux").ok().flatten().unwrap_or_default();
    let boot = host.text("proc/sys/kernel/random/boot_id").ok().flatten().unwrap_or_default();
    if field(&record, "boot ") != Some(&*boot) {
        return 0;
    }
    let pages = record.lines().skip(1).filter_map(|line| {
        let (number, count) = line.split_once(' ')?;
        let count: u64 = count.trim().parse().ok()?;
        let fits = node.is_none_or(|node| number.parse() == Ok(node));
        fits.then_some(count)
    });
    pages.sum()
}

/// A process with hugepages.
struct Holder {
    process: u32,
    pages: u64,
}

impl Holder {
    fn spell(&self, host: &Host) -> String {
        format!("{}: {}", host.spell_process(self.process), self.pages)
    }
}

fn holders(host: &Host, page: u64) -> Vec<Holder> {
    let of = |process: u32| {
        let status = host.text(&format!("proc/{process}/status")).ok()??;
        let kib: u64 = field(&status, "HugetlbPages:")?.strip_suffix("kB")?.trim().parse().ok()?;
        let pages = kib.saturating_mul(1024) / page.max(1);
        (pages > 0).then_some(Holder { process, pages })
    };
    host.processes().into_iter().filter_map(of).collect()
}

/// Pages of other sizes, which a server does not use for its buffers.
fn other_sizes(host: &Host, page: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in host.names("sys/kernel/mm/hugepages") {
        let size = name.strip_prefix("hugepages-").and_then(|size| size.strip_suffix("kB"));
        let Some(size) = size.and_then(|size| size.parse::<u64>().ok()) else { continue };
        let count = |what: &str| {
            host.number(&format!("sys/kernel/mm/hugepages/{name}/{what}_hugepages")).unwrap_or(0)
        };
        let total = count("nr");
        if size << 10 != page && total > 0 {
            let size = human::bytes(size << 10);
            let found = format!("besides, {total} pages of {size}, {} free", count("free"));
            findings.push(Finding::ok(CHECK, found));
        }
    }
    findings
}

const CHECK: Check = Check::Hugepages;

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::super::report::expect_one;
    use super::*;
    use crate::doctor::tests::plan;
    use crate::host::captured::Captured;
    use crate::memory::HugepagePool;

    const NODE0: &str = "sys/devices/system/node/node0";
    const NODE1: &str = "sys/devices/system/node/node1";

    fn pages(captured: Captured, node: &str, total: &str, free: &str) -> Captured {
        let pool = format!("{node}/hugepages/hugepages-2048kB");
        captured
            .file(&format!("{pool}/nr_hugepages"), total)
            .file(&format!("{pool}/free_hugepages"), free)
    }

    /// 10 pages of frames, 90 of buffers.
    fn requirement() -> MemoryRequirement {
        let pool = HugepagePool { page: 2 << 20, total: 0, free: 0 };
        MemoryRequirement {
            mbufs: 8_000,
            frames: 20 << 20,
            buffers: 170 << 20,
            responses: 10 << 20,
            pool,
        }
    }

    fn found(captured: &Captured, cores: &str, server: &Server) -> Vec<Finding> {
        examine(&captured.host(), &plan(&[("cores.workers", cores)]), requirement(), server)
    }

    #[test]
    fn no_page_is_a_failure_with_the_command() {
        let captured =
            pages(Captured::new(), NODE0, "0", "0").file(&format!("{NODE0}/cpulist"), "0-3");
        let findings = found(&captured, "1", &Server::Absent);
        let words = ["0 pages of 2 MiB", "the plan needs 100"];
        expect_one(
            &findings,
            State::Fail,
            &words,
            Some("./hugepages.sh reserve 100; ./hugepages.sh persist 100 does it at every boot"),
        );
        assert_eq!(findings[0].node, Some(0));
    }

    #[test]
    fn what_is_ours_already_is_added_to_what_is_missing() {
        let captured = pages(Captured::new(), NODE0, "64", "40")
            .file(&format!("{NODE0}/cpulist"), "0-3")
            .file("sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "8")
            .file("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "0")
            .file("proc/sys/kernel/random/boot_id", "b1\n")
            .file("run/pollux/hugepages/pollux", "boot b1\n0 50\n")
            .file("proc/77/status", "Name:\tpg\nHugetlbPages:\t   49152 kB\n")
            .file("proc/77/comm", "postgres\n");
        let findings = found(&captured, "1", &Server::Absent);
        let words = ["32 count", "held by postgres (process 77): 24", "ordinary pages"];
        expect_one(
            &findings,
            State::Warn,
            &words,
            Some("./hugepages.sh reserve 118; ./hugepages.sh persist 118 does it at every boot"),
        );
    }

    #[test]
    fn each_node_with_workers_is_judged_alone() {
        let captured =
            pages(Captured::new(), NODE0, "64", "64").file(&format!("{NODE0}/cpulist"), "0-1");
        let captured = pages(captured, NODE1, "0", "0").file(&format!("{NODE1}/cpulist"), "2-3");
        let findings = found(&captured, "1,2", &Server::Absent);
        let states: Vec<_> = findings.iter().map(|f| (f.node, f.state)).collect();
        assert_eq!(states, [(Some(0), State::Ok), (Some(1), State::Fail)]);
        assert_eq!(
            findings[1].fix.as_deref(),
            Some(
                "./hugepages.sh reserve 50 --node 1; ./hugepages.sh persist 50 --node 1 does it at every boot"
            )
        );
    }

    #[test]
    fn a_control_group_that_allows_less_is_named() {
        let captured = pages(Captured::new(), NODE0, "100", "100")
            .file(&format!("{NODE0}/cpulist"), "0-3")
            .file("proc/self/cgroup", "0::/a\n")
            .file("proc/self/mountinfo", "1 1 0:1 / /c rw - cgroup2 cgroup2 rw\n")
            .file("c/a/hugetlb.2MB.max", "20971520\n")
            .file("c/a/hugetlb.2MB.current", "0\n");
        let findings = found(&captured, "1", &Server::Absent);
        assert_eq!(findings[0].state, State::Ok, "{findings:?}");
        expect_one(
            &findings[1..],
            State::Warn,
            &["may take 10 more", "/c/a/hugetlb.2MB.max: 20971520", "the plan needs 100"],
            Some(
                "echo 209715200 >/c/a/hugetlb.2MB.max; in Kubernetes, resources.limits has \
                 hugepages-2Mi",
            ),
        );
        let captured = captured.file("c/a/hugetlb.2MB.max", "max\n");
        assert_eq!(found(&captured, "1", &Server::Absent).len(), 1);
    }

    #[test]
    fn pages_of_the_running_server_are_not_missing() {
        let captured = pages(Captured::new(), NODE0, "100", "0")
            .file(&format!("{NODE0}/cpulist"), "0-3")
            .file("proc/12/status", "HugetlbPages:\t 204800 kB\n");
        let server = Server::Live { process: Some(12) };
        let words = ["100 held by the server (process 12)"];
        expect_one(&found(&captured, "1", &server), State::Ok, &words, None);
    }

    #[test]
    fn odd_files_are_no_pages() {
        let captured = pages(Captured::new(), NODE0, "many", "\u{0}")
            .file(&format!("{NODE0}/cpulist"), "none of yours")
            .file("run/pollux/hugepages/pollux", "\n\n0\nx y\n")
            .file("proc/5/status", "HugetlbPages:\t kB\n")
            .folder("sys/kernel/mm/hugepages/hugepages-bigkB");
        let fix =
            Some("./hugepages.sh reserve 100; ./hugepages.sh persist 100 does it at every boot");
        expect_one(&found(&captured, "1", &Server::Absent), State::Fail, &["needs 100"], fix);
    }
}
