//! `pollux doctor`: why a server does not start here, or is slow. Looks at this machine and changes
//! nothing.
//!
//! Facts are read through a [`Host`]; each check is a function from facts to findings ([`report`]). What
//! cannot be read is a finding as well, never an end.

mod address;
mod cores;
mod data;
mod driver;
mod exception;
mod hugepages;
mod interfaces;
mod leftovers;
mod limits;
mod link;
mod offloads;
mod report;
mod server;
mod xdp;

use std::process::ExitCode;

use dpdk::DeviceKind;

use self::interfaces::Interface;
use self::report::{Check, Finding, Report};
use self::server::Server;
use crate::cli::options::Options;
use crate::config::Plan;
use crate::cores::HostCores;
use crate::failure::Failure;
use crate::host::Host;
use crate::launch::MemoryRequirement;
use crate::link::{HostLinks, Link, devices_for};
use crate::memory::HugepagePool;
use crate::output::print;

/// Examines this machine for the server that `options` describe, and prints the findings.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn doctor(options: &Options, json: bool) -> Result<ExitCode, Failure> {
    let report = examine(&Host::here(), options);
    let text = if json { report.json() } else { report.text() };
    print(&text)?;
    Ok(report.exit_code().into())
}

fn examine(host: &Host, options: &Options) -> Report {
    let mut report = Report::default();
    let plan = read_plan(options, &mut report);
    let kind = plan.as_ref().and_then(|plan| with_plan(host, plan, &mut report));
    report.add([driver::iommu(host, kind)]);
    report.add(leftovers::examine(host));
    report
}

/// The plan, as far as there is one.
fn read_plan(options: &Options, report: &mut Report) -> Option<Plan> {
    let cores = match HostCores::read() {
        Ok(cores) => cores,
        Err(error) => {
            report.add([Finding::unknown(Check::Configuration, format!("the cores: {error}"))]);
            return None;
        }
    };
    match options.config() {
        Ok(config) => {
            let (plan, errors) = Plan::survey(&config, &cores);
            // With the default of a key that is wrong, another server would be examined than is wanted.
            let is_wanted = errors.iter().all(|error| error.keys().next().is_none());
            let origin = config.routes().origin.clone();
            report.add(data::configuration(errors, &origin));
            is_wanted.then_some(plan)
        }
        Err(error) => {
            report.add(data::failures(Check::Configuration, &error.to_string()));
            None
        }
    }
}

/// What depends on the plan. Returns the kind of the link that would be taken.
fn with_plan(host: &Host, plan: &Plan, report: &mut Report) -> Option<DeviceKind> {
    let (data, findings) = data::examine(plan);
    report.add(findings);
    let server = Server::find(host, &plan.admin_directory, &plan.admin_name);
    report.add([server.assess(host, &plan.admin_directory, &plan.admin_name)]);
    let requirement = MemoryRequirement::of(plan, data.store, pool(host));
    report.add(hugepages::examine(host, plan, requirement, &server));
    report.add([limits::open_files(host, plan, data.sqlite_files)]);
    report.add(cores::examine(host, &plan.cores));
    let interfaces = Interface::read(host).unwrap_or_else(|why| {
        let found = format!("unknown: interfaces: {why}");
        report.add([Finding::warn(Check::Link, found, "apt-get install iproute2")]);
        Vec::new()
    });
    let answered = !server.is_live() && address::is_answered(plan, &interfaces);
    report.add([address::examine(plan, &interfaces, &server, answered)]);
    let links = HostLinks::read();
    report.add(exception::examine(host, plan, &interfaces, &links, &server));
    match link::chosen(plan, &links, &server) {
        Ok((link, said)) => {
            report.add(said);
            let checks = LinkChecks { host, plan, interfaces: &interfaces, server: &server };
            report.add(checks.examine(&link, &links, requirement));
            Some(link.device().kind())
        }
        Err(finding) => {
            report.add([finding]);
            None
        }
    }
}

/// What the checks of a link look at.
struct LinkChecks<'a> {
    host: &'a Host,
    plan: &'a Plan,
    interfaces: &'a [Interface],
    server: &'a Server,
}

impl LinkChecks<'_> {
    fn examine(
        &self,
        link: &Link,
        links: &HostLinks,
        requirement: MemoryRequirement,
    ) -> Vec<Finding> {
        let Self { host, plan, .. } = *self;
        let kind = link.device().kind();
        let mut findings = self.interface(link);
        let workers = u16::try_from(plan.cores.len()).unwrap_or(u16::MAX);
        if let Err(mismatch) = devices_for(link, links, workers) {
            let fix = "--cores with as many as there are queues";
            findings.push(Finding::fail(Check::Link, mismatch.to_string(), fix));
        }
        let may_lock = links.rights.may_lock_memory();
        findings.push(limits::memlock(host, requirement, kind, may_lock));
        findings.extend(driver::examine(host, link, links));
        let device = match (kind, link.device().interface()) {
            (DeviceKind::Pci, _) => format!("sys/bus/pci/devices/{}", link.device().name()),
            (_, name) => format!("sys/class/net/{}/device", name.unwrap_or_default()),
        };
        findings.push(cores::nearness(host, &plan.cores, &device));
        findings
    }

    /// What `ip` and `ethtool` tell; nothing where there is no `ip`.
    fn interface(&self, link: &Link) -> Vec<Finding> {
        let Self { host, interfaces, server, .. } = *self;
        if interfaces.is_empty() {
            return Vec::new();
        }
        let name = link.device().interface();
        let ours = interfaces.iter().find(|interface| Some(&*interface.name) == name);
        let peer = ours.and_then(|ours| link::peer(ours, interfaces));
        let ends: Vec<_> = ours.into_iter().chain(peer).collect();
        let mut findings = link::examine(host, link, interfaces, server);
        findings.extend(offloads::examine(host, &ends));
        findings.extend(xdp::examine(host, name, interfaces, server));
        findings
    }
}

fn pool(host: &Host) -> HugepagePool {
    HugepagePool::parse(&host.text("proc/meminfo").ok().flatten().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// A plan with these keys, on a machine of four cores.
    pub(in crate::doctor) fn plan(keys: &[(&str, &str)]) -> Plan {
        let mut config = Config::default();
        for (key, value) in keys {
            config.assign(&format!("{key}={value}")).expect("is a key");
        }
        let cores = HostCores::of(vec![0, 1, 2, 3]).expect("not empty");
        Plan::check(&config, &cores).expect("is a plan")
    }

    #[test]
    fn a_machine_of_which_nothing_is_known_is_examined() {
        let captured = crate::host::captured::Captured::new();
        let mut report = Report::default();
        with_plan(&captured.host(), &plan(&[("link.device", "af_xdp:no-such")]), &mut report);
        report.add(leftovers::examine(&captured.host()));
        assert_eq!(report.exit_code(), 2);
        assert!(report.text().contains("unknown: interfaces: ip is not installed"));
    }
}
