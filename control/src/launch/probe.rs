//! Asks the wire whether somebody has our address, before we say that we have it (RFC 5227 2.1.1).

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use engine::{AddressProbe, Burst, Nic};

/// Sends probes through the first of `queues` and listens on all of them. `Some`: the link address of
/// whoever answers for `address`. Takes about [`PROBES`] times [`WAIT`].
///
/// Other frames that arrive meanwhile are lost, as they would have been before we were there.
pub(crate) fn owner_of<N: Nic>(
    address: Ipv4Addr,
    mac: [u8; 6],
    queues: &mut [N],
) -> Option<[u8; 6]> {
    let probe = AddressProbe::new(mac, address);
    for _ in 0..PROBES {
        let deadline = Instant::now() + WAIT;
        if let Some(first) = queues.first_mut() {
            // Without a blank there is no probe this time; the next round tries again.
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
