//! How the rows and columns are shared.

use ratatui::layout::{Constraint, Layout, Rect};

use super::cores;
use crate::top::view::Body;

/// Where each part stands, its heading included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sections {
    pub(super) cores: Rect,
    pub(super) requests: Rect,
    pub(super) connections: Rect,
    pub(super) traffic: Rect,
    pub(super) latency: Rect,
    pub(super) routes: Rect,
    pub(super) errors: Rect,
}

/// Header, middle and footer of the screen.
pub(super) fn frame(area: Rect) -> [Rect; 3] {
    let rows = [Constraint::Length(HEADER_ROWS), Constraint::Fill(1), Constraint::Length(1)];
    Layout::vertical(rows).areas(area)
}

impl Sections {
    /// For `body`, in what header and footer leave.
    pub(super) fn of(area: Rect, body: &Body) -> Self {
        let half = area.width / 2;
        let wanted = [
            cores::rows_wanted(body.cores.len(), half).max(HISTORY_ROWS),
            rows(body.latency.len()),
            rows(body.routes.len().max(body.errors.len())),
        ];
        let [upper, latency, lower] = share(area.height.saturating_sub(FIXED_ROWS), wanted);
        let heights = [upper + 1, STATE_ROWS + 1, latency + 1, lower + 1].map(Constraint::Length);
        let [upper, state, latency, lower] = Layout::vertical(heights).areas(area);
        let split = |area, right| {
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(right)]).areas(area)
        };
        let [cores, requests] = split(upper, half);
        let [connections, traffic] = split(state, half);
        let [routes, errors] = split(lower, (area.width * 2 / 5 + 2).min(ERRORS_WIDTH_MAX));
        Self { cores, requests, connections, traffic, latency, routes, errors }
    }
}

/// Shares `spare` rows between cores, latencies and routes: the least that each needs, then what 80x24 has
/// room for, then what is wanted; what is left makes the history taller, and the list of routes longer.
fn share(spare: u16, wanted: [u16; 3]) -> [u16; 3] {
    let mut given = [0; 3];
    let mut left = spare;
    let stages = [[2, 1, 2], [4, 3, 6], wanted, [HISTORY_ROWS_MAX, 0, 0], [0, 0, u16::MAX]];
    for stage in stages {
        while left > 0 {
            let before = left;
            for (rows, cap) in given.iter_mut().zip(stage) {
                if *rows < cap && left > 0 {
                    *rows += 1;
                    left -= 1;
                }
            }
            if left == before {
                break;
            }
        }
    }
    given
}

fn rows(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Below this nothing is drawn.
pub(super) const WIDTH_MIN: u16 = 60;
/// Below this nothing is drawn.
pub(super) const HEIGHT_MIN: u16 = 16;
const HEADER_ROWS: u16 = 2;
/// Rows of connections and of traffic.
const STATE_ROWS: u16 = 4;
/// Headings of four sections, and the section that does not grow.
const FIXED_ROWS: u16 = 4 + STATE_ROWS;
/// Rows of a history that shows something.
const HISTORY_ROWS: u16 = 8;
const HISTORY_ROWS_MAX: u16 = 14;
const ERRORS_WIDTH_MAX: u16 = 64;
const _: () = assert!(
    HEADER_ROWS + 1 + FIXED_ROWS + 2 + 1 + 2 == HEIGHT_MIN,
    "the smallest screen holds the least of everything"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_shared_by_need() {
        assert_eq!(share(5, [4, 9, 20]), [2, 1, 2]);
        assert_eq!(share(13, [8, 9, 20]), [4, 3, 6]);
        assert_eq!(share(39, [8, 9, 20]), [10, 9, 20]);
        assert_eq!(share(60, [8, 2, 9]), [14, 3, 43]);
        assert_eq!(share(0, [1, 1, 1]), [0, 0, 0]);
    }
}
