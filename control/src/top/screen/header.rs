//! The two lines above and the one below.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::Palette;
use super::format::{clip, scope, within_width};
use crate::config::spell_time;
use crate::human;
use crate::lifecycle::State;
use crate::top::controls::Controls;
use crate::top::view::{Absence, Header};

/// Who the server is and what it holds.
pub(super) fn lines(header: &Header, width: u16, palette: &Palette) -> Vec<Line<'static>> {
    let state = match header.silence {
        Some(seconds) => (format!("no reply for {}", human::uptime(seconds)), palette.bad),
        None if header.state == State::Serving.name() => (header.state.to_owned(), palette.good),
        None => (header.state.to_owned(), palette.warning),
    };
    let plain = Style::new();
    let who = vec![
        (clip(&header.name, NAME_MAX), palette.strong),
        state,
        (format!("up {}", human::uptime(header.uptime_seconds)), plain),
        (header.link.clone(), plain),
        (header.url.clone(), plain),
        (format!("pid {}", header.pid), palette.label),
        (format!("version {}", header.version), palette.label),
    ];
    let memory = &header.memory;
    let holds = vec![
        (format!("memory {}", human::bytes(memory.resident)), plain),
        (format!("hugepages {}", human::bytes(memory.hugepages)), plain),
        (format!("host {}/{} free", memory.host_free, memory.host_total), plain),
        (format!("mbufs {}/{} free", memory.mbufs_free, memory.mbufs), plain),
        (format!("host hugepage size {}", human::bytes(memory.host_page_size)), palette.label),
    ];
    vec![line(within_width(who, width)), line(within_width(holds, width))]
}

/// The name of a server that is not there.
pub(super) fn absent(name: &str, absence: &Absence, palette: &Palette) -> Line<'static> {
    let name = Span::styled(format!(" {}", clip(name, NAME_MAX)), palette.strong);
    Line::from(vec![name, Span::styled(format!("  {}", absence.title), palette.bad)])
}

/// What keys do, and what was chosen with them.
pub(super) fn footer(controls: &Controls, width: u16, palette: &Palette) -> Line<'static> {
    let plain = Style::new();
    let mut parts = Vec::new();
    if controls.is_paused {
        parts.push(("PAUSED".to_owned(), palette.warning));
    }
    parts.extend([
        ("q quit".to_owned(), plain),
        ("? help".to_owned(), plain),
        ("p pause".to_owned(), plain),
        (format!("s sort: {}", controls.sort.name()), plain),
        (format!("tab {}", scope(controls.core)), plain),
        (format!("+/- {}", spell_time(controls.interval)), plain),
    ]);
    line(within_width(parts, width))
}

fn line(parts: Vec<(String, Style)>) -> Line<'static> {
    Line::from_iter(parts.into_iter().map(|(text, style)| Span::styled(text, style)))
}

const NAME_MAX: usize = 24;
