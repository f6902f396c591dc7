//! Routes in the chosen order.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Palette;
use super::format::clip;
use crate::human;
use crate::top::controls::Sort;
use crate::top::view::{Body, RouteLine};

/// Heading, then as many routes as there is room for; the heading says how many are missing.
pub(super) fn lines(body: &Body, sort: Sort, area: Rect, palette: &Palette) -> Vec<Line<'static>> {
    let rows = usize::from(area.height.saturating_sub(1));
    let width = usize::from(area.width);
    let kind_width = if area.width >= KIND_FROM { KIND_WIDTH } else { 0 };
    let name_width = width.saturating_sub(NUMBERS_WIDTH + kind_width).min(NAME_MAX);
    let hidden = body.routes.len().saturating_sub(rows);
    let more = if hidden > 0 { format!(" (+{hidden})") } else { String::new() };
    let title = format!("routes by {}{more}", sort.name());
    let heading = format!("{:>11} {:>8}  {title}", "rate", "total");
    let heading = Line::styled(format!("{heading:<width$}"), palette.heading);
    let line = |route: &RouteLine| {
        let style = if route.rate > 0.0 { palette.strong } else { palette.label };
        let name = clip(format!("{} {}", route.methods, route.path).trim_start(), name_width);
        let kind = if kind_width > 0 { format!("  {:<8}", route.kind) } else { String::new() };
        Line::from(vec![
            Span::styled(format!("{:>11} ", human::rate(route.rate)), style),
            Span::raw(format!("{:>8}  ", human::count(route.total))),
            Span::raw(format!("{name:<name_width$}")),
            Span::styled(kind, palette.label),
        ])
    };
    let routes = body.routes_by(sort);
    [heading].into_iter().chain(routes.into_iter().take(rows).map(line)).collect()
}

/// Rate, total and their gaps; one column stays free at the right.
const NUMBERS_WIDTH: usize = 12 + 10 + 1;
const NAME_MAX: usize = 60;
const KIND_WIDTH: usize = 10;
/// Narrower than this the kind of a route is not shown.
const KIND_FROM: u16 = 64;
