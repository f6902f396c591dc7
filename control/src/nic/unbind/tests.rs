//! Bind and unbind on a made-up machine: to the end, cut short at every change, with a lost record.

use std::fs;

use super::super::args::{StateArgs, WatchdogArgs};
use super::super::bind;
use super::super::decide::{Allowed, Plan, decide};
use super::super::record::WatchdogRecord;
use super::super::testkit::{FakeMachine, MAC, NIC};
use super::super::watchdog;
use super::*;

/// A machine and its state directory.
struct Bench {
    machine: FakeMachine,
    store: Store,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let store = Store::new(&directory.path().join("nic"));
        drop(store.lock().expect("makes the directory"));
        Self { machine: FakeMachine::new(), store, _directory: directory }
    }

    /// Plans with every rule overridden.
    fn plan(&self) -> (Plan, Record) {
        let snapshot = self.machine.snapshot(&self.store).expect("readable");
        let force = super::super::rule::Rule::ALL.to_vec();
        let allowed = Allowed { force, unsafe_noiommu: true };
        let device = &snapshot.devices[0];
        let plan = decide(&snapshot, device, &allowed).expect("everything is overridden");
        (plan, Record::of(&snapshot, device, &self.machine.boot_id(), self.machine.now()))
    }

    fn bind(&self) -> Result<(), NicError> {
        let (plan, mut record) = self.plan();
        self.store.write(&record).expect("writable");
        bind::bind(&self.machine, &self.store, &mut record, &plan)
    }

    fn unbind(&self) -> Result<Done, NicError> {
        let record = self.store.read(NIC).expect("readable");
        give_back(&self.machine, &self.store, NIC, record.as_ref())
    }

    /// Everything is as it was before.
    #[track_caller]
    fn expect_back(&self) {
        let machine = &self.machine;
        assert_eq!(machine.driver().as_deref(), Some("igb"));
        assert_eq!(pci::driver_override(machine.host(), NIC), None);
        let eth = machine.eth().expect("the interface is back");
        assert_eq!((eth.name.as_str(), eth.mtu, eth.up), ("eth0", 9000, true));
        assert_eq!(eth.mac, MAC);
        assert!(!machine.runs_on.get(), "the device was stopped");
        assert_eq!(machine.addresses(), ["10.0.0.5/24", "fd00::5/64"]);
        assert_eq!(self.store.read(NIC).expect("readable"), None);
    }
}

#[test]
fn what_was_bound_comes_back_as_it_was() {
    let bench = Bench::new();
    bench.bind().expect("binds");
    assert_eq!(bench.machine.driver().as_deref(), Some("vfio-pci"));
    assert_eq!(bench.machine.eth().map(|eth| eth.name), None);
    let record = bench.store.read(NIC).expect("readable").expect("was written");
    assert!(record.bound);
    assert_eq!(record.driver.as_deref(), Some("igb"));
    bench.unbind().expect("gives back");
    bench.expect_back();
    assert_eq!(*bench.machine.routes.borrow(), ["10.9.0.0/16 via 10.0.0.1"]);
    let done = bench.unbind().expect("may be repeated");
    assert!(done[0].contains("nothing to undo"), "{done:?}");
    bench.expect_back();
}

/// A machine for each number of changes after which its bind was cut short; the last was bound.
fn cut_binds() -> impl Iterator<Item = (usize, Bench)> {
    (0..=CHANGES_OF_BIND).map(|changes| {
        let bench = Bench::new();
        bench.machine.changes_left.set(Some(changes));
        assert_eq!(bench.bind().is_ok(), changes == CHANGES_OF_BIND, "{changes}");
        bench.machine.changes_left.set(None);
        (changes, bench)
    })
}

/// Override, release, probe.
const CHANGES_OF_BIND: usize = 3;

#[test]
fn a_bind_that_is_killed_anywhere_is_undone() {
    for (changes, bench) in cut_binds() {
        bench.unbind().unwrap_or_else(|error| panic!("after {changes} changes: {error}"));
        bench.expect_back();
    }
}

/// How many changes an unbind makes. Before, one is cut short after each number of changes below that, and
/// another finishes it.
#[track_caller]
fn changes_of_unbind(prepare: impl Fn(&FakeMachine)) -> usize {
    for changes in 0..20 {
        let bench = Bench::new();
        prepare(&bench.machine);
        bench.bind().expect("binds");
        bench.machine.changes_left.set(Some(changes));
        let first = bench.unbind();
        bench.machine.changes_left.set(None);
        bench.unbind().unwrap_or_else(|error| panic!("after {changes} changes: {error}"));
        bench.expect_back();
        if first.is_ok() {
            return changes;
        }
    }
    panic!("it does not end");
}

#[test]
fn an_unbind_that_is_killed_anywhere_is_finished_by_another() {
    // Override, release, probe; MTU, up, two addresses, a route.
    assert_eq!(changes_of_unbind(|_| ()), 8);
}

#[test]
fn a_device_that_cannot_be_reset_is_stopped_before_it_is_used() {
    // Up and down beside what any other takes.
    assert_eq!(changes_of_unbind(FakeMachine::cannot_be_reset), 10);
    let bench = Bench::new();
    bench.machine.cannot_be_reset();
    bench.bind().expect("binds");
    bench.store.remove(NIC).expect("removable");
    let done = bench.unbind().expect("without a record");
    assert!(!bench.machine.runs_on.get(), "{done:?}");
}

#[test]
fn a_lost_record_leaves_it_to_the_kernel() {
    for (changes, bench) in cut_binds() {
        bench.store.remove(NIC).expect("removable");
        bench.unbind().unwrap_or_else(|error| panic!("after {changes} changes: {error}"));
        assert_eq!(bench.machine.driver().as_deref(), Some("igb"));
        assert_eq!(pci::driver_override(bench.machine.host(), NIC), None);
        assert_eq!(bench.machine.eth().map(|eth| eth.name).as_deref(), Some("eth0"));
    }
}

#[test]
fn a_bind_that_fails_gives_back() {
    let bench = Bench::new();
    bench.machine.vfio_works.set(false);
    let error = bench.bind().expect_err("vfio-pci does not take it").to_string();
    for word in [NIC, "drivers_probe", "Invalid argument"] {
        assert!(error.contains(word), "{error}");
    }
    bench.expect_back();
    let bench = Bench::new();
    bench.machine.missing.set(Some("vfio-pci"));
    let error = bench.bind().expect_err("there is no module").to_string();
    for word in ["modprobe vfio-pci", "not found", "CONFIG_VFIO_PCI"] {
        assert!(error.contains(word), "{error}");
    }
    bench.expect_back();
}

#[test]
fn a_nic_that_is_held_open_stays_and_its_holder_is_named() {
    let bench = Bench::new();
    bench.bind().expect("binds");
    bench.machine.hold(4711, "/dev/vfio/7");
    let error = bench.unbind().expect_err("is held").to_string();
    for word in [NIC, "/dev/vfio/7", "testpmd (process 4711)"] {
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(bench.machine.driver().as_deref(), Some("vfio-pci"));
    fs::remove_dir_all(bench.machine.file("proc/4711")).expect("removable");
    bench.unbind().expect("nobody holds it");
    bench.expect_back();
}

#[test]
fn a_watchdog_takes_back_what_was_not_confirmed() {
    let bench = Bench::new();
    let (plan, mut record) = bench.plan();
    record.watchdog = Some(WatchdogRecord { token: 5, pid: 1, deadline: 1060 });
    bench.store.write(&record).expect("writable");
    bind::bind(&bench.machine, &bench.store, &mut record, &plan).expect("binds");
    let state = StateArgs { state: bench.store.directory().to_owned() };
    let args =
        |token| WatchdogArgs { address: NIC.into(), state: state.clone(), token, seconds: 1 };
    // One of an earlier bind, or of one that was confirmed.
    watchdog::take_back(&bench.machine, &bench.store, &args(4)).expect("has nothing to do");
    assert_eq!(bench.machine.driver().as_deref(), Some("vfio-pci"));
    watchdog::take_back(&bench.machine, &bench.store, &args(5)).expect("gives back");
    bench.expect_back();
}

#[test]
fn another_name_is_changed_back() {
    let bench = Bench::new();
    bench.bind().expect("binds");
    bench.machine.name.set("eth7");
    bench.unbind().expect("gives back");
    bench.expect_back();
}

#[test]
fn a_driver_that_was_unloaded_is_loaded() {
    let bench = Bench::new();
    bench.bind().expect("binds");
    bench.machine.native.set(None);
    bench.unbind().expect("gives back");
    bench.expect_back();
    let bench = Bench::new();
    bench.bind().expect("binds");
    bench.machine.native.set(None);
    bench.machine.missing.set(Some("igb"));
    let error = bench.unbind().expect_err("nobody drives it").to_string();
    assert!(error.contains("`modprobe igb`"), "{error}");
    assert!(bench.store.read(NIC).expect("readable").is_some(), "the record is still needed");
}

#[test]
fn the_mode_without_an_iommu_is_put_back() {
    let bench = Bench::new();
    let directory = pci::directory(NIC);
    fs::remove_file(bench.machine.file(&format!("{directory}/iommu_group"))).expect("is there");
    let (plan, mut record) = bench.plan();
    let error = bind::perform(&bench.machine, &plan, bind::Step::AllowNoiommu).expect_err("cannot");
    assert!(error.to_string().contains("CONFIG_VFIO_NOIOMMU"), "{error}");
    let mode = bench.machine.file(NOIOMMU);
    fs::create_dir_all(mode.parent().expect("has one")).expect("writable");
    fs::write(&mode, "N\n").expect("writable");
    record.noiommu_before = Some("N".into());
    bench.store.write(&record).expect("writable");
    bind::perform(&bench.machine, &plan, bind::Step::AllowNoiommu).expect("can");
    assert_eq!(fs::read_to_string(&mode).expect("readable"), "Y");
    bench.unbind().expect("gives back");
    assert_eq!(fs::read_to_string(&mode).expect("readable"), "N");
}

#[test]
fn a_record_is_read_as_it_was_written_and_a_damaged_one_is_named() {
    let bench = Bench::new();
    let (_, mut record) = bench.plan();
    record.watchdog = Some(WatchdogRecord { token: u64::MAX, pid: 7, deadline: 99 });
    bench.store.write(&record).expect("writable");
    assert_eq!(bench.store.read(NIC).expect("readable"), Some(record));
    assert_eq!(bench.store.addresses().expect("readable"), [NIC]);
    let path = bench.store.directory().join(format!("{NIC}.json"));
    fs::write(&path, "{\"version\":1").expect("writable");
    let error = bench.store.read(NIC).expect_err("is damaged").to_string();
    for word in [path.to_str().expect("UTF-8"), "damaged", "pollux nic unbind 0000:01:00.0"] {
        assert!(error.contains(word), "{error}");
    }
    bench.store.set_aside(NIC).expect("renames");
    assert_eq!(bench.store.addresses().expect("readable"), [""; 0]);
}
