//! Latencies: a line for each class of requests, and one for its wait for what runs beside the cores.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Palette;
use crate::human;
use crate::stats::Part;
use crate::top::view::{Body, LatencyLine};

/// Heading, then as many lines as there is room for; the heading says how many are missing.
pub(super) fn lines(body: &Body, area: Rect, palette: &Palette) -> Vec<Line<'static>> {
    let rows = usize::from(area.height.saturating_sub(1));
    let is_narrow = area.width < RATE_FROM;
    let column = usize::from(area.width.saturating_sub(RATE_FROM) / 6).clamp(0, 6) + COLUMN_WIDTH;
    let hidden = body.latency.len().saturating_sub(rows);
    let title = if hidden > 0 { format!("latency (+{hidden})") } else { "latency".to_owned() };
    let mut heading = format!(" {title:<NAME_WIDTH$}");
    if !is_narrow {
        heading += &format!("{:>column$}", "rate");
    }
    for name in ["p50", "p90", "p99", "p99.9", "max"] {
        heading += &format!("{name:>column$}");
    }
    let width = usize::from(area.width);
    let heading = Line::styled(format!("{heading:<width$}"), palette.heading);
    let line = |line: &LatencyLine| {
        let rate =
            if is_narrow { String::new() } else { format!("{:>column$}", human::rate(line.rate)) };
        let (name, style) = match line.part {
            Part::Response => (line.class.clone(), palette.strong),
            Part::Offload => ("  offload wait".to_owned(), palette.label),
        };
        Line::from(vec![
            Span::styled(format!(" {name:<NAME_WIDTH$}"), style),
            Span::raw(rate),
            Span::raw(quantiles(line, column)),
        ])
    };
    [heading].into_iter().chain(body.latency.iter().take(rows).map(line)).collect()
}

fn quantiles(line: &LatencyLine, column: usize) -> String {
    let of = &line.quantiles;
    let times = [of.p50_ns, of.p90_ns, of.p99_ns, of.p999_ns, of.max_ns];
    let text = |time| if of.count == 0 { "-".to_owned() } else { human::nanos(time) };
    times.map(|time| format!("{:>column$}", text(time))).concat()
}

const NAME_WIDTH: usize = 14;
const COLUMN_WIDTH: usize = 9;
/// Narrower than this there is no rate.
const RATE_FROM: u16 = 70;
