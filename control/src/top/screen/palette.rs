//! Colours, and what stands for them where there are none.

use ratatui::style::{Color, Modifier, Style};

/// A style for each meaning.
#[derive(Clone, Copy, Debug)]
pub(in crate::top) struct Palette {
    /// The title of a section.
    pub(super) heading: Style,
    /// The name of the server, the rate of requests.
    pub(super) strong: Style,
    /// Names of numbers, and what is of little weight.
    pub(super) label: Style,
    /// All is well.
    pub(super) good: Style,
    /// Clients do something wrong.
    pub(super) warning: Style,
    /// Something fails.
    pub(super) bad: Style,
    /// The busy part of a bar.
    pub(super) busy: Style,
    /// The history of the rate.
    pub(super) history: Style,
    /// The core that was chosen.
    pub(super) chosen: Style,
}

impl Palette {
    /// In colour, unless `NO_COLOR` is set (no-color.org).
    pub(in crate::top) fn from_environment() -> Self {
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if is_plain { Self::plain() } else { Self::colourful() }
    }

    /// The sixteen colours that every terminal has, as its owner likes them.
    pub(super) fn colourful() -> Self {
        let colour = |colour| Style::new().fg(colour);
        let bold = Modifier::BOLD;
        Self {
            heading: Style::new().fg(Color::Black).bg(Color::Cyan),
            strong: Style::new().add_modifier(bold),
            label: colour(Color::DarkGray),
            good: colour(Color::Green),
            warning: colour(Color::Yellow).add_modifier(bold),
            bad: colour(Color::Red).add_modifier(bold),
            busy: colour(Color::Green),
            history: colour(Color::Cyan),
            chosen: colour(Color::Cyan).add_modifier(bold),
        }
    }

    /// Bold and reversed text only.
    pub(super) fn plain() -> Self {
        let (none, bold) = (Style::new(), Style::new().add_modifier(Modifier::BOLD));
        Self {
            heading: Style::new().add_modifier(Modifier::REVERSED),
            strong: bold,
            label: none,
            good: none,
            warning: bold,
            bad: Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            busy: none,
            history: none,
            chosen: bold,
        }
    }
}
