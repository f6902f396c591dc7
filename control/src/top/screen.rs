//! Draws a [`View`]: what stands where, at any size.
//!
//! Numbers are never cut; names are, with a `~`. What has no room is left out, least important first.

mod cores;
mod errors;
mod format;
mod header;
mod help;
mod latency;
mod layout;
mod palette;
mod requests;
mod routes;
mod state;

use ratatui::Frame;
use ratatui::layout::{Alignment, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};

pub(super) use palette::Palette;

use super::controls::Controls;
use super::view::{Absence, Body, View};
use crate::config::spell_time;
use layout::{HEIGHT_MIN, Sections, WIDTH_MIN};

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View, controls: &Controls, palette: &Palette) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let (width, height) = (area.width, area.height);
        let text =
            format!("{width}x{height} is too small: pollux top takes {WIDTH_MIN}x{HEIGHT_MIN}");
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let [head, middle, foot] = layout::frame(area);
    match &view.body {
        Ok(body) => {
            frame.render_widget(
                Paragraph::new(header::lines(&view.header, head.width, palette)),
                head,
            );
            draw_body(frame, middle, body, controls, palette);
        }
        Err(absence) => {
            let title = header::absent(&view.header.name, absence, palette);
            frame.render_widget(Paragraph::new(title), head);
            draw_absence(frame, middle, absence, controls);
        }
    }
    frame.render_widget(Paragraph::new(header::footer(controls, foot.width, palette)), foot);
    if controls.is_help {
        help::draw(frame, palette);
    }
}

fn draw_body(
    frame: &mut Frame<'_>,
    area: Rect,
    body: &Body,
    controls: &Controls,
    palette: &Palette,
) {
    let sections = Sections::of(area, body);
    let mut draw =
        |area, lines: Vec<Line<'static>>| frame.render_widget(Paragraph::new(lines), area);
    draw(sections.cores, cores::lines(body, sections.cores, palette));
    draw(sections.requests, vec![requests::heading(body, sections.requests.width, palette)]);
    draw(sections.connections, state::connections(body, sections.connections.width, palette));
    draw(sections.traffic, state::traffic(body, sections.traffic.width, palette));
    draw(sections.latency, latency::lines(body, sections.latency, palette));
    draw(sections.routes, routes::lines(body, controls.sort, sections.routes, palette));
    draw(sections.errors, errors::lines(body, sections.errors, palette));
    requests::draw_history(frame, sections.requests, body, palette);
}

fn draw_absence(frame: &mut Frame<'_>, area: Rect, absence: &Absence, controls: &Controls) {
    let again = format!("trying again every {}", spell_time(controls.interval));
    let lines = vec![Line::raw(absence.text.clone()), Line::raw(""), Line::raw(again)];
    let lines = Paragraph::new(lines).alignment(Alignment::Center).wrap(Wrap { trim: true });
    let top = area.height / 3;
    let middle =
        Rect { x: area.x + 2, y: area.y + top, width: area.width - 4, height: area.height - top };
    frame.render_widget(lines, middle);
}

#[cfg(test)]
mod tests;
