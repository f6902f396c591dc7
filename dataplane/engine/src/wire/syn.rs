//! SYN segments that smoltcp does not make: the SYN-ACK that is sent before a connection exists, and the SYN that
//! smoltcp is told of once it does.

use crate::Nic;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::segment::{self, ACK, IP_LEN, SYN, TCP_LEN};
use crate::wire::syn_options::{SYN_OPTIONS_LEN_MAX, SynOptions};
use crate::wire::tuple::Tuple;

/// A SYN or SYN-ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syn {
    /// The connection, the peer's end first.
    pub(crate) tuple: Tuple,
    pub(crate) sequence: u32,
    /// The acknowledgement number of a SYN-ACK, which we send; `None`: a SYN, which the peer sends.
    pub(crate) ack: Option<u32>,
    /// The window field, which a SYN does not scale (RFC 7323, 2.2).
    pub(crate) window: u16,
    pub(crate) options: SynOptions,
}

impl Syn {
    /// Queues the segment behind `header`; bytes of the frame, or `None` without a transmit buffer.
    pub(crate) fn submit<N: Nic>(&self, nic: &mut N, header: &ReplyHeader) -> Option<usize> {
        let mut tx_buffer = nic.tx_buffer()?;
        let by_nic = nic.capabilities().tx_checksum_offload;
        let l2_len = usize::from(header.len());
        let frame = tx_buffer.as_mut();
        frame[..l2_len].copy_from_slice(header.bytes());
        let mut packet = [0; SYN_PACKET_LEN_MAX];
        let packet = self.emit(&mut packet);
        let len = l2_len + packet.len();
        frame[l2_len..len].copy_from_slice(packet);
        let offload = segment::finish_checksums(&mut frame[l2_len..len], header.len(), by_nic);
        nic.submit(tx_buffer, len, offload);
        Some(len)
    }

    /// Lays the packet out. Its checksums are yet to be filled in.
    pub(crate) fn emit<'a>(&self, into: &'a mut [u8; SYN_PACKET_LEN_MAX]) -> &'a mut [u8] {
        let mut options = [0; SYN_OPTIONS_LEN_MAX];
        let options_len = self.options.emit(&mut options);
        let len = IP_LEN + TCP_LEN + options_len;
        let Tuple { addresses, ports } = self.tuple;
        // From us the ends are the other way round.
        let (addresses, ports) = match self.ack {
            Some(_) => (addresses.rotate_left(32), ports.rotate_left(16)),
            None => (addresses, ports),
        };
        let (ip, tcp) = into.split_at_mut(IP_LEN);
        ip[..12].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0]);
        ip[2..4].copy_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
        ip[12..20].copy_from_slice(&addresses.to_be_bytes());
        tcp[..4].copy_from_slice(&ports.to_be_bytes());
        tcp[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        tcp[8..12].copy_from_slice(&self.ack.unwrap_or(0).to_be_bytes());
        let words = u8::try_from((TCP_LEN + options_len) / 4).unwrap_or(u8::MAX);
        let flags = if self.ack.is_some() { SYN | ACK } else { SYN };
        let [w0, w1] = self.window.to_be_bytes();
        tcp[12..20].copy_from_slice(&[words << 4, flags, w0, w1, 0, 0, 0, 0]);
        tcp[TCP_LEN..].copy_from_slice(&options);
        &mut into[..len]
    }
}

/// Bytes of the longest packet with a [`Syn`].
pub(crate) const SYN_PACKET_LEN_MAX: usize = IP_LEN + TCP_LEN + SYN_OPTIONS_LEN_MAX;

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_syn_is_the_peers_and_a_syn_ack_is_ours() {
        let peer = (Ipv4Addr::new(198, 18, 0, 1), 40_000);
        let ours = (Ipv4Addr::new(198, 18, 0, 2), 8_080);
        let options =
            SynOptions { segment_max: Some(1_000), window_scale: Some(7), permits_sack: true };
        for (ack, tuple) in [(None, Tuple::new(peer, ours)), (Some(9), Tuple::new(ours, peer))] {
            let syn = Syn { tuple: Tuple::new(peer, ours), sequence: 5, ack, window: 77, options };
            let mut packet = [0; SYN_PACKET_LEN_MAX];
            let packet = syn.emit(&mut packet);
            let read = segment::parse(packet).expect("a segment");
            assert_eq!((read.tuple, read.sequence, read.window), (tuple, 5, 77));
            assert_eq!((read.ack, read.has(ACK)), (ack.unwrap_or(0), ack.is_some()));
            assert!(read.has(SYN) && read.payload_len == 0);
            assert_eq!(SynOptions::parse(segment::options(packet)), options);
        }
    }
}
