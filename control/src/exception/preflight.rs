//! What can be said of an exception interface before anything is taken.

use std::fs;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::Path;

use dpdk::DeviceKind;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;

use super::ExceptionError;
use crate::config::Plan;
use crate::link::HostLinks;

/// Whether the exception interface `name` of `plan` can be made on `host`. Warns where the kernel may take our TCP port
/// for a connection of its own.
///
/// # Errors
/// It cannot, and what to do.
pub(crate) fn preflight(name: &str, plan: &Plan, host: &HostLinks) -> Result<(), ExceptionError> {
    let name = || name.to_owned();
    // A TAP interface takes the same right whoever makes it.
    if let Some(lacking) = host.rights.lacking(DeviceKind::Tap) {
        return Err(ExceptionError::Rights { name: name(), lacking });
    }
    if !host.tun {
        return Err(ExceptionError::NoTun { name: name() });
    }
    if if_nametoindex(name().as_str()).is_ok() {
        return Err(ExceptionError::Taken { name: name() });
    }
    let (address, _) = plan.on_link();
    if let Some((interface, prefix)) = owner_of(address) {
        return Err(ExceptionError::AddressElsewhere { name: name(), address, prefix, interface });
    }
    if let Some(warning) = unreserved(plan.port, Path::new("/proc/sys/net/ipv4")) {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// The interface of this network namespace that has `address`, and the length of its prefix there.
fn owner_of(address: Ipv4Addr) -> Option<(String, u32)> {
    getifaddrs().into_iter().flatten().find_map(|entry| {
        let is_it = entry.address?.as_sockaddr_in()?.ip() == address;
        let mask = entry.netmask.and_then(|mask| mask.as_sockaddr_in().map(|mask| mask.ip()));
        is_it.then(|| (entry.interface_name, mask.map_or(32, |mask| mask.to_bits().count_ones())))
    })
}

/// What is to be said if the kernel may choose `port`, which is answered here, as the local port of a
/// connection of its own: the replies would never reach it. `sysctls` is `/proc/sys/net/ipv4`.
pub(crate) fn unreserved(port: u16, sysctls: &Path) -> Option<String> {
    let read = |name: &str| fs::read_to_string(sysctls.join(name)).unwrap_or_default();
    let range = read("ip_local_port_range");
    let mut ends = range.split_whitespace().map_while(|end| end.parse().ok());
    let range: RangeInclusive<u16> = ends.next()?..=ends.next()?;
    let reserved = read("ip_local_reserved_ports");
    if !range.contains(&port) || is_listed(port, &reserved) {
        return None;
    }
    let (first, last) = range.into_inner();
    let comma = if reserved.trim().is_empty() { "" } else { "," };
    Some(format!(
        "port {port} is one of {first} to {last}, from which this kernel chooses local ports; replies to \
         a connection that it gives ours would be taken for HTTP: \
         sysctl -w net.ipv4.ip_local_reserved_ports={}{comma}{port}",
        reserved.trim()
    ))
}

/// Whether `port` is in a list such as `8080,9148-9150`.
fn is_listed(port: u16, list: &str) -> bool {
    list.trim().split(',').any(|item| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let ends = first.parse().ok().zip(last.parse().ok());
        ends.is_some_and(|(first, last): (u16, u16)| (first..=last).contains(&port))
    })
}

/// Whether the kernel takes `name` for an interface as it is.
pub(crate) fn is_interface_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"/:%\"'\\".contains(&byte);
    (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(is_plain)
        && ![".", ".."].contains(&name)
}

/// `IFNAMSIZ` of linux/if.h, without the NUL.
const NAME_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn sysctls(range: &str, reserved: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("ip_local_port_range"), range).expect("writable");
        fs::write(directory.path().join("ip_local_reserved_ports"), reserved).expect("writable");
        directory
    }

    #[test]
    fn a_port_that_the_kernel_may_choose_is_warned_of() {
        let said = |port, range, reserved| unreserved(port, sysctls(range, reserved).path());
        assert_eq!(said(8080, "32768\t60999\n", "\n"), None);
        assert_eq!(said(40_000, "32768\t60999\n", "39999-40001\n"), None);
        assert_eq!(said(40_000, "32768\t60999\n", "22,40000\n"), None);
        let fresh = said(40_000, "32768\t60999\n", "\n").expect("a warning");
        assert!(fresh.ends_with("sysctl -w net.ipv4.ip_local_reserved_ports=40000"), "{fresh}");
        let more = said(32_768, "32768\t60999\n", "22,50-60\n").expect("a warning");
        assert!(more.ends_with("ip_local_reserved_ports=22,50-60,32768"), "{more}");
        assert_eq!(unreserved(40_000, Path::new("/nonexistent")), None, "nothing is known");
    }

    #[test]
    fn names_are_what_the_kernel_takes() {
        for good in ["pollux1", "x", "fifteen_letters", "eth0.7"] {
            assert!(is_interface_name(good), "{good}");
        }
        for bad in ["", "sixteen_letters_", "a/b", "a b", "a:1", "tap%d", ".", "..", "größe"] {
            assert!(!is_interface_name(bad), "{bad}");
        }
    }

    #[test]
    fn the_owner_of_an_address_is_found() {
        assert_eq!(owner_of(Ipv4Addr::new(203, 0, 113, 77)), None);
        if let Some((interface, prefix)) = owner_of(Ipv4Addr::LOCALHOST) {
            assert_eq!((interface.as_str(), prefix), ("lo", 8));
        }
    }
}
