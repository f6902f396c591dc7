//! ICMP echo replies (RFC 792; RFC 1122, 3.2.2.6).

use crate::Nic;
use crate::nic::TxOffload;
use crate::wire::checksum::Sum;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::segment::IP_LEN;

/// Queues the reply to the echo request in `packet`, an IPv4 packet that passed the filter, behind
/// `header`; bytes of the frame, or `None` without a transmit buffer large enough.
pub(crate) fn submit_reply<N: Nic>(
    nic: &mut N,
    header: &ReplyHeader,
    packet: &[u8],
) -> Option<usize> {
    if packet.len() > nic.capabilities().ip_mtu {
        return None;
    }
    let mut tx_buffer = nic.tx_buffer()?;
    let l2_len = usize::from(header.len());
    let len = l2_len + packet.len();
    let buffer = tx_buffer.as_mut();
    buffer[..l2_len].copy_from_slice(header.bytes());
    let reply = &mut buffer[l2_len..len];
    reply.copy_from_slice(packet);
    make_reply(reply);
    nic.submit(tx_buffer, len, TxOffload::None);
    Some(len)
}

fn make_reply(packet: &mut [u8]) {
    let (ip, icmp) = packet.split_at_mut(IP_LEN);
    let (source, destination) = ip[12..20].split_at_mut(4);
    source.swap_with_slice(destination);
    ip[8] = HOP_LIMIT;
    ip[10..12].fill(0);
    let field = Sum::default().bytes(ip).checksum();
    ip[10..12].copy_from_slice(&field);
    icmp[0] = ECHO_REPLY;
    icmp[2..4].fill(0);
    let field = Sum::default().bytes(icmp).checksum();
    icmp[2..4].copy_from_slice(&field);
}

const HOP_LIMIT: u8 = 64;
const ECHO_REPLY: u8 = 0;
