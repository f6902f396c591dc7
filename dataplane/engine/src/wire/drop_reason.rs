//! Why a received frame is dropped: every reason, and its counter.

use crate::stats::{CoreStats, Counter};

macro_rules! drop_reasons {
    ($($variant:ident => $counter:ident,)*) => {
        /// Why a frame was dropped, or left to the [exception path](crate::exception). Each has a counter of its own
        /// in [`CoreStats`], described there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum DropReason { $($variant,)* }

        impl DropReason {
            /// The counter of this reason.
            pub(crate) fn counter(self, stats: &CoreStats) -> &Counter {
                match self { $(Self::$variant => &stats.$counter,)* }
            }
        }
    };
}

drop_reasons! {
    Runt => drop_runt,
    NotForUsL2 => drop_not_for_us_l2,
    Vlan => drop_vlan,
    Ethertype => drop_ethertype,
    Arp => drop_arp,
    AddressConflict => drop_address_conflict,
    IpHeader => drop_ip_header,
    IpOptions => drop_ip_options,
    Oversize => drop_oversize,
    Fragment => drop_fragment,
    Checksum => drop_checksum,
    Source => drop_source,
    Destination => drop_destination,
    Protocol => drop_protocol,
    Icmp => drop_icmp,
    TcpHeader => drop_tcp_header,
    TcpFlags => drop_tcp_flags,
    ClosedPort => drop_closed_port,
    NoConnection => drop_no_connection,
    StrayReset => drop_stray_reset,
    SynOnConnection => drop_syn_on_connection,
    ResetGuess => drop_reset_guess,
    AckUnsent => drop_ack_unsent,
    AckTooOld => drop_ack_too_old,
    BeyondWindow => drop_beyond_window,
    TimeWait => drop_time_wait,
    HalfOpenFull => drop_half_open_full,
    SourceHalfOpen => drop_source_half_open,
    ConnectionsFull => drop_connections_full,
    SourceLimit => drop_source_limit,
    Draining => drop_draining,
    NoTxBuffer => drop_no_tx_buffer,
}
