//! Rendered bodies: the first items of the data set with their totals, for one request.
//!
//! The constant text lies in the store, cut where a total goes; only the totals and the count are
//! made per request. Nothing is allocated.
//!
//! ```text
//! {"items":[{"id":1,..,"total":  4920  },{"id":2,..,"total":  32965  }],"count":  2  }
//! `---------- piece 0 ---------'      `------- piece 1 ------'      `--- tail ---'
//! ```

use crate::dataset::Item;
use crate::total::{Room, Unit};

/// Where the constant text is cut, and the units of the totals.
#[derive(Debug)]
pub(crate) struct Items {
    /// `ends[i]` is where piece `i` ends in the text; the tail begins at the last of them.
    ends: Box<[u32]>,
    units: Box<[Unit]>,
}

/// What one request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Items, from the first.
    pub(crate) count: usize,
    /// Multiplier of every total.
    pub(crate) k: i64,
}

impl Items {
    /// Cuts the first `count_max` items; returns the constant text too.
    pub(crate) fn plan(items: &[Item], count_max: usize) -> (Self, Vec<u8>) {
        let mut text = Vec::new();
        let mut ends = Vec::new();
        for (at, item) in items.iter().take(count_max).enumerate() {
            text.extend_from_slice(if at == 0 { OPEN } else { NEXT });
            text.extend_from_slice(item.open_text.as_bytes());
            // An item always has a price, so a comma is right.
            text.extend_from_slice(TOTAL);
            ends.push(u32::try_from(text.len()).expect("fewer than 4 GiB of items"));
        }
        let units = items.iter().take(count_max).map(|item| item.unit).collect();
        (Self { ends: ends.into(), units }, text)
    }

    /// Length of the body, in octets.
    pub(crate) fn body_len(&self, ask: Ask) -> usize {
        let count = ask.count;
        let totals: usize = self.units[..count].iter().map(|unit| unit.len(ask.k)).sum();
        let digits = itoa::Buffer::new().format(ask.count).len();
        self.ends[count - 1] as usize + totals + TAIL.len() + digits + CLOSE.len()
    }

    /// Writes the whole body, which is known to fit `out`; returns its length.
    pub(crate) fn write(&self, text: &[u8], ask: Ask, out: &mut [u8]) -> usize {
        let mut whole = Whole { out, len: 0 };
        self.tell(text, ask, &mut whole);
        whole.len
    }

    /// Writes what fits of the body from offset `at`; returns how much.
    pub(crate) fn write_from(&self, text: &[u8], ask: Ask, at: usize, out: &mut [u8]) -> usize {
        let mut window = Window { skip: at, out, len: 0 };
        self.tell(text, ask, &mut window);
        window.len
    }

    /// A whole body, for what is stored.
    pub(crate) fn to_vec(&self, text: &[u8], count: usize, k: i64) -> Vec<u8> {
        let ask = Ask { count, k };
        let mut body = vec![0; self.body_len(ask)];
        self.write(text, ask, &mut body);
        body
    }

    fn tell(&self, text: &[u8], ask: Ask, sink: &mut impl Sink) {
        let count = ask.count;
        let mut start = 0;
        let mut room = Room::new();
        for (&end, unit) in self.ends[..count].iter().zip(&self.units[..count]) {
            let end = end as usize;
            sink.put(&text[start..end]);
            sink.put(unit.text(ask.k, &mut room));
            start = end;
        }
        sink.put(TAIL);
        sink.put(itoa::Buffer::new().format(ask.count).as_bytes());
        sink.put(CLOSE);
    }
}

/// Takes a body in order.
trait Sink {
    fn put(&mut self, octets: &[u8]);
}

/// Room for all of it.
struct Whole<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl Sink for Whole<'_> {
    fn put(&mut self, octets: &[u8]) {
        self.out[self.len..self.len + octets.len()].copy_from_slice(octets);
        self.len += octets.len();
    }
}

/// Room for a part of it, `skip` octets further on.
struct Window<'o> {
    skip: usize,
    out: &'o mut [u8],
    len: usize,
}

impl Sink for Window<'_> {
    fn put(&mut self, octets: &[u8]) {
        let skipped = self.skip.min(octets.len());
        self.skip -= skipped;
        let fits = (octets.len() - skipped).min(self.out.len() - self.len);
        self.out[self.len..self.len + fits].copy_from_slice(&octets[skipped..skipped + fits]);
        self.len += fits;
    }
}

const OPEN: &[u8] = b"{\"items\":[";
const NEXT: &[u8] = b"},";
const TOTAL: &[u8] = b",\"total\":";
const TAIL: &[u8] = b"}],\"count\":";
const CLOSE: &[u8] = b"}";
