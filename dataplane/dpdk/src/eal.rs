//! DPDK's environment: started once per process, never torn down.
//!
//! Nothing outlives the process, because the EAL runs with `--in-memory` (or, on ordinary pages,
//! `--no-shconf`): its memory is anonymous and it writes no files. Tearing it down would unmap buffers that frames still point to.

use std::{
    ffi::{CStr, CString, OsStr, c_char, c_int},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    ptr,
    sync::{Mutex, PoisonError},
    thread,
};

use nix::errno::Errno;

use crate::{Device, DeviceKind, log};

/// How the environment is to be started.
#[derive(Clone, Debug)]
pub struct EalPlan {
    /// A core (the kernel's CPU number) that DPDK's own control threads stay off: the first of the
    /// dataplane's.
    pub main_core: usize,
    /// The devices this process may open. PCI devices are probed when the environment starts, and
    /// no other PCI device is touched; virtual ones when their port is opened, where any may be.
    pub devices: Vec<Device>,
    /// Where buffers come from.
    pub memory: Memory,
    /// Names this process in DPDK's messages and memory: letters, digits, `-` and `_`.
    pub file_prefix: String,
}

/// Where buffers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Free hugepages, taken as they are needed.
    Hugepages {
        /// Most MiB to take on each NUMA node; `None`: as many as are free.
        limit_mib: Option<u32>,
    },
    /// Ordinary pages, all taken at start. Virtual links only: a NIC cannot reach them without an
    /// IOMMU.
    Ordinary {
        /// MiB to take.
        mib: u32,
    },
}

/// Why the environment did not start.
#[derive(Debug, displaydoc::Display, thiserror::Error)]
pub enum EalError {
    /// DPDK is initialised once per process, and has been
    AlreadyInitialised,
    /// no free hugepages (/sys/kernel/mm/hugepages/*/free_hugepages, less resv_hugepages: what other processes were promised)
    NoHugepages,
    /// core {core} cannot be used: it is not among this machine's CPUs
    NoSuchCore {
        /// The main core asked for.
        core: usize,
    },
    /// `{0}` cannot be a file prefix: letters, digits, `-` and `_`
    FilePrefix(String),
    /// DPDK's log cannot be captured: {0}
    Log(Errno),
    /// a thread to initialise DPDK on could not be made: {0}
    Thread(io::Error),
    /// rte_eal_init({arguments}) failed: {errno}; DPDK's log: {log}
    Init {
        /// What was passed.
        arguments: String,
        /// `rte_errno`.
        errno: Errno,
        /// The last lines of DPDK's log.
        log: String,
    },
}

/// The started environment. Ports are opened with it.
#[derive(Debug)]
pub struct Eal {
    version: String,
}

static STARTED: Mutex<bool> = Mutex::new(false);

impl Eal {
    /// Starts DPDK.
    ///
    /// `rte_eal_init` pins its caller to the main core, so it runs on a thread of its own, which
    /// has ended when this returns: the affinity of the caller, and of the threads it makes, is as
    /// before. Network namespaces are those of the calling thread.
    pub fn init(plan: &EalPlan) -> Result<Self, EalError> {
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        if *started {
            return Err(EalError::AlreadyInitialised);
        }
        let arguments = arguments(plan)?;
        if matches!(plan.memory, Memory::Hugepages { .. }) && !any_free_hugepage(Path::new(POOLS)) {
            return Err(EalError::NoHugepages);
        }
        log::capture().map_err(EalError::Log)?;
        let shown = arguments.join(" ");
        let thread = thread::Builder::new().name("eal-main".to_owned());
        let main = thread.spawn(move || call_init(arguments)).map_err(EalError::Thread)?;
        *started = true;
        // A panic there would be this crate's own defect.
        let outcome = main.join().unwrap_or(Err(Errno::UnknownErrno));
        // DPDK makes this directory even where it has nothing to put into it.
        let _ = fs::remove_dir(runtime_directory());
        outcome.map_err(|errno| EalError::Init {
            arguments: shown,
            errno,
            log: log::last_words(),
        })?;
        Ok(Self { version: version() })
    }

    /// DPDK's release: `DPDK 22.11.11`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What DPDK has logged since this was last asked, or since an error carried it away.
    pub fn take_log(&self) -> String {
        log::take()
    }
}

fn is_virtual(plan: &EalPlan) -> bool {
    plan.devices.iter().all(|device| device.kind() != DeviceKind::Pci)
}

/// The command line for `rte_eal_init` (DPDK Linux guide, "EAL parameters").
fn arguments(plan: &EalPlan) -> Result<Vec<String>, EalError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if plan.file_prefix.is_empty() || !plan.file_prefix.chars().all(good) {
        return Err(EalError::FilePrefix(plan.file_prefix.clone()));
    }
    if !Path::new(&format!("/sys/devices/system/cpu/cpu{}", plan.main_core)).exists() {
        return Err(EalError::NoSuchCore { core: plan.main_core });
    }
    let mut arguments = vec![
        "pollux".to_owned(),
        format!("--file-prefix={}", plan.file_prefix),
        // Logical core 0, wherever it runs: DPDK's own numbering ends at 127.
        format!("--lcores=0@{}", plan.main_core),
        "--no-telemetry".to_owned(),
    ];
    match plan.memory {
        // DPDK refuses `--in-memory` here; this memory is anonymous as it is.
        Memory::Ordinary { mib } => {
            arguments.extend(["--no-huge", "--no-shconf", "-m"].map(str::to_owned));
            arguments.push(mib.to_string());
        }
        Memory::Hugepages { limit_mib } => {
            arguments.push("--in-memory".to_owned());
            if let Some(mib) = limit_mib {
                let limits = vec![mib.to_string(); nodes()].join(",");
                arguments.push(format!("--socket-limit={limits}"));
            }
        }
    }
    if is_virtual(plan) {
        arguments.extend(["--no-pci".to_owned(), "--iova-mode=va".to_owned()]);
    }
    for device in plan.devices.iter().filter(|device| device.kind() == DeviceKind::Pci) {
        arguments.push(format!("--allow={device}"));
    }
    Ok(arguments)
}

fn call_init(arguments: Vec<String>) -> Result<(), Errno> {
    // An argument with a NUL passed none of the checks above; DPDK may keep pointers into these.
    let strings: Vec<CString> =
        arguments.into_iter().filter_map(|argument| CString::new(argument).ok()).collect();
    let strings: &'static mut [CString] = strings.leak();
    let mut argv: Vec<*mut c_char> =
        strings.iter().map(|string| string.as_ptr().cast_mut()).collect();
    let argc = c_int::try_from(argv.len()).unwrap_or(c_int::MAX);
    argv.push(ptr::null_mut());
    let argv: &'static mut [*mut c_char] = argv.leak();
    // SAFETY: `argv` holds `argc` strings and a null pointer, all of which live for ever; DPDK
    // reorders the pointers and does not write into the strings.
    let result = unsafe { dpdk_sys::rte_eal_init(argc, argv.as_mut_ptr()) };
    if result >= 0 {
        // SAFETY: drivers, and the libraries they need, stay loaded from here on.
        unsafe { dpdk_sys::shim_log_xdp() };
        return Ok(());
    }
    // SAFETY: reads a variable of this thread.
    Err(Errno::from_raw(unsafe { dpdk_sys::shim_errno() }))
}

/// The release of the DPDK libraries that this process is linked with: `DPDK 22.11.11`. DPDK need not
/// have been started.
pub fn version() -> String {
    // SAFETY: the call has no precondition.
    let text = unsafe { dpdk_sys::rte_version() };
    // SAFETY: it returned a terminated string in a static buffer, written once.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn runtime_directory() -> PathBuf {
    // SAFETY: the call has no precondition.
    let path = unsafe { dpdk_sys::rte_eal_get_runtime_dir() };
    // SAFETY: it returned a terminated string in a static buffer, written by `rte_eal_init` only.
    let path = unsafe { CStr::from_ptr(path) };
    PathBuf::from(OsStr::from_bytes(path.to_bytes()))
}

/// Whether a pool in `pools` has a page that is free and that no mapping of another process was promised.
fn any_free_hugepage(pools: &Path) -> bool {
    let Ok(sizes) = fs::read_dir(pools) else { return false };
    sizes.flatten().any(|size| {
        let pages = |name| {
            let text = fs::read_to_string(size.path().join(name)).unwrap_or_default();
            text.trim().parse::<u64>().unwrap_or(0)
        };
        pages("free_hugepages") > pages("resv_hugepages")
    })
}

/// Where the kernel tells of its hugepages, a directory a size.
const POOLS: &str = "/sys/kernel/mm/hugepages";

/// NUMA nodes of this machine.
fn nodes() -> usize {
    let entries = fs::read_dir("/sys/devices/system/node").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_node = |name: &String| {
        name.strip_prefix("node").is_some_and(|number| number.parse::<u32>().is_ok())
    };
    names.filter(is_node).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> EalPlan {
        EalPlan {
            main_core: 0,
            devices: vec![],
            memory: Memory::Hugepages { limit_mib: None },
            file_prefix: "test".to_owned(),
        }
    }

    #[test]
    fn only_named_pci_devices_are_touched() {
        let none = arguments(&plan()).expect("a good plan").join(" ");
        assert!(none.contains("--no-pci") && none.contains("--in-memory"), "{none}");
        let devices = vec![
            Device::pci("01:00.0").expect("well formed"),
            Device::tap("t0").expect("well formed"),
        ];
        let one = arguments(&EalPlan { devices, ..plan() }).expect("a good plan").join(" ");
        assert!(one.contains("--allow=0000:01:00.0"), "{one}");
        assert!(!one.contains("--no-pci") && !one.contains("net_tap"), "{one}");
    }

    #[test]
    fn pages_that_others_were_promised_are_not_free() {
        let pools = std::env::temp_dir().join(format!("pollux-pools-{}", std::process::id()));
        let pool = pools.join("hugepages-2048kB");
        fs::create_dir_all(&pool).expect("writable");
        let found = [("64", "63"), ("64", "64"), ("0", "0")].map(|(free, promised)| {
            fs::write(pool.join("free_hugepages"), format!("{free}\n")).expect("writable");
            fs::write(pool.join("resv_hugepages"), format!("{promised}\n")).expect("writable");
            any_free_hugepage(&pools)
        });
        fs::remove_dir_all(&pools).expect("is there");
        assert_eq!(found, [true, false, false]);
        assert!(!any_free_hugepage(&pools), "a kernel without hugepages");
    }

    #[test]
    fn plans_that_cannot_work_are_refused() {
        let prefix = EalPlan { file_prefix: "a/b".to_owned(), ..plan() };
        assert!(matches!(arguments(&prefix), Err(EalError::FilePrefix(_))));
        let core = EalPlan { main_core: 100_000, ..plan() };
        assert!(matches!(arguments(&core), Err(EalError::NoSuchCore { core: 100_000 })));
    }
}
