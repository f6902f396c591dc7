//! Cores: a bar each, its busy part filled.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Palette;
use crate::human;
use crate::top::view::{Body, CoreLine};

/// Heading and bars, in as many columns as it takes. Where even these do not do, the chosen core is among
/// those that are shown.
pub(super) fn lines(body: &Body, area: Rect, palette: &Palette) -> Vec<Line<'static>> {
    let rows = usize::from(area.height.saturating_sub(1)).max(1);
    let columns = body.cores.len().div_ceil(rows).clamp(1, columns_max(area.width));
    let shown = rows * columns;
    let chosen = body.cores.iter().position(|line| Some(line.core) == body.core).unwrap_or(0);
    let first = chosen.saturating_sub(shown - 1);
    let hidden = body.cores.len().saturating_sub(shown);
    let more = if hidden > 0 { format!("cores (+{hidden})") } else { "cores".to_owned() };
    let width = usize::from(area.width);
    let title = format!(" {more:<w$} busy    requests ", w = width.saturating_sub(19));
    let mut lines = vec![Line::styled(title, palette.heading)];
    let cell = width / columns;
    for row in 0..rows {
        let of_row = (0..columns).filter_map(|column| body.cores.get(first + column * rows + row));
        let spans = of_row.flat_map(|line| bar(line, Some(line.core) == body.core, cell, palette));
        lines.push(Line::from_iter(spans));
    }
    lines
}

/// Rows for every core to be seen at this width.
pub(super) fn rows_wanted(cores: usize, width: u16) -> u16 {
    u16::try_from(cores.div_ceil(columns_max(width))).unwrap_or(u16::MAX)
}

fn columns_max(width: u16) -> usize {
    usize::from(width / CELL_WIDTH_MIN).max(1)
}

fn bar(line: &CoreLine, is_chosen: bool, cell: usize, palette: &Palette) -> [Span<'static>; 4] {
    let length = cell.saturating_sub(NUMBERS_WIDTH);
    let busy = line.busy.clamp(0.0, 1.0);
    let is_filled = |at: &usize| (*at as f64 + 0.5) < busy * length as f64;
    let filled = (0..length).filter(is_filled).count();
    let marker = if is_chosen { '>' } else { ' ' };
    let name = format!("{marker}{:>3} ", line.core);
    let numbers = format!("{:>7} {:>11} ", human::percent(busy), human::rate(line.rate));
    let name_style = if is_chosen { palette.chosen } else { palette.label };
    [
        Span::styled(name, name_style),
        Span::styled("█".repeat(filled), palette.busy),
        Span::styled("░".repeat(length - filled), palette.label),
        Span::raw(numbers),
    ]
}

/// Name and numbers of a core.
const NUMBERS_WIDTH: usize = 5 + 8 + 12;
/// With a bar that shows something.
const CELL_WIDTH_MIN: u16 = 33;
