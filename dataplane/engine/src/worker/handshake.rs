//! Half-open connections: a SYN is answered here, without smoltcp, and becomes a connection when a valid acknowledgement
//! of our SYN-ACK comes (RFC 9293, 3.10.7.4; RFC 4987, 3.5 and 3.6).

use core::net::IpAddr;

use http1::Service;

use super::{Mode, Worker};
use crate::tcp::flow::Owner;
use crate::tcp::sources::SourceId;
use crate::tcp::stack::replay::Replay;
use crate::tcp::syn_cache::{ENTRY_MICROS_MAX, NoEntry, Received};
use crate::wire::drop_reason::DropReason;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::segment::{self, ACK, ControlSegment, RST, SYN, Segment, is_after};
use crate::wire::syn::{SYN_PACKET_LEN_MAX, Syn};
use crate::wire::syn_options::SynOptions;
use crate::wire::tuple::Tuple;
use crate::{Nic, Now};

/// A handshake that a valid acknowledgement completes.
#[derive(Clone, Copy, Debug)]
struct Handshake {
    /// What the peer offered.
    options: SynOptions,
    irs: u32,
    iss: u32,
    /// When our SYN-ACK left first, in microseconds; with a cookie nobody knows, and it is now.
    began: u64,
    /// The same where it is known to have left once.
    sent: Option<u64>,
}

impl<N: Nic, S: Service> Worker<N, S> {
    /// Answers the SYN in `packet`, or says why not. `owner` may be a TIME-WAIT record that it ends.
    pub(super) fn on_syn(
        &mut self,
        segment: &Segment,
        packet: &[u8],
        header: &ReplyHeader,
        owner: Option<Owner>,
        now: Now,
    ) -> Result<(), DropReason> {
        let stats = &self.control.end.stats;
        if !self.control.mode.accepts() {
            self.interface.reset(segment, header, stats, now.micros);
            return Err(DropReason::Draining);
        }
        if !self.http.sources.has_room(IpAddr::V4(segment.tuple.peer())) {
            self.interface.reset(segment, header, stats, now.micros);
            return Err(DropReason::SourceLimit);
        }
        if self.conns.is_full() {
            return Err(DropReason::ConnectionsFull);
        }
        let previous = match owner {
            Some(Owner::TimeWait(index)) => Some(self.flows.record(index).remains.snd_nxt),
            _ => None,
        };
        let received = Received {
            tuple: segment.tuple,
            irs: segment.sequence,
            options: SynOptions::parse(segment::options(packet)),
            mac: header.destination(),
            tag: header.tag(),
        };
        let iss = self.initial_sequence.choose(segment.tuple, previous, now.micros);
        match self.admission.cache.insert(&received, iss, now.micros) {
            Ok(index) => {
                let reused = self.flows.open(segment.tuple, Owner::HalfOpen(index), owner);
                stats.time_wait_reused.add(u64::from(reused));
                stats.connections_opened.add(1);
                self.send_syn_ack(&received, iss, header);
                self.arm_half_open(index, now.micros);
                Ok(())
            }
            Err(why) => Err(self.reply_with_cookie(&received, why, header, now)),
        }
    }

    /// Answers a SYN that is not kept.
    #[cold]
    fn reply_with_cookie(
        &mut self,
        received: &Received,
        why: NoEntry,
        header: &ReplyHeader,
        now: Now,
    ) -> DropReason {
        let Received { tuple, irs, options, .. } = *received;
        if let Some(iss) = self.admission.cookies.issue(tuple, irs, options, now.micros)
            && self.send_syn_ack(received, iss, header)
        {
            self.control.end.stats.syn_cookies_sent.add(1);
        }
        match why {
            NoEntry::Full => DropReason::HalfOpenFull,
            NoEntry::SourceFull => DropReason::SourceHalfOpen,
        }
    }

    /// Sends a SYN-ACK with the number `iss`. `false`: there is no transmit buffer.
    fn send_syn_ack(&mut self, received: &Received, iss: u32, header: &ReplyHeader) -> bool {
        let syn_ack = self.syn_ack(received.tuple, received.irs, iss, received.options);
        self.interface.submit_syn(&syn_ack, header, &self.control.end.stats)
    }

    /// Our SYN-ACK with the number `iss` to a SYN with the number `irs`.
    fn syn_ack(&self, tuple: Tuple, irs: u32, iss: u32, options: SynOptions) -> Syn {
        Syn {
            tuple,
            sequence: iss,
            ack: Some(irs.wrapping_add(1)),
            window: self.admission.window(),
            options: self.admission.reply(options, self.segment_max()),
        }
    }

    /// The largest segment that we take, bytes of payload.
    fn segment_max(&self) -> u16 {
        let ip_mtu = self.interface.nic.capabilities().ip_mtu;
        let payload = ip_mtu.saturating_sub(segment::IP_LEN + segment::TCP_LEN);
        u16::try_from(payload).unwrap_or(u16::MAX)
    }

    /// Takes a segment of the half-open connection at `index`: the slot of the connection that it opens, if it does.
    pub(super) fn on_half_open(
        &mut self,
        index: u32,
        segment: &Segment,
        header: &ReplyHeader,
        now: Now,
    ) -> Result<Option<u32>, DropReason> {
        let entry = *self.admission.cache.entry(index);
        let is_whole = segment.flags & (SYN | RST) == 0 && segment.ack == entry.snd_nxt();
        let window = u32::from(self.admission.window());
        if !is_whole || !entry.is_in_window(segment.sequence, segment.payload_len, window) {
            return self.on_strange(index, segment, header, now);
        }
        let is_scaled = self.half_open_scale(index) > 0;
        let end = segment.sequence.wrapping_add(segment.payload_len);
        // smoltcp takes the window of our SYN for larger than it is.
        if is_scaled && is_after(end, entry.rcv_nxt().wrapping_add(window)) {
            return Err(DropReason::BeyondWindow);
        }
        let handshake = Handshake {
            options: entry.options(),
            irs: entry.irs,
            iss: entry.iss,
            began: entry.began(now.micros),
            sent: entry.sent_once(now.micros),
        };
        let opened = self.establish(&handshake, None, segment, header, now);
        match opened {
            Ok(_) => self.release_half_open(index),
            Err(DropReason::SourceLimit) => {
                self.control.end.stats.connections_aborted.add(1);
                self.end_half_open(index);
            }
            // It waits for a slot, and its peer says it again.
            Err(_) => {}
        }
        opened.map(Some)
    }

    /// A segment of a half-open connection that does not complete its handshake.
    #[cold]
    fn on_strange(
        &mut self,
        index: u32,
        segment: &Segment,
        header: &ReplyHeader,
        now: Now,
    ) -> Result<Option<u32>, DropReason> {
        let entry = *self.admission.cache.entry(index);
        if segment.has(SYN) {
            if segment.sequence != entry.irs || segment.has(ACK) {
                //= RFC 5961 4.2: whoever has forgotten the first SYN resets it when he is challenged.
                self.challenge_half_open(index);
            } else if self.admission.cache.entry(index).try_repeat(now.micros) {
                self.repeat_syn_ack(index);
            }
            return Err(DropReason::SynOnConnection);
        }
        if segment.has(RST) {
            //= RFC 5961 3.2: only the exact number resets; another one in the window is challenged.
            if segment.sequence == entry.rcv_nxt() {
                self.control.end.stats.connections_reset_by_peer.add(1);
                self.end_half_open(index);
                return Ok(None);
            }
            if entry.is_guess(segment.sequence, u32::from(self.admission.window())) {
                self.challenge_half_open(index);
            }
            return Err(DropReason::ResetGuess);
        }
        if segment.ack == entry.snd_nxt() {
            //= RFC 9293 3.10.7.4: what is not in the window is acknowledged.
            self.challenge_half_open(index);
            return Ok(None);
        }
        // A SYN that came again, after one that was answered with a cookie.
        if let Some(slot) = self.accept_cookie(None, segment, header, now)? {
            self.control.end.stats.connections_aborted.add(1);
            self.release_half_open(index);
            return Ok(Some(slot));
        }
        //= RFC 9293 3.10.7.4: an acknowledgement of something else is reset, and the connection is not: anybody may send one.
        let header = self.half_open_header(index);
        self.interface.reset(segment, &header, &self.control.end.stats, now.micros);
        Ok(None)
    }

    /// Opens the connection whose cookie `segment` acknowledges: its slot; `None`: it acknowledges none. `owner` may be a
    /// TIME-WAIT record that the connection ends.
    pub(super) fn accept_cookie(
        &mut self,
        owner: Option<Owner>,
        segment: &Segment,
        header: &ReplyHeader,
        now: Now,
    ) -> Result<Option<u32>, DropReason> {
        let is_ack = segment.flags & (SYN | RST | ACK) == ACK;
        let is_served = self.control.mode != Mode::Drained;
        if !is_ack || !is_served || !self.admission.cookies.are_awaited(now.micros) {
            return Ok(None);
        }
        let (irs, iss) = (segment.sequence.wrapping_sub(1), segment.ack.wrapping_sub(1));
        let Some(options) = self.admission.cookies.check(segment.tuple, irs, iss, now.micros)
        else {
            self.control.end.stats.syn_cookies_refused.add(1);
            return Ok(None);
        };
        let handshake = Handshake { options, irs, iss, began: now.micros, sent: None };
        let slot = self.establish(&handshake, owner, segment, header, now)?;
        let stats = &self.control.end.stats;
        stats.connections_opened.add(1);
        stats.syn_cookies_accepted.add(1);
        Ok(Some(slot))
    }

    /// Opens the connection that `segment` completes the handshake of: its slot. The segment is yet to be delivered.
    fn establish(
        &mut self,
        handshake: &Handshake,
        owner: Option<Owner>,
        segment: &Segment,
        header: &ReplyHeader,
        now: Now,
    ) -> Result<u32, DropReason> {
        if self.conns.is_full() {
            return Err(DropReason::ConnectionsFull);
        }
        let source = if self.http.sources.are_bounded() {
            self.enter_source(segment, header, now)?
        } else {
            SourceId::NONE
        };
        let Handshake { options, irs, iss, began, sent } = *handshake;
        let tuple = segment.tuple;
        // The window of the SYN counts for nothing any more: this segment says another.
        let syn = Syn { tuple, sequence: irs, ack: None, window: segment.window, options };
        let syn_ack = self.syn_ack(tuple, irs, iss, options);
        let [mut syn_packet, mut syn_ack_packet] = [[0; SYN_PACKET_LEN_MAX]; 2];
        let syn = &*syn.emit(&mut syn_packet);
        let replay = Replay { syn, syn_ack: syn_ack.emit(&mut syn_ack_packet), began, sent };
        let first = Segment { sequence: irs, ack: 0, flags: SYN, payload_len: 0, ..*segment };
        let segment_max = options.segment_max().min(self.segment_max());
        let port = self.admission.port();
        let Some(slot) = self.conns.try_open(&first, *header, port, now.micros) else {
            return Err(DropReason::ConnectionsFull);
        };
        let Self { conns, stack, interface, control, .. } = self;
        let (nic, stats) = (&mut interface.nic, &control.end.stats);
        let conn = conns.conn(slot);
        conn.source = source;
        conn.tcp.begin(iss);
        conn.on_syn(segment_max, options);
        stack.set_initial_sequence(iss, nic);
        stack.replay(&mut conn.tcp, &replay, header, nic, stats);
        let reused = self.flows.open(tuple, Owner::Conn(slot), owner);
        self.control.end.stats.time_wait_reused.add(u64::from(reused));
        Ok(slot)
    }

    /// The timer of the half-open connection at `index` is due: its SYN-ACK is sent again, or it is given up.
    #[cold]
    pub(super) fn on_half_open_due(&mut self, index: u32, now: Now) {
        let limit = self.deadlines.handshake.min(ENTRY_MICROS_MAX);
        let entry = self.admission.cache.entry(index);
        if now.micros >= entry.began(now.micros) + limit {
            self.control.end.stats.connections_handshake_expired.add(1);
            self.end_half_open(index);
            return;
        }
        if entry.due(now.micros) <= now.micros {
            entry.on_resent(now.micros);
            self.repeat_syn_ack(index);
        }
        self.arm_half_open(index, now.micros);
    }

    /// Resets every half-open connection.
    #[cold]
    pub(super) fn abort_half_open(&mut self) {
        for index in 0..self.admission.cache.capacity() {
            let entry = *self.admission.cache.entry(index);
            if entry.is_live() {
                let tuple = self.admission.cache.tuple(&entry);
                let ack = entry.snd_nxt();
                let segment =
                    Segment { tuple, sequence: 0, ack, flags: ACK, window: 0, payload_len: 0 };
                let header = self.half_open_header(index);
                let stats = &self.control.end.stats;
                self.interface.submit(&ControlSegment::reset(&segment), &header, stats);
                stats.connections_aborted.add(1);
                self.end_half_open(index);
                self.interface.nic.flush();
            }
        }
    }

    fn arm_half_open(&mut self, index: u32, micros: u64) {
        let entry = self.admission.cache.entry(index);
        let expires = entry.began(micros) + self.deadlines.handshake.min(ENTRY_MICROS_MAX);
        let due = entry.due(micros).min(expires);
        let timer = self.half_open_timer(index);
        self.timers.arm(timer, due);
    }

    /// The number in the timing wheel: those of connections come first.
    fn half_open_timer(&self, index: u32) -> u32 {
        u32::try_from(self.conns.capacity()).unwrap_or(u32::MAX) + index
    }

    /// Forgets the half-open connection at `index`, whose tuple is a connection's now.
    fn release_half_open(&mut self, index: u32) {
        let timer = self.half_open_timer(index);
        self.timers.disarm(timer);
        self.admission.cache.remove(index);
    }

    /// Forgets the half-open connection at `index`. The caller counts why.
    #[cold]
    fn end_half_open(&mut self, index: u32) {
        let entry = *self.admission.cache.entry(index);
        self.flows.close(self.admission.cache.tuple(&entry));
        self.release_half_open(index);
    }

    /// Sends the SYN-ACK of the half-open connection at `index` again.
    #[cold]
    fn repeat_syn_ack(&mut self, index: u32) {
        let entry = *self.admission.cache.entry(index);
        let header = self.half_open_header(index);
        let received = Received {
            tuple: self.admission.cache.tuple(&entry),
            irs: entry.irs,
            options: entry.options(),
            mac: entry.mac,
            tag: entry.tag(),
        };
        let queued = self.send_syn_ack(&received, entry.iss, &header);
        self.control.end.stats.retransmits.add(u64::from(queued));
    }

    /// Challenges the peer of the half-open connection at `index`, unless it was challenged enough.
    #[cold]
    fn challenge_half_open(&mut self, index: u32) {
        let header = self.half_open_header(index);
        let window = self.admission.window() >> self.half_open_scale(index);
        let entry = self.admission.cache.entry(index);
        let is_allowed = entry.try_challenge();
        let (snd_nxt, rcv_nxt) = (entry.snd_nxt(), entry.rcv_nxt());
        let entry = *entry;
        let stats = &self.control.end.stats;
        if !is_allowed {
            stats.challenge_acks_limited.add(1);
            return;
        }
        let tuple = self.admission.cache.tuple(&entry);
        let challenge = ControlSegment::acknowledgement(tuple, snd_nxt, rcv_nxt, window);
        let queued = self.interface.submit(&challenge, &header, stats);
        stats.challenge_acks.add(u64::from(queued));
    }

    /// How far we shift the window of the half-open connection at `index`.
    fn half_open_scale(&mut self, index: u32) -> u8 {
        let offer = self.admission.cache.entry(index).options();
        self.admission.reply(offer, 0).window_scale.unwrap_or(0)
    }

    /// The Ethernet header of frames to the peer of the half-open connection at `index`: to where it spoke last or where
    /// ARP says it is, since whoever forged a segment must not learn the numbers.
    #[cold]
    fn half_open_header(&mut self, index: u32) -> ReplyHeader {
        let entry = *self.admission.cache.entry(index);
        let header = self.interface.header_to(entry.mac, entry.tag());
        let peer = self.admission.cache.tuple(&entry).peer();
        match self.interface.neighbours.moved(peer, &header) {
            Some(mac) => {
                self.control.end.stats.peers_followed.add(1);
                self.admission.cache.entry(index).mac = mac;
                self.interface.header_to(mac, entry.tag())
            }
            None => header,
        }
    }
}
