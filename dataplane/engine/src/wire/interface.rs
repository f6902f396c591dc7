//! The network interface of one core: its queue, and the replies that need no socket: ARP, ICMP echo, control
//! segments.

use core::net::Ipv4Addr;

use crate::wire::ethernet::{self, EthernetHeader, ReplyHeader};
use crate::wire::filter::Filter;
use crate::wire::segment::ControlSegment;
use crate::wire::{arp, icmp};
use crate::{CorePlan, CoreStats, Nic};

/// The network interface of one core.
pub(crate) struct NetworkInterface<N: Nic> {
    pub(crate) nic: N,
    pub(crate) filter: Filter,
    mac: [u8; 6],
    /// What ARP is answered for.
    link_address: Ipv4Addr,
    vlan: Option<u16>,
    /// When our address was last defended, microseconds.
    defended: Option<u64>,
}

impl<N: Nic> NetworkInterface<N> {
    pub(crate) fn new(nic: N, plan: &CorePlan) -> Self {
        let filter = Filter::new(plan, nic.capabilities().ip_mtu);
        let CorePlan { mac, link_address, vlan, .. } = *plan;
        Self { nic, filter, mac, link_address, vlan, defended: None }
    }

    /// The Ethernet header of the reply to a `received` frame.
    pub(crate) fn reply_header(&self, received: &EthernetHeader) -> ReplyHeader {
        received.reply(self.mac)
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

    /// Answers the ping in `packet`.
    pub(crate) fn reply_to_echo(
        &mut self,
        received: &EthernetHeader,
        packet: &[u8],
        stats: &CoreStats,
    ) {
        let header = self.reply_header(received);
        let queued = icmp::submit_reply(&mut self.nic, &header, packet);
        stats.echo_replies.add(u64::from(queued.is_some()));
        self.account(queued, stats);
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
