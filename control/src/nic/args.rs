//! The command line of `pollux nic`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::rule::Rule;
use crate::config::parse_time;

/// Commands about NICs.
#[derive(Debug, Subcommand)]
pub(crate) enum NicCommand {
    /// List every PCI NIC: driver, interface, link, NUMA node, IOMMU group, and whether it may be bound
    #[command(after_help = LOOK_HELP)]
    List(LookArgs),
    /// Print which NICs were bound by `pollux nic bind`, and what waits for a confirmation
    #[command(after_help = LOOK_HELP)]
    Status(LookArgs),
    /// Take a NIC from the kernel and give it to vfio-pci; without --yes only say what would be done
    #[command(after_help = BIND_HELP)]
    Bind(BindArgs),
    /// Keep a NIC that was bound with --watchdog
    #[command(after_help = CHANGE_HELP)]
    Confirm(PortArgs),
    /// Give a NIC back to the kernel, with the name, addresses and settings that it had
    #[command(after_help = UNBIND_HELP)]
    Unbind(PortArgs),
    /// Unbind a NIC at a deadline unless it is confirmed; `bind --watchdog` starts this
    #[command(hide = true)]
    Watchdog(WatchdogArgs),
}

/// Where records are.
#[derive(Clone, Debug, Args)]
pub(crate) struct StateArgs {
    /// Directory with a record of each NIC that is bound
    #[arg(long, value_name = "DIR", default_value = "/var/lib/pollux/nic")]
    pub(crate) state: PathBuf,
}

/// What `list` and `status` take.
#[derive(Debug, Args)]
pub(crate) struct LookArgs {
    /// The records.
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `confirm` and `unbind` take.
#[derive(Debug, Args)]
pub(crate) struct PortArgs {
    /// PCI address, such as 0000:01:00.0 or 01:00.0, or the name of its interface, also of a bound one
    pub(crate) port: String,
    /// The records.
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// What `bind` takes.
#[derive(Debug, Args)]
pub(crate) struct BindArgs {
    /// The port.
    #[command(flatten)]
    pub(crate) port: PortArgs,
    /// Do it
    #[arg(long)]
    pub(crate) yes: bool,
    /// Override one rule that refuses, by its name; may be repeated
    #[arg(long, value_name = "RULE", value_parser = Rule::parse)]
    pub(crate) force: Vec<Rule>,
    /// Bind although no IOMMU keeps the NIC from writing to any memory of this machine
    #[arg(long)]
    pub(crate) unsafe_noiommu: bool,
    /// Unbind again after this time, such as 60s, unless `pollux nic confirm` comes first
    #[arg(long, value_name = "TIME", value_parser = watchdog_time)]
    pub(crate) watchdog: Option<Duration>,
}

/// What the watchdog takes.
#[derive(Debug, Args)]
pub(crate) struct WatchdogArgs {
    /// PCI address
    pub(crate) address: String,
    /// The records.
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Which watchdog of the record this is
    #[arg(long)]
    pub(crate) token: u64,
    /// After how many seconds
    #[arg(long)]
    pub(crate) seconds: u64,
}

fn watchdog_time(text: &str) -> Result<Duration, String> {
    let time = parse_time(text).map_err(|expected| format!("expected {}", expected.0))?;
    if (WATCHDOG_MIN..=WATCHDOG_MAX).contains(&time) {
        Ok(time)
    } else {
        Err("expected a time from 1s to 24h".into())
    }
}

const WATCHDOG_MIN: Duration = Duration::from_secs(1);
const WATCHDOG_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const LOOK_HELP: &str = "\
Availability: free (no driver has it), safe to bind, in use (and why), bound by pollux, bound (by another
tool), stays on its kernel driver (mlx4 and mlx5: DPDK's driver works beside the kernel's). Run it as
root: nobody else sees what other network namespaces hold.

Exit codes:
  0  done
  1  this machine cannot be read; the last line on standard error says why
  2  the command line is wrong";

const BIND_HELP: &str = "\
Refused, unless --force names the rule:
  default-route  a default route (IPv4 or IPv6, any table) leads over it
  ssh-session    an SSH session comes in over it
  address        it has an address other than IPv6 link-local, or is in another namespace
  upper-device   a bond, team, bridge, VLAN, macvlan, ipvlan or Open vSwitch is above it
  network-root   the root file system is reached over it
  only-carrier   no other NIC has a carrier
  iommu-group    a device that a driver of the kernel uses shares its IOMMU group

What the NIC was is recorded before it is touched. Over SSH, bind with --watchdog 60s, look whether the
machine still answers, and confirm.

Exit codes:
  0  bound, or without --yes: said what would be done
  1  refused, or a step failed and the NIC was given back; standard error says why
  2  the command line is wrong, or there is no such NIC";

const UNBIND_HELP: &str = "\
The override is cleared, the kernel probes, its driver and interface are waited for, and name, hardware
address, MTU, addresses, state and routes are put back. May be repeated, works after a crash, and without
a record: then the kernel has the NIC again as after a start of the machine.

Exit codes:
  0  the NIC is the kernel's
  1  a process holds the NIC, or a step failed; standard error says why
  2  the command line is wrong, or there is no such NIC";

const CHANGE_HELP: &str = "\
Exit codes:
  0  done
  1  the NIC is not bound by pollux; its watchdog may have taken it back
  2  the command line is wrong, or there is no such NIC";
