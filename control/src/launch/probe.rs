//! Asks the wire whether somebody has our address, before we say that we have it (RFC 5227 2.1.1).

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use engine::{AddressProbe, Burst, Nic};

/// Sends probes from `mac`, in `vlan` if there is one, through the first of `queues` and listens on all of them. `Some`: the link address of
/// whoever answers for `address`. Takes about [`PROBES`] times [`WAIT`].
///
/// Other frames that arrive meanwhile are lost, as they would have been before we were there.
pub(crate) fn owner_of<N: Nic>(
    address: Ipv4Addr,
    (mac, vlan): ([u8; 6], Option<u16>),
    queues: &mut [N],
) -> Option<[u8; 6]> {
    let probe = AddressProbe::new(mac, address, vlan);
    for _ in 0..PROBES {
        let deadline = Instant::now() + WAIT;
        if let Some(first) = queues.first_mut() {
            // Without a transmit buffer there is no probe this time; the next round tries again.
            probe.send(first);
        }
        while Instant::now() < deadline {
            if let Some(owner) = queues.iter_mut().find_map(|queue| listen(&probe, queue)) {
                return Some(owner);
            }
            thread::sleep(LISTEN_EVERY);
        }
    }
    None
}

fn listen<N: Nic>(probe: &AddressProbe, queue: &mut N) -> Option<[u8; 6]> {
    let mut burst = Burst::new();
    queue.receive(&mut burst);
    // Some drivers send only when they are called.
    queue.flush();
    burst.iter().find_map(|frame| probe.on_frame(frame.as_ref()))
}

const PROBES: usize = 3;
const WAIT: Duration = Duration::from_millis(100);
const LISTEN_EVERY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use engine::{Capabilities, Frame, NicLosses, RxChecksums, TxOffload};

    use super::*;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

    /// A wire on which somebody may answer the second probe.
    struct Wire {
        rival: Option<[u8; 6]>,
        probes: usize,
        answer: Option<Heard>,
    }

    struct Heard(Vec<u8>);

    impl AsRef<[u8]> for Heard {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl Frame for Heard {
        fn checksums(&self) -> RxChecksums {
            RxChecksums::Unknown
        }
    }

    impl Nic for Wire {
        type Frame = Heard;
        type TxBuffer = Vec<u8>;

        fn capabilities(&self) -> Capabilities {
            Capabilities { tx_checksum_offload: false, ip_mtu: 1_500, tx_segmentation_max: 0 }
        }

        fn receive(&mut self, burst: &mut Burst<Heard>) {
            burst.extend(self.answer.take());
        }

        fn ready(&mut self) -> bool {
            true
        }

        fn tx_buffer(&mut self) -> Option<Vec<u8>> {
            Some(vec![0; 1_518])
        }

        fn submit(&mut self, probe: Vec<u8>, _len: usize, _offload: TxOffload) {
            self.probes += 1;
            if let (Some(rival), 2) = (self.rival, self.probes) {
                self.answer = Some(Heard(reply(rival, &probe)));
            }
        }

        fn flush(&mut self) {}

        fn losses(&self) -> NicLosses {
            NicLosses::default()
        }
    }

    /// RFC 826: `rival` says that the address asked for in `probe` is its own.
    fn reply(rival: [u8; 6], probe: &[u8]) -> Vec<u8> {
        let mut frame = probe[..42].to_vec();
        frame[..6].copy_from_slice(&OURS);
        frame[6..12].copy_from_slice(&rival);
        frame[21] = 2;
        frame[22..28].copy_from_slice(&rival);
        frame.copy_within(38..42, 28);
        frame[32..38].copy_from_slice(&OURS);
        frame
    }

    #[test]
    fn a_silent_wire_leaves_the_address_to_us() {
        let mut wire = [Wire { rival: None, probes: 0, answer: None }];
        assert_eq!(owner_of(ADDRESS, (OURS, None), &mut wire), None);
        assert_eq!(wire[0].probes, PROBES);
    }

    #[test]
    fn an_answer_names_the_owner() {
        let mut wire = [Wire { rival: Some(THEIRS), probes: 0, answer: None }];
        assert_eq!(owner_of(ADDRESS, (OURS, None), &mut wire), Some(THEIRS));
        assert_eq!(wire[0].probes, 2, "it stops asking");
    }
}
