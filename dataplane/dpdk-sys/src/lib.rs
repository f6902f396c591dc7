//! Raw bindings to DPDK 22.11 and to `shim.c`, which wraps its static inlines a burst at a time.
//!
//! No logic and no safety: read `dataplane/dpdk`, the only user, and the
//! [DPDK API reference](https://doc.dpdk.org/api-22.11/).

pub use raw::*;

#[allow(
    missing_docs,
    non_camel_case_types,
    clippy::missing_safety_doc,
    clippy::use_self,
    reason = "generated from C headers, whose names and documentation are DPDK's"
)]
mod raw {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::{
        SHIM_CHECKSUMS_BAD, shim_pool_conf, shim_port_conf, shim_port_info, shim_rx, shim_tx,
        shim_tx_buffer,
    };

    #[test]
    fn the_shim_structures_have_the_layout_shim_h_asserts() {
        assert_eq!(size_of::<shim_rx>(), 24);
        assert_eq!(offset_of!(shim_rx, data), 8);
        assert_eq!(offset_of!(shim_rx, len), 16);
        assert_eq!(offset_of!(shim_rx, checksums), 20);
        assert_eq!(size_of::<shim_tx_buffer>(), 24);
        assert_eq!(offset_of!(shim_tx_buffer, capacity), 16);
        assert_eq!(size_of::<shim_tx>(), 16);
        assert_eq!(offset_of!(shim_tx, len), 8);
        assert_eq!(offset_of!(shim_tx, l2_len), 10);
        assert_eq!(offset_of!(shim_tx, l3_len), 11);
        assert_eq!(offset_of!(shim_tx, segment_size), 12);
        assert_eq!(offset_of!(shim_tx, ip_checksum), 15);
        assert_eq!(size_of::<shim_pool_conf>(), 32);
        assert_eq!(offset_of!(shim_pool_conf, socket), 20);
        assert_eq!(size_of::<shim_port_info>(), 48);
        assert_eq!(offset_of!(shim_port_info, mtu_max), 40);
        assert_eq!(size_of::<shim_port_conf>(), 32);
        assert_eq!(offset_of!(shim_port_conf, mtu), 26);
        assert_eq!(SHIM_CHECKSUMS_BAD, 2);
    }
}
