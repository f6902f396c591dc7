//! How many queues a link is to be opened with, given how many workers there are.

use dpdk::{Device, DeviceKind, VHOST_QUEUES_MAX};

use super::host::HostLinks;
use super::spec::Link;

/// Flows would arrive on a queue that nobody polls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueueMismatch {
    /// An interface has several receive queues, and not one for each worker.
    #[error(
        "{link}: {interface} has {queues} receive queues and there are {workers} workers; flows on a queue \
         without a worker would be lost: name as many cores as queues with --cores, or make it one queue \
         with `ethtool -L {interface} combined 1` (then software spreads the flows)"
    )]
    Interface { link: String, interface: String, queues: u16, workers: u16 },
    /// A device argument makes several queues of one device.
    #[error(
        "{link}: with {argument} the kernel spreads flows over several queues of one device, of which one is \
         polled; flows on the others would be lost: leave {argument} out (with several --cores software \
         spreads the flows), or name the link {short}:{interface}"
    )]
    Argument { link: String, argument: String, short: &'static str, interface: String },
}

/// The devices of `link` for `workers` workers. AF_XDP takes a device for each queue of the interface;
/// every other driver is one device, which is asked for its queues when its port is configured.
///
/// # Errors
/// The interface has several receive queues, but not as many as there are workers; or a device argument asks for
/// queues that nobody would poll.
pub(crate) fn devices_for(
    link: &Link,
    host: &HostLinks,
    workers: u16,
) -> Result<Vec<Device>, QueueMismatch> {
    let device = link.device();
    if let (DeviceKind::Vhost, Some(name), true) =
        (device.kind(), device.interface(), link.is_short())
    {
        // One queue, and software steering, where there are not queues for all.
        let queues = if workers > VHOST_QUEUES_MAX { 1 } else { workers };
        return Ok(vec![Device::vhost(name, queues).unwrap_or_else(|_| device.clone())]);
    }
    refuse_queues(link)?;
    let (DeviceKind::AfXdp, Some(name)) = (device.kind(), device.interface()) else {
        return Ok(vec![device.clone()]);
    };
    let queues = host.interfaces.get(name).map_or(1, |interface| interface.queues);
    if queues <= 1 || !link.is_short() {
        return Ok(vec![device.clone()]);
    }
    let each: Result<Vec<_>, _> =
        (0..queues).map(|queue| Device::af_xdp_queue(name, queue)).collect();
    match each {
        Ok(devices) if queues == workers => Ok(devices),
        _ => Err(QueueMismatch::Interface {
            link: link.to_string(),
            interface: name.to_owned(),
            queues,
            workers,
        }),
    }
}

/// Neither driver says how it spreads flows over several queues of one device, so one is polled.
fn refuse_queues(link: &Link) -> Result<(), QueueMismatch> {
    let device = link.device();
    let (short, key) = match device.kind() {
        DeviceKind::AfPacket => ("af_packet", "qpairs"),
        DeviceKind::AfXdp => ("af_xdp", "queue_count"),
        _ => return Ok(()),
    };
    match device.argument(key) {
        None | Some("1") => Ok(()),
        Some(count) => Err(QueueMismatch::Argument {
            link: link.to_string(),
            argument: format!("{key}={count}"),
            short,
            interface: device.interface().unwrap_or_default().to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::host::Interface;
    use super::*;

    fn devices(link: &str, queues: u16, workers: u16) -> Result<Vec<String>, String> {
        let mut host = HostLinks::default();
        host.interfaces.insert("pollux0".into(), Interface { queues, ..Interface::default() });
        let link = Link::parse(link).expect(link);
        devices_for(&link, &host, workers)
            .map(|devices| devices.iter().map(Device::to_string).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn one_queue_serves_any_number_of_workers() {
        let one = "net_af_xdp0,iface=pollux0,busy_budget=0";
        assert_eq!(devices("af_xdp:pollux0", 1, 1), Ok(vec![one.into()]));
        assert_eq!(devices("af_xdp:pollux0", 1, 2), Ok(vec![one.into()]));
    }

    #[test]
    fn each_queue_gets_a_worker() {
        let two = devices("af_xdp:pollux0", 2, 2).expect("a worker each");
        assert_eq!(two.len(), 2);
        assert!(two[1].contains("start_queue=1"), "{two:?}");
        let error = devices("af_xdp:pollux0", 2, 1).expect_err("a queue is left over");
        assert!(
            error.starts_with(
                "af_xdp:pollux0: pollux0 has 2 receive queues and there are 1 workers;"
            ),
            "{error}"
        );
        assert!(error.contains("`ethtool -L pollux0 combined 1`"), "{error}");
    }

    #[test]
    fn a_vhost_link_has_a_queue_for_each_of_eight_workers() {
        let queues = |workers| devices("vhost:pollux0", 1, workers).expect("any number").concat();
        assert!(queues(1).contains(",queues=1,cq=0,"), "{}", queues(1));
        assert!(queues(8).contains(",queues=8,cq=1,"), "{}", queues(8));
        assert!(queues(9).contains(",queues=1,cq=0,"), "{}", queues(9));
    }

    #[test]
    fn queues_of_one_device_that_nobody_polls_are_refused() {
        for (link, argument, short) in [
            ("net_af_packet0,iface=pollux0,qpairs=2", "qpairs=2", "af_packet:pollux0"),
            ("net_af_xdp0,iface=pollux0,queue_count=4", "queue_count=4", "af_xdp:pollux0"),
        ] {
            for workers in [1, 2, 4] {
                let error = devices(link, 1, workers).expect_err("flows would be lost");
                assert!(error.starts_with(&format!("{link}: with {argument} ")), "{error}");
                assert!(error.ends_with(short), "{error}");
            }
        }
        let one = "net_af_packet0,iface=pollux0,qpairs=1";
        assert_eq!(devices(one, 1, 2), Ok(vec![one.into()]));
    }

    #[test]
    fn other_drivers_and_raw_arguments_stay_as_they_are() {
        let packet = "net_af_packet0,iface=pollux0";
        assert_eq!(devices("af_packet:pollux0", 2, 1), Ok(vec![packet.into()]));
        let raw = "net_af_xdp0,iface=pollux0,start_queue=1";
        assert_eq!(devices(raw, 2, 1), Ok(vec![raw.into()]));
    }
}
