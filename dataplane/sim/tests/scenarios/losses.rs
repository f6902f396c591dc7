//! Segments of a response that are lost, late or in another order: when they are sent again, and what is not.
//!
//! The client is written by hand. It takes the segments that a test lets it have, and says what it has as RFC 2018 asks,
//! or without SACK by its acknowledgement alone.

use sim::raw::{Segment, flag, option_mss, option_sack_permitted};
use sim::{Dialog, Faults, RawId, Setup, World, download};

const MILLI: u64 = 1_000;

/// Bytes of a full segment of these connections.
const MSS: usize = 1_000;

/// A world with a round trip of `millis`, or next to none.
fn world(millis: u64) -> (World, RawId) {
    let mut setup = Setup::new(1);
    let delay = (millis * MILLI / 2).max(50);
    let cable = Faults { delay_min: delay, delay_max: delay, ..Faults::none() };
    (setup.toward, setup.away) = (cable.clone(), cable);
    let (mut world, raw) = setup.build_with_raw();
    world.run_for(delay);
    world.discard_heard(raw);
    (world, raw)
}

/// A client that takes one response.
struct Receiver {
    dialog: Dialog,
    /// The sequence number of the response's first byte.
    start: u32,
    /// The bytes that it has, by place.
    stream: Vec<Option<u8>>,
    has_sack: bool,
    /// What arrived beyond a gap, newest first, as places.
    beyond: Vec<(usize, usize)>,
    /// The end of what was heard, and whether the last segment moved it.
    newest: usize,
    is_new: bool,
}

impl Receiver {
    fn open(world: &mut World, raw: RawId, has_sack: bool) -> Self {
        let mut options = option_mss(1_000);
        if has_sack {
            options.extend(option_sack_permitted());
        }
        let (dialog, _) = Dialog::open_with(world, raw, 4_000, &options);
        let start = dialog.ack;
        Self {
            dialog,
            start,
            stream: Vec::new(),
            has_sack,
            beyond: Vec::new(),
            newest: 0,
            is_new: false,
        }
    }

    /// A client that has asked for `len` bytes, in a world with a round trip of `millis`.
    fn asking(millis: u64, has_sack: bool, len: usize) -> (World, Self) {
        let (mut world, raw) = world(millis);
        let mut receiver = Self::open(&mut world, raw, has_sack);
        receiver.ask(&mut world, len);
        (world, receiver)
    }

    /// Asks for `len` bytes.
    fn ask(&mut self, world: &mut World, len: usize) {
        self.stream = vec![None; len + 1_000];
        self.dialog.data(world, format!("GET /down/{len} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    }

    /// The next segment with data that comes within `limit` microseconds, and its place.
    fn hear(&mut self, world: &mut World, limit: u64) -> Option<(usize, Segment)> {
        let until = world.elapsed() + limit;
        loop {
            let left = until.saturating_sub(world.elapsed());
            let segment = world.hear_within(self.dialog.raw, left)?.segment();
            if !segment.payload.is_empty() {
                let place = segment.seq.wrapping_sub(self.start);
                let place = usize::try_from(place).expect("small");
                self.is_new = place + segment.payload.len() > self.newest;
                self.newest = self.newest.max(place + segment.payload.len());
                return Some((place, segment));
            }
        }
    }

    /// All segments that come, from the next one within a second until there is silence for `quiet` microseconds.
    fn hear_all(&mut self, world: &mut World, quiet: u64) -> Vec<(usize, Segment)> {
        let first = self.hear(world, 1_000 * MILLI);
        first.into_iter().chain(std::iter::from_fn(|| self.hear(world, quiet))).collect()
    }

    /// Takes a segment, without an acknowledgement.
    fn take(&mut self, place: usize, segment: &Segment) {
        let end = place + segment.payload.len();
        for (byte, &taken) in self.stream[place..end].iter_mut().zip(&segment.payload) {
            *byte = Some(taken);
        }
        let whole = self.whole();
        self.beyond.retain(|&(from, _)| from > whole);
        let joined = self.beyond.iter().position(|&(from, to)| from <= end && place <= to);
        let (mut from, mut to) = (place, end);
        if let Some(at) = joined {
            let known = self.beyond.remove(at);
            (from, to) = (from.min(known.0), to.max(known.1));
        }
        if from > whole {
            self.beyond.insert(0, (from, to));
        }
        self.dialog.ack = self.number(whole);
    }

    /// Says what it has.
    fn acknowledge(&self, world: &mut World) {
        let mut options = Vec::new();
        if self.has_sack && !self.beyond.is_empty() {
            let blocks: Vec<_> = self.beyond.iter().take(3).collect();
            options = vec![1, 1, 5, u8::try_from(2 + 8 * blocks.len()).expect("three at most")];
            for &&(from, to) in &blocks {
                options.extend(self.number(from).to_be_bytes());
                options.extend(self.number(to).to_be_bytes());
            }
        }
        let segment = self.dialog.segment(flag::ACK, b"");
        self.dialog.send(world, &Segment { options, ..segment });
    }

    /// Takes all that comes, and acknowledges it, until the response is whole. `is_lost` is told the place of each
    /// segment and whether it is the first with these bytes.
    fn take_all(&mut self, world: &mut World, mut is_lost: impl FnMut(usize, bool) -> bool) {
        while self.response().is_none() {
            let (place, segment) = self.hear(world, 60_000 * MILLI).expect("the response goes on");
            if !is_lost(place, self.is_new) {
                self.take(place, &segment);
                self.acknowledge(world);
            }
        }
    }

    /// The body of the response, once all of it is there.
    fn response(&self) -> Option<Vec<u8>> {
        let whole: Vec<u8> = self.stream.iter().map_while(|byte| *byte).collect();
        testkit::Response::read(&whole, false).map(|(response, _)| response.body)
    }

    /// Bytes from the first on without a gap.
    fn whole(&self) -> usize {
        self.stream.iter().position(Option::is_none).unwrap_or(self.stream.len())
    }

    fn number(&self, place: usize) -> u32 {
        self.start.wrapping_add(u32::try_from(place).expect("small"))
    }

    /// Ends with a response of `len` bytes that is right, and with nothing left over.
    fn end(mut self, mut world: World, len: usize) {
        assert_eq!(self.response(), Some(download(len as u64)), "{len} bytes");
        self.dialog.say(&mut world, flag::RST, b"");
        world.end();
    }
}

fn counts<const N: usize>(world: &World, names: [&str; N]) -> [u64; N] {
    names.map(|name| world.count(name))
}

/// RFC 5681 3.2: the third duplicate acknowledgement sends the missing segment at once; RFC 3042: the first two
/// send a new one each, where there is one.
#[test]
fn three_duplicate_acknowledgements_bring_the_lost_segment() {
    for (len, new) in [(9_000, 0), (14_000, 2)] {
        let (mut world, raw) = world(0);
        let (mut dialog, _) = Dialog::open_with(&mut world, raw, 4_000, &option_mss(1_000));
        let request = format!("GET /down/{len} HTTP/1.1\r\nHost: a\r\n\r\n");
        dialog.data(&mut world, request.as_bytes());
        let lost = world.hear(raw).segment();
        let mut sent = 1;
        while world.hear_within(raw, MILLI).is_some() {
            sent += 1;
        }
        assert_eq!(sent, 10, "RFC 6928: ten segments are sent at first");
        let started = world.elapsed();
        for duplicate in 1..=3 {
            dialog.say(&mut world, flag::ACK, b"");
            let heard = world.hear_within(raw, MILLI).map(|heard| heard.segment());
            if duplicate < 3 {
                assert_eq!(heard.is_some(), new > 0, "{len} bytes, duplicate {duplicate}");
                assert!(
                    heard.is_none_or(|heard| heard.seq
                        == lost.seq.wrapping_add(10_000 + 1_000 * (duplicate - 1)))
                );
            } else {
                let again = heard.expect("the lost segment");
                assert_eq!((again.seq, &again.payload), (lost.seq, &lost.payload));
            }
        }
        assert!(world.elapsed() - started < 5 * MILLI, "it did not wait for the timeout");
        assert_eq!(["recoveries", "retransmits"].map(|name| world.count(name)), [1, 1]);
        dialog.say(&mut world, flag::RST, b"");
        world.end();
    }
}

/// RFC 6582 3.2: a partial acknowledgement says what else was lost in the window; RFC 5827 3.1: a
/// window of two or three segments cannot give three duplicates; RFC 6675: SACK says all of it at once. None waits
/// for the timeout.
#[test]
fn losses_are_made_good_without_the_timeout() {
    let cases: &[(usize, &[usize])] = &[
        (1_500, &[0]),
        (2_500, &[0]),
        (2_500, &[1]),
        (3_500, &[1]),
        (40_000, &[12]),
        (40_000, &[12, 14]),
        (40_000, &[12, 13]),
        (40_000, &[12, 14, 16]),
        (40_000, &[10, 11, 12, 20, 21]),
        (40_000, &[0, 1, 2, 3, 4, 5, 6, 7]),
        (40_000, &[0, 2, 4, 6, 8, 10, 12]),
    ];
    for (len, lost) in cases {
        for has_sack in [false, true] {
            let (mut world, mut receiver) = Receiver::asking(0, has_sack, *len);
            let began = world.elapsed();
            let mut number = 0;
            receiver.take_all(&mut world, |_, is_new| {
                number += usize::from(is_new);
                is_new && lost.contains(&(number - 1))
            });
            let took = (world.elapsed() - began) / MILLI;
            let case = format!("{len} bytes without {lost:?}, SACK {has_sack}");
            assert!(took < 30, "{case}: {took} ms");
            if has_sack {
                let probes = world.count("loss_probes");
                let again = world.count("retransmits");
                assert!(again <= lost.len() as u64 + probes, "{case}: {again} sent again");
            }
            receiver.end(world, *len);
        }
    }
}

/// Without a loss nothing is sent twice.
#[test]
fn nothing_is_sent_twice_without_need() {
    for len in [500, 1_500, 2_500, 40_000] {
        for has_sack in [false, true] {
            let (mut world, mut receiver) = Receiver::asking(0, has_sack, len);
            receiver.take_all(&mut world, |_, _| false);
            let counts = counts(&world, ["retransmits", "recoveries", "loss_probes"]);
            assert_eq!(counts, [0; 3], "{len} bytes, SACK {has_sack}");
            receiver.end(world, len);
        }
    }
}

/// RFC 6675: what the peer says it has is not sent again, what it lacks is, all of it within one round trip.
#[test]
fn all_gaps_of_a_window_are_filled_in_one_round_trip() {
    let (mut world, mut receiver) = Receiver::asking(20, true, 9_000);
    let flight = receiver.hear_all(&mut world, 5 * MILLI);
    assert_eq!(flight.len(), 10, "the head fits the first of ten segments with some of the body");
    for (number, (place, segment)) in flight.iter().enumerate() {
        if number % 3 != 0 {
            receiver.take(*place, segment);
            receiver.acknowledge(&mut world);
        }
    }
    let again = receiver.hear_all(&mut world, 15 * MILLI);
    let places: Vec<_> = again.iter().map(|(place, _)| place / MSS).collect();
    assert_eq!(places, [0, 3, 6], "the ninth is the last, and nothing lies beyond it");
    assert_eq!(counts(&world, ["recoveries", "loss_probes", "retransmission_timeouts"]), [1, 0, 0]);
    for (place, segment) in again {
        receiver.take(place, &segment);
    }
    receiver.acknowledge(&mut world);
    receiver.take_all(&mut world, |_, _| false);
    receiver.end(world, 9_000);
}

/// RFC 8985 7: nothing says that the last segment of a response was lost. The sender asks, after two round trips.
#[test]
fn a_lost_tail_is_probed() {
    for has_sack in [false, true] {
        let (mut world, mut receiver) = Receiver::asking(20, has_sack, 4_500);
        let flight = receiver.hear_all(&mut world, 5 * MILLI);
        for (place, segment) in &flight[..3] {
            receiver.take(*place, segment);
            receiver.acknowledge(&mut world);
        }
        let asked = world.elapsed();
        receiver.take_all(&mut world, |_, _| false);
        let took = (world.elapsed() - asked) / MILLI;
        // Without SACK the probe brings one of the two that are lost, and nothing says that it is one of two.
        let (most, timeouts) = if has_sack { (110, 0) } else { (400, 1) };
        assert!((30..=most).contains(&took), "{took} ms, SACK {has_sack}");
        assert_eq!(counts(&world, ["loss_probes", "retransmission_timeouts"]), [1, timeouts]);
        receiver.end(world, 4_500);
    }
}

/// RFC 6298 5: with everything lost there is the timeout, 5 ms at least where the round trip is shorter.
#[test]
fn a_lost_flight_is_sent_again_after_milliseconds_on_a_short_path() {
    let (mut world, mut receiver) = Receiver::asking(0, true, 20_000);
    let flight = receiver.hear_all(&mut world, 2 * MILLI);
    assert_eq!(flight.len(), 10);
    let asked = world.elapsed();
    let mut heard = 0;
    // The probe is lost, too.
    receiver.take_all(&mut world, |_, _| {
        heard += 1;
        heard == 1
    });
    let took = (world.elapsed() - asked) / MILLI;
    assert!(took < 40, "{took} ms");
    assert_eq!(world.count("retransmission_timeouts"), 1);
    receiver.end(world, 20_000);
}

/// RFC 5682: acknowledgements that come late, all at once, say that the timeout was a mistake. What it took for
/// lost is not sent again, and the window is as before.
#[test]
fn a_timeout_that_was_too_soon_is_taken_back() {
    let (mut world, mut receiver) = Receiver::asking(0, true, 30_000);
    for (place, segment) in receiver.hear_all(&mut world, 2 * MILLI) {
        receiver.take(place, &segment);
    }
    // Not a word for longer than probe and timeout: a new segment leaves, and then the first again.
    world.run_for(10 * MILLI);
    let doubted = receiver.hear_all(&mut world, MILLI);
    assert_eq!(world.count("retransmission_timeouts"), 1);
    let places: Vec<_> = doubted.iter().map(|(place, _)| place / MSS).collect();
    assert_eq!((places.as_slice(), world.count("retransmits")), (&[10, 0][..], 1));
    receiver.take(doubted[0].0, &doubted[0].1);
    receiver.acknowledge(&mut world);
    let next = receiver.hear_all(&mut world, MILLI);
    assert!(next.len() >= 10, "{} segments: the window is not that of a timeout", next.len());
    assert!(next.iter().all(|(place, _)| *place >= 11 * MSS), "all of them new");
    assert_eq!(counts(&world, ["recoveries_undone", "retransmits"]), [1, 1]);
    for (place, segment) in &next {
        receiver.take(*place, segment);
    }
    receiver.acknowledge(&mut world);
    receiver.take_all(&mut world, |_, _| false);
    receiver.end(world, 30_000);
}

/// RFC 8985 6.2: segments that overtake others by less than a quarter of the round trip are no loss; after the first
/// mistake that is waited for.
#[test]
fn segments_that_are_overtaken_are_not_sent_again_once_that_was_seen() {
    let (mut world, mut receiver) = Receiver::asking(40, true, 60_000);
    let mut sent_again = Vec::new();
    while receiver.response().is_none() {
        let mut flight = receiver.hear_all(&mut world, 5 * MILLI);
        // Each first one comes last, 4 ms after the others.
        flight.rotate_left(1);
        for (place, segment) in &flight {
            if flight.len() > 1 && std::ptr::eq(place, &raw const flight.last().expect("one").0) {
                world.run_for(4 * MILLI);
            }
            receiver.take(*place, segment);
            receiver.acknowledge(&mut world);
        }
        sent_again.push(world.count("retransmits"));
    }
    let first = sent_again[1];
    assert_eq!(sent_again.last(), Some(&first), "{sent_again:?}: only in the first round");
    receiver.end(world, 60_000);
}

/// A peer that closes its window before it has all that is in flight (RFC 9293 3.8.6: discouraged, but to be borne), and
/// lost some of that: it is asked again and again, and gets the rest once it opens.
#[test]
fn what_is_in_flight_when_the_window_closes_is_not_forgotten() {
    for has_sack in [false, true] {
        let (mut world, mut receiver) = Receiver::asking(0, has_sack, 3_500);
        let flight = receiver.hear_all(&mut world, 2 * MILLI);
        receiver.take(flight[0].0, &flight[0].1);
        receiver.dialog.window = 0;
        receiver.acknowledge(&mut world);
        let until = world.elapsed() + 3_000 * MILLI;
        let mut asked = 0;
        while world.elapsed() < until {
            if let Some((place, segment)) = receiver.hear(&mut world, 100 * MILLI) {
                assert!(segment.payload.len() <= MSS && place >= MSS, "at {place}");
                receiver.acknowledge(&mut world);
                asked += 1;
            }
        }
        assert!((3..=40).contains(&asked), "{asked} times in three seconds, SACK {has_sack}");
        receiver.dialog.window = u16::MAX;
        receiver.acknowledge(&mut world);
        let opened = world.elapsed();
        receiver.take_all(&mut world, |_, _| false);
        let took = (world.elapsed() - opened) / MILLI;
        assert!(took < 3_000, "{took} ms after it opened, SACK {has_sack}");
        receiver.end(world, 3_500);
    }
}

/// After a window was closed with nothing in flight, the first segments that leave when it opens are lost.
#[test]
fn what_is_lost_after_a_closed_window_opened_is_sent_again() {
    let (mut world, mut receiver) = Receiver::asking(0, true, 14_000);
    for (place, segment) in receiver.hear_all(&mut world, 2 * MILLI) {
        receiver.take(place, &segment);
    }
    receiver.dialog.window = 0;
    receiver.acknowledge(&mut world);
    assert!(receiver.hear_all(&mut world, 500 * MILLI).iter().all(|(_, it)| it.payload.len() == 1));
    receiver.dialog.window = u16::MAX;
    receiver.acknowledge(&mut world);
    let mut lost = 0;
    let opened = world.elapsed();
    receiver.take_all(&mut world, |place, _| {
        let is_lost = place >= 10 * MSS && lost < 4;
        lost += u32::from(is_lost);
        is_lost
    });
    let took = (world.elapsed() - opened) / MILLI;
    assert!(took < 500, "{took} ms");
    receiver.end(world, 14_000);
}
