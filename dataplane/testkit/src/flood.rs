//! SYNs from addresses that are nobody's, as many as a core can send: for measurements of what they cost a server.

use std::io;
use std::net::SocketAddrV4;
use std::time::Instant;

use fastrand::Rng;

use crate::bridge::Interface;
use crate::frame::{ETHERNET_LEN, IPV4_LEN, mend_checksum, mend_header};

/// SYNs out of one interface to one server.
#[derive(Debug)]
pub struct SynFlood {
    interface: Interface,
    frame: Vec<u8>,
    rng: Rng,
    checksums: Checksums,
}

/// Whether the checksums of a flood's segments are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// They are.
    Right,
    /// None is: a server drops each segment, as soon as it can.
    Wrong,
}

impl SynFlood {
    /// Out of the interface called `name`, to the server `to` with the link address `mac`. The segments offer what those of
    /// Linux do but for timestamps, and come from 10.0.0.0/8; which ones, `seed` says.
    ///
    /// # Errors
    /// There is no such interface, or this is not root.
    pub fn open(
        name: &str,
        mac: [u8; 6],
        to: SocketAddrV4,
        checksums: Checksums,
        seed: u64,
    ) -> io::Result<Self> {
        let interface = Interface::open(name)?;
        Ok(Self { interface, frame: syn(mac, to), rng: Rng::with_seed(seed), checksums })
    }

    /// Sends until `end`: how many frames the interface took.
    pub fn run(&mut self, end: Instant) -> u64 {
        let mut taken = 0;
        while Instant::now() < end {
            for _ in 0..BATCH {
                self.next();
                taken += u64::from(self.interface.send(&self.frame));
            }
        }
        taken
    }

    /// Another source and another number.
    fn next(&mut self) {
        let (ip, tcp) = (ETHERNET_LEN, ETHERNET_LEN + IPV4_LEN);
        self.frame[ip + 13..ip + 16].copy_from_slice(&self.rng.u32(..).to_be_bytes()[1..]);
        self.frame[tcp..tcp + 2].copy_from_slice(&self.rng.u16(1_024..).to_be_bytes());
        self.frame[tcp + 4..tcp + 8].copy_from_slice(&self.rng.u32(..).to_be_bytes());
        mend_header(&mut self.frame[ip..tcp]);
        mend_checksum(&mut self.frame);
        if self.checksums == Checksums::Wrong {
            self.frame[tcp + 16] ^= 0xff;
        }
    }
}

/// A SYN to `to` at `mac`, all but its source.
fn syn(mac: [u8; 6], to: SocketAddrV4) -> Vec<u8> {
    let mut frame = mac.to_vec();
    frame.extend(SOURCE_MAC);
    frame.extend([0x08, 0x00]);
    let total = u16::try_from(IPV4_LEN + TCP_LEN).unwrap_or(u16::MAX).to_be_bytes();
    frame.extend([0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 0]);
    frame.extend(to.ip().octets());
    frame.extend([0, 0]);
    frame.extend(to.port().to_be_bytes());
    // No acknowledgement, a header of 32 bytes, SYN, the largest window.
    frame.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    // Segments of 1,460 bytes, selective acknowledgements, windows shifted by 7.
    frame.extend([2, 4, 0x05, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7]);
    frame
}

/// Bytes of the header with its options.
const TCP_LEN: usize = 32;
/// Frames between two looks at the clock.
const BATCH: usize = 64;
/// A locally administered address that is nobody's.
const SOURCE_MAC: [u8; 6] = [2, 0, 0, 0, 0xf1, 0x0d];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;

    #[test]
    fn a_syn_is_one() {
        let mut frame = syn([2; 6], "198.18.0.2:8080".parse().expect("an address"));
        mend_checksum(&mut frame);
        let segment = frame::segment(&frame).expect("a whole segment of TCP");
        assert!(segment.is_syn && segment.data.is_empty());
        assert_eq!(frame.len(), ETHERNET_LEN + IPV4_LEN + TCP_LEN);
    }
}
