//! One TCP connection spoken by hand, segment by segment.

use crate::appliance::{APPLIANCE, HTTP_PORT};
use crate::raw::{Heard, Segment, flag};
use crate::world::{RawId, World};

/// A connection whose client side is the test.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Who speaks.
    pub raw: RawId,
    /// Our port.
    pub port: u16,
    /// The sequence number of what we say next.
    pub seq: u32,
    /// The sequence number that we expect next.
    pub ack: u32,
    /// The window we offer, unscaled.
    pub window: u16,
}

impl Dialog {
    /// A connection from `port` that has not begun; its first sequence number is `seq`.
    pub fn new(raw: RawId, port: u16, seq: u32) -> Self {
        Self { raw, port, seq, ack: 0, window: u16::MAX }
    }

    /// Opens a connection from `port`: SYN with `options`, SYN-ACK, ACK. Returns the SYN-ACK too.
    #[track_caller]
    pub fn open_with(world: &mut World, raw: RawId, port: u16, options: &[u8]) -> (Self, Segment) {
        let mut dialog = Self::new(raw, port, 0x1000_0000);
        let syn_ack = dialog.half_open(world, options);
        dialog.say(world, flag::ACK, b"");
        (dialog, syn_ack)
    }

    /// Opens a connection from `port` without options.
    #[track_caller]
    pub fn open(world: &mut World, raw: RawId, port: u16) -> Self {
        Self::open_with(world, raw, port, &[]).0
    }

    /// Sends SYN and takes the SYN-ACK, but does not acknowledge it.
    #[track_caller]
    pub fn half_open(&mut self, world: &mut World, options: &[u8]) -> Segment {
        let options = options.to_vec();
        self.send(world, &Segment { options, ..self.segment(flag::SYN, b"") });
        self.seq = self.seq.wrapping_add(1);
        let syn_ack = world.hear(self.raw).segment();
        if !syn_ack.has(flag::SYN | flag::ACK) || syn_ack.ack != self.seq {
            world.fail(format!("a SYN-ACK was expected, not {syn_ack:?}"));
        }
        self.ack = syn_ack.seq.wrapping_add(1);
        syn_ack
    }

    /// A segment at our place in the conversation.
    pub fn segment(&self, flags: u8, payload: &[u8]) -> Segment {
        Segment {
            seq: self.seq,
            ack: self.ack,
            flags,
            window: self.window,
            payload: payload.to_vec(),
            ..Segment::new(self.port, HTTP_PORT)
        }
    }

    /// Sends `segment` as it is.
    pub fn send(&self, world: &mut World, segment: &Segment) {
        let frame = segment.frame(&world.address(self.raw), &APPLIANCE);
        world.inject(self.raw, &frame);
    }

    /// Says something and goes on after it.
    pub fn say(&mut self, world: &mut World, flags: u8, payload: &[u8]) {
        let segment = self.segment(flags, payload);
        self.send(world, &segment);
        self.seq = self.seq.wrapping_add(segment.len());
    }

    /// Sends data.
    pub fn data(&mut self, world: &mut World, payload: &[u8]) {
        self.say(world, flag::ACK | flag::PSH, payload);
    }

    /// Waits for a segment of this connection; if it is the next in order, the following
    /// acknowledgement covers it.
    #[track_caller]
    pub fn hear(&mut self, world: &mut World) -> Segment {
        let heard = world.hear(self.raw);
        self.take(world, heard)
    }

    /// As [`hear`](Self::hear), for at most `limit` microseconds.
    #[track_caller]
    pub fn hear_within(&mut self, world: &mut World, limit: u64) -> Option<Segment> {
        let heard = world.hear_within(self.raw, limit)?;
        Some(self.take(world, heard))
    }

    /// Acknowledges what is heard until `len` bytes of data have come, and returns them.
    #[track_caller]
    pub fn collect(&mut self, world: &mut World, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            bytes.extend_from_slice(&self.hear(world).payload);
            self.say(world, flag::ACK, b"");
        }
        bytes
    }

    #[track_caller]
    fn take(&mut self, world: &World, heard: Heard) -> Segment {
        let segment = heard.segment();
        if (segment.source, segment.destination) != (HTTP_PORT, self.port) {
            world.fail(format!("another connection was heard: {segment:?}"));
        }
        if segment.seq == self.ack && !segment.has(flag::RST) {
            self.ack = self.ack.wrapping_add(segment.len());
        }
        segment
    }
}
