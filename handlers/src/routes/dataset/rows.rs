//! The rows of a data set as bytes: constant text, cut where a product of the request goes.
//!
//! The text lies in the store; only products with a parameter in them are made per request, all
//! others are part of the text. Nothing is allocated.
//!
//! ```text
//! {"id":1,..,"total":  4920  },{"id":2,..,"total":  32965  }
//! `------ cut 0 -----'      `------- cut 1 ------'       ^ the second item ends here
//! ```

use super::formula::Computed;
use super::read::Item;
use super::unit::{Room, TEXT_LEN_MAX, Unit};
use crate::response::{Cursor, Values};

/// Where the text of the items is cut.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Where the text of each item ends.
    ends: Box<[u32]>,
    /// Of all items, in order.
    cuts: Box<[Cut]>,
    cuts_per_item: usize,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Where the text before it ends.
    end: u32,
    /// Which parameter multiplies it.
    factor: u8,
    unit: Unit,
}

impl Rows {
    /// At most so many bytes are the rows of a body.
    pub(crate) fn len_max(items: &[Item], computed: &[Computed]) -> usize {
        let field = |field: &Computed| quoted(&field.name).len() + TEXT_LEN_MAX + b",:".len();
        let fields: usize = computed.iter().map(field).sum();
        items.iter().map(|item| item.open_text.len() + fields + b"},".len()).sum()
    }

    /// Cuts the items; returns their text too.
    pub(crate) fn plan(items: &[Item], computed: &[Computed]) -> (Self, Vec<u8>) {
        let mut text = Vec::new();
        let mut ends = Vec::new();
        let mut cuts = Vec::new();
        let offset = |text: &[u8]| u32::try_from(text.len()).expect("within BODY_LEN_MAX");
        let mut room = Room::new();
        for item in items {
            if !text.is_empty() {
                text.push(b',');
            }
            text.extend_from_slice(item.open_text.as_bytes());
            let mut comma = if item.open_text == "{" { "" } else { "," };
            for (field, &unit) in computed.iter().zip(&item.units) {
                text.extend_from_slice(format!("{comma}{}:", quoted(&field.name)).as_bytes());
                comma = ",";
                match field.factor {
                    None => text.extend_from_slice(unit.text(1, &mut room)),
                    Some(factor) => cuts.push(Cut {
                        end: offset(&text),
                        factor: u8::try_from(factor).expect("few parameters"),
                        unit,
                    }),
                }
            }
            text.push(b'}');
            ends.push(offset(&text));
        }
        let cuts_per_item = computed.iter().filter(|field| field.factor.is_some()).count();
        (Self { ends: ends.into(), cuts: cuts.into(), cuts_per_item }, text)
    }

    /// Bytes of the first `count` items.
    pub(crate) fn len(&self, count: usize, values: &Values) -> usize {
        let (cuts, end) = self.first(count);
        end + cuts.iter().map(|cut| cut.unit.len(values.of(cut.factor))).sum::<usize>()
    }

    /// Writes the first `count` items.
    pub(crate) fn write(&self, text: &[u8], count: usize, values: &Values, sink: &mut impl Sink) {
        let (cuts, end) = self.first(count);
        let mut start = 0;
        let mut room = Room::new();
        for cut in cuts {
            let cut_at = cut.end as usize;
            sink.put(&text[start..cut_at]);
            sink.put_unit(&cut.unit, values.of(cut.factor), &mut room);
            start = cut_at;
        }
        sink.put(&text[start..end]);
    }

    /// Writes of the first `count` items what comes after the products before `place`, until the window is
    /// full; `place` is then behind the last product that it holds all of.
    pub(crate) fn write_part(
        &self,
        text: &[u8],
        count: usize,
        values: &Values,
        place: &mut Cursor,
        window: &mut Window<'_>,
    ) {
        let (cuts, end) = self.first(count);
        let done = place.cuts as usize;
        let mut start = done.checked_sub(1).map_or(0, |last| cuts[last].end as usize);
        let mut room = Room::new();
        for cut in &cuts[done..] {
            let cut_at = cut.end as usize;
            window.put(&text[start..cut_at]);
            window.put_unit(&cut.unit, values.of(cut.factor), &mut room);
            if window.is_full() {
                return;
            }
            *place = Cursor { cuts: place.cuts + 1, at: window.at() };
            start = cut_at;
        }
        window.put(&text[start..end]);
    }

    /// The cuts of the first items, and where their text ends.
    fn first(&self, count: usize) -> (&[Cut], usize) {
        let end = count.checked_sub(1).map_or(0, |last| self.ends[last] as usize);
        (&self.cuts[..count * self.cuts_per_item], end)
    }
}

/// Takes a body in order.
pub(crate) trait Sink {
    /// Constant bytes.
    fn put(&mut self, bytes: &[u8]);

    /// A product.
    fn put_unit(&mut self, unit: &Unit, k: i64, room: &mut Room) {
        self.put(unit.text(k, room));
    }
}

/// Room for all of it.
pub(crate) struct Whole<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl<'o> Whole<'o> {
    /// `out` is known to be large enough.
    pub(crate) fn new(out: &'o mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Bytes written.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Sink for Whole<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// Room for a part of it, some bytes further on.
pub(crate) struct Window<'o> {
    /// Where in the body it begins.
    from: usize,
    /// Bytes still to be left out before that.
    skip: usize,
    out: &'o mut [u8],
    len: usize,
}

impl<'o> Window<'o> {
    /// The part from byte `from` of the body on, as much as fits `out`. What is put first belongs at byte
    /// `place`, which is not after that.
    pub(crate) fn new(from: usize, place: u32, out: &'o mut [u8]) -> Self {
        Self { from, skip: from - place as usize, out, len: 0 }
    }

    /// Where in the body the next byte belongs that is put, while it is not full.
    fn at(&self) -> u32 {
        u32::try_from(self.from - self.skip + self.len).expect("within BODY_LEN_MAX and a template")
    }

    /// Whether nothing more fits.
    fn is_full(&self) -> bool {
        self.len == self.out.len()
    }

    /// Bytes written.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Sink for Window<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let fits = (bytes.len() - skipped).min(self.out.len() - self.len);
        self.out[self.len..self.len + fits].copy_from_slice(&bytes[skipped..skipped + fits]);
        self.len += fits;
    }

    fn put_unit(&mut self, unit: &Unit, k: i64, room: &mut Room) {
        // Its length is cheaper than its digits, and most of a long body is skipped or past the end.
        if self.is_full() {
            return;
        }
        if self.skip > 0 {
            let len = unit.len(k);
            if len <= self.skip {
                self.skip -= len;
                return;
            }
        }
        self.put(unit.text(k, room));
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::dataset::read;
    use crate::source::Named;

    /// A client that acknowledges in tiny steps does not decide the cost: what was written already is not walked
    /// over for each.
    #[test]
    fn a_part_is_written_on_from_the_product_before_it() {
        const ITEMS: usize = 1_000;
        let items: Vec<_> = (0..ITEMS).map(|id| format!(r#"{{"id":{id},"price":{id}}}"#)).collect();
        let dataset = Named { name: "d".into(), value: format!("[{}]", items.join(",")).into() };
        let computed =
            [Computed { name: "total".into(), keys: vec!["price".into()], factor: Some(0) }];
        let items = read::read(&dataset, &computed).expect("items");
        let (rows, text) = Rows::plan(&items, &computed);
        let values = Values([7; 4]);
        let mut whole = vec![0; rows.len(ITEMS, &values)];
        rows.write(&text, ITEMS, &values, &mut Whole::new(&mut whole));
        let longest = whole.split(|&byte| byte == b'}').map(|item| item.len() + 1).max();
        let (mut place, mut out) = (Cursor::default(), [0; 5]);
        for at in (0..whole.len()).step_by(out.len()) {
            let behind = at - place.at as usize;
            assert!(behind <= longest.expect("items"), "{behind} bytes are passed over at {at}");
            let mut window = Window::new(at, place.at, &mut out);
            rows.write_part(&text, ITEMS, &values, &mut place, &mut window);
            let len = window.len();
            assert_eq!(out[..len], whole[at..at + len]);
        }
    }
}
