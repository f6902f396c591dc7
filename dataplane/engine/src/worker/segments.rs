//! What becomes of a received frame: to a connection, a reply that needs none, or nothing, with the reason.

use http1::Service;

use super::Worker;
use crate::tcp::admission::opens;
use crate::tcp::connection::{Acceptance, Shown, Stage, Unacceptable};
use crate::tcp::flow::Owner;
use crate::tcp::sender::Outcome;
use crate::tcp::sources::SourceId;
use crate::tcp::stack::State;
use crate::wire::drop_reason::DropReason;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::filter::Arrival;
use crate::wire::segment::{self, RST, Segment, is_after};
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
                let owner = self.flows.find(segment.tuple);
                let slot = match owner {
                    Some(Owner::Conn(slot)) => slot,
                    Some(Owner::TimeWait(index)) if !self.reopens(index, &segment) => {
                        return self.on_time_wait(index, &segment, &header, now);
                    }
                    _ => self.admit(&segment, &header, owner, now)?,
                };
                return self.deliver(slot, &segment, &frame.as_ref()[packet], &header, now);
            }
        }
        Ok(())
    }

    /// Opens a connection for a SYN, or says why not. Other segments without a connection are reset.
    fn admit(
        &mut self,
        segment: &Segment,
        header: &ReplyHeader,
        owner: Option<Owner>,
        now: Now,
    ) -> Result<u32, DropReason> {
        let stats = &self.control.end.stats;
        let ours = self.admission.is_our_port(segment);
        if !opens(segment) || !ours {
            if !ours && self.exception.is_some() {
                // The kernel answers, whatever it is.
                return Err(DropReason::ClosedPort);
            }
            if segment.has(RST) {
                return Err(DropReason::StrayReset);
            }
            self.interface.reset(segment, header, stats, now.micros);
            return Err(if ours { DropReason::NoConnection } else { DropReason::ClosedPort });
        }
        if !self.control.mode.accepts() {
            self.interface.reset(segment, header, stats, now.micros);
            return Err(DropReason::Draining);
        }
        if self.admission.is_full() {
            return Err(DropReason::HalfOpenFull);
        }
        let source = if self.http.sources.are_bounded() {
            self.enter_source(segment, header, now)?
        } else {
            SourceId::default()
        };
        let opened = self.conns.try_open(segment, *header, self.admission.port(), now.micros);
        let Some(slot) = opened else {
            self.http.sources.leave(source);
            return Err(DropReason::ConnectionsFull);
        };
        if source.is_counted() {
            self.conns.conn(slot).source = source;
        }
        let stats = &self.control.end.stats;
        let previous = match owner {
            Some(Owner::TimeWait(index)) => Some(self.flows.record(index).remains.snd_nxt),
            _ => None,
        };
        let number = self.initial_sequence.choose(segment.tuple, previous, now.micros);
        self.conns.conn(slot).tcp.begin(number);
        self.stack.set_initial_sequence(number, &mut self.interface.nic);
        let reused = self.flows.open(segment.tuple, slot, owner);
        stats.time_wait_reused.add(u64::from(reused));
        self.admission.enter();
        stats.connections_opened.add(1);
        Ok(slot)
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
        } else if let Some(acceptance) = self.examine(slot, segment, packet, now)? {
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
        packet: &[u8],
        now: Now,
    ) -> Result<Option<Acceptance>, DropReason> {
        let Self { conns, interface, control, .. } = self;
        let stats = &control.end.stats;
        let conn = conns.conn(slot);
        let acceptance = if conn.stage == Stage::HalfOpen && conn.tcp.state() == State::Listen {
            let ip_mtu = interface.nic.capabilities().ip_mtu;
            let ours = ip_mtu.saturating_sub(segment::IP_LEN + segment::TCP_LEN);
            let options = segment::options(packet);
            let theirs = segment::segment_max(options).unwrap_or(SEGMENT_MAX_DEFAULT);
            let segment_max = u32::from(theirs).min(u32::try_from(ours).unwrap_or(u32::MAX));
            conn.on_syn(segment_max, options);
            Acceptance::Whole
        } else {
            match conn.check_acceptable(segment) {
                Ok(acceptance) => acceptance,
                Err(unacceptable) => return Err(self.refuse(slot, unacceptable, now)),
            }
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

/// The maximum segment size of a peer that sends no such option (RFC 9293, 3.7.1), bytes of payload.
const SEGMENT_MAX_DEFAULT: u16 = 536;
