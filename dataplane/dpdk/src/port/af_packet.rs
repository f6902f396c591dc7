//! What an AF_PACKET interface must be like: the driver copies a frame from the kernel's ring into one buffer
//! and, in DPDK 22.11.11, does not look whether it fits (net/af_packet got that check in 2026).

use nix::net::if_::if_nametoindex;

use super::{error::StartError, plan::PortPlan};
use crate::{Device, DeviceKind, interface::InterfaceState, limits::L2_LEN_MAX};

/// Refuses an interface whose frames, or a ring whose places, are longer than a buffer of `plan`; and a ring in which
/// a frame of the MTU has no place.
pub(super) fn check(plan: &PortPlan, device: &Device) -> Result<(), StartError> {
    let (DeviceKind::AfPacket, Some(iface)) = (device.kind(), device.interface()) else {
        return Ok(());
    };
    let room = plan.data_len(DeviceKind::AfPacket);
    if let Some(asked) = device.argument("framesz") {
        let (min, max) = (u32::from(plan.ip_mtu) + L2_LEN_MAX + OVERHEAD_MAX, room + OVERHEAD_MIN);
        // The kernel wants multiples of 16 (linux/if_packet.h: TPACKET_ALIGNMENT).
        let (min, max) = (min.next_multiple_of(16), max / 16 * 16);
        if !asked.parse().is_ok_and(|bytes: u32| (min..=max).contains(&bytes)) {
            let (device, asked) = (device.clone(), asked.to_owned());
            return Err(StartError::RingFrame { device, asked, min, max });
        }
    }
    let (owned, of) = (|| iface.to_owned(), || device.clone());
    let state = if_nametoindex(iface)
        .and_then(InterfaceState::of)
        .map_err(|errno| StartError::Interface { device: of(), iface: owned(), errno })?;
    match state {
        // Its driver makes interfaces that are gone by now an error of its own.
        Some(state) if state.mtu > room - L2_LEN_MAX => {
            let (mtu, fix) = (state.mtu, plan.ip_mtu);
            Err(StartError::InterfaceMtu { device: of(), iface: owned(), mtu, fix })
        }
        _ => Ok(()),
    }
}

/// Bytes of each place in the ring that are no frame, as the driver reckons (`TPACKET2_HDRLEN - sizeof(struct
/// sockaddr_ll)`), and as the kernel does (its header, aligned, with room to move the frame).
const OVERHEAD_MIN: u32 = 32;
const OVERHEAD_MAX: u32 = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_whose_places_do_not_fit_a_buffer_is_refused() {
        let refused = |arguments: &str| {
            let device: Device =
                format!("net_af_packet0,iface=lo,{arguments}").parse().expect(arguments);
            matches!(
                check(&PortPlan::default(), &device),
                Err(StartError::RingFrame { min: 1_600, max: 2_080, .. })
            )
        };
        for bad in ["framesz=4096", "framesz=2096", "framesz=1024", "framesz=x"] {
            assert!(refused(bad), "{bad}");
        }
        assert!(!refused("framesz=2048") && !refused("blocksz=4096"));
    }

    #[test]
    fn an_interface_with_longer_frames_than_a_buffer_is_refused_with_the_command() {
        // Whose MTU is 65,536.
        let device = Device::af_packet("lo").expect("a name");
        let error =
            check(&PortPlan::default(), &device).expect_err("65,554 bytes do not fit 2,048");
        let said = error.to_string();
        assert!(said.contains("lo has an MTU of 65536"), "{said}");
        assert!(said.ends_with("`ip link set dev lo mtu 1500`"), "{said}");
    }
}
