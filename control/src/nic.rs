//! `pollux nic`: gives a NIC to vfio-pci, and back to the kernel.
//!
//! A [`snapshot`] of the machine is captured ([`capture`]); [`decide`] makes a plan or refusals of it; the
//! NIC is described in a [`record`] before [`bind`] touches it; [`unbind`] and [`restore`] put back what
//! was there. Everything works on a [`machine`], which tests make up.

mod args;
mod bind;
mod capture;
mod decide;
mod error;
mod holders;
mod machine;
mod namespaces;
mod netlink;
mod network;
pub(crate) mod pci;
mod ports;
mod record;
mod report;
mod restore;
mod rule;
mod snapshot;
mod sysfs;
#[cfg(test)]
mod testkit;
mod unbind;
mod watchdog;

pub(crate) use self::args::NicCommand;
use self::args::{BindArgs, LookArgs, PortArgs};
use self::decide::{Allowed, Plan, Refused};
pub(crate) use self::error::NicError;
use self::machine::{Machine, ThisMachine};
use self::ports::Port;
use self::record::{Record, Store, WatchdogRecord};
use self::snapshot::{PciDevice, Snapshot};
use crate::failure::Failure;
use crate::logs;
use crate::output::print;

/// Carries out a command.
///
/// # Errors
/// It was refused or failed, or standard output is closed.
pub(crate) fn nic(command: NicCommand) -> Result<(), Failure> {
    let machine = ThisMachine::new();
    match command {
        NicCommand::List(args) => list(&machine, &args),
        NicCommand::Status(args) => status(&machine, &args),
        NicCommand::Bind(args) => bind_port(&machine, &args),
        NicCommand::Confirm(args) => confirm(&machine, &args),
        NicCommand::Unbind(args) => unbind_port(&machine, &args),
        NicCommand::Watchdog(args) => watchdog::run(&machine, &args).map_err(Failure::from),
    }
}

fn list(machine: &impl Machine, args: &LookArgs) -> Result<(), Failure> {
    let snapshot = machine.snapshot(&Store::new(&args.state.state))?;
    if !namespaces::may_enter_others() {
        logs::before_it_is_open(
            "only root sees what other network namespaces hold: an assessment may be too good",
        );
    }
    if args.json {
        print(&format!("{}\n", report::list_json(&snapshot)))
    } else {
        print(&report::list_text(&snapshot))
    }
}

fn status(machine: &impl Machine, args: &LookArgs) -> Result<(), Failure> {
    let records = report::records(machine, &Store::new(&args.state.state))?;
    if args.json {
        print(&format!("{}\n", report::status_json(&records)))
    } else {
        print(&report::status_text(&records))
    }
}

fn bind_port(machine: &impl Machine, args: &BindArgs) -> Result<(), Failure> {
    let store = Store::new(&args.port.state.state);
    if !args.yes {
        let snapshot = machine.snapshot(&store)?;
        let device = find(&snapshot, &store, &args.port.port)?;
        let text = match plan(&snapshot, &device, args)? {
            Some(plan) => {
                format!("{}nothing was done: add --yes\n", report::plan_text(&plan))
            }
            None => already_text(&device, args),
        };
        return print(&text);
    }
    require_root("nic bind")?;
    let _lock = store.lock()?;
    let snapshot = machine.snapshot(&store)?;
    let device = find(&snapshot, &store, &args.port.port)?;
    let Some(plan) = plan(&snapshot, &device, args)? else {
        return print(&already_text(&device, args));
    };
    let boot_id = machine.boot_id();
    if let Some(left) = store.read(&device.address)?
        && left.boot_id == boot_id
    {
        let ago = machine.now().saturating_sub(left.written);
        return Err(NicError::Unfinished {
            address: device.address,
            since: format!("{ago} s ago"),
        }
        .into());
    }
    print(&report::plan_text(&plan))?;
    let mut record = Record::of(&snapshot, &device, &boot_id, machine.now());
    if plan.noiommu {
        // Where vfio is not loaded yet, it will begin with `N`.
        let before = sysfs::noiommu_mode(machine).unwrap_or_else(|| "N".into());
        record.noiommu_before = (before != "Y").then_some(before);
    }
    // The session that this came over may be lost half-way.
    watchdog::block_signals().map_err(|error| NicError::Step {
        address: plan.address.clone(),
        step: "blocking signals".into(),
        why: error.to_string(),
    })?;
    arm(machine, &store, &mut record, args)?;
    bind::bind(machine, &store, &mut record, &plan)?;
    print(&bound_text(&record, args))
}

/// Writes the record, and starts a watchdog if one is wanted.
fn arm(
    machine: &impl Machine,
    store: &Store,
    record: &mut Record,
    args: &BindArgs,
) -> Result<(), NicError> {
    let Some(time) = args.watchdog else { return store.write(record) };
    let token = fastrand::u64(..);
    let deadline = machine.now() + time.as_secs();
    record.watchdog = Some(WatchdogRecord { token, pid: 0, deadline });
    store.write(record)?;
    match watchdog::start(store, &record.address, token, time) {
        Ok(pid) => {
            record.watchdog = Some(WatchdogRecord { token, pid, deadline });
            store.write(record)
        }
        Err(error) => {
            store.remove(&record.address)?;
            Err(error)
        }
    }
}

fn bound_text(record: &Record, args: &BindArgs) -> String {
    let address = &record.address;
    let mut text = format!("{address} is bound to vfio-pci: serve with --link pci:{address}\n");
    if let Some(time) = args.watchdog {
        text += &format!(
            "it is taken back in {} s unless `pollux nic confirm {address}` comes first\n",
            time.as_secs()
        );
    }
    text
}

fn already_text(device: &PciDevice, args: &BindArgs) -> String {
    let driver = device.driver.as_deref().unwrap_or_default();
    let mut text = format!("{} is on {driver} already: nothing to do\n", device.address);
    if args.watchdog.is_some() {
        text += "no watchdog was started: one takes back only what its own command has bound\n";
    }
    text
}

/// What is to be done; `None` if the NIC is bound already.
fn plan(
    snapshot: &Snapshot,
    device: &PciDevice,
    args: &BindArgs,
) -> Result<Option<Plan>, NicError> {
    let allowed = Allowed { force: args.force.clone(), unsafe_noiommu: args.unsafe_noiommu };
    let address = device.address.clone();
    match decide::decide(snapshot, device, &allowed) {
        Ok(plan) => Ok(Some(plan)),
        Err(Refused::AlreadyBound(_)) => Ok(None),
        Err(Refused::Shared(driver)) => Err(NicError::Shared { address, driver }),
        Err(Refused::NoIommu) => Err(NicError::NoIommu { address }),
        Err(Refused::Rules(refusals)) => {
            let reasons: Vec<_> = refusals
                .iter()
                .map(|refusal| format!("{} ({})", refusal.why, refusal.rule.name()))
                .collect();
            let mut rules: Vec<_> =
                refusals.iter().map(|refusal| format!("--force {}", refusal.rule.name())).collect();
            rules.dedup();
            Err(NicError::Refused { address, reasons: reasons.join("; "), fix: rules.join(" ") })
        }
    }
}

fn confirm(machine: &impl Machine, args: &PortArgs) -> Result<(), Failure> {
    require_root("nic confirm")?;
    let store = Store::new(&args.state.state);
    let _lock = store.lock()?;
    let snapshot = machine.snapshot(&store)?;
    let address = address_of(&snapshot, &store, &args.port)?;
    let record = store.read(&address)?.filter(|record| record.boot_id == machine.boot_id());
    let Some(mut record) = record else {
        return Err(NicError::NothingToConfirm { port: args.port.clone() }.into());
    };
    if record.watchdog.take().is_none() {
        return print(&format!("{address} stays bound; no watchdog was waiting\n"));
    }
    store.write(&record)?;
    print(&format!("{address} stays bound\n"))
}

fn unbind_port(machine: &impl Machine, args: &PortArgs) -> Result<(), Failure> {
    require_root("nic unbind")?;
    let store = Store::new(&args.state.state);
    let _lock = store.lock()?;
    let snapshot = machine.snapshot(&store)?;
    let address = address_of(&snapshot, &store, &args.port)?;
    let mut text = String::new();
    let record = match store.read(&address) {
        Ok(record) => record,
        Err(error @ NicError::Damaged { .. }) => {
            let aside = store.set_aside(&address)?;
            text += &format!("{error}: it is {} now\n", aside.display());
            None
        }
        Err(error) => return Err(error.into()),
    };
    let record = match record {
        Some(record) if record.boot_id != machine.boot_id() => {
            text += &format!("{address}: its record is from an earlier start and tells nothing\n");
            None
        }
        record => record,
    };
    let Some(device) = snapshot.devices.iter().find(|device| device.address == address) else {
        store.remove(&address)?;
        return print(&format!("{text}{address}: is no longer there; its record is removed\n"));
    };
    if !device.is_nic() {
        return Err(NicError::NotANic { address, class: device.class }.into());
    }
    watchdog::block_signals().map_err(|error| NicError::Step {
        address: address.clone(),
        step: "blocking signals".into(),
        why: error.to_string(),
    })?;
    for line in unbind::give_back(machine, &store, &address, record.as_ref())? {
        text += &format!("{line}\n");
    }
    print(&text)
}

/// The NIC that the operator names.
fn find(snapshot: &Snapshot, store: &Store, port: &str) -> Result<PciDevice, NicError> {
    let address = address_of(snapshot, store, port)?;
    let device = snapshot.devices.iter().find(|device| device.address == address);
    match device {
        Some(device) if device.is_nic() => Ok(device.clone()),
        Some(device) => Err(NicError::NotANic { address, class: device.class }),
        None => Err(NicError::UnknownPort { port: port.to_owned() }),
    }
}

/// The PCI address of what the operator names: an address, an interface, or one that a record has.
fn address_of(snapshot: &Snapshot, store: &Store, port: &str) -> Result<String, NicError> {
    let unknown = || NicError::UnknownPort { port: port.to_owned() };
    if let Some(address) = pci::full_address(port) {
        let known = snapshot.devices.iter().any(|device| device.address == address)
            || snapshot.recorded.contains(&address);
        return if known { Ok(address) } else { Err(unknown()) };
    }
    for device in snapshot.devices.iter().filter(|device| device.is_nic()) {
        if Port::new(snapshot, device).own().any(|(_, link)| link.name == port) {
            return Ok(device.address.clone());
        }
    }
    for address in &snapshot.recorded {
        // A damaged record names no interface.
        let record = store.read(address).ok().flatten();
        if record.is_some_and(|record| record.has_interface(port)) {
            return Ok(address.clone());
        }
    }
    let links = snapshot.namespaces.iter().flat_map(|namespace| &namespace.links);
    if links.into_iter().any(|link| link.name == port) {
        return Err(NicError::NotPci { port: port.to_owned() });
    }
    Err(unknown())
}

fn require_root(command: &'static str) -> Result<(), NicError> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(NicError::NotRoot { command }) }
}
