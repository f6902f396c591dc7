//! Segments that follow each other leave as one large packet where the NIC cuts it into the same segments
//! again (TCP segmentation offload): one buffer, one descriptor and, on a link to the kernel, one walk
//! through its stack for as much as 64 KiB.
//!
//! smoltcp writes a segment with its headers. The next one is written so that its payload comes to lie
//! right behind the payload before it; its headers cover the end of that payload, which is put back.
//! (smoltcp 0.14.0 compiles its own `segmentation-offload` with IPv6 only, and then every request takes
//! 8 % more instructions.)

use crate::limits::SEGMENTATION_MIN;
use crate::wire::checksum::pseudo_header;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::segment::{
    self, FIN, IP_LEN, IP_LEN_BYTE, RST, SYN, Segment, TCP_CHECKSUM, TCP_LEN, finish_checksums,
};
use crate::{CoreStats, Nic, TxOffload};

/// The large packet that one connection is sending, for the length of one round of sending.
#[derive(derive_more::Debug)]
#[debug("Coalescer {{ is_over: {is_over} }}")]
pub(crate) struct Coalescer<B> {
    open: Option<Open<B>>,
    /// Bytes of the largest IP packet that the NIC cuts.
    packet_max: usize,
    /// Whether this round goes on in ordinary buffers: the peer's segments are too small.
    is_over: bool,
}

/// A packet that may grow.
struct Open<B> {
    tx_buffer: B,
    /// Bytes of the Ethernet header.
    l2_len: u8,
    /// Bytes of the IP packet so far; 0: nothing was written yet.
    len: usize,
    /// Segments it will be cut into.
    segments: usize,
    /// Bytes of payload in each of them but the last.
    size: u32,
    /// The sequence number that the next segment must have.
    next: u32,
    /// Whether nothing may follow: a short segment, or one that ends something.
    is_full: bool,
    /// The flags of the last segment.
    flags: u8,
}

impl<B: AsMut<[u8]>> Coalescer<B> {
    /// For a queue that cuts packets of up to `packet_max` bytes.
    pub(crate) fn new(packet_max: usize) -> Self {
        Self { open: None, packet_max, is_over: false }
    }

    /// Whether a packet of `len` bytes can be [taken](Self::take): there is an open packet with room for it,
    /// or a new one was begun. Submits what is open and has no room.
    pub(crate) fn is_ready<N: Nic<TxBuffer = B>>(
        &mut self,
        len: usize,
        header: &ReplyHeader,
        nic: &mut N,
        stats: &CoreStats,
    ) -> bool {
        if let Some(open) = &self.open {
            if !open.is_full && open.len + len.saturating_sub(HEADERS_LEN) <= self.packet_max {
                return true;
            }
            self.close(nic, stats);
        }
        if self.is_over {
            return false;
        }
        self.open = nic.large_tx_buffer().map(|mut tx_buffer| {
            let l2_len = header.len();
            tx_buffer.as_mut()[..usize::from(l2_len)].copy_from_slice(header.bytes());
            Open {
                tx_buffer,
                l2_len,
                len: 0,
                segments: 0,
                size: 0,
                next: 0,
                is_full: false,
                flags: 0,
            }
        });
        self.open.is_some()
    }

    /// Takes the packet of `len` bytes that `write` writes and `note` looks at. What does not continue the
    /// open packet follows it in a buffer of its own; the queue is ready for that.
    pub(crate) fn take<N: Nic<TxBuffer = B>, R>(
        &mut self,
        len: usize,
        nic: &mut N,
        stats: &CoreStats,
        write: impl FnOnce(&mut [u8]) -> R,
        note: impl FnOnce(&Segment, &[u8]),
    ) -> R {
        let open = self.open.as_mut().expect("is_ready said so");
        let l2_len = usize::from(open.l2_len);
        let at = l2_len + open.len.saturating_sub(HEADERS_LEN);
        let (is_first, next, size) = (open.len == 0, open.next, open.size);
        let buffer = open.tx_buffer.as_mut();
        let mut covered = [0; HEADERS_LEN];
        covered.copy_from_slice(&buffer[at..at + HEADERS_LEN]);
        let result = write(&mut buffer[at..at + len]);
        let packet = &buffer[at..at + len];
        let segment = segment::parse(packet);
        if let Some(segment) = &segment {
            note(segment, packet);
        }
        let flags = packet.get(TCP_FLAGS).copied().unwrap_or(0);
        if is_first {
            open.len = len;
            open.segments = 1;
            match segment.filter(|segment| len == HEADERS_LEN + segment.payload_len as usize) {
                Some(segment) if may_be_cut(&segment) => {
                    open.begin(&segment, flags);
                }
                _ => {
                    self.is_over = true;
                    self.close(nic, stats);
                }
            }
        } else if let Some(segment) = segment.filter(|segment| continues(segment, len, next, size))
        {
            buffer[at..at + HEADERS_LEN].copy_from_slice(&covered);
            open.grow(&segment, flags);
        } else {
            let mut stray = nic.tx_buffer().expect("the queue said that it was ready");
            let frame = &mut stray.as_mut()[..l2_len + len];
            frame[..l2_len].copy_from_slice(&buffer[..l2_len]);
            frame[l2_len..].copy_from_slice(&buffer[at..at + len]);
            buffer[at..at + HEADERS_LEN].copy_from_slice(&covered);
            let stray_l2 = open.l2_len;
            self.close(nic, stats);
            let offload =
                finish_checksums(&mut stray.as_mut()[l2_len..l2_len + len], stray_l2, true);
            submit(stray, l2_len + len, offload, nic, stats);
        }
        result
    }

    /// Submits what is open.
    pub(crate) fn close<N: Nic<TxBuffer = B>>(&mut self, nic: &mut N, stats: &CoreStats) {
        let Some(Open { mut tx_buffer, l2_len, len, segments, size, flags, .. }) = self.open.take()
        else {
            return;
        };
        if segments == 0 {
            return;
        }
        let frame_len = usize::from(l2_len) + len;
        let packet = &mut tx_buffer.as_mut()[usize::from(l2_len)..frame_len];
        if segments == 1 {
            let offload = finish_checksums(packet, l2_len, true);
            submit(tx_buffer, frame_len, offload, nic, stats);
            return;
        }
        let total = u16::try_from(len).unwrap_or(u16::MAX);
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet[TCP_FLAGS] = flags;
        let pseudo = pseudo_header(&packet[12..20], 0).folded();
        packet[IP_LEN + TCP_CHECKSUM..IP_LEN + TCP_CHECKSUM + 2].copy_from_slice(&pseudo);
        let offload = TxOffload::Segmentation {
            l2_len,
            l3_len: IP_LEN_BYTE,
            l4_len: TCP_LEN_BYTE,
            segment_size: u16::try_from(size).unwrap_or(u16::MAX),
        };
        stats.tx_large_packets.add(1);
        submit(tx_buffer, frame_len, offload, nic, stats);
    }
}

impl<B> Open<B> {
    fn begin(&mut self, segment: &Segment, flags: u8) {
        self.size = segment.payload_len;
        self.next = segment.sequence.wrapping_add(segment.payload_len);
        self.is_full = segment.has(FIN);
        self.flags = flags;
    }

    fn grow(&mut self, segment: &Segment, flags: u8) {
        self.len += segment.payload_len as usize;
        self.segments += 1;
        self.next = self.next.wrapping_add(segment.payload_len);
        self.is_full = segment.payload_len < self.size || segment.has(FIN);
        self.flags = flags;
    }
}

/// Whether a segment may be the first of several.
fn may_be_cut(segment: &Segment) -> bool {
    segment.payload_len >= SEGMENTATION_MIN && !segment.has(SYN) && !segment.has(RST)
}

/// Whether a segment in a packet of `len` bytes can be appended to segments of `size` bytes of payload, of
/// which `next` is the sequence number that follows.
fn continues(segment: &Segment, len: usize, next: u32, size: u32) -> bool {
    len == HEADERS_LEN + segment.payload_len as usize
        && segment.sequence == next
        && (1..=size).contains(&segment.payload_len)
        && !segment.has(SYN)
        && !segment.has(RST)
}

fn submit<N: Nic>(
    tx_buffer: N::TxBuffer,
    len: usize,
    offload: TxOffload,
    nic: &mut N,
    stats: &CoreStats,
) {
    stats.tx_frames.add(1);
    stats.tx_bytes.add(len as u64);
    nic.submit(tx_buffer, len, offload);
}

/// Bytes of the headers of a segment without options, which is the only kind that is coalesced.
const HEADERS_LEN: usize = IP_LEN + TCP_LEN;
const TCP_LEN_BYTE: u8 = 20;
const _: () = assert!(TCP_LEN_BYTE as usize == TCP_LEN, "length of the TCP header");
/// Where the flags are in a packet.
const TCP_FLAGS: usize = IP_LEN + 13;
