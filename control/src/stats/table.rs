//! Columns that line up.

use std::fmt::{self, Display, Formatter};

/// Rows under a header; the first column is flush left, the others flush right, but for the last if it is text.
#[derive(Clone, Debug)]
pub(super) struct Table {
    title: &'static str,
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(title: &'static str, headers: &[&str]) -> Self {
        let headers = headers.iter().map(|&header| header.to_owned()).collect();
        Self { title, headers, rows: Vec::new() }
    }

    /// Adds a row, one cell for each column after the first header.
    pub(super) fn row(&mut self, name: impl Into<String>, cells: impl IntoIterator<Item = String>) {
        let row: Vec<_> = [name.into()].into_iter().chain(cells).collect();
        debug_assert_eq!(row.len(), self.headers.len() + 1, "{}: a cell a column", self.title);
        self.rows.push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let head: Vec<&str> =
            [self.title].into_iter().chain(self.headers.iter().map(String::as_str)).collect();
        let width = |at: usize| {
            let cells = self.rows.iter().map(|row| row[at].chars().count());
            cells.chain([head[at].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..head.len()).map(width).collect();
        let mut line = |cells: &[&str]| {
            let mut text = String::new();
            for (at, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                if at == 0 {
                    text += &format!("{cell:<width$}");
                } else {
                    text += &format!("  {cell:>width$}");
                }
            }
            writeln!(f, "{}", text.trim_end())
        };
        line(&head)?;
        for row in &self.rows {
            line(&row.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_under_their_headers() {
        let mut table = Table::new("CORE", &["busy", "requests/s"]);
        table.row("1", ["12.5 %".to_owned(), "7".to_owned()]);
        table.row("all 12", ["3 %".to_owned(), "1.23 M".to_owned()]);
        let expected = "\
CORE      busy  requests/s
1       12.5 %           7
all 12     3 %      1.23 M
";
        assert_eq!(table.to_string(), expected);
    }
}
