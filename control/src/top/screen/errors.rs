//! What was lost, refused or done twice.

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::Palette;
use super::format::clip;
use crate::human;
use crate::top::errors::ErrorCount;
use crate::top::view::Body;

/// Heading, then as many as there is room for; the heading says how many are missing.
pub(super) fn lines(body: &Body, area: Rect, palette: &Palette) -> Vec<Line<'static>> {
    let rows = usize::from(area.height.saturating_sub(1));
    let width = usize::from(area.width);
    let is_narrow = area.width < GROWTH_FROM;
    let numbers = if is_narrow { NUMBER_WIDTH } else { 2 * NUMBER_WIDTH };
    let name_width = width.saturating_sub(numbers + 2).min(NAME_MAX);
    let hidden = body.errors.len().saturating_sub(rows);
    let title = if hidden > 0 { format!("errors (+{hidden})") } else { "errors".to_owned() };
    let growth =
        |text: &str| if is_narrow { String::new() } else { format!("{text:>NUMBER_WIDTH$}") };
    let heading = format!(" {title:<name_width$}{:>NUMBER_WIDTH$}{}", "total", growth("new"));
    let heading = Line::styled(format!("{heading:<width$}"), palette.heading);
    let line = |error: &ErrorCount| {
        let (style, new) = match error.grew {
            0 => (Style::new(), String::new()),
            grew => (palette.bad, format!("+{}", human::count(grew))),
        };
        let name_style = if error.grew == 0 { palette.label } else { palette.bad };
        Line::from(vec![
            Span::styled(format!(" {:<name_width$}", clip(&error.name, name_width)), name_style),
            Span::styled(
                format!("{:>NUMBER_WIDTH$}{}", human::count(error.total), growth(&new)),
                style,
            ),
        ])
    };
    [heading].into_iter().chain(body.errors.iter().take(rows).map(line)).collect()
}

const NUMBER_WIDTH: usize = 8;
const NAME_MAX: usize = 36;
/// Narrower than this, only the colour says that a number grew.
const GROWTH_FROM: u16 = 32;
