//! A row for each request.

use std::time::Duration;

use anstyle::Style;

use crate::human::Time;
use crate::load::Outcome;
use crate::output::{BAD, GOOD, NOTABLE, QUIET};
use crate::table::{Align, Cell, Columns};

/// The columns; `requests` decides how wide the number is.
pub(crate) fn columns(requests: u64) -> Columns {
    let digits = requests.to_string().len();
    Columns::new(&[
        ("#", Align::Right, digits),
        ("status", Align::Left, 0),
        ("connection", Align::Right, 0),
        ("reused", Align::Left, 0),
        ("idle", Align::Right, 6),
        ("opened", Align::Left, 10),
        ("bytes", Align::Right, 7),
        ("time", Align::Right, 6),
        ("", Align::Left, 0),
    ])
}

/// The cells of a request. `url` is told where it isn't always the same.
pub(crate) fn cells(outcome: &Outcome, url: Option<&str>) -> Vec<Cell> {
    let number = Cell::styled(outcome.number.to_string(), QUIET);
    let mut cells = vec![number, status(outcome)];
    match outcome.connection() {
        Some(connection) => {
            let (reused, opened) = if connection.reused {
                (Cell::styled("yes", GOOD), Cell::from(""))
            } else {
                let opened = connection.open_reason.name();
                (Cell::styled("no", NOTABLE), Cell::styled(opened, NOTABLE))
            };
            let idle = connection.idle_for.map(time).unwrap_or_default();
            cells.extend([
                connection.id.to_string().into(),
                reused,
                idle.into(),
                opened,
            ]);
        }
        None => cells.extend(["-", "-", "", ""].map(Cell::from)),
    }
    cells.extend([
        outcome.received.bytes.to_string().into(),
        time(outcome.elapsed).into(),
        remark(outcome, url),
    ]);
    cells
}

fn status(outcome: &Outcome) -> Cell {
    let style = if outcome.is_ok() { Style::new() } else { BAD };
    match outcome.received.status() {
        Some(status) => Cell::styled(status.as_str(), style),
        None => Cell::styled("failed", style),
    }
}

/// What went wrong, or what was asked.
fn remark(outcome: &Outcome, url: Option<&str>) -> Cell {
    match (&outcome.trouble, url) {
        (Some(trouble), _) => Cell::styled(trouble.short(), BAD),
        (None, Some(url)) => url.into(),
        (None, None) => "".into(),
    }
}

fn time(duration: Duration) -> String {
    Time(duration).to_string()
}

/// Requests that a reader need not see one by one: what happened to them is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Likeness {
    status: Option<u16>,
    reused: bool,
    opened: Option<&'static str>,
    failed: bool,
}

impl Likeness {
    fn of(outcome: &Outcome) -> Self {
        let connection = outcome.connection();
        let new = connection.filter(|connection| !connection.reused);
        Self {
            status: outcome.received.status().map(|status| status.as_u16()),
            reused: connection.is_some_and(|connection| connection.reused),
            opened: new.map(|connection| connection.open_reason.name()),
            failed: !outcome.is_ok(),
        }
    }
}

/// Chooses the rows that a person sees.
///
/// All of a short run. Of a long one the first, then only what differs from the row before it,
/// until even that is too much; what is left out is counted. The summary always has everything.
#[derive(Debug)]
pub(crate) struct Selection {
    /// Rows that may still be shown whatever they say.
    plain: u32,
    /// Rows that may still be shown because they differ.
    different: u32,
    last: Option<Likeness>,
    left_out: u64,
}

/// A run of so many requests is shown whole.
const SHORT: u64 = 20;

impl Selection {
    pub(crate) fn new(requests: u64, is_terminal: bool) -> Self {
        let whole = !is_terminal || requests <= SHORT;
        Self {
            plain: if whole { u32::MAX } else { 10 },
            different: 30,
            last: None,
            left_out: 0,
        }
    }

    /// Whether this one is shown, and how many were left out before it.
    pub(crate) fn choose(&mut self, outcome: &Outcome) -> Option<u64> {
        self.choose_like(Likeness::of(outcome))
    }

    fn choose_like(&mut self, likeness: Likeness) -> Option<u64> {
        let differs = self.last.as_ref() != Some(&likeness);
        self.last = Some(likeness);
        let budget = match (self.plain, differs) {
            (1.., _) => &mut self.plain,
            (0, true) => &mut self.different,
            (0, false) => &mut 0,
        };
        if *budget == 0 {
            self.left_out += 1;
            return None;
        }
        if *budget < u32::MAX {
            *budget -= 1;
        }
        Some(self.take_left_out())
    }

    /// How many were left out since the last that was shown.
    pub(crate) fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(opened: &'static str) -> Likeness {
        Likeness {
            status: Some(200),
            reused: opened.is_empty(),
            opened: Some(opened).filter(|opened| !opened.is_empty()),
            failed: false,
        }
    }

    #[test]
    fn a_short_run_and_a_pipe_get_every_row() {
        for mut selection in [Selection::new(20, true), Selection::new(1000, false)] {
            for _ in 0..20 {
                assert_eq!(selection.choose_like(like("")), Some(0));
            }
            assert_eq!(selection.take_left_out(), 0);
        }
    }

    #[test]
    fn a_long_run_shows_its_start_and_what_differs() {
        let mut selection = Selection::new(101, true);
        let shown = (0..50).filter(|_| selection.choose_like(like("")).is_some());
        assert_eq!(shown.count(), 10);
        assert_eq!(selection.choose_like(like("peer-closed")), Some(40));
        assert_eq!(selection.choose_like(like("")), Some(0));
        assert_eq!(selection.choose_like(like("")), None);
        assert_eq!(selection.take_left_out(), 1);
    }

    #[test]
    fn a_run_that_always_differs_is_cut_too() {
        let mut selection = Selection::new(1000, true);
        let shown = (0..1000)
            .filter(|i| {
                selection
                    .choose_like(like(["", "peer-closed"][i % 2]))
                    .is_some()
            })
            .count();
        assert_eq!(shown, 40);
        assert_eq!(selection.take_left_out(), 960);
    }
}
