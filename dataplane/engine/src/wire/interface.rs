//! The network interface of one core: its queue, and the replies that need no socket: ARP, ICMP echo, control
//! segments.

use core::net::Ipv4Addr;

use crate::limits::{ECHO_REPLIES_PER_SECOND, RESETS_PER_SECOND};
use crate::secret::{self, Purpose};
use crate::wire::ethernet::{self, EthernetHeader, ReplyHeader};
use crate::wire::filter::Filter;
use crate::wire::neighbours::Neighbours;
use crate::wire::reply_limit::ReplyLimit;
use crate::wire::segment::{ControlSegment, Segment};
use crate::wire::syn::Syn;
use crate::wire::{arp, icmp};
use crate::{CorePlan, CoreStats, Nic};

/// The network interface of one core.
pub(crate) struct NetworkInterface<N: Nic> {
    pub(crate) nic: N,
    pub(crate) filter: Filter,
    pub(crate) neighbours: Neighbours,
    mac: [u8; 6],
    /// What ARP is answered for.
    link_address: Ipv4Addr,
    resets: ReplyLimit,
    echo_replies: ReplyLimit,
    vlan: Option<u16>,
    /// When our address was last defended, microseconds.
    defended: Option<u64>,
}

impl<N: Nic> NetworkInterface<N> {
    pub(crate) fn new(nic: N, plan: &CorePlan) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] =
            secret::derive(plan.seed, Purpose::ReplyLimits);
        let of_resets = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let of_echo_replies = u64::from_le_bytes([i, j, k, l, m, n, o, p]);
        let filter = Filter::new(plan, nic.capabilities().ip_mtu);
        Self {
            nic,
            filter,
            neighbours: Neighbours::new(),
            mac: plan.mac,
            link_address: plan.link_address,
            resets: ReplyLimit::new(RESETS_PER_SECOND, of_resets),
            echo_replies: ReplyLimit::new(ECHO_REPLIES_PER_SECOND, of_echo_replies),
            vlan: plan.vlan,
            defended: None,
        }
    }

    /// The Ethernet header of the reply to a `received` frame.
    pub(crate) fn reply_header(&self, received: &EthernetHeader) -> ReplyHeader {
        received.reply(self.mac)
    }

    /// The Ethernet header of a packet to `mac`, with the VLAN tag `tag`.
    pub(crate) fn header_to(&self, mac: [u8; 6], tag: Option<[u8; 2]>) -> ReplyHeader {
        ReplyHeader::new(mac, self.mac, tag, ethernet::IPV4)
    }

    /// Announces the link address by ARP (RFC 5227, 2.3).
    pub(crate) fn announce(&mut self, stats: &CoreStats) {
        let tag = self.vlan.map(u16::to_be_bytes);
        let header = ReplyHeader::new(ethernet::BROADCAST, self.mac, tag, ethernet::ARP);
        let packet = arp::Packet::announcement(self.mac, self.link_address);
        let queued = arp::submit(&mut self.nic, &header, &packet);
        self.account(queued, stats);
        self.nic.flush();
    }

    /// Takes note of what an ARP frame says of its sender.
    #[cold]
    pub(crate) fn hear_arp(&mut self, frame: &[u8]) {
        let Some(header) = EthernetHeader::parse(frame) else { return };
        let Some(packet) = arp::Packet::parse(&frame[header.len()..]) else { return };
        if packet.sender != self.link_address && header.source == packet.sender_mac {
            let is_for_us = packet.target == self.link_address;
            self.neighbours.hear(&packet, is_for_us);
        }
    }

    /// Announces our link address against another station that says it has it, unless that was done lately: two
    /// stations that both insist would do so without end (RFC 5227, 2.4, c).
    #[cold]
    pub(crate) fn defend(&mut self, now_micros: u64, stats: &CoreStats) {
        if self.defended.is_none_or(|last| now_micros.saturating_sub(last) >= DEFEND_MICROS) {
            self.defended = Some(now_micros);
            stats.arp_defences.add(1);
            self.announce(stats);
        }
    }

    /// Answers an ARP request for our link address.
    pub(crate) fn reply_to_arp(
        &mut self,
        received: &EthernetHeader,
        request: &arp::Packet,
        stats: &CoreStats,
    ) {
        let header = self.reply_header(received);
        let reply = arp::Packet {
            operation: arp::REPLY,
            sender_mac: self.mac,
            sender: self.link_address,
            target_mac: request.sender_mac,
            target: request.sender,
        };
        let queued = arp::submit(&mut self.nic, &header, &reply);
        stats.arp_replies.add(u64::from(queued.is_some()));
        self.account(queued, stats);
    }

    /// Answers the ping in `packet`, unless this second has seen enough of them.
    pub(crate) fn reply_to_echo(
        &mut self,
        received: &EthernetHeader,
        packet: &[u8],
        stats: &CoreStats,
        micros: u64,
    ) {
        if !self.echo_replies.try_take(micros) {
            stats.echo_replies_limited.add(1);
            return;
        }
        let header = self.reply_header(received);
        let queued = icmp::submit_reply(&mut self.nic, &header, packet);
        stats.echo_replies.add(u64::from(queued.is_some()));
        self.account(queued, stats);
    }

    /// Answers `segment`, of a connection that is not there, with a reset, unless this second has seen enough of
    /// them.
    pub(crate) fn reset(
        &mut self,
        segment: &Segment,
        header: &ReplyHeader,
        stats: &CoreStats,
        micros: u64,
    ) {
        if self.resets.try_take(micros) {
            self.submit(&ControlSegment::reset(segment), header, stats);
        } else {
            stats.resets_limited.add(1);
        }
    }

    /// Sends a control segment. `false`: there is no transmit buffer.
    pub(crate) fn submit(
        &mut self,
        segment: &ControlSegment,
        header: &ReplyHeader,
        stats: &CoreStats,
    ) -> bool {
        let queued = segment.submit(&mut self.nic, header);
        self.account(queued, stats);
        queued.is_some()
    }

    /// Sends a SYN-ACK. `false`: there is no transmit buffer.
    pub(crate) fn submit_syn(
        &mut self,
        syn: &Syn,
        header: &ReplyHeader,
        stats: &CoreStats,
    ) -> bool {
        let queued = syn.submit(&mut self.nic, header);
        self.account(queued, stats);
        queued.is_some()
    }

    fn account(&mut self, queued: Option<usize>, stats: &CoreStats) {
        match queued {
            Some(bytes) => {
                stats.tx_frames.add(1);
                stats.tx_bytes.add(bytes as u64);
            }
            None => stats.reply_no_tx_buffer.add(1),
        }
    }
}

/// `DEFEND_INTERVAL` of RFC 5227, 1.1: ten seconds.
const DEFEND_MICROS: u64 = 10_000_000;
