//! What the operator has chosen: sort order, core, interval, help, pause.

use std::time::Duration;

use super::keys::Action;
use crate::config::{parse_time, spell_time};

/// The order of the routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Sort {
    /// Most requests a second first.
    #[default]
    Rate,
    /// By path.
    Name,
    /// Most requests since the start first.
    Total,
}

impl Sort {
    fn next(self) -> Self {
        match self {
            Self::Rate => Self::Name,
            Self::Name => Self::Total,
            Self::Total => Self::Rate,
        }
    }

    /// As the screen names it.
    pub(super) fn name(self) -> &'static str {
        self.into()
    }
}

/// All choices.
#[derive(Clone, Debug)]
pub(super) struct Controls {
    /// The order of the routes.
    pub(super) sort: Sort,
    /// Whose numbers are shown; all cores together if none.
    pub(super) core: Option<usize>,
    /// From one report to the next.
    pub(super) interval: Duration,
    /// The help is open.
    pub(super) is_help: bool,
    /// The numbers stand still.
    pub(super) is_paused: bool,
}

/// What a choice entails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The end.
    Quit,
    /// The server is asked for something else, or at other times.
    Poll,
    /// Only the screen changes.
    Show,
}

impl Controls {
    /// At the start.
    pub(super) fn new(interval: Duration) -> Self {
        Self { sort: Sort::default(), core: None, interval, is_help: false, is_paused: false }
    }

    /// Does what a key asks for, on a server with workers on `cores`.
    pub(super) fn apply(&mut self, action: Action, cores: &[usize]) -> Effect {
        match action {
            Action::Quit => return Effect::Quit,
            Action::Help => self.is_help = !self.is_help,
            Action::Pause => self.is_paused = !self.is_paused,
            Action::Sort => self.sort = self.sort.next(),
            Action::NextCore => return self.pick(cores, 1),
            Action::PreviousCore => return self.pick(cores, cores.len()),
            Action::Longer => return self.set_interval(longer(self.interval)),
            Action::Shorter => return self.set_interval(shorter(self.interval)),
        }
        Effect::Show
    }

    /// Goes back to all cores where the chosen one is not among `cores`; whether the choice stands.
    pub(super) fn keep_core(&mut self, cores: &[usize]) -> bool {
        let stands = self.core.is_none_or(|core| cores.is_empty() || cores.contains(&core));
        if !stands {
            self.core = None;
        }
        stands
    }

    /// `steps` further in the circle of all, then each.
    fn pick(&mut self, cores: &[usize], steps: usize) -> Effect {
        let at = self.core.and_then(|core| cores.iter().position(|other| *other == core));
        let at = (at.map_or(0, |at| at + 1) + steps) % (cores.len() + 1);
        self.core = at.checked_sub(1).map(|at| cores[at]);
        Effect::Poll
    }

    fn set_interval(&mut self, interval: Duration) -> Effect {
        self.interval = interval;
        Effect::Poll
    }
}

/// An interval as `--interval` writes it.
///
/// # Errors
/// What was expected.
pub(crate) fn parse_interval(text: &str) -> Result<Duration, String> {
    let [shortest, .., longest] = INTERVALS;
    let is_allowed = |interval: &Duration| (shortest..=longest).contains(interval);
    parse_time(text).ok().filter(is_allowed).ok_or_else(|| {
        format!("expected 1s, 500ms .., from {} to {}", spell_time(shortest), spell_time(longest))
    })
}

fn longer(interval: Duration) -> Duration {
    INTERVALS.into_iter().find(|other| *other > interval).unwrap_or(interval)
}

fn shorter(interval: Duration) -> Duration {
    INTERVALS.into_iter().rev().find(|other| *other < interval).unwrap_or(interval)
}

/// What `+` and `-` choose from.
const INTERVALS: [Duration; 9] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn controls() -> Controls {
        Controls::new(Duration::from_secs(1))
    }

    #[test]
    fn cores_go_round_by_way_of_all() {
        let mut controls = controls();
        let mut visited = Vec::new();
        for _ in 0..3 {
            assert_eq!(controls.apply(Action::NextCore, &[4, 7]), Effect::Poll);
            visited.push(controls.core);
        }
        assert_eq!(visited, [Some(4), Some(7), None]);
        controls.apply(Action::PreviousCore, &[4, 7]);
        assert_eq!(controls.core, Some(7));
        assert!(!controls.keep_core(&[4]));
        assert_eq!(controls.core, None);
        controls.apply(Action::NextCore, &[]);
        assert_eq!(controls.core, None, "without a server there is no core to choose");
    }

    #[test]
    fn the_interval_has_ends() {
        let mut controls = Controls::new(Duration::from_millis(1_500));
        controls.apply(Action::Longer, &[]);
        assert_eq!(controls.interval, Duration::from_secs(2));
        for _ in 0..20 {
            controls.apply(Action::Shorter, &[]);
        }
        assert_eq!(controls.interval, Duration::from_millis(100));
        for _ in 0..20 {
            controls.apply(Action::Longer, &[]);
        }
        assert_eq!(controls.interval, Duration::from_secs(60));
    }

    #[test]
    fn an_interval_is_a_time_within_bounds() {
        assert_eq!(parse_interval("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["1", "0s", "99ms", "61s", "2h"] {
            let error = parse_interval(wrong).expect_err(wrong);
            assert_eq!(error, "expected 1s, 500ms .., from 100ms to 1min");
        }
    }

    #[test]
    fn sort_help_and_pause_only_change_the_screen() {
        let mut controls = controls();
        for _ in 0..2 {
            for action in [Action::Sort, Action::Help, Action::Pause] {
                assert_eq!(controls.apply(action, &[1]), Effect::Show);
            }
        }
        assert_eq!(controls.sort, Sort::Total);
        assert!(!controls.is_help && !controls.is_paused);
        assert_eq!(controls.apply(Action::Quit, &[]), Effect::Quit);
    }
}
