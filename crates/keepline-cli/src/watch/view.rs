//! The live view on a terminal.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table};

use super::look::Seen;
use super::report;
use super::status::Reuse;
use super::tally::{Histogram, Sample};
use crate::kernel::sockets::State;

/// The history that a curve shows at most.
const LONGEST_HISTORY: usize = 240;

/// The screen, while it is ours. Dropping it gives it back.
pub(super) struct View {
    terminal: DefaultTerminal,
    title: String,
    opened: VecDeque<u64>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    GoOn,
    End,
}

impl View {
    pub(super) fn new(title: String) -> io::Result<Self> {
        Ok(Self {
            terminal: ratatui::try_init()?,
            title,
            opened: VecDeque::new(),
        })
    }

    /// Shows what was seen, so long after the look before.
    pub(super) fn show(
        &mut self,
        seen: &Seen,
        since: Duration,
        reuse: Option<&Reuse>,
    ) -> io::Result<()> {
        self.opened
            .push_back(seen.server.opened.max(seen.client.opened));
        if self.opened.len() > LONGEST_HISTORY {
            self.opened.pop_front();
        }
        let (title, opened) = (&self.title, &self.opened);
        self.terminal
            .draw(|frame| draw(frame, title, (seen, since), reuse, opened))?;
        Ok(())
    }

    /// Waits until `until`, or until a key says that it is enough.
    pub(super) fn wait(until: Instant) -> io::Result<Wish> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if !event::poll(left)? {
                return Ok(Wish::GoOn);
            }
            let Event::Key(key) = event::read()? else {
                continue;
            };
            let is_ctrl_c =
                key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            let is_end = matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) || is_ctrl_c;
            if key.kind == KeyEventKind::Press && is_end {
                return Ok(Wish::End);
            }
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn draw(
    frame: &mut Frame<'_>,
    title: &str,
    (seen, since): (&Seen, Duration),
    reuse: Option<&Reuse>,
    opened: &VecDeque<u64>,
) {
    let [top, sides, curve, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(14),
        Constraint::Min(4),
        Constraint::Length(3),
    ])
    .areas(frame.area());
    frame.render_widget(Line::from(title).bold(), top);
    let [server, client] = Layout::horizontal([Constraint::Fill(1); 2]).areas(sides);
    side(frame, server, " server side ", &seen.server, since);
    side(frame, client, " client side ", &seen.client, since);
    let history: Vec<_> = opened.iter().copied().collect();
    let shown = usize::from(curve.width.saturating_sub(2)).min(history.len());
    let shown = &history[history.len() - shown..];
    let most = shown.iter().max().copied().unwrap_or_default();
    let title = format!(" opened at each look, {most} at most ");
    let sparkline = Sparkline::default()
        .block(Block::bordered().title(title))
        .data(shown)
        .style(Style::new().fg(Color::Cyan));
    frame.render_widget(sparkline, curve);
    let mut lines = Vec::new();
    if let Some(room) = seen.ports {
        let is_short = room
            .exhausted_in
            .is_some_and(|time| time < Duration::from_secs(300));
        let line = Line::from(report::ports(room));
        lines.push(if is_short { line.red() } else { line });
    }
    lines.extend(reuse.map(|reuse| Line::from(report::status(reuse))));
    lines.push(Line::from(match seen.is_exact {
        true => "q ends it",
        false => {
            "q ends it; this kernel does not tell of each end: short connections may be missed"
        }
    }));
    frame.render_widget(Paragraph::new(lines), bottom);
}

/// One side: rates, states, histograms.
fn side(frame: &mut Frame<'_>, area: Rect, title: &'static str, sample: &Sample, since: Duration) {
    let rate = |count| report::rate(count, since);
    let mut rows = vec![
        Row::new(["opened a second".to_owned(), rate(sample.opened)]).green(),
        Row::new(["closed a second".to_owned(), rate(sample.closed)]),
        Row::new([
            "TIME-WAIT made a second".to_owned(),
            rate(sample.time_wait_made),
        ])
        .yellow(),
        Row::new([
            "segments sent again".to_owned(),
            sample.retransmits.to_string(),
        ]),
    ];
    rows.extend(sample.states.iter().map(|(state, count)| {
        let row = Row::new([state.name().to_owned(), count.to_string()]);
        // What a leak looks like.
        if *state == State::CloseWait {
            row.red()
        } else {
            row.dim()
        }
    }));
    let block = Block::bordered().title(title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [figures, histograms] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(3)]).areas(inner);
    let widths = [Constraint::Length(24), Constraint::Fill(1)];
    frame.render_widget(Table::new(rows, widths), figures);
    let mut lines = vec![histogram("", report::columns().map(str::to_owned)).dim()];
    let numbers = |counts: Histogram| counts.map(|count| count.to_string()).into_iter();
    lines.push(histogram("age", numbers(sample.ages)));
    lines.extend(sample.idle.map(|idle| histogram("idle", numbers(idle))));
    frame.render_widget(Paragraph::new(lines), histograms);
}

fn histogram(name: &str, columns: impl Iterator<Item = String>) -> Line<'static> {
    let columns: String = columns.map(|column| format!("{column:>7}")).collect();
    Line::from(format!("{name:<5}{columns}"))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::kernel::sockets::Source;

    #[test]
    fn the_figures_are_on_the_screen_whatever_its_size() {
        let mut sample = Sample {
            opened: 12,
            ages: [3, 4, 0, 0, 0],
            ..Sample::default()
        };
        sample.states.insert(State::CloseWait, 7);
        let seen = Seen {
            server: sample,
            client: Sample::default(),
            ports: None,
            source: Source::Netlink,
            is_exact: true,
        };
        for (width, height) in [(100, 24), (40, 10), (1, 1)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("it is one");
            let opened = VecDeque::from([1, 2, 3]);
            let since = Duration::from_secs(1);
            terminal
                .draw(|frame| draw(frame, "port 8080", (&seen, since), None, &opened))
                .expect("it can be drawn on");
            let screen = terminal.backend().to_string();
            if width == 100 {
                assert!(screen.contains("port 8080"), "{screen}");
                assert!(screen.contains("close-wait"), "{screen}");
                assert!(screen.contains("opened a second"), "{screen}");
            }
        }
    }
}
