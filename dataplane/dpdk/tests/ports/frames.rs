//! Frames to send and to expect, and both ends that they pass: a queue of a port, and a raw socket on the
//! kernel's side of the link.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use dpdk::{Eal, EalPlan, Memory, QueuePair};
use engine::{Burst, Nic, NicLosses, TxOffload};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, recv,
    send, socket,
};

/// No wait in a test is longer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Starts DPDK for a test.
pub(crate) fn eal(memory: Memory) -> Eal {
    let file_prefix = format!("test-{}", process::id());
    let plan = EalPlan { main_core: 0, devices: vec![], memory, file_prefix };
    Eal::init(&plan).unwrap_or_else(|error| panic!("{error}"))
}

/// A raw socket that sends and receives whole Ethernet frames on an interface.
#[derive(Debug)]
pub(crate) struct Raw(OwnedFd);

impl Raw {
    pub(crate) fn on(interface: &str) -> Self {
        let index = nix::net::if_::if_nametoindex(interface).expect("an interface");
        let raw = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        );
        let raw = raw.expect("a raw socket takes root");
        let address = libc::sockaddr_ll {
            sll_family: u16::try_from(libc::AF_PACKET).expect("17"),
            sll_protocol: u16::try_from(libc::ETH_P_ALL).expect("3").to_be(),
            sll_ifindex: i32::try_from(index).expect("an index"),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let len = u32::try_from(size_of_val(&address)).expect("20");
        // SAFETY: the address is a complete sockaddr_ll of AF_PACKET.
        let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(len)) };
        bind(raw.as_raw_fd(), &address.expect("an address")).expect("bind");
        Self(raw)
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        let sent = send(self.0.as_raw_fd(), frame, MsgFlags::empty()).expect("send");
        assert_eq!(sent, frame.len());
    }

    /// The next frame of the experimental EtherType that tests use, if one is there.
    pub(crate) fn receive(&self) -> Option<Vec<u8>> {
        self.receive_where(is_ours)
    }

    /// The next frame that `wanted` accepts, if one is there; those before it are passed over.
    pub(crate) fn receive_where(&self, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 4096];
        while let Ok(len) = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            if wanted(&buffer[..len]) {
                buffer.truncate(len);
                return Some(buffer);
            }
        }
        None
    }
}

/// IEEE 802 local experimental EtherType 1.
const ETHER_TYPE: [u8; 2] = [0x88, 0xb5];

/// Frame number `number`: its length and content follow from the number.
pub(crate) fn frame(number: u32) -> Vec<u8> {
    let len = 60 + usize::try_from(number).expect("small") * 37 % 1455;
    let mut frame = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], &ETHER_TYPE[..]].concat();
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..len).map(|at| (at * 7).to_le_bytes()[0] ^ number.to_le_bytes()[0]));
    frame
}

pub(crate) fn is_ours(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&ETHER_TYPE[..])
}

/// Queues a frame if there is a transmit buffer for it.
pub(crate) fn submit(queue: &mut QueuePair, frame: &[u8]) -> bool {
    let Some(mut tx_buffer) = queue.tx_buffer() else { return false };
    tx_buffer.as_mut()[..frame.len()].copy_from_slice(frame);
    queue.submit(tx_buffer, frame.len(), TxOffload::None);
    true
}

/// Receives until `count` frames of ours have come, and returns them in their order.
pub(crate) fn receive(queue: &mut QueuePair, count: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut burst = Burst::new();
    wait_until(&format!("{count} frames"), || {
        queue.receive(&mut burst);
        let ours = burst.drain(..).filter(|frame| is_ours(frame.as_ref()));
        frames.extend(ours.map(|frame| frame.as_ref().to_vec()));
        queue.flush();
        frames.len() >= count
    });
    frames
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < TIMEOUT, "waited {TIMEOUT:?} for {what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Two hundred frames each way between a port and the kernel's side of its link, every byte
/// and their order checked.
pub(crate) fn exchange(queue: &mut QueuePair, kernel: &Raw) {
    const BATCH: u32 = 20;
    for batch in 0..10 {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        let frames: Vec<_> = numbers.map(frame).collect();
        for frame in &frames {
            kernel.send(frame);
        }
        assert!(receive(queue, frames.len()) == frames, "batch {batch} arrives as it was sent");

        for frame in &frames {
            assert!(submit(queue, frame), "there is room for a batch");
        }
        let mut arrived = Vec::new();
        wait_until("frames from the port", || {
            queue.flush();
            arrived.extend(kernel.receive());
            arrived.len() >= frames.len()
        });
        assert!(arrived == frames, "batch {batch} leaves as it was submitted");
    }
    assert_eq!(queue.losses(), NicLosses::default());
}

/// What the queue says can be polled is readable from when a frame has arrived until it was taken.
pub(crate) fn can_be_polled(queue: &mut QueuePair, kernel: &Raw) {
    let descriptors = queue.poll_descriptors().expect("there are descriptors to spare");
    assert!(!descriptors.is_empty(), "the driver's socket is found");
    let readable = |timeout: u16| {
        let fds = descriptors.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        let mut fds: Vec<_> = fds.collect();
        poll(&mut fds, PollTimeout::from(timeout)).expect("they can be polled") > 0
    };
    let mut burst = Burst::new();
    for number in 0..3 {
        // Whatever else the kernel says on a new link.
        wait_until("silence", || {
            queue.receive(&mut burst);
            burst.clear();
            !readable(0)
        });
        kernel.send(&frame(number));
        wait_until("a readable descriptor", || readable(100));
        assert!(readable(0), "it stays readable");
        wait_until("the frame", || {
            queue.receive(&mut burst);
            let got = burst.iter().any(|got| got.as_ref() == frame(number));
            burst.clear();
            got
        });
    }
}
