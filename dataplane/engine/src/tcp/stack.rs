//! smoltcp, one socket at a time: the only file that names its `Interface` and `SocketSet`. What passes between a
//! socket and the NIC does so through [`device`](crate::tcp::device).
//!
//! smoltcp looks at every socket of a set for every segment. So each connection has a set of its own
//! with one socket in it, and the [`FlowTable`](crate::tcp::flow::FlowTable) says which set a segment is
//! for: all work is independent of how many connections there are.
//!
//! A socket cannot give its buffers back, so a slot keeps its socket for life: [`Tcp::open`] makes it
//! as good as new. It never returns to LISTEN by itself: the worker retires it on the first RST.

pub(crate) mod replay;

use core::net::Ipv4Addr;

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle};
use smoltcp::iface::{SocketSet, SocketStorage};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Cidr};

pub(crate) use smoltcp::socket::tcp::State;

use crate::limits::{ACK_DELAY_MICROS, TX_BUDGET, TX_BUDGET_LARGE};
use crate::tcp::coalesce::Coalescer;
use crate::tcp::device::{NoDevice, PacketDevice};
use crate::tcp::generator;
use crate::tcp::sender::{Arrival, Outcome, Sender};
use crate::tcp::sent::Sent;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::segment::{IP_LEN, Segment, TCP_LEN, is_after};
use crate::{Buffer, CoreStats, Nic, Now};

/// The IP layer of one core.
pub(crate) struct Stack {
    interface: Interface,
    address: Ipv4Addr,
    /// Bytes of payload in a segment of MTU size.
    payload_max: usize,
    now: Instant,
    /// The same in microseconds.
    micros: u64,
}

/// The result of a round of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Egress {
    /// Nothing more to send before this moment (microseconds), if at all.
    Quiet(Option<u64>),
    /// There is more, but this connection's budget or the transmit ring is used up: next turn.
    More,
    /// There is more, and the congestion window has no room for it: smoltcp was not asked.
    Held,
}

impl Stack {
    /// A stack that answers for `address` over `nic`.
    pub(crate) fn new<N: Nic>(nic: &mut N, address: Ipv4Addr, now: Now) -> Self {
        let payload_max = nic.capabilities().ip_mtu.saturating_sub(IP_LEN + TCP_LEN);
        // The generator serves initial sequence numbers alone, and those are set.
        let interface = interface(nic, address, 0, stack_time(now));
        Self { interface, address, payload_max, now: stack_time(now), micros: now.micros }
    }

    /// The next connection that opens begins with sequence number `number`.
    ///
    /// smoltcp takes it from a generator that is seeded when an interface is made and that an observer can compute
    /// ahead. So the interface, a few hundred bytes without anything on the heap, is made anew with the seed
    /// that makes the generator yield `number`.
    #[cold]
    pub(crate) fn set_initial_sequence<N: Nic>(&mut self, number: u32, nic: &mut N) {
        self.interface = interface(nic, self.address, generator::seed_for(number), self.now);
    }

    /// The turn happens at `now`.
    pub(crate) fn tick(&mut self, now: Now) {
        self.now = stack_time(now);
        self.micros = now.micros;
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
        let Tcp { set, sent, sender, .. } = tcp;
        let (packet, coalescer) = (Some(packet), None);
        let mut device =
            PacketDevice::<N, false> { nic, stats, header, sent, sender, packet, coalescer };
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
        if tcp.is_behind()
            && let Some(egress) = self.send_again(tcp, header, nic, stats)
        {
            return egress;
        }
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
        self.now += Duration::from_micros(delay);
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
        let before = tcp.sent.snd_nxt;
        if before == tcp.sender.una {
            tcp.sender.on_quiet(self.micros);
        }
        let mut egress = Egress::More;
        for _ in 0..budget {
            if !tcp.sender.has_room(tcp.sent.snd_nxt) && tcp.has_unsent() {
                egress = Egress::Held;
                break;
            }
            let coalescer = coalescer.as_deref_mut();
            let result = self.poll::<N, LARGE>(tcp, header, nic, stats, coalescer);
            match self.interface.poll_at(self.now, &tcp.set) {
                Some(at) if at <= self.now => {
                    if result == PollResult::None {
                        break;
                    }
                }
                at => {
                    egress = Egress::Quiet(at.map(real_micros));
                    break;
                }
            }
        }
        let nxt = tcp.sent.snd_nxt;
        tcp.sender.on_sent(nxt, nxt != before, self.micros);
        egress
    }

    #[inline]
    fn poll<N: Nic, const LARGE: bool>(
        &mut self,
        tcp: &mut Tcp,
        header: &ReplyHeader,
        nic: &mut N,
        stats: &CoreStats,
        coalescer: Option<&mut Coalescer<N::TxBuffer>>,
    ) -> PollResult {
        let Tcp { set, sent, sender, .. } = tcp;
        let packet = None;
        let mut device =
            PacketDevice::<N, LARGE> { nic, stats, header, sent, sender, packet, coalescer };
        self.interface.poll_egress(self.now, &mut device, set)
    }

    /// Sends again what was lost, and lets smoltcp go over what was not without sending it. `None`: all that was
    /// sent is passed, and new segments may follow.
    ///
    /// smoltcp can only begin again at the first byte that is not acknowledged. It gives one segment at a time, and what
    /// the [`Sender`] does not take for lost does not leave. So it gets no further than is needed: to the last one
    /// that is lost, and to the end once there is something new to send.
    #[cold]
    fn send_again<N: Nic>(
        &mut self,
        tcp: &mut Tcp,
        header: &ReplyHeader,
        nic: &mut N,
        stats: &CoreStats,
    ) -> Option<Egress> {
        for _ in 0..TX_BUDGET_AGAIN {
            if tcp.state() == State::Closed {
                return None;
            }
            let (una, nxt) = (tcp.sender.una, tcp.sent.snd_nxt);
            let first = tcp.sender.first_lost(una);
            if first.is_some_and(|first| is_after(tcp.sent.next, first)) {
                self.rewind(tcp);
            }
            let next = tcp.sent.next;
            if first.is_none() {
                if next == nxt {
                    return None;
                }
                if !(tcp.has_unsent() && tcp.sender.has_room(nxt)) {
                    return Some(Egress::Held);
                }
            } else if tcp.sender.is_lost(next, tcp.sender.segment_end(next, nxt))
                && !tcp.sender.has_room(nxt)
            {
                return Some(Egress::Held);
            }
            let _ = self.poll::<N, false>(tcp, header, nic, stats, None);
            if tcp.sent.next == next {
                return Some(match self.interface.poll_at(self.now, &tcp.set) {
                    Some(at) if at <= self.now => Egress::More,
                    at => Egress::Quiet(at.map(real_micros)),
                });
            }
        }
        Some(Egress::More)
    }

    /// Makes smoltcp begin again at the first byte that is not acknowledged.
    ///
    /// It does so when its retransmission timer is due. It is shown a time at which that is so whatever it
    /// measured, on a device that takes nothing: so it stops the timer, goes back, and cannot send yet.
    fn rewind(&mut self, tcp: &mut Tcp) {
        let later = self.now + RETRANSMIT_LATEST;
        let mut device = NoDevice { ip_mtu: self.payload_max + IP_LEN + TCP_LEN };
        let _ = self.interface.poll_egress(later, &mut device, &mut tcp.set);
        tcp.sent.next = tcp.sender.una;
    }
}

fn interface<N: Nic>(nic: &mut N, address: Ipv4Addr, seed: u64, now: Instant) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut device = NoDevice { ip_mtu: nic.capabilities().ip_mtu };
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
    sender: Sender,
    /// The next sequence number that we expect (RFC 9293, 3.3.1: RCV.NXT), which smoltcp keeps to itself.
    rcv_nxt: u32,
}

impl Tcp {
    /// A closed socket on its two buffers.
    pub(crate) fn new(receive: Buffer, transmit: Buffer) -> Self {
        let mut socket = Socket::new(socket_buffer(receive), socket_buffer(transmit));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(Duration::from_micros(ACK_DELAY_MICROS)));
        let mut set = SocketSet::new(vec![SocketStorage::EMPTY]);
        let handle = set.add(socket);
        Self { set, handle, sent: Sent::default(), sender: Sender::new(), rcv_nxt: 0 }
    }

    /// Makes the socket as good as new, waiting for the SYN with number `syn` to `port`.
    ///
    /// `listen` resets all but four fields of a closed socket. The acknowledgement that completes the
    /// handshake overwrites the last sequence and acknowledgement numbers and the duplicate counter
    /// before anything reads them; a fast retransmission left pending by a connection that ended in
    /// mid-recovery makes the first segment of the next ignore its windows, once, by one segment.
    pub(crate) fn open(&mut self, port: u16, syn: u32) {
        self.sent = Sent::default();
        self.sender = Sender::new();
        self.rcv_nxt = syn.wrapping_add(1);
        let socket = self.socket_mut();
        socket.abort();
        socket.set_congestion_control(CongestionControl::None);
        let listening = socket.listen(port);
        assert!(listening.is_ok(), "a closed socket listens on any port but zero");
    }

    /// Our SYN will have the sequence number `number`.
    pub(crate) fn begin(&mut self, number: u32) {
        self.sent.begin(number);
        self.sender.una = number;
    }

    /// Whether something is to be sent again, or smoltcp goes over what was sent.
    fn is_behind(&self) -> bool {
        self.sender.has_lost() || self.sent.is_behind()
    }

    /// Whether there is something, FIN included, that was never sent.
    fn has_unsent(&self) -> bool {
        use State::{Closed, Closing, FinWait1, LastAck};
        let in_flight = self.sent.snd_nxt.wrapping_sub(self.sender.una) as usize;
        match self.state() {
            Closed => false,
            FinWait1 | Closing | LastAck => self.unacknowledged() + 1 > in_flight,
            _ => self.unacknowledged() > in_flight,
        }
    }

    /// Whether an acknowledgement is due that smoltcp does not send, because it is not asked.
    pub(crate) fn owes_acknowledgement(&self) -> bool {
        self.sent.owes(self.rcv_nxt)
    }

    /// An acknowledgement of all that was received left that smoltcp knows nothing of.
    pub(crate) fn on_acked(&mut self) {
        self.sent.acknowledge(self.rcv_nxt);
    }

    /// The sending half.
    pub(crate) fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The sending half.
    pub(crate) fn sender_mut(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// The sender's timer is due at `micros`.
    pub(crate) fn on_alarm(&mut self, micros: u64) -> Outcome {
        let has_more = self.has_unsent();
        self.sender.on_alarm(self.sent.snd_nxt, has_more, micros)
    }

    /// The peer acknowledged at `micros` what `arrival` says; `blocks` are the parts beyond that it has, first and
    /// end.
    pub(crate) fn on_acknowledgement(
        &mut self,
        arrival: &Arrival,
        blocks: impl IntoIterator<Item = (u32, u32)>,
        micros: u64,
    ) -> Outcome {
        let outcome = self.sender.on_acknowledgement(arrival, self.sent.snd_nxt, blocks, micros);
        if self.sent.is_behind() {
            self.sent.advance(self.sender.una);
        }
        outcome
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
        self.sender.release();
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

fn socket_buffer(buffer: Buffer) -> SocketBuffer<'static> {
    match buffer {
        Buffer::Static(bytes) => SocketBuffer::new(bytes),
        Buffer::Owned(bytes) => SocketBuffer::new(bytes),
    }
}

fn stack_time(now: Now) -> Instant {
    Instant::from_micros(i64::try_from(now.micros).unwrap_or(i64::MAX))
}

fn real_micros(at: Instant) -> u64 {
    u64::try_from(at.total_micros()).unwrap_or(0)
}

/// Later than any retransmission timeout of smoltcp's (RFC 6298, 2.5: its bound is 60 s).
const RETRANSMIT_LATEST: Duration = Duration::from_secs(61);
/// Segments that a connection goes over in one turn, sending them again or not.
const TX_BUDGET_AGAIN: usize = 64;
