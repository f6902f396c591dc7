//! Whole screens of fixed reports.

use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::*;
use crate::stats::Report;
use crate::top::event::Polled;
use crate::top::model::Model;
use crate::top::testkit::report;

fn controls() -> Controls {
    Controls::new(Duration::from_secs(1))
}

fn model(cores: &[usize], edit: fn(&mut Report)) -> Model {
    let mut model = Model::new("pollux");
    for seconds in [3_600, 3_601, 3_602] {
        let mut report = report(seconds, cores);
        edit(&mut report);
        model.take(Polled::Report { core: None, report: Box::new(report) }, Instant::now());
    }
    model
}

fn terminal(
    width: u16,
    height: u16,
    model: &Model,
    controls: &Controls,
    palette: Palette,
) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("is in memory");
    let view = model.view(controls, Instant::now());
    terminal.draw(|frame| draw(frame, &view, controls, &palette)).expect("is in memory");
    terminal
}

fn screen(width: u16, height: u16, model: &Model, controls: &Controls) -> Vec<String> {
    let terminal = terminal(width, height, model, controls, Palette::colourful());
    let cells = terminal.backend().buffer().content();
    let rows = cells.chunks(usize::from(width));
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect()).collect()
}

#[track_caller]
fn has(screen: &[String], words: &[&str]) {
    let found = screen.iter().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(found, "no line with {words:?} in\n{}", screen.join("\n"));
}

/// What every size must show.
#[track_caller]
fn has_the_essentials(screen: &[String]) {
    has(screen, &["pollux", "serving", "up 1h 00m", "af_xdp:pollux0"]);
    has(screen, &["memory 72 MiB", "hugepages 540 MiB", "host 498/768 free"]);
    has(screen, &["  1 ", "█", "░", "75.0 %", "75.0 k/s"]);
    has(screen, &["requests 150 k/s"]);
    has(screen, &["open", "1024", "half-open", "0", "2xx", "148 k/s"]);
    has(screen, &["4xx", "1980/s", "5xx", "20/s"]);
    has(screen, &["in", "128 Mbit/s", "160 k/s"]);
    has(screen, &["out", "256 Mbit/s"]);
    has(screen, &["time-wait"]);
    has(screen, &["p50", "p90", "p99", "p99.9", "max"]);
    has(screen, &["dataset", "12.3 us"]);
    has(screen, &["100 k/s", "360 M", "GET /json/"]);
    has(screen, &["drops", "14.4 k"]);
    has(screen, &["NIC misses", "3602"]);
    has(screen, &["q quit", "? help"]);
}

#[test]
fn eighty_by_twenty_four_shows_everything_essential() {
    let screen = screen(80, 24, &model(&[1, 2], |_| {}), &controls());
    has_the_essentials(&screen);
    has(&screen, &["http://198.18.0.2:8080/"]);
    has(&screen, &["mbufs 4096/8192 free"]);
    has(&screen, &["requests 150 k/s, peak 150 k/s", "cores", "busy"]);
    has(&screen, &["latency (+1)"]);
    has(&screen, &["postgres", "20.0 k/s", "1.50 ms"]);
    has(&screen, &["offload wait", "20.0 k/s", "1.40 ms"]);
    has(&screen, &["retransmits", "10"]);
    has(&screen, &["offloads refused", "0"]);
    has(&screen, &["drops", "+4"]);
    has(&screen, &["routes by rate", "errors"]);
    has(&screen, &["s sort: rate", "tab all cores", "+/- 1s"]);
}

#[test]
fn a_large_screen_shows_more() {
    let cores: Vec<_> = (0..12).collect();
    let screen = screen(200, 50, &model(&cores, |_| {}), &controls());
    println!("{}", screen.join("\n"));
    has(&screen, &["requests 900 k/s, peak 900 k/s, all cores"]);
    has(&screen, &["  0 ", " 75.0 %", "75.0 k/s"]);
    has(&screen, &[" 11 "]);
    has(&screen, &["fixed", "2.00 us"]);
    has(&screen, &["(no route)", "unrouted"]);
    has(&screen, &["drop: closed port", "86.4 k", "+24"]);
    has(&screen, &["pid 4711", "version 0.1.0"]);
    has(&screen, &["host hugepage size 2 MiB"]);
}

#[test]
fn the_smallest_screen_still_has_the_numbers() {
    let screen = screen(60, 16, &model(&[1, 2], |_| {}), &controls());
    has_the_essentials(&screen);
}

#[test]
fn no_number_is_cut_at_any_size() {
    let cores: Vec<_> = (0..64).collect();
    let model = model(&cores, |report| {
        report.server.uptime_seconds += 400 * 86_400;
        for (name, value) in &mut report.total {
            if name.starts_with("connections_") {
                *value = 9_999
            } else {
                *value *= 1_000
            };
        }
    });
    for (width, height) in [(60, 16), (61, 17), (79, 23), (80, 24), (100, 30), (132, 43), (300, 90)]
    {
        let screen = screen(width, height, &model, &controls());
        let text = screen.join("\n");
        has(&screen, &["open", "9999", "half-open", "2xx"]);
        has(&screen, &["4.74 G/s"]);
        has(&screen, &["out", "8.19 Tbit/s"]);
        assert!(text.contains("cores (+") || height >= 43, "{width}x{height}\n{text}");
        assert!(text.contains(" 75.0 %"), "{width}x{height}\n{text}");
    }
}

#[test]
fn too_small_a_screen_says_so() {
    for (width, height) in [(59, 24), (80, 15), (10, 3), (1, 1)] {
        let screen = screen(width, height, &model(&[1], |_| {}), &controls());
        let text: Vec<_> = screen.iter().map(|line| line.trim()).collect();
        if width > 50 {
            has(&screen, &["is too small: pollux top takes 60x16"]);
        }
        assert!(!text.concat().contains("serving"));
    }
}

#[test]
fn errors_have_their_colours_and_none_without_colour() {
    let model = model(&[1], |_| {});
    let coloured = |palette, word: &str| {
        let terminal = terminal(80, 24, &model, &controls(), palette);
        let buffer = terminal.backend().buffer().clone();
        let row = |y| (0..80).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        let (y, x) = (0..24)
            .find_map(|y| {
                let row = row(y);
                let at = row.find(word)?;
                Some((y, row[..at].chars().count()))
            })
            .expect("is on the screen");
        buffer[(u16::try_from(x).expect("is small"), y)].fg
    };
    assert_eq!(coloured(Palette::colourful(), "990/s"), Color::Yellow);
    assert_eq!(coloured(Palette::colourful(), "10/s"), Color::Red);
    assert_eq!(coloured(Palette::colourful(), "drops"), Color::Red);
    assert_eq!(coloured(Palette::plain(), "drops"), Color::Reset);
    let terminal = terminal(80, 24, &model, &controls(), Palette::plain());
    let cells = terminal.backend().buffer().content();
    assert!(cells.iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset)));
}

#[test]
fn a_chosen_core_is_marked_and_shown_alone() {
    let cores: Vec<_> = (0..20).collect();
    let controls = Controls { core: Some(19), ..controls() };
    let screen = screen(80, 24, &model(&cores, |_| {}), &controls);
    has(&screen, &["> 19 ", "75.0 %"]);
    has(&screen, &["requests 75.0 k/s, peak 75.0 k/s"]);
    has(&screen, &["connections, core 19"]);
    has(&screen, &["tab core 19"]);
}

#[test]
fn help_and_pause_are_seen() {
    let controls = Controls { is_help: true, is_paused: true, ..controls() };
    for (width, height) in [(60, 16), (80, 24), (200, 50)] {
        let screen = screen(width, height, &model(&[1], |_| {}), &controls);
        has(&screen, &["q  Esc  Ctrl-C", "quit"]);
        has(&screen, &["other errors are of all cores, whichever is chosen."]);
        has(&screen, &["PAUSED"]);
    }
}

#[test]
fn a_server_that_is_away_is_said_to_be() {
    let mut model = model(&[1], |_| {});
    let text = "/run/pollux/pollux.sock: no server listens there".to_owned();
    model.take(Polled::NoServer(text), Instant::now());
    let screen = screen(80, 24, &model, &controls());
    has(&screen, &["pollux", "no server"]);
    has(&screen, &["/run/pollux/pollux.sock: no server listens there"]);
    has(&screen, &["trying again every 1s"]);
}
