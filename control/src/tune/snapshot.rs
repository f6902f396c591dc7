//! What the machine is set to now, as far as `pollux tune` reads it.

use super::cpus::Format;
use super::error::TuneError;
use super::machine::Machine;
use crate::cores::parse_list;

/// A value that a file of the kernel has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// The setting's name.
    pub(super) name: String,
    /// Its file, without the `/` in front.
    pub(super) file: String,
    /// How the value is spelled there.
    pub(super) format: Format,
    /// The value.
    pub(super) text: String,
}

/// The frequency governor of a core.
#[derive(Clone, Debug)]
pub(super) struct Governor {
    /// The core.
    pub(super) core: usize,
    /// The governor it is on.
    pub(super) value: Value,
    /// Those it could be on.
    pub(super) available: Vec<String>,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// CPUs that run, ascending.
    pub(super) online: Vec<usize>,
    /// Governors of all cores that have one.
    pub(super) governors: Vec<Governor>,
    /// Where interrupts may go, those of new ones, and work of unbound workqueues.
    pub(super) affinities: Vec<Value>,
    /// Automatic NUMA balancing, where the kernel has it.
    pub(super) numa_balancing: Option<Value>,
    /// CPUs off the scheduler's domains.
    pub(super) isolated: Vec<usize>,
    /// CPUs without a timer tick.
    pub(super) nohz_full: Vec<usize>,
    /// The kernel's command line.
    pub(super) arguments: String,
    /// Whether irqbalance runs.
    pub(super) irqbalance: bool,
}

impl Snapshot {
    /// Of a machine.
    ///
    /// # Errors
    /// Something that is there cannot be read.
    pub(super) fn read(machine: &Machine) -> Result<Self, TuneError> {
        let list = |file: &str| -> Result<Vec<usize>, TuneError> {
            Ok(machine.text(file)?.and_then(|text| parse_list(&text)).unwrap_or_default())
        };
        let mut affinities = interrupts(machine)?;
        affinities.extend(value(machine, "new irqs", NEW_IRQS, Format::Mask)?);
        affinities.extend(value(machine, "workqueues", WORKQUEUES, Format::Mask)?);
        Ok(Self {
            online: list("sys/devices/system/cpu/online")?,
            governors: governors(machine)?,
            affinities,
            numa_balancing: value(machine, "numa_balancing", NUMA_BALANCING, Format::Word)?,
            isolated: list("sys/devices/system/cpu/isolated")?,
            nohz_full: list("sys/devices/system/cpu/nohz_full")?,
            arguments: machine.text("proc/cmdline")?.unwrap_or_default(),
            irqbalance: runs(machine, "irqbalance")?,
        })
    }
}

fn value(
    machine: &Machine,
    name: &str,
    file: &str,
    format: Format,
) -> Result<Option<Value>, TuneError> {
    let text = machine.text(file)?;
    Ok(text.map(|text| Value { name: name.into(), file: file.into(), format, text }))
}

fn interrupts(machine: &Machine) -> Result<Vec<Value>, TuneError> {
    let mut numbers: Vec<u32> =
        machine.names("proc/irq")?.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    let mut values = Vec::new();
    for number in numbers {
        // Beside its files, an interrupt's directory has one named after each device that uses it.
        let directory = format!("proc/irq/{number}");
        let entries = machine.names(&directory)?;
        let mut devices = entries.iter().filter(|entry| {
            let path = format!("{directory}/{entry}");
            machine.is_directory(&path)
        });
        let name = match devices.next() {
            Some(device) => format!("irq {number} ({device})"),
            None => format!("irq {number}"),
        };
        let file = format!("{directory}/smp_affinity_list");
        values.extend(value(machine, &name, &file, Format::List)?);
    }
    Ok(values)
}

fn governors(machine: &Machine) -> Result<Vec<Governor>, TuneError> {
    let names = machine.names("sys/devices/system/cpu")?;
    let mut cores: Vec<usize> =
        names.iter().filter_map(|name| name.strip_prefix("cpu")?.parse().ok()).collect();
    cores.sort_unstable();
    let mut governors = Vec::new();
    for core in cores {
        let directory = format!("sys/devices/system/cpu/cpu{core}/cpufreq");
        let available = machine.text(&format!("{directory}/scaling_available_governors"))?;
        let available = available.unwrap_or_default();
        let available = available.split_whitespace().map(str::to_owned).collect();
        let file = format!("{directory}/scaling_governor");
        let value = value(machine, &format!("governor of core {core}"), &file, Format::Word)?;
        governors.extend(value.map(|value| Governor { core, value, available }));
    }
    Ok(governors)
}

/// Whether a process of this name runs. One that ends while it is looked at does not.
fn runs(machine: &Machine, name: &str) -> Result<bool, TuneError> {
    let processes = machine.names("proc")?;
    let mut numbers = processes.iter().filter(|name| name.parse::<u32>().is_ok());
    Ok(numbers.any(|process| {
        let comm = machine.text(&format!("proc/{process}/comm"));
        comm.is_ok_and(|comm| comm.as_deref() == Some(name))
    }))
}

const NEW_IRQS: &str = "proc/irq/default_smp_affinity";
const WORKQUEUES: &str = "sys/devices/virtual/workqueue/cpumask";
const NUMA_BALANCING: &str = "proc/sys/kernel/numa_balancing";
