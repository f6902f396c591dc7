//! A handshake that took place without smoltcp, told to it afterwards.

use core::mem;

use smoltcp::time::Instant;

use super::{Stack, Tcp};
use crate::wire::ethernet::ReplyHeader;
use crate::wire::segment;
use crate::{CoreStats, Nic};

/// A handshake but for its last segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replay<'a> {
    /// The packet of the peer's SYN.
    pub(crate) syn: &'a [u8],
    /// The packet of our SYN-ACK.
    pub(crate) syn_ack: &'a [u8],
    /// When that left first, in microseconds.
    pub(crate) began: u64,
    /// The same where it left once: a round trip is measured by it.
    pub(crate) sent: Option<u64>,
}

impl Stack {
    /// Takes a connection that waits for a SYN to SYN-RECEIVED, as if smoltcp had made the SYN-ACK of `replay`. The
    /// queue is ready.
    ///
    /// smoltcp is shown the SYN. What it answers is taken for a segment that it goes over again and that is not lost:
    /// it does not leave, for it says nothing that the peer was not told.
    pub(crate) fn replay<N: Nic>(
        &mut self,
        tcp: &mut Tcp,
        replay: &Replay<'_>,
        header: &ReplyHeader,
        nic: &mut N,
        stats: &CoreStats,
    ) {
        let began = Instant::from_micros(i64::try_from(replay.began).unwrap_or(i64::MAX));
        let now = mem::replace(&mut self.now, began);
        if let Some(segment) = segment::parse(replay.syn_ack) {
            tcp.sent.record(&segment, replay.syn_ack);
        }
        self.ingress(tcp, replay.syn, header, nic, stats);
        let sent = tcp.sent;
        tcp.sent = sent.before_syn();
        let _ = self.poll::<N, false>(tcp, header, nic, stats, None);
        debug_assert!(!tcp.sent.is_behind(), "smoltcp answers a SYN at once");
        tcp.sent = sent;
        self.now = now;
        if let Some(left) = replay.sent {
            tcp.sender.on_sent(sent.snd_nxt, true, left);
        }
    }
}
