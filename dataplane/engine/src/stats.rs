//! Counters of one core: declared once, one writer, monotonic, never reset.
//!
//! The worker adds with a relaxed load and store (it is the only writer, so no locked instruction);
//! control reads at any time and takes differences.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::NicLosses;

/// A monotonic counter with a single writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the writer of this counter may call this: two would lose additions.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Replaces the value: for levels (gauges) and totals kept elsewhere.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value now; any thread may read it.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether a number only grows or is a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Total,
    /// Goes up and down.
    Level,
}

/// One number with its name and meaning, as control shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Name of the field, in snake_case.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Total or level.
    pub kind: Kind,
    /// The number.
    pub value: u64,
}

macro_rules! counters {
    ($(#[$outer:meta])* pub struct $block:ident { $($name:ident: $kind:ident, $help:literal;)* }) => {
        $(#[$outer])*
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct $block { $(#[doc = $help] pub $name: Counter,)* }

        impl $block {
            /// Every number of the block, in the order of declaration.
            pub fn readings(&self) -> impl Iterator<Item = Reading> + '_ {
                [$(Reading {
                    name: stringify!($name),
                    help: $help,
                    kind: Kind::$kind,
                    value: self.$name.value(),
                },)*].into_iter()
            }
        }
    };
}

counters! {
    /// The numbers of one core. Written by its worker, read by control; `exception_write_failed`,
    /// `exception_tx_ring_full` and `exception_tx_too_long` are written by the kernel's end of the
    /// exception path.
    pub struct CoreStats {
        turns: Total, "turns of the worker loop";
        turns_busy: Total, "turns that moved at least one frame, for this core or another, or served a connection";
        turns_receiving: Total, "turns that found frames of this core's own: rx_frames over these is the burst";
        cycles_busy: Total, "TSC cycles spent in busy turns";
        cycles_idle: Total, "TSC cycles spent in turns that found nothing to do, sleep included";
        rx_frames: Total, "frames taken from the NIC";
        rx_bytes: Total, "bytes of the frames taken from the NIC, without FCS";
        rx_delivered: Total, "frames handed to a connection, answered (ARP, ping, reset) or taken as a new one";
        tx_frames: Total, "frames handed to the NIC";
        tx_bytes: Total, "bytes of the frames handed to the NIC, without FCS";
        tx_large_packets: Total, "of the frames handed to the NIC, those that it cuts into segments";
        arp_replies: Total, "ARP requests for our address answered";
        arp_defences: Total, "announcements that our address is ours, after another station said it has it";
        echo_replies: Total, "ICMP echo requests answered";
        echo_replies_limited: Total, "ICMP echo requests not answered: their second had seen enough";
        resets_limited: Total, "segments without a connection not reset: their second had seen enough";
        challenge_acks: Total, "acknowledgements sent for a SYN, a reset or an acknowledgement that cannot be right";
        challenge_acks_limited: Total, "such acknowledgements not sent: the connection had sent as many as it may";
        drop_runt: Total, "dropped: shorter than its own headers say";
        drop_not_for_us_l2: Total, "dropped: destination MAC is neither ours nor broadcast";
        drop_vlan: Total, "dropped: of another VLAN than link.vlan, or of any where that is empty";
        drop_ethertype: Total, "dropped: neither IPv4 nor ARP";
        drop_arp: Total, "dropped: ARP that asks for or announces something else";
        drop_address_conflict: Total, "dropped: ARP of another station that says it has our address";
        drop_ip_header: Total, "dropped: malformed IPv4 header";
        drop_ip_options: Total, "dropped: IPv4 source-route or other options";
        drop_oversize: Total, "dropped: IPv4 packet longer than the MTU of which the rest is missing (the sender leaves segmentation to hardware)";
        drop_fragment: Total, "dropped: IPv4 fragment";
        drop_checksum: Total, "dropped: wrong IPv4, ICMP or TCP checksum";
        drop_source: Total, "dropped: source address that no peer may have";
        drop_destination: Total, "dropped: IPv4 destination is not our address";
        drop_protocol: Total, "dropped: IP protocol other than TCP and ICMP";
        drop_icmp: Total, "dropped: ICMP other than echo request";
        drop_tcp_header: Total, "dropped: malformed TCP header or options";
        drop_tcp_flags: Total, "dropped: combination of TCP flags that no segment may have, to our port";
        drop_closed_port: Total, "dropped and reset: TCP port other than ours";
        drop_no_connection: Total, "dropped and reset: segment of a connection that is not there";
        drop_stray_reset: Total, "dropped: RST of a connection that is not there";
        drop_syn_on_connection: Total, "dropped: SYN on a connection that is there (challenged, unless it repeats the first)";
        drop_reset_guess: Total, "dropped: RST whose sequence number is not the next (challenged if in the window)";
        drop_ack_unsent: Total, "dropped: acknowledges bytes that were never sent (challenged)";
        drop_ack_too_old: Total, "dropped: acknowledges less than a window before what was acknowledged last (challenged)";
        drop_beyond_window: Total, "dropped: data beyond the receive window that smoltcp would take wrongly";
        drop_time_wait: Total, "dropped: segment of a connection in TIME-WAIT that needs no acknowledgement";
        drop_half_open_full: Total, "not kept: SYN while as many as allowed were half-open; a cookie answers it where one can";
        drop_source_half_open: Total, "not kept: SYN while its source had as many half-open connections as it may; a cookie answers it where one can";
        drop_connections_full: Total, "dropped: SYN while every connection slot was in use";
        drop_source_limit: Total, "dropped and reset: SYN while its source had as many connections as it may";
        drop_draining: Total, "dropped and reset: SYN while draining";
        drop_exception_ring_full: Total, "dropped: for the kernel, while the exception path held as many frames as it may";
        drop_no_tx_buffer: Total, "dropped: no transmit buffer for the reply a frame may need";
        reply_no_tx_buffer: Total, "replies of our own (reset, ARP, ping) not sent for want of a transmit buffer";
        exception_rx_frames: Total, "frames that are not for our TCP port, handed to the exception path for the kernel";
        exception_rx_bytes: Total, "bytes of the frames handed to the exception path, without FCS";
        exception_write_failed: Total, "of those frames, not taken by the exception interface: lost";
        exception_tx_frames: Total, "frames of the kernel sent through the port";
        exception_tx_bytes: Total, "bytes of the frames of the kernel sent through the port, without FCS";
        exception_tx_waits: Total, "turns that found no transmit buffer for a frame of the kernel, which then waited";
        exception_tx_ring_full: Total, "frames of the kernel dropped: as many as may wait for the worker did";
        exception_tx_too_long: Total, "frames of the kernel dropped: longer than the port's MTU";
        nic_rx_multi_segment: Total, "dropped below the worker: frame in several buffers";
        nic_rx_ring_full: Total, "dropped below the worker: ring between cores full";
        nic_tx_pool_empty: Total, "times the transmit pool was found empty";
        nic_tx_ring_full: Total, "times the transmit ring was found full";
        nic_tx_large_empty: Total, "times no large transmit buffer was free: frames of MTU size were sent instead";
        nic_tx_segmentation_refused: Total, "dropped below the worker: large packet that the driver refused to segment";
        connections_open: Level, "connections held now, half-open ones included, TIME-WAIT aside";
        connections_half_open: Level, "of those, not yet established";
        connections_idle: Level, "of those, between requests";
        connections_reading: Level, "of those, with a request head or body that is not complete";
        connections_waiting: Level, "of those, with a request that waits for a completion";
        connections_sending: Level, "of those, with a response that has found no room yet";
        connections_closing: Level, "of those, with everything queued and the close under way";
        connections_opened: Total, "connections that a SYN opened, or the acknowledgement of a cookie";
        connections_established: Total, "connections whose handshake completed";
        connections_closed: Total, "connections that ended with FIN both ways";
        connections_reset_by_peer: Total, "connections that the peer reset";
        connections_aborted: Total, "connections that we reset";
        connections_handshake_expired: Total, "half-open connections given up";
        syn_cookies_sent: Total, "SYNs answered with a cookie: nothing is kept of them";
        syn_cookies_accepted: Total, "connections that the acknowledgement of a cookie opened";
        syn_cookies_refused: Total, "acknowledgements without a connection that were no cookie of ours, or too old, while one could come back";
        sources: Level, "sources that hold a connection or a request, where limits.source_connections or limits.source_requests bounds them";
        source_table_full: Total, "connections taken and not counted for their source: every record was in use";
        time_wait_open: Level, "TIME-WAIT records held now";
        time_wait_reused: Total, "SYNs admitted on a tuple in TIME-WAIT";
        time_wait_acked: Total, "segments acknowledged in TIME-WAIT";
        time_wait_limited: Total, "segments in TIME-WAIT not acknowledged: the connection had sent as many as it may";
        time_wait_evicted: Total, "TIME-WAIT records that made room before their time";
        peers_followed: Total, "times a connection was sent on to another MAC address because ARP said so";
        rx_old_ack: Total, "TCP segments with payload or FIN taken although a later acknowledgement had come before them";
        rx_out_of_order: Total, "TCP segments with payload that came before an earlier one";
        retransmits: Total, "TCP segments sent again";
        recoveries: Total, "losses found by what the peer acknowledged, each once however many segments it is of";
        recoveries_undone: Total, "of those and of timeouts: what was taken for lost was late";
        loss_probes: Total, "segments sent because nothing was heard of the last ones";
        retransmission_timeouts: Total, "times that all in flight was taken for lost";
        deadline_head: Total, "requests whose head came too slowly (408)";
        deadline_body: Total, "requests whose body came too slowly (408)";
        deadline_idle: Total, "idle connections closed";
        deadline_response: Total, "requests whose completion came too late (504)";
        deadline_stall: Total, "connections reset because their peer took no more of a response";
        deadline_slow: Total, "connections reset because their peer took a response too slowly";
        deadline_close: Total, "connections reset because their close did not complete";
        requests: Total, "valid request heads";
        request_bytes: Total, "bytes of requests taken in, heads and bodies";
        responses_2xx: Total, "responses of class 2xx";
        responses_3xx: Total, "responses of class 3xx";
        responses_4xx: Total, "responses of class 4xx";
        responses_5xx: Total, "responses of class 5xx";
        response_bytes: Total, "bytes of responses handed to TCP";
        offloads_submitted: Total, "requests submitted to control";
        offloads_refused: Total, "requests answered 503 because the submission ring was full";
        source_requests_refused: Total, "requests answered 503 because their source had as many as it may that wait or occupy a buffer";
        offloads_completed: Total, "completions that a request waited for";
        offloads_late: Total, "dropped: completions that nobody waited for any more";
        parked: Level, "requests that wait for a completion now";
        sites_installed: Total, "sites installed in place of the one before";
        rejects: Total, "requests refused by the protocol (in responses_4xx or 5xx too)";
    }
}

impl CoreStats {
    /// Publishes what the queue lost below the worker.
    pub(crate) fn publish_losses(&self, losses: NicLosses) {
        self.nic_rx_multi_segment.set(losses.rx_multi_segment);
        self.nic_rx_ring_full.set(losses.rx_ring_full);
        self.nic_tx_pool_empty.set(losses.tx_pool_empty);
        self.nic_tx_ring_full.set(losses.tx_ring_full);
        self.nic_tx_large_empty.set(losses.tx_large_empty);
        self.nic_tx_segmentation_refused.set(losses.tx_segmentation_refused);
    }
}
