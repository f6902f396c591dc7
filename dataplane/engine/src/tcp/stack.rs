//! smoltcp, one socket at a time: the only file that names its `Interface` and `SocketSet`.
//!
//! smoltcp looks at every socket of a set for every segment. So each connection has a set of its own
//! with one socket in it, and the [`FlowTable`](crate::tcp::flow::FlowTable) says which set a segment is
//! for: all work is independent of how many connections there are.
//!
//! A socket cannot give its buffers back, so a slot keeps its socket for life: [`Tcp::open`] makes it
//! as good as new. It never returns to LISTEN by itself: the worker retires it on the first RST.

use core::net::Ipv4Addr;

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle};
use smoltcp::iface::{SocketSet, SocketStorage};
use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::phy::{RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Cidr};

pub(crate) use smoltcp::socket::tcp::State;

use crate::limits::{ACK_DELAY_MICROS, STACK_CLOCK_RATE, TX_BUDGET, TX_BUDGET_LARGE};
use crate::tcp::coalesce::Coalescer;
use crate::tcp::generator;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::segment::{self, IP_LEN, SYN, Segment, TCP_LEN, is_after};
use crate::{Buffer, CoreStats, Nic, Now};

/// The IP layer of one core.
pub(crate) struct Stack {
    interface: Interface,
    address: Ipv4Addr,
    /// Bytes of payload in a segment of MTU size.
    payload_max: usize,
    now: Instant,
}

/// The result of a round of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Egress {
    /// Nothing more to send before this moment (microseconds), if at all.
    Quiet(Option<u64>),
    /// There is more, but this connection's budget or the transmit ring is used up: next turn.
    More,
}

impl Stack {
    /// A stack that answers for `address` over `nic`.
    pub(crate) fn new<N: Nic>(nic: &mut N, address: Ipv4Addr, stats: &CoreStats, now: Now) -> Self {
        let payload_max = nic.capabilities().ip_mtu.saturating_sub(IP_LEN + TCP_LEN);
        let now = stack_time(now);
        // The generator serves initial sequence numbers alone, and those are set.
        let interface = interface(nic, address, 0, stats, now);
        Self { interface, address, payload_max, now }
    }

    /// The next connection that opens begins with sequence number `number`.
    ///
    /// smoltcp takes it from a generator that is seeded when an interface is made and that an observer can compute
    /// ahead. So the interface, a few hundred bytes without anything on the heap, is made anew with the seed
    /// that makes the generator yield `number`.
    #[cold]
    pub(crate) fn set_initial_sequence<N: Nic>(
        &mut self,
        number: u32,
        nic: &mut N,
        stats: &CoreStats,
    ) {
        self.interface = interface(nic, self.address, generator::seed_for(number), stats, self.now);
    }

    /// The turn happens at `now`.
    pub(crate) fn tick(&mut self, now: Now) {
        self.now = stack_time(now);
    }

    /// Hands one IPv4 packet to a connection. The queue is ready: smoltcp may answer at once.
    pub(crate) fn ingress<N: Nic>(
        &mut self,
        tcp: &mut Tcp,
        packet: &[u8],
        header: &ReplyHeader,
        nic: &mut N,
        stats: &CoreStats,
    ) {
        let (received, fin) = (tcp.received(), tcp.is_half_closed());
        let Tcp { set, sent, .. } = tcp;
        let (packet, coalescer) = (Some(packet), None);
        let mut device = PacketDevice::<N, false> { nic, stats, header, sent, packet, coalescer };
        let result = self.interface.poll_ingress_single(self.now, &mut device, set);
        debug_assert_ne!(result, PollIngressSingleResult::None, "a ready queue has a token");
        let grown = tcp.received() - received + usize::from(tcp.is_half_closed() && !fin);
        tcp.rcv_nxt = tcp.rcv_nxt.wrapping_add(u32::try_from(grown).unwrap_or(0));
    }

    /// Sends what a connection has to send, a budget's worth.
    pub(crate) fn egress<N: Nic>(
        &mut self,
        tcp: &mut Tcp,
        header: &ReplyHeader,
        nic: &mut N,
        stats: &CoreStats,
    ) -> Egress {
        if tcp.unacknowledged() <= self.payload_max || !nic.large_ready() {
            return self.send::<N, false>(tcp, header, nic, stats, TX_BUDGET, None);
        }
        let mut coalescer = Coalescer::new(nic.capabilities().tx_segmentation_max);
        let open = Some(&mut coalescer);
        let egress = self.send::<N, true>(tcp, header, nic, stats, TX_BUDGET_LARGE, open);
        coalescer.close(nic, stats);
        egress
    }

    /// Acknowledges what was received without the delay: smoltcp is shown the moment at which that is over.
    ///
    /// Only where nothing is queued or in flight, so that no other timer of the connection can be due by then.
    /// Elsewhere a segment that carries the acknowledgement has just left, or the delay stays.
    #[cold]
    pub(crate) fn acknowledge<N: Nic>(
        &mut self,
        tcp: &mut Tcp,
        header: &ReplyHeader,
        nic: &mut N,
        stats: &CoreStats,
    ) -> Egress {
        let delay = if tcp.unacknowledged() > 0 { 0 } else { ACK_DELAY_MICROS };
        let now = self.now;
        self.now += stack_duration(delay);
        let egress = self.send::<N, false>(tcp, header, nic, stats, 1, None);
        self.now = now;
        egress
    }

    #[inline]
    fn send<N: Nic, const LARGE: bool>(
        &mut self,
        tcp: &mut Tcp,
        header: &ReplyHeader,
        nic: &mut N,
        stats: &CoreStats,
        budget: usize,
        mut coalescer: Option<&mut Coalescer<N::TxBuffer>>,
    ) -> Egress {
        for _ in 0..budget {
            let Tcp { set, sent, .. } = tcp;
            let coalescer = coalescer.as_deref_mut();
            let mut device =
                PacketDevice::<N, LARGE> { nic, stats, header, sent, packet: None, coalescer };
            let result = self.interface.poll_egress(self.now, &mut device, set);
            match self.interface.poll_at(self.now, set) {
                Some(at) if at <= self.now => {
                    if result == PollResult::None {
                        return Egress::More;
                    }
                }
                at => return Egress::Quiet(at.map(real_micros)),
            }
        }
        Egress::More
    }
}

fn interface<N: Nic>(
    nic: &mut N,
    address: Ipv4Addr,
    seed: u64,
    stats: &CoreStats,
    now: Instant,
) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let (header, mut sent) = (ReplyHeader::new([0; 6], [0; 6], None, 0), Sent::default());
    let (header, sent, packet, coalescer) = (&header, &mut sent, None, None);
    let mut device = PacketDevice::<N, false> { nic, stats, header, sent, packet, coalescer };
    let mut interface = Interface::new(config, &mut device, now);
    interface.update_ip_addrs(|addresses| {
        let host = IpCidr::Ipv4(Ipv4Cidr::new(address, 32));
        assert!(addresses.push(host).is_ok(), "a new interface has room for one address");
    });
    interface
}

/// The TCP half of one connection: a socket in a set of its own, and the state after its last segment.
#[derive(Debug)]
pub(crate) struct Tcp {
    set: SocketSet<'static>,
    handle: SocketHandle,
    sent: Sent,
    /// The next sequence number that we expect (RFC 9293, 3.3.1: RCV.NXT), which smoltcp keeps to itself.
    rcv_nxt: u32,
}

impl Tcp {
    /// A closed socket on its two buffers.
    pub(crate) fn new(receive: Buffer, transmit: Buffer) -> Self {
        let mut socket = Socket::new(socket_buffer(receive), socket_buffer(transmit));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(stack_duration(ACK_DELAY_MICROS)));
        let mut set = SocketSet::new(vec![SocketStorage::EMPTY]);
        let handle = set.add(socket);
        Self { set, handle, sent: Sent::default(), rcv_nxt: 0 }
    }

    /// Makes the socket as good as new, waiting for the SYN with number `syn` to `port`.
    ///
    /// `listen` resets all but four fields of a closed socket. The acknowledgement that completes the
    /// handshake overwrites the last sequence and acknowledgement numbers and the duplicate counter
    /// before anything reads them; a fast retransmission left pending by a connection that ended in
    /// mid-recovery makes the first segment of the next ignore its windows, once, by one segment.
    pub(crate) fn open(&mut self, port: u16, syn: u32) {
        self.sent = Sent::default();
        self.rcv_nxt = syn.wrapping_add(1);
        let socket = self.socket_mut();
        socket.abort();
        socket.set_congestion_control(CongestionControl::Reno);
        let listening = socket.listen(port);
        assert!(listening.is_ok(), "a closed socket listens on any port but zero");
    }

    /// State of the connection (RFC 9293, 3.3.2).
    pub(crate) fn state(&self) -> State {
        self.socket().state()
    }

    /// Whether the peer's FIN was taken: no byte follows those received.
    pub(crate) fn is_half_closed(&self) -> bool {
        use State::{CloseWait, Closing, LastAck, TimeWait};
        matches!(self.state(), CloseWait | Closing | LastAck | TimeWait)
    }

    /// The sequence number that the peer's next byte must have (RFC 9293, 3.3.1: RCV.NXT).
    pub(crate) fn rcv_nxt(&self) -> u32 {
        self.rcv_nxt
    }

    /// The window field of a segment outside smoltcp that acknowledges all that was received.
    pub(crate) fn window_field(&self) -> u16 {
        self.sent.window_field(self.rcv_nxt)
    }

    /// Bytes of the receive buffer.
    pub(crate) fn receive_capacity(&self) -> usize {
        self.socket().recv_capacity()
    }

    /// Whether some of the payload of `segment` lies beyond the window that was advertised last.
    pub(crate) fn is_beyond_window(&self, segment: &Segment) -> bool {
        let end = segment.sequence.wrapping_add(segment.payload_len);
        is_after(end, self.sent.window_end())
    }

    /// Copies received bytes, from the first not consumed, into `into`; how many.
    pub(crate) fn peek(&mut self, into: &mut [u8]) -> usize {
        self.socket_mut().peek_slice(into).unwrap_or(0)
    }

    /// Received bytes not yet consumed.
    pub(crate) fn received(&self) -> usize {
        self.socket().recv_queue()
    }

    /// Drops the first `count` received bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let taken = self.socket_mut().recv(|part| {
                let taken = left.min(part.len());
                (taken, taken)
            });
            match taken {
                Ok(taken) if taken > 0 => left -= taken,
                _ => break,
            }
        }
        debug_assert_eq!(left, 0, "only what was seen is consumed");
    }

    /// Calls `take` with the contiguous part of the received bytes; it returns how many are consumed.
    pub(crate) fn receive<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Option<R> {
        self.socket_mut().recv(|part| take(part)).ok()
    }

    /// Calls `fill` with the contiguous free part of the transmit buffer; it returns how many bytes it filled.
    pub(crate) fn send<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Option<R> {
        self.socket_mut().send(fill).ok()
    }

    /// Queues bytes that are known to fit.
    pub(crate) fn send_all(&mut self, bytes: &[u8]) {
        let queued = self.socket_mut().send_slice(bytes);
        debug_assert_eq!(queued, Ok(bytes.len()), "room was asked for first");
    }

    /// Free bytes of the transmit buffer, contiguous or not; zero once we have closed.
    pub(crate) fn room(&self) -> usize {
        let socket = self.socket();
        if socket.may_send() { socket.send_capacity() - socket.send_queue() } else { 0 }
    }

    /// Bytes queued or in flight, not yet acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.socket().send_queue()
    }

    /// Sends FIN after what is queued.
    pub(crate) fn close(&mut self) {
        self.socket_mut().close();
    }

    /// Ends the connection; the next egress sends RST.
    pub(crate) fn abort(&mut self) {
        self.socket_mut().abort();
    }

    /// The state after the last segment we sent.
    pub(crate) fn sent(&self) -> &Sent {
        &self.sent
    }

    fn socket(&self) -> &Socket<'static> {
        self.set.get(self.handle)
    }

    fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }
}

/// The state that the peer knows from the segments we sent: smoltcp has it too, but keeps it private.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    /// The sequence number after the last byte ever sent (RFC 9293, 3.3.1: SND.NXT).
    pub(crate) snd_nxt: u32,
    /// The acknowledgement number sent last.
    ack: u32,
    /// The window sent last, in bytes.
    window: u32,
    /// How far the peer shifts our window (RFC 7323, 2.2).
    window_scale: u8,
    /// Whether anything was sent.
    begun: bool,
    /// Whether a SYN was sent last.
    syn_last: bool,
}

impl Sent {
    /// The first sequence number beyond the receive window that was advertised last.
    pub(crate) fn window_end(&self) -> u32 {
        self.ack.wrapping_add(self.window)
    }

    /// Bytes of the window that was advertised last that are left from `rcv_nxt` on.
    pub(crate) fn window_left(&self, rcv_nxt: u32) -> u32 {
        let end = self.window_end();
        if is_after(end, rcv_nxt) { end.wrapping_sub(rcv_nxt) } else { 0 }
    }

    /// The window field of a segment outside smoltcp that acknowledges `rcv_nxt`: it moves the end of the
    /// window in no direction, for smoltcp knows nothing of it.
    fn window_field(&self, rcv_nxt: u32) -> u16 {
        u16::try_from(self.window_left(rcv_nxt) >> self.window_scale).unwrap_or(u16::MAX)
    }

    /// Whether anything was sent yet: if not, there is no number to say.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether smoltcp has the end of the window wrong: it scales the window of our SYN, which RFC 7323
    /// 2.2 does not, until something else was sent.
    pub(crate) fn is_window_unscaled(&self) -> bool {
        self.syn_last && self.window_scale > 0
    }

    /// Records one segment; whether it carries sequence space that was sent before.
    fn record(&mut self, segment: &Segment, packet: &[u8]) -> bool {
        let end = segment.sequence.wrapping_add(segment.sequence_len());
        let again = self.begun && segment.sequence_len() > 0 && !is_after(end, self.snd_nxt);
        if !self.begun || is_after(end, self.snd_nxt) {
            self.snd_nxt = end;
        }
        if segment.has(SYN) {
            self.window_scale = segment::window_scale(segment::options(packet)).unwrap_or(0);
        }
        self.ack = segment.ack;
        self.syn_last = segment.has(SYN);
        let scale = if self.syn_last { 0 } else { self.window_scale };
        self.window = u32::from(segment.window) << scale;
        self.begun = true;
        again
    }
}

/// smoltcp's device for the length of one call: one connection's packet in, its segments out; with
/// `LARGE` they may become parts of a large packet. Small responses do not pay for the question.
struct PacketDevice<'a, N: Nic, const LARGE: bool> {
    nic: &'a mut N,
    stats: &'a CoreStats,
    header: &'a ReplyHeader,
    sent: &'a mut Sent,
    packet: Option<&'a [u8]>,
    coalescer: Option<&'a mut Coalescer<N::TxBuffer>>,
}

impl<N: Nic, const LARGE: bool> Device for PacketDevice<'_, N, LARGE> {
    type RxToken<'b>
        = Inbound<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Outbound<'b, N, LARGE>
    where
        Self: 'b;

    fn receive(&mut self, now: Instant) -> Option<(Inbound<'_>, Outbound<'_, N, LARGE>)> {
        // smoltcp may answer any packet with one of its own: reserve before promising.
        let packet = self.packet.take_if(|_| self.nic.ready())?;
        Some((Inbound(packet), self.transmit(now)?))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outbound<'_, N, LARGE>> {
        let Self { nic, stats, header, sent, coalescer, .. } = self;
        let coalescer = coalescer.as_deref_mut();
        nic.ready().then_some(Outbound { nic, stats, header, sent, coalescer })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut checksum = ChecksumCapabilities::ignored();
        checksum.ipv4 = Checksum::None;
        checksum.tcp = Checksum::None;
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.nic.capabilities().ip_mtu;
        capabilities.checksum = checksum;
        capabilities
    }
}

struct Inbound<'a>(&'a [u8]);

impl RxToken for Inbound<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

struct Outbound<'a, N: Nic, const LARGE: bool> {
    nic: &'a mut N,
    stats: &'a CoreStats,
    header: &'a ReplyHeader,
    sent: &'a mut Sent,
    /// Where what leaves may become part of a large packet.
    coalescer: Option<&'a mut Coalescer<N::TxBuffer>>,
}

impl<N: Nic, const LARGE: bool> TxToken for Outbound<'_, N, LARGE> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let Self { nic, stats, header, sent, coalescer } = self;
        if LARGE
            && let Some(coalescer) = coalescer
            && coalescer.is_ready(len, header, nic, stats)
        {
            let note = |segment: &Segment, packet: &[u8]| {
                if sent.record(segment, packet) {
                    stats.retransmits.add(1);
                }
            };
            return coalescer.take(len, nic, stats, write, note);
        }
        let mut tx_buffer = nic.tx_buffer().expect("the queue said that it was ready");
        let by_nic = nic.capabilities().tx_checksum_offload;
        let l2_len = usize::from(header.len());
        let frame = &mut tx_buffer.as_mut()[..l2_len + len];
        let (ethernet, packet) = frame.split_at_mut(l2_len);
        ethernet.copy_from_slice(header.bytes());
        let result = write(packet);
        let offload = segment::finish_checksums(packet, header.len(), by_nic);
        if let Some(segment) = segment::parse(packet)
            && sent.record(&segment, packet)
        {
            stats.retransmits.add(1);
        }
        stats.tx_frames.add(1);
        stats.tx_bytes.add((l2_len + len) as u64);
        nic.submit(tx_buffer, l2_len + len, offload);
        result
    }
}

fn socket_buffer(buffer: Buffer) -> SocketBuffer<'static> {
    match buffer {
        Buffer::Static(bytes) => SocketBuffer::new(bytes),
        Buffer::Owned(bytes) => SocketBuffer::new(bytes),
    }
}

/// The stack's clock: see [`STACK_CLOCK_RATE`].
fn stack_time(now: Now) -> Instant {
    Instant::from_micros(i64::try_from(now.micros).unwrap_or(i64::MAX / RATE) * RATE)
}

fn stack_duration(micros: u64) -> Duration {
    Duration::from_micros(micros * RATE.unsigned_abs())
}

fn real_micros(at: Instant) -> u64 {
    u64::try_from(at.total_micros() / RATE).unwrap_or(0)
}

const RATE: i64 = STACK_CLOCK_RATE;
