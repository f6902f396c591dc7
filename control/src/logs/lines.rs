//! How an event becomes lines: as text or as JSON, for a file or a terminal as they are, for the journal
//! with priorities.
//!
//! What events say may come from clients, by way of a database's error. In text, a line that begins without a blank
//! is therefore always the first of an event, and control characters are escaped; JSON escapes them anyway.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{self as log, FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, filter::LevelFilter, layer::Layered, reload};

use super::journal;

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the lines are put on: the registry below the filter.
pub(super) type Filtered = Layered<reload::Layer<LevelFilter, Registry>, Registry>;

/// A layer that writes events to `writer` in `format`, with priorities if the journal reads them. The
/// journal has the time of every entry: text goes to it without.
pub(super) fn layer(
    format: LogFormat,
    for_journal: bool,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Box<dyn Layer<Filtered> + Send + Sync> {
    // What it says of its own errors it says by `eprintln!`, which panics where nothing can be written.
    let lines = log::layer().with_writer(writer).log_internal_errors(false);
    let lines = lines.with_ansi(false).with_target(false);
    match (format, for_journal) {
        (LogFormat::Text, false) => {
            lines.map_event_format(|format| Entry { format, is_text: true, for_journal }).boxed()
        }
        (LogFormat::Text, true) => {
            let lines = lines.without_time();
            lines.map_event_format(|format| Entry { format, is_text: true, for_journal }).boxed()
        }
        (LogFormat::Json, _) => {
            let lines = lines.json().flatten_event(true);
            lines.map_event_format(|format| Entry { format, is_text: false, for_journal }).boxed()
        }
    }
}

/// `format` with the lines of an event as their reader takes them.
struct Entry<F> {
    format: F,
    is_text: bool,
    for_journal: bool,
}

impl<S, N, F> FormatEvent<S, N> for Entry<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.format.format_event(context, Writer::new(&mut text), event)?;
        if self.is_text {
            text = indented(&text);
        }
        if self.for_journal {
            text = journal::entries(*event.metadata().level(), &text);
        }
        writer.write_str(&text)
    }
}

/// `text` with all lines but the first indented, and control characters escaped.
fn indented(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (number, line) in text.trim_end_matches('\n').split('\n').enumerate() {
        out.push_str(if number == 0 { "" } else { INDENT });
        for c in line.chars() {
            if c.is_control() && c != '\t' {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        out.push('\n');
    }
    out
}

const INDENT: &str = "  ";

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `say` comes to, line by line.
    fn lines(format: LogFormat, for_journal: bool, say: impl FnOnce()) -> Vec<String> {
        let written = Written::default();
        let writer = written.clone();
        let (filter, _handle) = reload::Layer::new(LevelFilter::TRACE);
        let registry = tracing_subscriber::registry().with(filter);
        let subscriber = registry.with(layer(format, for_journal, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, say);
        let bytes = written.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("UTF-8").lines().map(str::to_owned).collect()
    }

    #[test]
    fn text_for_the_journal_has_priorities_and_no_time() {
        let said = lines(LogFormat::Text, true, || {
            tracing::error!("one");
            tracing::warn!(cores = "1-2", "two");
            tracing::info!("three\nlines of\n  text");
            tracing::debug!("four");
            tracing::trace!("five");
        });
        let expected = [
            "<3>ERROR one",
            "<4>WARN two cores=\"1-2\"",
            "<6>INFO three",
            "<6>  lines of",
            "<6>    text",
            "<7>DEBUG four",
            "<7>TRACE five",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn json_for_the_journal_is_one_object_after_the_priority() {
        let said = lines(LogFormat::Json, true, || tracing::warn!(core = 1, "two\nlines\0"));
        assert_eq!(said.len(), 1, "{said:?}");
        let object = said[0].strip_prefix("<4>").expect("a priority");
        let object: serde_json::Value = serde_json::from_str(object).expect("JSON");
        assert_eq!(object["message"], "two\nlines\0");
        assert_eq!((&object["level"], &object["core"]), (&"WARN".into(), &1.into()));
        assert!(object["timestamp"].is_string(), "{object}");
    }

    /// A message or a value of a client cannot pass for an event of its own, nor steer a terminal.
    #[test]
    fn nothing_in_an_event_looks_like_another_event() {
        let forged = "bad\n2026-01-01T00:00:00Z ERROR forged\r\n<0>forged\0\x1b[2J\u{9b}2J\tend\n";
        let say = || tracing::warn!(file = %forged, "{forged}");
        for for_journal in [false, true] {
            let said = lines(LogFormat::Text, for_journal, say);
            let prefix = if for_journal { "<4>" } else { "" };
            assert!(said.len() > 4, "{said:?}");
            for line in &said[1..] {
                let line = line.strip_prefix(prefix).expect("a priority");
                assert!(line.starts_with("  "), "{line}");
            }
            let control = |c: char| c.is_control() && c != '\t';
            assert!(!said.iter().any(|line| line.contains(control)), "{said:?}");
            assert_eq!(lines(LogFormat::Json, for_journal, say).len(), 1);
        }
    }

    #[test]
    fn elsewhere_lines_are_as_they_were() {
        let said = lines(LogFormat::Text, false, || tracing::info!("one"));
        assert!(said[0].ends_with("Z  INFO one"), "{said:?}");
        let said = lines(LogFormat::Json, false, || tracing::info!("one"));
        assert!(said[0].starts_with('{') && said[0].ends_with('}'), "{said:?}");
    }
}
