//! Connections by state; responses by class; throughput.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::Palette;
use super::format::scope;
use crate::human;
use crate::top::view::{Body, Connections};

/// Heading and four rows of two.
pub(super) fn connections(body: &Body, width: u16, palette: &Palette) -> Vec<Line<'static>> {
    let Connections(states) = &body.connections;
    let cell = usize::from(width).div_euclid(2).min(CELL_MAX);
    let spans = |(name, count): &(&str, u64)| {
        let number = cell.saturating_sub(NAME_WIDTH + 1);
        [
            Span::styled(format!(" {name:<NAME_WIDTH$}"), palette.label),
            Span::raw(format!(
                "{:>number$}",
                human::count(*count),
                number = number.saturating_sub(1)
            )),
            Span::raw(" "),
        ]
    };
    let rows = states.chunks(2).map(|pair| Line::from_iter(pair.iter().flat_map(spans)));
    let title = format!(" connections, {}", scope(body.core));
    [heading(&title, width, palette)].into_iter().chain(rows).collect()
}

/// Heading, responses in two rows of two, received and sent.
pub(super) fn traffic(body: &Body, width: u16, palette: &Palette) -> Vec<Line<'static>> {
    let response = |(class, rate): &(&'static str, f64)| {
        let style = match *class {
            "4xx" if *rate > 0.0 => palette.warning,
            "5xx" if *rate > 0.0 => palette.bad,
            _ => Style::new(),
        };
        let name = Span::styled(format!(" {class} "), palette.label);
        [name, Span::styled(format!("{:>9} ", human::rate(*rate)), style)]
    };
    let mut lines = vec![heading(&format!(" responses, {}", scope(body.core)), width, palette)];
    lines.extend(
        body.responses.chunks(2).map(|pair| Line::from_iter(pair.iter().flat_map(response))),
    );
    for (name, throughput) in [("in", &body.received), ("out", &body.sent)] {
        let bits = human::bits_per_second(throughput.bytes * 8.0);
        lines.push(Line::from(vec![
            Span::styled(format!(" {name:<4}"), palette.label),
            Span::raw(format!("{:>11} {:>11}", bits, human::rate(throughput.frames))),
            Span::styled(if width >= LONG_WIDTH { " frames" } else { "" }, palette.label),
        ]));
    }
    lines
}

fn heading(text: &str, width: u16, palette: &Palette) -> Line<'static> {
    Line::styled(format!("{text:<width$}", width = usize::from(width)), palette.heading)
}

const NAME_WIDTH: usize = 9;
const CELL_MAX: usize = 30;
/// From here on there is room for the unit of frames.
const LONG_WIDTH: u16 = 36;
