//! The help, over everything else.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::Palette;
use crate::top::keys;

/// Draws it in the middle of the screen.
pub(super) fn draw(frame: &mut Frame<'_>, palette: &Palette) {
    let key = |(key, does): &(&'static str, &'static str)| {
        Line::from(vec![Span::styled(format!(" {key:<16} "), palette.strong), Span::raw(*does)])
    };
    let notes = NOTES.iter().map(|note| Line::styled(format!(" {note}"), palette.label));
    let lines: Vec<_> = keys::HELP.iter().map(key).chain([Line::raw("")]).chain(notes).collect();
    let screen = frame.area();
    let height =
        u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2).min(screen.height);
    let width = WIDTH.min(screen.width);
    let area = Rect {
        x: screen.x + (screen.width - width) / 2,
        y: screen.y + (screen.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" help ")), area);
}

const NOTES: &[&str] = &[
    "Rates, latencies and `new` are of the last interval,",
    "totals since the server started. Memory, drops and",
    "other errors are of all cores, whichever is chosen.",
];
const WIDTH: u16 = 58;
