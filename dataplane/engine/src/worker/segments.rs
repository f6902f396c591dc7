//! What becomes of a received frame: to a connection, a reply that needs none, or nothing, with the reason.

use http1::Service;

use super::Worker;
use crate::tcp::admission::opens;
use crate::tcp::connection::{Acceptance, Shown, Unacceptable};
use crate::tcp::flow::Owner;
use crate::tcp::sender::Outcome;
use crate::wire::drop_reason::DropReason;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::filter::Arrival;
use crate::wire::segment::{RST, Segment, is_after};
use crate::{Nic, Now};

impl<N: Nic, S: Service> Worker<N, S> {
    pub(super) fn on_frame(&mut self, frame: &N::Frame, now: Now) -> Result<(), DropReason> {
        let (received, arrival) = self.interface.filter.classify(frame)?;
        let stats = &self.control.end.stats;
        match arrival {
            Arrival::ArpRequest(request) => {
                self.interface.hear_arp(frame.as_ref());
                self.interface.reply_to_arp(&received, &request, stats);
            }
            Arrival::EchoRequest { packet } => {
                let packet = &frame.as_ref()[packet];
                self.interface.reply_to_echo(&received, packet, stats, now.micros);
            }
            // smoltcp may answer any segment with one of its own: reserve before promising.
            Arrival::Tcp { .. } if !self.interface.nic.ready() => {
                return Err(DropReason::NoTxBuffer);
            }
            Arrival::Tcp { segment, packet } => {
                let header = self.interface.reply_header(&received);
                let packet = &frame.as_ref()[packet];
                let slot = match self.flows.find(segment.tuple) {
                    Some(Owner::Conn(slot)) => slot,
                    owner => match self.on_unconnected(owner, &segment, packet, &header, now)? {
                        Some(slot) => slot,
                        None => return Ok(()),
                    },
                };
                return self.deliver(slot, &segment, packet, &header, now);
            }
        }
        Ok(())
    }

    /// Takes a segment that is of no connection, or not yet: the slot of the one that it opens, if it does.
    #[inline(never)]
    fn on_unconnected(
        &mut self,
        owner: Option<Owner>,
        segment: &Segment,
        packet: &[u8],
        header: &ReplyHeader,
        now: Now,
    ) -> Result<Option<u32>, DropReason> {
        match owner {
            Some(Owner::HalfOpen(index)) => self.on_half_open(index, segment, header, now),
            Some(Owner::TimeWait(index)) if !self.reopens(index, segment) => {
                // The SYN before it, which opens again from TIME-WAIT, may have been answered with a cookie.
                let opened = self.accept_cookie(owner, segment, header, now)?;
                if opened.is_none() {
                    self.on_time_wait(index, segment, header, now)?;
                }
                Ok(opened)
            }
            _ if opens(segment) && self.admission.is_our_port(segment) => {
                self.on_syn(segment, packet, header, owner, now).map(|()| None)
            }
            _ => self.on_stray(segment, header, now),
        }
    }

    /// A segment that neither belongs to a connection nor asks for one: reset, unless it completes a handshake of which
    /// nothing was kept.
    #[cold]
    fn on_stray(
        &mut self,
        segment: &Segment,
        header: &ReplyHeader,
        now: Now,
    ) -> Result<Option<u32>, DropReason> {
        let ours = self.admission.is_our_port(segment);
        if ours && let Some(slot) = self.accept_cookie(None, segment, header, now)? {
            return Ok(Some(slot));
        }
        if !ours && self.exception.is_some() {
            // The kernel answers, whatever it is.
            return Err(DropReason::ClosedPort);
        }
        if segment.has(RST) {
            return Err(DropReason::StrayReset);
        }
        self.interface.reset(segment, header, &self.control.end.stats, now.micros);
        Err(if ours { DropReason::NoConnection } else { DropReason::ClosedPort })
    }

    /// Hands a segment to the connection in `slot`, after the checks that smoltcp leaves out.
    fn deliver(
        &mut self,
        slot: u32,
        segment: &Segment,
        packet: &[u8],
        header: &ReplyHeader,
        now: Now,
    ) -> Result<(), DropReason> {
        let acceptance = if self.conns.conn(slot).is_next(segment) {
            Acceptance::Whole
        } else if let Some(acceptance) = self.examine(slot, segment, now)? {
            acceptance
        } else {
            return Ok(());
        };
        let Self { conns, stack, interface, control, run_queue, restated, .. } = self;
        let stats = &control.end.stats;
        let conn = conns.conn(slot);
        let mut packet = packet;
        let mut is_shown = true;
        match acceptance {
            Acceptance::Whole => {
                let (outcome, shown) = conn.on_segment(segment, packet, *header, now.micros);
                if outcome != Outcome::Nothing {
                    outcome.count(stats);
                }
                is_shown = shown != Shown::Not;
                if shown == Shown::Ajar {
                    packet = conn.set_ajar(packet, restated);
                }
            }
            Acceptance::OldAck => {
                stats.rx_old_ack.add(1);
                conn.reply_header = *header;
                packet = conn.restate(packet, restated);
            }
            Acceptance::Repeated => conn.reply_header = *header,
            Acceptance::Outside => {
                stats.peers_followed.add(u64::from(conn.follow(&interface.neighbours)));
            }
        }
        if is_shown {
            let header = &conn.reply_header;
            stack.ingress(&mut conn.tcp, packet, header, &mut interface.nic, stats);
        }
        run_queue.push(slot, &mut conn.queued);
        Ok(())
    }

    /// What counts of a segment that is not simply the next one. `None`: a reset that was taken, and the connection in
    /// `slot` is gone.
    #[cold]
    fn examine(
        &mut self,
        slot: u32,
        segment: &Segment,
        now: Now,
    ) -> Result<Option<Acceptance>, DropReason> {
        let Self { conns, control, .. } = self;
        let stats = &control.end.stats;
        let conn = conns.conn(slot);
        let acceptance = match conn.check_acceptable(segment) {
            Ok(acceptance) => acceptance,
            Err(unacceptable) => return Err(self.refuse(slot, unacceptable, now)),
        };
        stats.rx_out_of_order.add(u64::from(conn.is_early(segment)));
        // An acceptable reset frees the connection at once.
        if segment.has(RST) {
            stats.connections_reset_by_peer.add(1);
            self.retire(slot);
            return Ok(None);
        }
        Ok(Some(acceptance))
    }

    /// Drops a segment of the connection in `slot`, and challenges its peer where that is called for: at the
    /// place from which it spoke last or where ARP says it is, since whoever forged the segment must not learn the
    /// numbers.
    #[cold]
    fn refuse(&mut self, slot: u32, unacceptable: Unacceptable, now: Now) -> DropReason {
        let Self { conns, interface, control, .. } = self;
        let stats = &control.end.stats;
        let conn = conns.conn(slot);
        if unacceptable.is_challenged {
            //= RFC 5961 3.2, 4.2 and 5.2: a challenge ACK. The genuine peer answers it with an exact reset, or goes on.
            stats.peers_followed.add(u64::from(conn.follow(&interface.neighbours)));
            match conn.challenge(now.micros) {
                Some(challenge) => {
                    let queued = interface.submit(&challenge, &conn.reply_header, stats);
                    stats.challenge_acks.add(u64::from(queued));
                }
                None => stats.challenge_acks_limited.add(1),
            }
        }
        unacceptable.reason
    }

    /// Whether a segment opens a connection again from TIME-WAIT.
    //= RFC 1122 4.2.2.13: a SYN beyond the sequence numbers of the old connection does. Timestamps would allow more
    // (RFC 6191), but our connections have none.
    #[cold]
    fn reopens(&mut self, index: u32, segment: &Segment) -> bool {
        let rcv_nxt = self.flows.record(index).remains.rcv_nxt;
        opens(segment) && !is_after(rcv_nxt, segment.sequence)
    }

    #[cold]
    fn on_time_wait(
        &mut self,
        index: u32,
        segment: &Segment,
        header: &ReplyHeader,
        now: Now,
    ) -> Result<(), DropReason> {
        let Self { flows, interface, control, .. } = self;
        let stats = &control.end.stats;
        let record = flows.record(index);
        //= RFC 9293 3.10.7.4: what may arrive is the peer's FIN again, and it is acknowledged, as is what is not
        // acceptable: a SYN of long ago, a keep-alive probe. Not a bare acknowledgement at its place, or two ends in
        // TIME-WAIT would never fall silent. RFC 1337: a reset changes nothing.
        let says_something =
            segment.sequence_len() > 0 || segment.sequence != record.remains.rcv_nxt;
        if segment.has(RST) || !says_something {
            return Err(DropReason::TimeWait);
        }
        if !record.acks.try_take(now.micros) {
            stats.time_wait_limited.add(1);
            return Ok(());
        }
        let queued = interface.submit(&record.remains.acknowledgement(), header, stats);
        stats.time_wait_acked.add(u64::from(queued));
        Ok(())
    }
}
