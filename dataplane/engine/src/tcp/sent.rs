//! The state that the peer knows from the segments we sent: smoltcp has it too, but keeps it private.

use crate::wire::segment::{self, RST, SYN, Segment, is_after};

/// What the peer was sent, as far as its headers tell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    /// The sequence number after the last byte ever sent (RFC 9293, 3.3.1: SND.NXT).
    pub(crate) snd_nxt: u32,
    /// The sequence number that smoltcp sends next: before `snd_nxt` while it goes over again what was sent.
    pub(crate) next: u32,
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
    pub(super) fn window_field(&self, rcv_nxt: u32) -> u16 {
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

    /// The first segment will have number `number`.
    pub(super) fn begin(&mut self, number: u32) {
        *self = Self { snd_nxt: number, next: number, ..Self::default() };
    }

    /// The same with smoltcp about to go over our SYN, which was sent last. The window of that is not scaled.
    pub(super) fn before_syn(self) -> Self {
        Self { next: self.snd_nxt.wrapping_sub(1), window_scale: 0, ..self }
    }

    /// Whether smoltcp goes over again what was sent.
    pub(super) fn is_behind(&self) -> bool {
        self.next != self.snd_nxt
    }

    /// Everything before `una` was acknowledged: smoltcp sends nothing of that.
    pub(super) fn advance(&mut self, una: u32) {
        if is_after(una, self.next) {
            self.next = una;
        }
    }

    /// Whether the peer has not been told the acknowledgement number `rcv_nxt`.
    pub(super) fn owes(&self, rcv_nxt: u32) -> bool {
        self.begun && self.ack != rcv_nxt
    }

    /// An acknowledgement of `rcv_nxt` left that smoltcp knows nothing of.
    pub(super) fn acknowledge(&mut self, rcv_nxt: u32) {
        (self.window, self.ack) = (self.window_left(rcv_nxt), rcv_nxt);
    }

    /// Whether `segment` acknowledges more than was acknowledged before, or offers another window.
    pub(super) fn is_news(&self, segment: &Segment) -> bool {
        let window = u32::from(segment.window) << self.window_scale;
        (segment.ack, window) != (self.ack, self.window)
    }

    /// Records one segment; whether it carries sequence space that was sent before.
    pub(super) fn record(&mut self, segment: &Segment, packet: &[u8]) -> bool {
        if segment.has(RST) {
            // It says the number that the peer expects, whatever ours are.
            return false;
        }
        let len = segment.sequence_len();
        let end = segment.sequence.wrapping_add(len);
        let is_new = is_after(end, self.snd_nxt);
        if len > 0 {
            self.next = end;
            if is_new {
                self.snd_nxt = end;
            }
        }
        if segment.has(SYN) {
            self.window_scale = segment::window_scale(segment::options(packet)).unwrap_or(0);
        }
        self.ack = segment.ack;
        self.syn_last = segment.has(SYN);
        let scale = if self.syn_last { 0 } else { self.window_scale };
        self.window = u32::from(segment.window) << scale;
        self.begun = true;
        len > 0 && !is_new
    }
}
