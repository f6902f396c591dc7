//! Which key does what.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// End.
    Quit,
    /// Open or close the help.
    Help,
    /// Hold the numbers, or let them go on.
    Pause,
    /// The next order of the routes.
    Sort,
    /// The next core.
    NextCore,
    /// The core before.
    PreviousCore,
    /// A longer interval.
    Longer,
    /// A shorter interval.
    Shorter,
}

/// Keys and what they do, as the help shows them.
pub(super) const HELP: &[(&str, &str)] = &[
    ("q  Esc  Ctrl-C", "quit"),
    ("?  h", "open and close this help"),
    ("p  space", "pause: the numbers stand still"),
    ("s", "sort the routes by rate, name or total"),
    ("right  tab", "next core: all together, then each"),
    ("left  shift-tab", "previous core"),
    ("+  -", "longer or shorter interval"),
];

/// What `key` asks for. Escape closes the help if it is open.
pub(super) fn action(key: KeyEvent, is_help: bool) -> Option<Action> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Action::Quit);
    }
    Some(match key.code {
        KeyCode::Esc if is_help => Action::Help,
        KeyCode::Char('q') | KeyCode::Esc => Action::Quit,
        KeyCode::Char('?' | 'h') => Action::Help,
        KeyCode::Char('p' | ' ') => Action::Pause,
        KeyCode::Char('s') => Action::Sort,
        KeyCode::Right | KeyCode::Tab => Action::NextCore,
        KeyCode::Left | KeyCode::BackTab => Action::PreviousCore,
        KeyCode::Char('+' | '=') => Action::Longer,
        KeyCode::Char('-' | '_') => Action::Shorter,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(code: KeyCode) -> Option<Action> {
        action(KeyEvent::new(code, KeyModifiers::NONE), false)
    }

    #[test]
    fn keys_do_what_the_help_says() {
        for code in [KeyCode::Char('q'), KeyCode::Esc] {
            assert_eq!(plain(code), Some(Action::Quit));
        }
        assert_eq!(plain(KeyCode::Char(' ')), Some(Action::Pause));
        assert_eq!(plain(KeyCode::BackTab), Some(Action::PreviousCore));
        assert_eq!(plain(KeyCode::Char('x')), None);
    }

    #[test]
    fn control_c_quits_and_other_control_keys_do_nothing() {
        let control = |c| action(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL), true);
        assert_eq!(control('c'), Some(Action::Quit));
        assert_eq!(control('p'), None);
    }

    #[test]
    fn escape_closes_the_help_first() {
        let escape = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);
        assert_eq!(action(escape, true), Some(Action::Help));
        assert_eq!(action(escape, false), Some(Action::Quit));
    }
}
