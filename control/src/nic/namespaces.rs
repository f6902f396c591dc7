//! Network namespaces of this machine: ours, those with a name, and those that only a process holds.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, setns};

use super::error::NicError;
use super::network::{self, Network};
use super::ports::HERE;
use super::snapshot::Namespace;
use crate::host::Host;

/// Reads every namespace; ours comes first.
///
/// # Errors
/// One of them cannot be read: nothing can be said of what it holds.
pub(crate) fn read_all(host: &Host) -> Result<Vec<Namespace>, NicError> {
    let failed = |name: &str, cause| NicError::Namespace { name: name.to_owned(), cause };
    let network = network::read().map_err(|cause| failed(HERE, cause))?;
    let mut all = vec![named(HERE.into(), None, network)];
    let mut seen: Vec<_> = identity(Path::new(OURS)).into_iter().collect();
    for (path, name, mounted) in candidates(host) {
        let Some(id) = identity(&path) else { continue };
        if seen.contains(&id) {
            continue;
        }
        match within(Some(&path), network::read) {
            Ok(network) => {
                seen.push(id);
                all.push(named(name, mounted.then_some(path), network));
            }
            // The process has ended, or the file is no namespace.
            Err(error) if is_gone(&error) => {}
            Err(cause) => return Err(failed(&name, cause)),
        }
    }
    Ok(all)
}

/// Whether other namespaces than ours can be entered.
pub(crate) fn may_enter_others() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Runs `work` in the namespace mounted at `path`, on a thread of its own; here if there is none.
///
/// # Errors
/// It cannot be entered, or those of `work`.
pub(crate) fn within<T: Send>(
    path: Option<&Path>,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let Some(path) = path else { return work() };
    let namespace = File::open(path)?;
    let entered = || {
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        work()
    };
    thread::scope(|scope| scope.spawn(entered).join())
        .unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
}

fn named(name: String, path: Option<PathBuf>, network: Network) -> Namespace {
    let Network { links, addresses, routes } = network;
    Namespace { name, path, links, addresses, routes }
}

/// Files that may be namespaces: path, name, and whether they stay when a process ends.
fn candidates(host: &Host) -> Vec<(PathBuf, String, bool)> {
    if !may_enter_others() {
        return Vec::new();
    }
    let mounted = host.names("run/netns").into_iter().map(|name| {
        let path = host.path(format!("run/netns/{name}"));
        let name = format!("namespace {}", path.display());
        (path, name, true)
    });
    let held = host.processes().into_iter().map(|process| {
        let name = format!("the namespace of {}", host.spell_process(process));
        (host.path(format!("proc/{process}/ns/net")), name, false)
    });
    mounted.chain(held).collect()
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput)
        || error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32)
}

const OURS: &str = "/proc/self/ns/net";
