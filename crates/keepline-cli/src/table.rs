//! Aligned columns.
//!
//! A table either is whole before it is printed ([`Table`], widths from its cells) or grows while
//! it is printed ([`Columns`] alone, widths fixed in advance; a wider cell pushes its row, not
//! the column). Widths count characters, which is right for what is printed here.

use anstyle::Style;

/// Where a cell stands in its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A text and how it is painted where colours are shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// The columns of a table: heading, alignment, width.
#[derive(Debug, Clone)]
pub(crate) struct Columns(Vec<Column>);

#[derive(Debug, Clone)]
struct Column {
    heading: &'static str,
    align: Align,
    width: usize,
}

impl Columns {
    /// Columns at least as wide as their headings and the given widths.
    pub(crate) fn new(columns: &[(&'static str, Align, usize)]) -> Self {
        Self(
            columns
                .iter()
                .map(|&(heading, align, width)| Column {
                    heading,
                    align,
                    width: width.max(heading.chars().count()),
                })
                .collect(),
        )
    }

    /// The line of headings.
    pub(crate) fn heading(&self, colours: bool) -> String {
        let bold = Style::new().bold();
        let cells: Vec<_> = self
            .0
            .iter()
            .map(|column| Cell::styled(column.heading, bold))
            .collect();
        self.row(&cells, colours)
    }

    /// One line. No spaces at its end.
    pub(crate) fn row(&self, cells: &[Cell], colours: bool) -> String {
        let mut line = String::new();
        // Spaces that are owed before the next text.
        let mut owed = 0;
        for (place, (column, cell)) in self.0.iter().zip(cells).enumerate() {
            if place > 0 {
                owed += 2;
            }
            let padding = column.width.saturating_sub(cell.width());
            if column.align == Align::Right {
                owed += padding;
            }
            if !cell.text.is_empty() {
                line.extend(std::iter::repeat_n(' ', owed));
                owed = 0;
                push_painted(&mut line, cell, colours);
            }
            if column.align == Align::Left {
                owed += padding;
            }
        }
        line
    }
}

fn push_painted(line: &mut String, cell: &Cell, colours: bool) {
    if colours && cell.style != Style::new() {
        let Cell { text, style } = cell;
        line.push_str(&format!("{style}{text}{style:#}"));
    } else {
        line.push_str(&cell.text);
    }
}

/// A table that is whole before it is printed.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Columns,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        let columns: Vec<_> = columns
            .iter()
            .map(|&(name, align)| (name, align, 0))
            .collect();
        Self {
            columns: Columns::new(&columns),
            rows: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        for (column, cell) in self.columns.0.iter_mut().zip(&row) {
            column.width = column.width.max(cell.width());
        }
        self.rows.push(row);
    }

    /// The headings and the rows.
    pub(crate) fn lines(&self, colours: bool) -> impl Iterator<Item = String> {
        let rows = self.rows.iter();
        std::iter::once(self.columns.heading(colours))
            .chain(rows.map(move |row| self.columns.row(row, colours)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anstyle::AnsiColor;

    fn table() -> Table {
        let mut table = Table::new(&[("what", Align::Left), ("count", Align::Right)]);
        table.push(vec!["a".into(), "1".into()]);
        table.push(vec!["longer".into(), "23456789".into()]);
        table.push(vec!["".into(), "é".into()]);
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let lines: Vec<_> = table().lines(false).collect();
        assert_eq!(
            lines,
            [
                "what       count",
                "a              1",
                "longer  23456789",
                "               é",
            ]
        );
    }

    #[test]
    fn no_spaces_end_a_line() {
        let columns = Columns::new(&[("a", Align::Left, 5), ("b", Align::Left, 5)]);
        assert_eq!(columns.heading(false), "a      b");
        assert_eq!(columns.row(&["x".into(), "".into()], false), "x");
    }

    #[test]
    fn a_cell_that_is_too_wide_pushes_only_its_row() {
        let columns = Columns::new(&[("a", Align::Left, 3), ("b", Align::Right, 3)]);
        assert_eq!(
            columns.row(&["abcdef".into(), "1".into()], false),
            "abcdef    1"
        );
    }

    #[test]
    fn paint_does_not_shift_columns() {
        let columns = Columns::new(&[("a", Align::Right, 4), ("b", Align::Left, 0)]);
        let green = AnsiColor::Green.on_default();
        let row = columns.row(&[Cell::styled("ok", green), "x".into()], true);
        assert_eq!(row, "  \u{1b}[32mok\u{1b}[0m  x");
    }
}
