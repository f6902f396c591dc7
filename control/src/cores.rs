//! CPU cores: which the host has, and which of them an operator names.

use std::fs;
use std::io;

/// The cores this process may use, ascending.
#[derive(Clone, Debug, PartialEq, Eq, derive_more::Display)]
#[display("{}", list(_0))]
pub(crate) struct HostCores(Vec<usize>);

impl HostCores {
    /// Cores that are online and that the affinity of this process allows.
    ///
    /// # Errors
    /// `/sys` or the affinity cannot be read, or the two have no core in common.
    pub(crate) fn read() -> io::Result<Self> {
        let online = fs::read_to_string(ONLINE)?;
        let allowed = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
        let cores = parse_list(online.trim()).unwrap_or_default();
        let usable = cores.into_iter().filter(|core| allowed.is_set(*core).unwrap_or(false));
        Self::of(usable.collect())
            .ok_or_else(|| io::Error::other("no core is both online and allowed"))
    }

    /// These cores. `None` if there are none.
    pub(crate) fn of(mut cores: Vec<usize>) -> Option<Self> {
        cores.sort_unstable();
        cores.dedup();
        (!cores.is_empty()).then_some(Self(cores))
    }

    /// Whether `core` may be used.
    pub(crate) fn has(&self, core: usize) -> bool {
        self.0.contains(&core)
    }

    /// The highest one: the farthest from the interrupts and daemons that gather on core 0.
    pub(crate) fn last(&self) -> usize {
        *self.0.last().expect("`of` refuses an empty list")
    }

    /// Those that `workers` leaves free; all of them if it leaves none.
    pub(crate) fn beside(&self, workers: &[usize]) -> Vec<usize> {
        let free: Vec<_> = self.0.iter().copied().filter(|core| !workers.contains(core)).collect();
        if free.is_empty() { self.0.clone() } else { free }
    }
}

/// Cores as an operator writes them: `1`, `1,3`, `1-3,5`. Ascending, each once; `None` if it is not
/// such a list.
pub(crate) fn parse_list(text: &str) -> Option<Vec<usize>> {
    let mut cores = parse_all(text)?;
    cores.sort_unstable();
    cores.dedup();
    Some(cores)
}

/// A core that such a list names more than once.
pub(crate) fn named_twice(text: &str) -> Option<usize> {
    let mut cores = parse_all(text)?;
    cores.sort_unstable();
    cores.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// Every core that such a list names, as often as it does.
fn parse_all(text: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse::<usize>().ok()?);
        if first > last || last > CORE_MAX {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores)
}

/// Cores that an argument of the kernel's command line names, past flags such as `managed_irq,`.
pub(crate) fn named_by(arguments: &str, name: &str) -> Vec<usize> {
    let given = |word: &str| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
    let values = arguments.split_whitespace().filter_map(given);
    let parts = values.flat_map(|value| value.split(',').map(str::to_owned).collect::<Vec<_>>());
    parts.filter_map(|part| parse_list(&part)).flatten().collect()
}

/// The opposite of [`parse_list`], without ranges.
pub(crate) fn list(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

const ONLINE: &str = "/sys/devices/system/cpu/online";
/// Above any core number Linux gives (`CONFIG_NR_CPUS` is at most 8,192).
const CORE_MAX: usize = 8_191;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_take_single_cores_and_ranges() {
        assert_eq!(parse_list("1"), Some(vec![1]));
        assert_eq!(parse_list("3, 1"), Some(vec![1, 3]));
        assert_eq!(parse_list("1-3,2,5"), Some(vec![1, 2, 3, 5]));
        for bad in ["", "a", "1,", "3-1", "1-", "-1", "9999999999999999999", "0-100000"] {
            assert_eq!(parse_list(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_core_that_is_named_twice_is_found() {
        assert_eq!(named_twice("0,0"), Some(0));
        assert_eq!(named_twice("1-3,5,2"), Some(2));
        for good in ["1", "3,1", "1-3,5", "a"] {
            assert_eq!(named_twice(good), None, "{good}");
        }
    }

    #[test]
    fn control_gets_what_workers_leave() {
        let host = HostCores::of(vec![0, 1, 2, 3]).expect("not empty");
        assert_eq!(host.last(), 3);
        assert_eq!(host.beside(&[2, 3]), [0, 1]);
        assert_eq!(host.beside(&[0, 1, 2, 3]), [0, 1, 2, 3]);
        assert!(HostCores::of(Vec::new()).is_none());
    }

    #[test]
    fn this_host_has_a_core() {
        let host = HostCores::read().expect("/sys and affinity are readable");
        assert!(host.has(host.last()));
    }
}
