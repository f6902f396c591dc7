//! A handshake that took place without smoltcp, told to it afterwards.
//!
//! smoltcp is shown the SYN, and what it answers is noted and not sent: the peer has had it for a round trip. Then it is
//! in SYN-RECEIVED and takes the acknowledgement as if it had waited for it.

use smoltcp::phy::{Device, DeviceCapabilities, TxToken};
use smoltcp::time::Instant;

use super::{Stack, Tcp};
use crate::tcp::device::{Inbound, capabilities};
use crate::tcp::sent::Sent;
use crate::wire::segment;

impl Stack {
    /// Takes a connection, which waits for a SYN, to SYN-RECEIVED: `syn` is the packet of the SYN, and at `began`, in
    /// microseconds, our SYN-ACK left first. `sent` is the same where it left once: a round trip is measured by it.
    pub(crate) fn replay(
        &mut self,
        tcp: &mut Tcp,
        syn: &[u8],
        ip_mtu: usize,
        began: u64,
        sent: Option<u64>,
    ) {
        let at = Instant::from_micros(i64::try_from(began).unwrap_or(i64::MAX));
        let Tcp { set, sent: record, .. } = tcp;
        let mut device = Replay { packet: Some(syn), sent: record, ip_mtu };
        let _ = self.interface.poll_ingress_single(at, &mut device, set);
        let _ = self.interface.poll_egress(at, &mut device, set);
        if let Some(sent) = sent {
            tcp.sender.on_sent(tcp.sent.snd_nxt, true, sent);
        }
    }
}

/// A device with one packet to receive; what is sent is recorded and goes nowhere.
struct Replay<'a> {
    packet: Option<&'a [u8]>,
    sent: &'a mut Sent,
    ip_mtu: usize,
}

impl Device for Replay<'_> {
    type RxToken<'b>
        = Inbound<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Recorded<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Inbound<'_>, Recorded<'_>)> {
        let packet = self.packet.take()?;
        Some((Inbound(packet), Recorded { sent: self.sent }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Recorded<'_>> {
        Some(Recorded { sent: self.sent })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.ip_mtu)
    }
}

struct Recorded<'a> {
    sent: &'a mut Sent,
}

impl TxToken for Recorded<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut packet = [0; PACKET_LEN_MAX];
        let packet = &mut packet[..len];
        let result = write(packet);
        if let Some(segment) = segment::parse(packet) {
            let is_again = self.sent.record(&segment, packet);
            debug_assert!(!is_again, "one SYN-ACK is all there is to say");
        }
        result
    }
}

/// Bytes of the longest headers of a packet, which is all that a SYN-ACK is.
const PACKET_LEN_MAX: usize = 120;
