//! smoltcp's devices: what a socket makes becomes a frame of the NIC, or part of one, or is passed over.

use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::phy::{RxToken, TxToken};
use smoltcp::time::Instant;

use crate::tcp::coalesce::Coalescer;
use crate::tcp::sender::Sender;
use crate::tcp::sent::Sent;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::segment::{self, Segment, is_after};
use crate::{CoreStats, Nic};

/// A device for the length of one call: one connection's packet in, its segments out; with
/// `LARGE` they may become parts of a large packet. Small responses do not pay for the question.
pub(super) struct PacketDevice<'a, N: Nic, const LARGE: bool> {
    pub(super) nic: &'a mut N,
    pub(super) stats: &'a CoreStats,
    pub(super) header: &'a ReplyHeader,
    pub(super) sent: &'a mut Sent,
    pub(super) sender: &'a mut Sender,
    pub(super) packet: Option<&'a [u8]>,
    pub(super) coalescer: Option<&'a mut Coalescer<N::TxBuffer>>,
}

impl<N: Nic, const LARGE: bool> Device for PacketDevice<'_, N, LARGE> {
    type RxToken<'b>
        = Inbound<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Outbound<'b, N, LARGE>
    where
        Self: 'b;

    fn receive(&mut self, now: Instant) -> Option<(Inbound<'_>, Outbound<'_, N, LARGE>)> {
        // smoltcp may answer any packet with one of its own: reserve before promising.
        let packet = self.packet.take_if(|_| self.nic.ready())?;
        Some((Inbound(packet), self.transmit(now)?))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outbound<'_, N, LARGE>> {
        let Self { nic, stats, header, sent, sender, coalescer, .. } = self;
        let coalescer = coalescer.as_deref_mut();
        nic.ready().then_some(Outbound { nic, stats, header, sent, sender, coalescer })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.nic.capabilities().ip_mtu)
    }
}

/// A device that takes nothing.
pub(super) struct NoDevice {
    /// Largest IP packet in bytes.
    pub(super) ip_mtu: usize,
}

impl Device for NoDevice {
    type RxToken<'b> = Inbound<'b>;
    type TxToken<'b> = NoToken;

    fn receive(&mut self, _: Instant) -> Option<(Inbound<'_>, NoToken)> {
        None
    }

    fn transmit(&mut self, _: Instant) -> Option<NoToken> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.ip_mtu)
    }
}

pub(super) enum NoToken {}

impl TxToken for NoToken {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _: usize, _: F) -> R {
        match self {}
    }
}

fn capabilities(ip_mtu: usize) -> DeviceCapabilities {
    let mut checksum = ChecksumCapabilities::ignored();
    checksum.ipv4 = Checksum::None;
    checksum.tcp = Checksum::None;
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = ip_mtu;
    capabilities.checksum = checksum;
    capabilities
}

pub(super) struct Inbound<'a>(&'a [u8]);

impl RxToken for Inbound<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

pub(super) struct Outbound<'a, N: Nic, const LARGE: bool> {
    nic: &'a mut N,
    stats: &'a CoreStats,
    header: &'a ReplyHeader,
    sent: &'a mut Sent,
    sender: &'a mut Sender,
    /// Where what leaves may become part of a large packet.
    coalescer: Option<&'a mut Coalescer<N::TxBuffer>>,
}

impl<N: Nic, const LARGE: bool> TxToken for Outbound<'_, N, LARGE> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let Self { nic, stats, header, sent, sender, coalescer } = self;
        if LARGE
            && let Some(coalescer) = coalescer
            && coalescer.is_ready(len, header, nic, stats)
        {
            let note = |segment: &Segment, packet: &[u8]| {
                if sent.record(segment, packet) {
                    stats.retransmits.add(1);
                }
            };
            return coalescer.take(len, nic, stats, write, note);
        }
        let mut tx_buffer = nic.tx_buffer().expect("the queue said that it was ready");
        let by_nic = nic.capabilities().tx_checksum_offload;
        let l2_len = usize::from(header.len());
        let frame = &mut tx_buffer.as_mut()[..l2_len + len];
        let (ethernet, packet) = frame.split_at_mut(l2_len);
        ethernet.copy_from_slice(header.bytes());
        let result = write(packet);
        let mut leaves = len;
        if let Some(segment) = segment::parse(packet) {
            if sent.is_behind() {
                leaves = pass(&segment, packet, sent, sender, stats);
                if leaves == 0 {
                    return result;
                }
            } else if sent.record(&segment, packet) {
                stats.retransmits.add(1);
            }
        }
        let offload = segment::finish_checksums(&mut packet[..leaves], header.len(), by_nic);
        stats.tx_frames.add(1);
        stats.tx_bytes.add((l2_len + leaves) as u64);
        nic.submit(tx_buffer, l2_len + leaves, offload);
        result
    }
}

/// What leaves of `packet` that smoltcp made while it goes over what was sent: its first bytes, how many. All of
/// what is lost or new; of what is not, the acknowledgement if that is news; else nothing.
#[cold]
fn pass(
    segment: &Segment,
    packet: &mut [u8],
    sent: &mut Sent,
    sender: &mut Sender,
    stats: &CoreStats,
) -> usize {
    let (from, nxt) = (segment.sequence, sent.snd_nxt);
    if segment.sequence_len() == 0 {
        // smoltcp takes the number from where it is, and the peer drops what lies before its window.
        if from == sent.next {
            segment::set_sequence(packet, nxt);
        }
        sent.record(segment, packet);
        return packet.len();
    }
    let to = from.wrapping_add(segment.sequence_len());
    let is_new = is_after(to, nxt);
    if is_new || sender.is_lost(from, to) {
        if is_after(nxt, from) {
            sender.on_resent(from, if is_new { nxt } else { to }, nxt);
            stats.retransmits.add(1);
        }
        sent.record(segment, packet);
        return packet.len();
    }
    sent.next = to;
    if !sent.is_news(segment) {
        return 0;
    }
    let len = segment::strip(packet, nxt);
    let kept = Segment { payload_len: 0, flags: segment::ACK, sequence: nxt, ..*segment };
    sent.record(&kept, packet);
    len
}
