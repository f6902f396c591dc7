//! Makes the changes of a plan and undoes those of a record.
//!
//! The record is on the disk before the first file is written, so whatever was written before a crash can be
//! found in it. It says of every file the value that was found and the one that was wanted: a file that has
//! neither was changed by somebody else, and stays.

use std::io::ErrorKind;

use nix::errno::Errno;

use super::error::TuneError;
use super::machine::Machine;
use super::plan::{Change, TunePlan};
use super::record::{Record, Store};
use crate::cores::list;

/// What became of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was changed, to this value.
    Changed(Change, String),
    /// The kernel does not let this one be changed, or it is gone; why.
    Fixed(Change, String),
    /// It should have been changed, and was not; why.
    Failed(Change, String),
    /// Somebody else has changed it, to this value.
    Left(Change, String),
    /// Nothing about a setting in particular.
    Said(String),
}

/// Records what was found and makes the changes.
///
/// # Errors
/// Nothing was changed: the record cannot be written, or is of other cores.
pub(super) fn apply(
    machine: &Machine,
    store: &Store,
    plan: &TunePlan,
) -> Result<Vec<Outcome>, TuneError> {
    let _lock = store.lock()?;
    let boot = machine.boot_id()?;
    let mut outcomes = Vec::new();
    let mut record = Record { version: 1, boot, cores: plan.cores.clone(), changes: Vec::new() };
    if let Some(earlier) = store.read()? {
        if earlier.boot != record.boot {
            outcomes.push(Outcome::Said(EARLIER_BOOT.into()));
        } else if earlier.cores != plan.cores {
            let (applied, asked) = (list(&earlier.cores), list(&plan.cores));
            return Err(TuneError::OtherCores { applied, asked });
        } else {
            record = earlier;
        }
    }
    if plan.changes.is_empty() {
        outcomes.push(Outcome::Said("nothing to change".into()));
        return Ok(outcomes);
    }
    for change in &plan.changes {
        // What was ours is not: the value found now is what somebody wants.
        record.changes.retain(|known| known.file != change.file);
        record.changes.push(change.clone());
    }
    store.write(&record)?;
    outcomes.extend(plan.changes.iter().map(|change| set(machine, change, &change.wanted)));
    Ok(outcomes)
}

/// Puts back what a record has, and removes it when all is done.
///
/// # Errors
/// The record cannot be read or removed.
pub(super) fn revert(machine: &Machine, store: &Store) -> Result<Vec<Outcome>, TuneError> {
    if store.read()?.is_none() {
        return Ok(vec![Outcome::Said("nothing was applied".into())]);
    }
    let _lock = store.lock()?;
    let Some(mut record) = store.read()? else {
        return Ok(vec![Outcome::Said("nothing was applied".into())]);
    };
    if record.boot != machine.boot_id()? {
        store.remove()?;
        return Ok(vec![Outcome::Said(EARLIER_BOOT.into())]);
    }
    let mut outcomes = Vec::new();
    for change in record.changes.iter().rev() {
        outcomes.extend(put_back(machine, change));
    }
    let failed: Vec<_> = outcomes.iter().filter_map(Outcome::failed).cloned().collect();
    if failed.is_empty() {
        store.remove()?;
    } else {
        record.changes.retain(|change| failed.contains(change));
        store.write(&record)?;
    }
    if outcomes.is_empty() {
        outcomes.push(Outcome::Said("everything is as it was found".into()));
    }
    Ok(outcomes)
}

/// `None` if it has the value that was found already.
fn put_back(machine: &Machine, change: &Change) -> Option<Outcome> {
    let now = match machine.text(&change.file) {
        Ok(Some(now)) => now,
        Ok(None) => return Some(Outcome::Fixed(change.clone(), "is gone".into())),
        Err(error) => return Some(Outcome::Failed(change.clone(), error.to_string())),
    };
    if change.format.same(&now, &change.found) {
        None
    } else if change.format.same(&now, &change.wanted) {
        Some(set(machine, change, &change.found))
    } else {
        Some(Outcome::Left(change.clone(), now))
    }
}

fn set(machine: &Machine, change: &Change, value: &str) -> Outcome {
    let change = change.clone();
    if let Err(error) = machine.write(&change.file, value) {
        let errno = error.raw_os_error().map(Errno::from_raw);
        return match errno {
            // Of managed and per-CPU interrupts, whoever asks: EIO, EPERM on newer kernels. A lack of rights is
            // EACCES or EROFS there.
            Some(errno @ (Errno::EIO | Errno::EPERM)) if change.file.starts_with(INTERRUPTS) => {
                Outcome::Fixed(change, format!("the kernel manages it itself ({errno:?})"))
            }
            _ if error.kind() == ErrorKind::NotFound => Outcome::Fixed(change, "is gone".into()),
            _ => Outcome::Failed(change, error.to_string()),
        };
    }
    match machine.text(&change.file) {
        Ok(Some(now)) if change.format.same(&now, value) => Outcome::Changed(change, now),
        Ok(Some(now)) => {
            let why = format!("the kernel took {value} and has {now}");
            Outcome::Failed(change, why)
        }
        Ok(None) => Outcome::Fixed(change, "is gone".into()),
        Err(error) => Outcome::Failed(change, error.to_string()),
    }
}

impl Outcome {
    fn failed(&self) -> Option<&Change> {
        match self {
            Self::Failed(change, _) => Some(change),
            Self::Changed(..) | Self::Fixed(..) | Self::Left(..) | Self::Said(_) => None,
        }
    }
}

/// # Errors
/// Something failed.
pub(super) fn assess(outcomes: &[Outcome]) -> Result<(), TuneError> {
    let count = outcomes.iter().filter_map(Outcome::failed).count();
    if count == 0 { Ok(()) } else { Err(TuneError::Failed { count, of: outcomes.len() }) }
}

const INTERRUPTS: &str = "proc/irq/";
const EARLIER_BOOT: &str =
    "the record is of an earlier boot, and what it changed ended with that: dropped";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::cpus::Format;
    use super::*;

    /// A machine of two settings.
    struct Rig {
        root: tempfile::TempDir,
        machine: Machine,
        store: Store,
    }

    fn rig() -> Rig {
        let root = tempfile::tempdir().expect("temporary directory");
        let machine = Machine::at(root.path());
        let store = Store::new(&root.path().join("state"));
        fs::create_dir_all(root.path().join("proc/sys/kernel/random")).expect("writable");
        fs::write(root.path().join("proc/sys/kernel/random/boot_id"), "b1\n").expect("writable");
        let rig = Rig { root, machine, store };
        rig.put("a", "0-1");
        rig.put("b", "3");
        rig
    }

    impl Rig {
        fn put(&self, file: &str, text: &str) {
            fs::write(self.root.path().join(file), format!("{text}\n")).expect("writable");
        }

        fn get(&self, file: &str) -> String {
            self.machine.text(file).expect("readable").expect("is there")
        }

        fn plan(&self) -> TunePlan {
            let change = |file: &str, format, wanted: &str| Change {
                setting: format!("setting {file}"),
                file: file.into(),
                format,
                found: self.get(file),
                wanted: wanted.into(),
            };
            let changes = vec![change("a", Format::List, "0"), change("b", Format::Mask, "1")];
            TunePlan { cores: vec![1], others: vec![0], changes, notes: vec![], boot: vec![] }
        }

        fn apply(&self) -> Vec<Outcome> {
            apply(&self.machine, &self.store, &self.plan()).expect("can be applied")
        }

        fn revert(&self) -> Vec<Outcome> {
            revert(&self.machine, &self.store).expect("can be reverted")
        }

        fn has_record(&self) -> bool {
            self.store.read().expect("readable").is_some()
        }
    }

    #[test]
    fn what_was_found_comes_back() {
        let rig = rig();
        rig.apply();
        assert_eq!((rig.get("a"), rig.get("b")), ("0".into(), "1".into()));
        assert_eq!(rig.revert().len(), 2);
        assert_eq!((rig.get("a"), rig.get("b")), ("0-1".into(), "3".into()));
        assert!(!rig.has_record());
        assert_eq!(rig.revert(), [Outcome::Said("nothing was applied".into())]);
    }

    #[test]
    fn a_second_apply_keeps_what_the_first_one_found() {
        let rig = rig();
        rig.apply();
        let nothing = TunePlan { changes: vec![], ..rig.plan() };
        let said = apply(&rig.machine, &rig.store, &nothing).expect("can be applied");
        assert_eq!(said, [Outcome::Said("nothing to change".into())]);
        rig.revert();
        assert_eq!(rig.get("a"), "0-1");
    }

    #[test]
    fn other_cores_want_a_revert_first() {
        let rig = rig();
        rig.apply();
        let other = TunePlan { cores: vec![0], ..rig.plan() };
        let refused = apply(&rig.machine, &rig.store, &other).expect_err("other cores");
        assert!(refused.to_string().contains("`pollux tune revert` first"), "{refused}");
        assert_eq!(rig.get("a"), "0");
    }

    #[test]
    fn what_others_changed_since_is_left_and_said() {
        let rig = rig();
        rig.apply();
        rig.put("a", "1");
        rig.put("b", "00000000,00000001");
        let outcomes = rig.revert();
        assert!(matches!(&outcomes[0], Outcome::Changed(change, _) if change.file == "b"));
        assert!(matches!(&outcomes[1], Outcome::Left(_, now) if now == "1"), "{outcomes:?}");
        assert_eq!((rig.get("a"), rig.get("b")), ("1".into(), "3".into()));
        assert!(!rig.has_record());
    }

    #[test]
    fn an_apply_that_ended_in_the_middle_is_undone() {
        let rig = rig();
        let plan = rig.plan();
        let record =
            Record { version: 1, boot: "b1".into(), cores: vec![1], changes: plan.changes.clone() };
        drop(rig.store.lock().expect("free"));
        rig.store.write(&record).expect("writable");
        rig.put("a", "0");
        let outcomes = rig.revert();
        assert_eq!(outcomes, [Outcome::Changed(plan.changes[0].clone(), "0-1".into())]);
        assert_eq!((rig.get("a"), rig.get("b")), ("0-1".into(), "3".into()));
    }

    #[test]
    fn a_record_of_an_earlier_boot_is_dropped() {
        let rig = rig();
        rig.apply();
        rig.put("proc/sys/kernel/random/boot_id", "b2");
        assert_eq!(rig.revert(), [Outcome::Said(EARLIER_BOOT.into())]);
        assert_eq!(rig.get("a"), "0", "a value of this boot is not ours");
        assert!(!rig.has_record());
        rig.put("proc/sys/kernel/random/boot_id", "b1");
        rig.put("a", "0-1");
        rig.apply();
        rig.put("proc/sys/kernel/random/boot_id", "b2");
        rig.put("a", "0-2");
        let outcomes = rig.apply();
        assert_eq!(outcomes[0], Outcome::Said(EARLIER_BOOT.into()));
        rig.revert();
        assert_eq!(rig.get("a"), "0-2");
    }

    #[test]
    fn what_cannot_be_written_is_kept_in_the_record() {
        let rig = rig();
        let mut plan = rig.plan();
        // A directory can be neither written nor, later, read.
        fs::create_dir(rig.root.path().join("c")).expect("writable");
        plan.changes[1].file = "c".into();
        let outcomes = apply(&rig.machine, &rig.store, &plan).expect("can be applied");
        assert!(matches!(&outcomes[..], [Outcome::Changed(..), Outcome::Failed(..)]));
        assert!(assess(&outcomes).is_err());
        let outcomes = rig.revert();
        assert!(assess(&outcomes).is_err(), "{outcomes:?}");
        let record = rig.store.read().expect("readable").expect("is there");
        assert_eq!(record.changes, plan.changes[1..]);
        assert_eq!(rig.get("a"), "0-1");
    }

    #[test]
    fn a_setting_that_is_gone_is_no_failure() {
        let rig = rig();
        rig.apply();
        fs::remove_file(rig.root.path().join("b")).expect("is there");
        let outcomes = rig.revert();
        assert!(matches!(&outcomes[0], Outcome::Fixed(_, why) if why == "is gone"));
        assert!(assess(&outcomes).is_ok() && !rig.has_record());
    }

    #[test]
    fn two_at_once_are_refused_and_a_spoilt_record_is_named() {
        let rig = rig();
        let lock = rig.store.lock().expect("free");
        let refused = apply(&rig.machine, &rig.store, &rig.plan()).expect_err("locked");
        assert!(matches!(refused, TuneError::Busy { .. }), "{refused}");
        drop(lock);
        fs::write(rig.root.path().join("state/record.json"), "{").expect("writable");
        let refused = revert(&rig.machine, &rig.store).expect_err("no record");
        assert!(refused.to_string().contains("state/record.json: not a record"), "{refused}");
        assert_eq!(rig.get("a"), "0-1");
    }

    #[test]
    fn what_the_kernel_does_not_let_move_is_no_failure() {
        let rig = rig();
        let mut plan = rig.plan();
        // The one file that says EIO to a write as a managed interrupt does: nothing is mapped at 0.
        fs::create_dir_all(rig.root.path().join("proc/irq/7")).expect("writable");
        let file = "proc/irq/7/smp_affinity_list";
        symlink("/proc/self/mem", rig.root.path().join(file)).expect("writable");
        plan.changes[0].file = file.into();
        let outcomes = apply(&rig.machine, &rig.store, &plan).expect("can be applied");
        assert!(
            matches!(&outcomes[0], Outcome::Fixed(change, why) if change.file == file && why.contains("EIO")),
            "{outcomes:?}"
        );
        assert!(assess(&outcomes).is_ok());
        assert_eq!(rig.get("b"), "1", "the others are changed");
    }
}
