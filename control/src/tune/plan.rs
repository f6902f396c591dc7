//! What is to change, from a snapshot and the dataplane's cores. Pure.

use serde::{Deserialize, Serialize};

use super::cpus::Format;
use super::error::TuneError;
use super::snapshot::{Snapshot, Value};
use crate::cores::{self, list};

/// A value that is to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    /// The setting's name.
    pub(super) setting: String,
    /// Its file, without the `/` in front.
    pub(super) file: String,
    /// How values are spelled there.
    #[serde(alias = "form")]
    pub(super) format: Format,
    /// The value that was found.
    pub(super) found: String,
    /// The value it is to have.
    pub(super) wanted: String,
}

impl Change {
    fn of(value: &Value, wanted: String) -> Self {
        let Value { name, file, format, text } = value.clone();
        Self { setting: name, file, format, found: text, wanted }
    }
}

/// An argument of the kernel's command line that only a restart can change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct BootArgument {
    /// Its name.
    pub(super) argument: &'static str,
    /// Dataplane cores that it does not name.
    pub(super) missing: Vec<usize>,
    /// What to add; empty if nothing is missing.
    pub(super) add: String,
}

/// Changes, what cannot be changed, and what is to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TunePlan {
    /// The dataplane's cores.
    pub(super) cores: Vec<usize>,
    /// The others that are online.
    pub(super) others: Vec<usize>,
    /// In the order in which they are made.
    pub(super) changes: Vec<Change>,
    /// What this machine does not have or is at odds with it.
    pub(super) notes: Vec<String>,
    /// Reported, never changed.
    pub(super) boot: Vec<BootArgument>,
}

impl TunePlan {
    /// For dataplane `cores` (ascending).
    ///
    /// # Errors
    /// They are all the cores that are online.
    pub(super) fn of(snapshot: &Snapshot, cores: &[usize]) -> Result<Self, TuneError> {
        let others: Vec<usize> = without(&snapshot.online, cores);
        if others.is_empty() {
            return Err(TuneError::NoCoreLeft { cores: list(cores) });
        }
        let mut plan = Self {
            cores: cores.to_vec(),
            others,
            changes: Vec::new(),
            notes: Vec::new(),
            boot: boot(snapshot, cores),
        };
        let offline = without(cores, &snapshot.online);
        if !offline.is_empty() {
            plan.notes.push(format!("cores {} are offline", list(&offline)));
        }
        plan.add_governors(snapshot);
        for value in &snapshot.affinities {
            plan.add_affinity(value, &snapshot.online);
        }
        plan.add_numa_balancing(snapshot);
        if snapshot.irqbalance {
            let mask = Format::Mask.spell(cores);
            plan.notes.push(format!(
                "irqbalance runs and may move interrupts back: start it with IRQBALANCE_BANNED_CPUS={mask}, or stop it"
            ));
        }
        Ok(plan)
    }

    fn add_governors(&mut self, snapshot: &Snapshot) {
        let mut lacking = Vec::new();
        for core in self.cores.iter().filter(|core| snapshot.online.contains(core)) {
            let Some(governor) = snapshot.governors.iter().find(|governor| governor.core == *core)
            else {
                lacking.push(*core);
                continue;
            };
            if governor.value.text == PERFORMANCE {
                continue;
            }
            if governor.available.iter().any(|name| name == PERFORMANCE) {
                self.changes.push(Change::of(&governor.value, PERFORMANCE.into()));
            } else {
                let offered = governor.available.join(", ");
                self.notes.push(format!(
                    "core {core} has no performance governor: it is on {}, and has {offered}",
                    governor.value.text
                ));
            }
        }
        if !lacking.is_empty() {
            let lacking = list(&lacking);
            self.notes.push(format!(
                "no cpufreq on cores {lacking}: this machine does not let the kernel choose their frequency"
            ));
        }
    }

    fn add_affinity(&mut self, value: &Value, online: &[usize]) {
        let Some(cpus) = value.format.cpus(&value.text) else {
            self.notes.push(format!(
                "{}: /{} has \"{}\", which is no set of CPUs: it stays",
                value.name, value.file, value.text
            ));
            return;
        };
        let rest = without(&cpus, &self.cores);
        if rest.len() == cpus.len() {
            return;
        }
        // The kernel refuses a set of which nothing is online.
        let usable = rest.iter().any(|cpu| online.contains(cpu));
        let wanted = value.format.spell(if usable { &rest } else { &self.others });
        self.changes.push(Change::of(value, wanted));
    }

    fn add_numa_balancing(&mut self, snapshot: &Snapshot) {
        match &snapshot.numa_balancing {
            Some(value) if value.text != "0" => self.changes.push(Change::of(value, "0".into())),
            _ => {}
        }
    }
}

fn boot(snapshot: &Snapshot, cores: &[usize]) -> Vec<BootArgument> {
    let named = |argument| cores::named_by(&snapshot.arguments, argument);
    let nohz_full = [snapshot.nohz_full.clone(), named("nohz_full")].concat();
    let of = |argument: &'static str, has: Vec<usize>| {
        let missing = without(cores, &has);
        let add =
            if missing.is_empty() { String::new() } else { format!("{argument}={}", list(cores)) };
        BootArgument { argument, missing, add }
    };
    vec![
        of("isolcpus", [snapshot.isolated.clone(), named("isolcpus")].concat()),
        of("nohz_full", nohz_full.clone()),
        // nohz_full moves the callbacks of its cores as well.
        of("rcu_nocbs", [named("rcu_nocbs"), nohz_full].concat()),
    ]
}

fn without(cpus: &[usize], taken: &[usize]) -> Vec<usize> {
    cpus.iter().copied().filter(|cpu| !taken.contains(cpu)).collect()
}

const PERFORMANCE: &str = "performance";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::machine::Machine;
    use super::*;

    const CPU: &str = "sys/devices/system/cpu";

    /// The plan for a machine with these files.
    fn plan(files: &[(&str, &str)], cores: &[usize]) -> Result<TunePlan, TuneError> {
        let root = tempfile::tempdir().expect("temporary directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("is below the root")).expect("writable");
            fs::write(path, text).expect("writable");
        }
        TunePlan::of(&Snapshot::read(&Machine::at(root.path()))?, cores)
    }

    fn changes(plan: &TunePlan) -> Vec<(&str, &str, &str)> {
        plan.changes.iter().map(|c| (&*c.setting, &*c.found, &*c.wanted)).collect()
    }

    /// A desktop with four fast cores (0 to 3), four slow ones (4 to 7), of which 6 and 7 are offline.
    const HYBRID: &[(&str, &str)] = &[
        ("sys/devices/system/cpu/online", "0-5\n"),
        ("sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "powersave\n"),
        (
            "sys/devices/system/cpu/cpu2/cpufreq/scaling_available_governors",
            "performance powersave\n",
        ),
        ("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "performance\n"),
        (
            "sys/devices/system/cpu/cpu3/cpufreq/scaling_available_governors",
            "performance powersave\n",
        ),
        ("sys/devices/system/cpu/cpu4/cpufreq/scaling_governor", "schedutil\n"),
        ("sys/devices/system/cpu/cpu4/cpufreq/scaling_available_governors", "schedutil\n"),
        ("proc/irq/0/smp_affinity_list", "0-7\n"),
        ("proc/irq/9/smp_affinity_list", "0-1\n"),
        ("proc/irq/9/acpi/keep", ""),
        ("proc/irq/120/smp_affinity_list", "2\n"),
        ("proc/irq/121/smp_affinity_list", "3,6-7\n"),
        ("proc/irq/122/smp_affinity_list", "(null)\n"),
        ("proc/irq/default_smp_affinity", "ff\n"),
        ("sys/devices/virtual/workqueue/cpumask", "ff\n"),
        ("proc/sys/kernel/numa_balancing", "1\n"),
        ("proc/77/comm", "irqbalance\n"),
        ("proc/cmdline", "quiet isolcpus=managed_irq,2 nohz_full=2-3\n"),
    ];

    #[test]
    fn a_hybrid_machine_is_planned() {
        let plan = plan(HYBRID, &[2, 3, 4]).expect("there are other cores");
        assert_eq!(plan.others, [0, 1, 5]);
        assert_eq!(
            changes(&plan),
            [
                ("governor of core 2", "powersave", "performance"),
                ("irq 0", "0-7", "0-1,5-7"),
                // Only offline ones, or none, would be left: all others then.
                ("irq 120", "2", "0-1,5"),
                ("irq 121", "3,6-7", "0-1,5"),
                ("new irqs", "ff", "e3"),
                ("workqueues", "ff", "e3"),
                ("numa_balancing", "1", "0"),
            ]
        );
        let notes = plan.notes.join("\n");
        for word in [
            "core 4 has no performance governor: it is on schedutil",
            "irq 122: /proc/irq/122/smp_affinity_list has \"(null)\"",
            "IRQBALANCE_BANNED_CPUS=1c",
        ] {
            assert!(notes.contains(word), "lacks {word:?}: {notes}");
        }
        let missing: Vec<_> = plan.boot.iter().map(|b| (b.argument, &*b.missing)).collect();
        let lacks: [(&str, &[usize]); 3] =
            [("isolcpus", &[3, 4]), ("nohz_full", &[4]), ("rcu_nocbs", &[4])];
        assert_eq!(missing, lacks);
        assert_eq!(plan.boot[0].add, "isolcpus=2,3,4");
    }

    #[test]
    fn an_interrupt_off_the_cores_stays_and_is_named_by_its_device() {
        let plan = plan(HYBRID, &[1]).expect("there are other cores");
        let [first, second] = &plan.changes[..2] else { panic!("{plan:#?}") };
        assert_eq!((&*first.setting, &*first.wanted), ("irq 0", "0,2-7"));
        assert_eq!((&*second.setting, &*second.wanted), ("irq 9 (acpi)", "0"));
        assert!(plan.changes.iter().all(|change| change.setting != "irq 120"));
        assert!(plan.notes.iter().any(|note| note.starts_with("no cpufreq on cores 1:")));
    }

    #[test]
    fn an_offline_core_is_told_and_its_governor_left() {
        let plan = plan(HYBRID, &[2, 6]).expect("there are other cores");
        assert!(plan.notes.contains(&"cores 6 are offline".to_owned()), "{:?}", plan.notes);
        assert!(!plan.notes.iter().any(|note| note.starts_with("no cpufreq")), "{:?}", plan.notes);
    }

    #[test]
    fn a_machine_that_is_tuned_has_no_changes() {
        let files = [
            (&*format!("{CPU}/online"), "0-1"),
            ("proc/irq/24/smp_affinity_list", "0"),
            ("proc/irq/default_smp_affinity", "00000000,00000001"),
            ("proc/cmdline", "isolcpus=1 nohz_full=1"),
        ];
        let plan = plan(&files, &[1]).expect("there is another core");
        assert_eq!(plan.changes, []);
        assert!(plan.boot.iter().all(|argument| argument.add.is_empty()), "{:?}", plan.boot);
    }

    #[test]
    fn one_core_must_be_left() {
        let refused = plan(HYBRID, &[0, 1, 2, 3, 4, 5]).expect_err("no core is left");
        assert!(refused.to_string().contains("leave at least one"), "{refused}");
    }
}
