//! The workers' cores: kept free of other work, at full speed, not sharing a physical core, and near the
//! NIC.

use super::report::{Check, Finding};
use crate::cores::{list, named_by, parse_list};
use crate::host::Host;

/// Cores of one NUMA node.
pub(super) struct NodeCores {
    /// The node.
    pub(super) node: u32,
    /// Its cores, ascending.
    pub(super) cores: Vec<usize>,
}

impl NodeCores {
    /// Nodes that have cores; none where the kernel does not tell.
    pub(super) fn read(host: &Host) -> Vec<Self> {
        let of = |name: &String| {
            let node = name.strip_prefix("node")?.parse().ok()?;
            let text = host.text(&format!("sys/devices/system/node/{name}/cpulist")).ok()??;
            Some(Self { node, cores: parse_list(&text)? })
        };
        let mut nodes: Vec<_> =
            host.names("sys/devices/system/node").iter().filter_map(of).collect();
        nodes.sort_by_key(|node| node.node);
        nodes
    }
}

/// Assesses all but nearness.
pub(super) fn examine(host: &Host, workers: &[usize]) -> Vec<Finding> {
    let mut findings = isolation(host, workers);
    findings.push(governor(host, workers));
    findings.push(siblings(host, workers));
    findings
}

/// Whether the scheduler, the timer and RCU callbacks keep off the workers' cores.
fn isolation(host: &Host, workers: &[usize]) -> Vec<Finding> {
    let arguments = host.text("proc/cmdline").ok().flatten().unwrap_or_default();
    let nohz_full = "sys/devices/system/cpu/nohz_full";
    let kinds = [
        (Check::IsolatedCores, "isolcpus", host.text("sys/devices/system/cpu/isolated")),
        (Check::TicklessCores, "nohz_full", host.text(nohz_full)),
        (Check::RcuCores, "rcu_nocbs", Ok(None)),
    ];
    let assess = |(check, option, cores): (Check, &str, Result<Option<String>, String>)| {
        let said = match cores {
            Ok(text) => text.unwrap_or_default(),
            Err(why) => return Finding::unknown(check, why),
        };
        let mut set = parse_list(&said).unwrap_or_default();
        set.extend(named_by(&arguments, option));
        if check == Check::RcuCores {
            // nohz_full moves the callbacks of its cores as well.
            set.extend(named_by(&arguments, "nohz_full"));
        }
        let missing: Vec<usize> =
            workers.iter().copied().filter(|core| !set.contains(core)).collect();
        if missing.is_empty() {
            return Finding::ok(check, format!("{option} has worker cores {}", list(workers)));
        }
        let found = format!("{option} lacks worker cores {}", list(&missing));
        let all = list(workers);
        let fix =
            format!("add {option}={all} to the kernel's command line and restart the machine");
        Finding::warn(check, found, fix)
    };
    kinds.into_iter().map(assess).collect()
}

fn governor(host: &Host, workers: &[usize]) -> Finding {
    let mut slow = Vec::new();
    let mut known = 0;
    for core in workers {
        let file = format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
        match host.text(&file) {
            Ok(Some(governor)) if governor == "performance" => known += 1,
            Ok(Some(governor)) => slow.push((core, governor)),
            Ok(None) => {}
            Err(why) => return Finding::unknown(Check::Governor, why),
        }
    }
    if slow.is_empty() {
        let found = if known == 0 {
            "this machine does not let the kernel choose its frequency"
        } else {
            "performance on all worker cores"
        };
        return Finding::ok(Check::Governor, found);
    }
    let spelled = slow.iter().map(|(core, governor)| format!("core {core} is on {governor}"));
    let found = spelled.collect::<Vec<_>>().join(", ");
    let fix = format!("pollux tune apply --cores {} --yes", list(workers));
    Finding::warn(Check::Governor, found, fix)
}

fn siblings(host: &Host, workers: &[usize]) -> Finding {
    let siblings = |core: usize| {
        let file = format!("sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
        let text = host.text(&file).ok().flatten().unwrap_or_default();
        parse_list(&text).unwrap_or_default()
    };
    let (mut apart, mut shared) = (Vec::new(), Vec::new());
    for &core in workers {
        let siblings = siblings(core);
        match apart.iter().find(|other| siblings.contains(other)) {
            Some(other) => shared.push(format!("workers {other} and {core} share a physical core")),
            None => apart.push(core),
        }
    }
    if shared.is_empty() {
        return Finding::ok(Check::Smt, "no two workers share a physical core");
    }
    let fix = format!("--cores {}, or others on physical cores of their own", list(&apart));
    Finding::warn(Check::Smt, shared.join(", "), fix)
}

/// Assesses the way from the workers to the device whose directory below `/sys` is `device`.
pub(super) fn nearness(host: &Host, workers: &[usize], device: &str) -> Finding {
    let check = Check::Numa;
    let nodes = NodeCores::read(host);
    let node = host.text(&format!("{device}/numa_node")).ok().flatten();
    let node: Option<u32> = node.and_then(|node| node.parse().ok());
    let Some(node) = node.filter(|_| nodes.len() > 1) else {
        return Finding::ok(check, "the link belongs to no node, or there is only one");
    };
    let local = nodes.iter().find(|cores| cores.node == node);
    let local = local.map(|cores| cores.cores.clone()).unwrap_or_default();
    let remote: Vec<usize> = workers.iter().copied().filter(|core| !local.contains(core)).collect();
    if remote.is_empty() {
        return Finding::ok(check, "workers are on the node of the NIC").on_node(Some(node));
    }
    let mut better: Vec<usize> = local.iter().rev().take(workers.len()).copied().collect();
    better.sort_unstable();
    let found = format!("the NIC is on this node, worker cores {} are not", list(&remote));
    Finding::warn(check, found, format!("--cores {}", list(&better))).on_node(Some(node))
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::super::report::expect_one;
    use super::*;
    use crate::host::captured::Captured;

    const CPU: &str = "sys/devices/system/cpu";

    fn two_nodes() -> Captured {
        Captured::new()
            .file("sys/devices/system/node/node0/cpulist", "0-1\n")
            .file("sys/devices/system/node/node1/cpulist", "2-3\n")
            .file("sys/devices/system/node/possible", "0-1\n")
    }

    #[test]
    fn isolated_cores_are_ok_and_others_name_the_argument() {
        let captured = Captured::new()
            .file(&format!("{CPU}/isolated"), "1-2\n")
            .file("proc/cmdline", "quiet nohz_full=1 isolcpus=managed_irq,domain,1-2\n");
        let findings = isolation(&captured.host(), &[1, 2]);
        let states: Vec<_> = findings.iter().map(|finding| finding.state).collect();
        assert_eq!(states, [State::Ok, State::Warn, State::Warn]);
        assert_eq!(findings[1].found, "nohz_full lacks worker cores 2");
        let fix = "add nohz_full=1,2 to the kernel's command line and restart the machine";
        assert_eq!(findings[1].fix.as_deref(), Some(fix));
        assert_eq!(findings[2].found, "rcu_nocbs lacks worker cores 2", "nohz_full implies core 1");
    }

    #[test]
    fn odd_lists_are_empty_lists() {
        let captured = Captured::new()
            .file(&format!("{CPU}/isolated"), "(null)")
            .file(&format!("{CPU}/nohz_full"), "  (null)\n")
            .file("proc/cmdline", "rcu_nocbs=all isolcpus= nohz_full=9999999999999999");
        let findings = isolation(&captured.host(), &[0]);
        assert!(findings.iter().all(|finding| finding.state == State::Warn), "{findings:#?}");
    }

    #[test]
    fn powersave_is_named_with_its_core() {
        let file = format!("{CPU}/cpu1/cpufreq/scaling_governor");
        let captured = Captured::new().file(&file, "powersave\n");
        let fix = "pollux tune apply --cores 0,1 --yes";
        let findings = [governor(&captured.host(), &[0, 1])];
        expect_one(&findings, State::Warn, &["core 1 is on powersave"], Some(fix));
        let captured = Captured::new().file(&file, "performance\n");
        expect_one(&[governor(&captured.host(), &[1])], State::Ok, &["performance"], None);
        let captured = Captured::new().folder(&file);
        expect_one(&[governor(&captured.host(), &[1])], State::Warn, &["unknown: "], None);
    }

    #[test]
    fn two_workers_on_one_physical_core_are_told() {
        let captured = Captured::new()
            .file(&format!("{CPU}/cpu1/topology/thread_siblings_list"), "1,3\n")
            .file(&format!("{CPU}/cpu3/topology/thread_siblings_list"), "1,3\n");
        let findings = [siblings(&captured.host(), &[1, 2, 3])];
        let fix = "--cores 1,2, or others on physical cores of their own";
        expect_one(&findings, State::Warn, &["workers 1 and 3 share"], Some(fix));
        expect_one(&[siblings(&captured.host(), &[1, 2])], State::Ok, &[], None);
    }

    #[test]
    fn workers_belong_on_the_node_of_the_nic() {
        let captured = two_nodes().file("sys/class/net/eth1/device/numa_node", "1\n");
        let remote = nearness(&captured.host(), &[1], "sys/class/net/eth1/device");
        assert_eq!(remote.node, Some(1));
        expect_one(&[remote], State::Warn, &["worker cores 1 are not"], Some("--cores 3"));
        let local = nearness(&captured.host(), &[2, 3], "sys/class/net/eth1/device");
        expect_one(&[local], State::Ok, &[], None);
        let captured = two_nodes().file("sys/class/net/eth1/device/numa_node", "-1\n");
        let none = nearness(&captured.host(), &[1], "sys/class/net/eth1/device");
        expect_one(&[none], State::Ok, &["no node"], None);
    }
}
