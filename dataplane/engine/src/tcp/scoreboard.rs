//! The fate of each part of what is in flight, while some of it is missing (RFC 6675, 3 and 4).
//!
//! Empty as long as nothing is missing. Then spans of one fate each follow one another from the oldest byte that is
//! not acknowledged; what lies beyond the last span is in flight.

use arrayvec::ArrayVec;

use crate::wire::segment::is_after;

/// What became of a part of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Sent once, and nothing is known of it.
    InFlight,
    /// The peer has it (RFC 2018).
    Sacked,
    /// Taken for lost; it is to be sent again.
    Lost,
    /// Sent again, when the next new byte had the number `before`.
    Resent { before: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// The sequence number after its last byte.
    end: u32,
    fate: Fate,
}

/// What was thought of something that turns out to be at the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Some of it was taken for lost, and not sent again.
    pub(crate) had_lost: bool,
    /// Some of it was sent again.
    pub(crate) had_resent: bool,
}

impl core::ops::BitOr for News {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            had_lost: self.had_lost | other.had_lost,
            had_resent: self.had_resent | other.had_resent,
        }
    }
}

/// The spans of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scoreboard {
    /// The first sequence number of the first span.
    start: u32,
    spans: ArrayVec<Span, SPANS_MAX>,
    /// Bytes of all that is [`Fate::Sacked`].
    sacked: u32,
    /// Bytes of all that is [`Fate::Lost`].
    lost: u32,
}

impl Scoreboard {
    /// Whether nothing is missing.
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes that are to be sent again.
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// Bytes that are neither on their way nor missing at the peer: SACKed, or lost and not sent again.
    pub(crate) fn left_network(&self) -> u32 {
        self.sacked + self.lost
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.spans.clear();
        (self.sacked, self.lost) = (0, 0);
    }

    /// Begins at `una`, if it is empty: SND.UNA.
    pub(crate) fn begin(&mut self, una: u32) {
        if self.spans.is_empty() {
            self.start = una;
        }
    }

    /// Everything before `una` was acknowledged: what was thought of that.
    pub(crate) fn advance(&mut self, una: u32) -> News {
        let news = self.news(self.start, una);
        if is_after(una, self.start) {
            self.spans.retain(|span| is_after(span.end, una));
            self.start = una;
            self.recount();
        }
        news
    }

    /// The peer has `from..to`: what was thought of that. Where there is no room for more spans, it is not noted: the
    /// peer repeats it.
    pub(crate) fn sack(&mut self, from: u32, to: u32) -> News {
        let news = self.news(from, to);
        let _ = self.mark(from, to, |_| Fate::Sacked);
        news
    }

    fn news(&self, from: u32, to: u32) -> News {
        let mut news = News::default();
        let mut start = self.start;
        for span in &self.spans {
            if is_after(span.end, from) && is_after(to, start) {
                news.had_lost |= span.fate == Fate::Lost;
                news.had_resent |= matches!(span.fate, Fate::Resent { .. });
            }
            start = span.end;
        }
        news
    }

    /// What is in flight of `from..to` is lost.
    pub(crate) fn lose(&mut self, from: u32, to: u32) {
        let _ = self.mark(from, to, |fate| match fate {
            Fate::InFlight => Fate::Lost,
            known => known,
        });
    }

    /// Everything up to `to` that the peer does not have is lost, what was sent again too.
    pub(crate) fn lose_all(&mut self, to: u32) {
        let _ = self.mark(self.start, to, |fate| match fate {
            Fate::Sacked => Fate::Sacked,
            _ => Fate::Lost,
        });
    }

    /// Nothing was lost after all: what was not sent again is in flight.
    pub(crate) fn forgive(&mut self) {
        let _ = self.mark(self.start, self.end(), |fate| match fate {
            Fate::Lost => Fate::InFlight,
            known => known,
        });
    }

    /// What is lost of `from..to` was sent again, when `before` was the next new number.
    pub(crate) fn resend(&mut self, from: u32, to: u32, before: u32) {
        let resent = |fate| match fate {
            Fate::Lost => Fate::Resent { before },
            known => known,
        };
        if !self.mark(from, to, resent) {
            // No room to split a span: all of it counts as sent, and the timeout finds out what was not.
            let mut start = self.start;
            for span in &mut self.spans {
                if is_after(span.end, from) && is_after(to, start) {
                    span.fate = resent(span.fate);
                }
                start = span.end;
            }
            self.recount();
        }
    }

    /// Takes for lost what is missing although the peer has at least `threshold` bytes beyond it that were sent
    /// later (RFC 6675, 4: `IsLost`).
    pub(crate) fn lose_below(&mut self, threshold: u32) {
        let mut beyond = 0u32;
        let mut seen: ArrayVec<(u32, u32), SPANS_MAX> = ArrayVec::new();
        let mut end = self.end();
        for at in (0..self.spans.len()).rev() {
            let start = if at == 0 { self.start } else { self.spans[at - 1].end };
            let span = &mut self.spans[at];
            match span.fate {
                Fate::Sacked => {
                    beyond += end.wrapping_sub(start);
                    seen.push((start, end));
                }
                Fate::InFlight if beyond >= threshold => span.fate = Fate::Lost,
                Fate::Resent { before } if sacked_from(&seen, before) >= threshold => {
                    span.fate = Fate::Lost;
                }
                _ => {}
            }
            end = start;
        }
        self.settle();
    }

    /// Takes for lost everything in flight before something that the peer has.
    pub(crate) fn lose_overtaken(&mut self) {
        if let Some(end) = self.highest_sacked() {
            self.lose(self.start, end);
        }
    }

    /// Whether something in flight was overtaken by what the peer has.
    pub(crate) fn has_overtaken(&self) -> bool {
        let last = self.spans.iter().rposition(|span| span.fate == Fate::Sacked);
        self.spans.iter().take(last.unwrap_or(0)).any(|span| span.fate == Fate::InFlight)
    }

    /// The first sequence number from `from` on that is to be sent again.
    pub(crate) fn first_lost(&self, from: u32) -> Option<u32> {
        let mut start = self.start;
        for span in &self.spans {
            if span.fate == Fate::Lost && is_after(span.end, from) {
                return Some(if is_after(from, start) { from } else { start });
            }
            start = span.end;
        }
        None
    }

    /// Whether something of `from..to` is to be sent again.
    pub(crate) fn lost_within(&self, from: u32, to: u32) -> bool {
        self.first_lost(from).is_some_and(|lost| is_after(to, lost))
    }

    /// The end of the last part that the peer has beyond a gap.
    fn highest_sacked(&self) -> Option<u32> {
        self.spans.iter().rfind(|span| span.fate == Fate::Sacked).map(|span| span.end)
    }

    fn end(&self) -> u32 {
        self.spans.last().map_or(self.start, |span| span.end)
    }

    /// Changes the fate of `from..to`, splitting spans where that begins and ends. `false`: there was no room
    /// for that, and nothing was changed.
    fn mark(&mut self, from: u32, to: u32, change: impl Fn(Fate) -> Fate) -> bool {
        let mut rebuilt = ArrayVec::<Span, { SPANS_MAX + 3 }>::new();
        let mut start = self.start;
        let beyond = Span { end: to, fate: Fate::InFlight };
        let beyond = is_after(to, self.end()).then_some(beyond);
        for span in self.spans.iter().copied().chain(beyond) {
            for cut in [from, to, span.end] {
                let end = if is_after(cut, span.end) { span.end } else { cut };
                if !is_after(end, start) {
                    continue;
                }
                let is_inside = !is_after(from, start) && !is_after(end, to);
                let fate = if is_inside { change(span.fate) } else { span.fate };
                push_merged(&mut rebuilt, Span { end, fate });
                start = end;
            }
        }
        let fits = rebuilt.len() <= SPANS_MAX;
        if fits {
            self.spans = rebuilt.into_iter().collect();
            self.settle();
        }
        fits
    }

    /// Drops what need not be said, joins what belongs together, and counts.
    fn settle(&mut self) {
        let mut merged = ArrayVec::<Span, SPANS_MAX>::new();
        for &span in &self.spans {
            push_merged(&mut merged, span);
        }
        while merged.last().is_some_and(|last| last.fate == Fate::InFlight) {
            merged.pop();
        }
        self.spans = merged;
        self.recount();
    }

    fn recount(&mut self) {
        (self.sacked, self.lost) = (0, 0);
        let mut start = self.start;
        for span in &self.spans {
            let len = span.end.wrapping_sub(start);
            match span.fate {
                Fate::Sacked => self.sacked += len,
                Fate::Lost => self.lost += len,
                Fate::InFlight | Fate::Resent { .. } => {}
            }
            start = span.end;
        }
    }
}

fn push_merged<const N: usize>(spans: &mut ArrayVec<Span, N>, span: Span) {
    match spans.last_mut() {
        Some(last) if last.fate == span.fate => last.end = span.end,
        _ => spans.push(span),
    }
}

/// Bytes of `ranges` from `from` on.
fn sacked_from(ranges: &[(u32, u32)], from: u32) -> u32 {
    let beyond = |&(start, end): &(u32, u32)| {
        let start = if is_after(from, start) { from } else { start };
        if is_after(end, start) { end.wrapping_sub(start) } else { 0 }
    };
    ranges.iter().map(beyond).sum()
}

/// Spans that are kept: 16 gaps between what the peer has.
const SPANS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// The spans as letters, one for each 100 bytes from `start` on.
    fn drawn(board: &Scoreboard) -> String {
        let mut start = board.start;
        let mut drawing = String::new();
        for span in &board.spans {
            let letter = match span.fate {
                Fate::InFlight => 'i',
                Fate::Sacked => 's',
                Fate::Lost => 'L',
                Fate::Resent { .. } => 'r',
            };
            let hundreds = span.end.wrapping_sub(start) / 100;
            drawing.extend(std::iter::repeat_n(letter, hundreds as usize));
            start = span.end;
        }
        drawing
    }

    /// Begins at a number from which everything wraps around.
    const UNA: u32 = 0xffff_ff00;

    fn at(hundreds: u32) -> u32 {
        UNA.wrapping_add(100 * hundreds)
    }

    fn board() -> Scoreboard {
        let mut board = Scoreboard::default();
        board.begin(UNA);
        board
    }

    #[test]
    fn what_the_peer_has_is_joined_and_counted() {
        let mut board = board();
        assert_eq!(board.sack(at(2), at(4)) | board.sack(at(6), at(7)), News::default());
        assert_eq!((drawn(&board).as_str(), board.left_network()), ("iissiis", 300));
        board.sack(at(4), at(6));
        assert_eq!((drawn(&board).as_str(), board.left_network()), ("iisssss", 500));
        board.sack(at(3), at(5));
        assert_eq!(drawn(&board), "iisssss", "said again, it changes nothing");
    }

    #[test]
    fn a_gap_is_lost_once_enough_lies_beyond_it() {
        let mut board = board();
        board.sack(at(1), at(2));
        board.sack(at(3), at(5));
        board.lose_below(300);
        assert_eq!(drawn(&board), "Lsiss");
        assert_eq!((board.first_lost(UNA), board.lost()), (Some(UNA), 100));
        assert!(board.has_overtaken());
        board.lose_overtaken();
        assert_eq!(drawn(&board), "LsLss");
        assert!(!board.has_overtaken());
        assert_eq!(board.first_lost(at(1)), Some(at(2)));
    }

    #[test]
    fn what_was_sent_again_is_lost_again_by_what_was_sent_later() {
        let mut board = board();
        board.sack(at(1), at(4));
        board.lose_below(300);
        board.resend(UNA, at(1), at(4));
        assert_eq!(drawn(&board), "rsss");
        board.lose_below(300);
        assert_eq!(drawn(&board), "rsss", "that was sent before it");
        board.sack(at(4), at(6));
        board.lose_below(300);
        assert_eq!(drawn(&board), "rsssss");
        board.sack(at(6), at(7));
        board.lose_below(300);
        assert_eq!(drawn(&board), "Lssssss");
    }

    #[test]
    fn an_acknowledgement_drops_what_is_before_it() {
        let mut board = board();
        board.sack(at(1), at(2));
        board.sack(at(3), at(5));
        board.lose_overtaken();
        board.resend(UNA, at(1), at(5));
        let news = board.advance(at(2));
        assert_eq!(news, News { had_lost: false, had_resent: true });
        assert_eq!(drawn(&board), "Lss");
        let news = board.advance(at(5));
        assert_eq!(news, News { had_lost: true, had_resent: false }, "this was never sent again");
        assert!(board.is_empty() && board.left_network() == 0);
    }

    #[test]
    fn a_timeout_loses_all_but_what_the_peer_has_and_a_mistake_is_forgiven() {
        let mut board = board();
        board.sack(at(2), at(3));
        board.lose_overtaken();
        board.resend(UNA, at(2), at(5));
        board.lose_all(at(5));
        assert_eq!((drawn(&board).as_str(), board.lost()), ("LLsLL", 400));
        board.resend(UNA, at(1), at(5));
        board.forgive();
        assert_eq!(drawn(&board), "ris");
        assert_eq!(board.sack(at(1), at(2)), News::default());
    }

    #[test]
    fn more_gaps_than_there_is_room_for_are_not_noted_and_nothing_is_sent_for_ever() {
        let mut board = board();
        for gap in 0..100 {
            board.sack(at(2 * gap + 1), at(2 * gap + 2));
        }
        assert!(board.spans.len() <= SPANS_MAX);
        let known = board.left_network();
        assert_eq!(known, 1_600);
        board.lose_all(at(300));
        let mut rounds = 0;
        while let Some(from) = board.first_lost(UNA) {
            board.resend(from, from.wrapping_add(30), at(300));
            rounds += 1;
            assert!(rounds < 2_000, "each round leaves less");
        }
        assert_eq!(board.lost(), 0);
    }
}
