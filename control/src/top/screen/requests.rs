//! The rate of requests, now and before.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Sparkline;

use super::Palette;
use super::format::scope;
use crate::human;
use crate::top::view::Body;

/// The rate now and the highest that is seen below.
pub(super) fn heading(body: &Body, width: u16, palette: &Palette) -> Line<'static> {
    let rate = human::rate(body.requests);
    let peak = human::rate(shown(body, width).iter().copied().fold(0.0, f64::max));
    let width = usize::from(width);
    let mut text = format!(" requests {rate}");
    for more in [format!(", peak {peak}"), format!(", {}", scope(body.core))] {
        if text.len() + more.len() <= width {
            text += &more;
        }
    }
    Line::styled(format!("{text:<width$}"), palette.heading)
}

/// Below the heading, the newest at the right.
pub(super) fn draw_history(frame: &mut Frame<'_>, area: Rect, body: &Body, palette: &Palette) {
    let rates = shown(body, area.width);
    let empty = usize::from(area.width) - rates.len();
    let bars = std::iter::repeat_n(None, empty).chain(rates.iter().map(|rate| Some(whole(*rate))));
    let below = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    frame.render_widget(
        Sparkline::default().data(bars).absent_value_symbol(" ").style(palette.history),
        below,
    );
}

/// The part of the history that has room.
fn shown(body: &Body, width: u16) -> &[f64] {
    let first = body.history.len().saturating_sub(usize::from(width));
    &body.history[first..]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative, and a cast saturates"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}
