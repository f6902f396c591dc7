//! What the tests here need of the machine, each given back when dropped: hugepages, a network
//! namespace, a raw socket in it. One EAL per process: each file beside this folder is one test.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "each test uses a part; constants of the C library, patterns in bytes"
)]

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

use dpdk::{Eal, EalPlan, Memory, QueuePair};
use engine::{Burst, Nic, NicLosses, TxOffload};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, recv,
    send, socket,
};

/// No wait in a test is longer.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Hugepages of 2 MiB added to what the machine has, taken away again when dropped.
#[derive(Debug)]
pub struct Hugepages(u64);

const NR: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

impl Hugepages {
    pub fn reserve(pages: u64) -> Self {
        write_pages(|now| now + pages);
        let reserved = Self(pages);
        // The kernel may have to move pages about first; others may be taking theirs back.
        wait_until("free hugepages", || hugepages("free_hugepages") >= pages);
        reserved
    }
}

impl Drop for Hugepages {
    fn drop(&mut self) {
        write_pages(|now| now.saturating_sub(self.0));
    }
}

/// Waits until as many pages are free as before: other users of the machine come and go.
pub fn hugepages_are_back(free: u64) {
    wait_until("the hugepages", || hugepages("free_hugepages") >= free);
}

fn write_pages(change: impl Fn(u64) -> u64) {
    let now = hugepages("nr_hugepages");
    fs::write(NR, change(now).to_string()).expect("writing nr_hugepages takes root");
}

/// A counter of the 2 MiB hugepages.
pub fn hugepages(counter: &str) -> u64 {
    let path = Path::new(NR).with_file_name(counter);
    let text = fs::read_to_string(path).expect("a kernel with hugepages");
    text.trim().parse().expect("a number")
}

/// Starts DPDK for a test.
pub fn eal(memory: Memory) -> Eal {
    let file_prefix = format!("test-{}", process::id());
    let plan = EalPlan { main_core: 0, devices: vec![], memory, file_prefix };
    Eal::init(&plan).unwrap_or_else(|error| panic!("{error}"))
}

/// Mounts the BPF file system where this process alone sees it.
pub fn mount_bpffs() {
    use nix::{
        mount::{MsFlags, mount},
        sched::{CloneFlags, unshare},
    };

    unshare(CloneFlags::CLONE_NEWNS).expect("unshare takes root");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("/ becomes private");
    mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), None::<&str>)
        .expect("bpffs can be mounted");
}

/// What DPDK makes for itself when a test's process starts it.
pub fn runtime_directory(process: u32) -> PathBuf {
    PathBuf::from(format!("/run/dpdk/test-{process}"))
}

/// A network namespace named after this process, with `pollux0` and `pollux-host`, the two ends
/// of a veth, in it. Gone when dropped.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// An empty namespace, which the calling thread enters.
    pub fn enter(purpose: &str) -> Self {
        let netns = Self { name: format!("dpdk-{purpose}-{}", process::id()) };
        run("ip", &["netns", "add", &netns.name]);
        let file = fs::File::open(format!("/run/netns/{}", netns.name)).expect("just made");
        nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).expect("setns takes root");
        netns
    }

    /// A veth pair, up, that neither leaves checksums unfilled nor makes super-frames.
    pub fn veth(&self, queues: u16) {
        let queues = queues.to_string();
        let peer = ["peer", "name", "pollux-host", "numrxqueues", &queues, "numtxqueues", &queues];
        let link = ["link", "add", "pollux0", "numrxqueues", &queues, "numtxqueues", &queues];
        run("ip", &[&link[..], &["type", "veth"], &peer[..]].concat());
        for end in ["pollux0", "pollux-host"] {
            run("ethtool", &["-K", end, "tx", "off", "gso", "off", "tso", "off", "gro", "off"]);
            run("sysctl", &["-qw", &format!("net.ipv6.conf.{end}.disable_ipv6=1")]);
            run("ip", &["link", "set", end, "up"]);
        }
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        run("ip", &["netns", "del", &self.name]);
    }
}

/// Runs a command, which must succeed, and returns what it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}{errors}");
    text
}

/// A raw socket that sends and receives whole Ethernet frames on an interface.
#[derive(Debug)]
pub struct Raw(OwnedFd);

impl Raw {
    pub fn on(interface: &str) -> Self {
        let index = nix::net::if_::if_nametoindex(interface).expect("an interface");
        let raw = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        );
        let raw = raw.expect("a raw socket takes root");
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
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

    pub fn send(&self, frame: &[u8]) {
        let sent = send(self.0.as_raw_fd(), frame, MsgFlags::empty()).expect("send");
        assert_eq!(sent, frame.len());
    }

    /// The next frame of the experimental EtherType that tests use, if one is there.
    pub fn receive(&self) -> Option<Vec<u8>> {
        self.receive_where(is_ours)
    }

    /// The next frame that `wanted` accepts, if one is there; those before it are passed over.
    pub fn receive_where(&self, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
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
pub fn frame(number: u32) -> Vec<u8> {
    let len = 60 + usize::try_from(number).expect("small") * 37 % 1455;
    let mut frame = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], &ETHER_TYPE[..]].concat();
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..len).map(|at| (at * 7) as u8 ^ number as u8));
    frame
}

pub fn is_ours(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&ETHER_TYPE[..])
}

/// Queues a frame if there is a transmit buffer for it.
pub fn submit(queue: &mut QueuePair, frame: &[u8]) -> bool {
    let Some(mut tx_buffer) = queue.tx_buffer() else { return false };
    tx_buffer.as_mut()[..frame.len()].copy_from_slice(frame);
    queue.submit(tx_buffer, frame.len(), TxOffload::None);
    true
}

/// Receives until `count` frames of ours have come, and returns them in their order.
pub fn receive(queue: &mut QueuePair, count: usize) -> Vec<Vec<u8>> {
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

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < TIMEOUT, "waited {TIMEOUT:?} for {what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Two hundred frames each way between a port and the kernel's side of its link, every byte
/// and their order checked.
pub fn exchange(queue: &mut QueuePair, kernel: &Raw) {
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
pub fn can_be_polled(queue: &mut QueuePair, kernel: &Raw) {
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
