//! The picture: rows to a frame. Pure; it draws the same onto a terminal, into a test and as plain text. What matters
//! most stays on it when it is small, and nothing is said by a colour alone.

mod columns;
mod pages;
mod words;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::Widget,
};

use self::words::{count, percent, rate, span, time, wrapped};
use super::{
    keys::{Mode, Order, Rows, Screen, Tab},
    model::{Board, PoolRow, left_without},
};
use crate::{
    cli::{
        endpoint::verb,
        shown::{State, Status},
    },
    policy::reason::Switch,
};

/// Between the parts of a line.
const GAP: &str = "  ";

/// Everything that is drawn.
pub(super) struct Picture<'a> {
    /// As far as it is to be shown; `None` before the first answer.
    pub(super) board: Option<&'a Board<'a>>,
    pub(super) screen: &'a Screen,
    /// Why there is no newer answer, and since when.
    pub(super) lost: Option<&'a Lost>,
    /// How the last order went.
    pub(super) notice: Option<&'a str>,
    pub(super) has_colours: bool,
    pub(super) form: Form,
}

/// What the picture is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// To be watched, and to press keys on.
    Live,
    /// To be printed.
    Printed,
    /// The same after one look, which has no rates. Its columns are those that fit into so many characters; what is in
    /// them is as long as it is, if there is room.
    Still { columns: u16 },
}

pub(super) struct Lost {
    /// Seconds since 1970.
    pub(super) since: f64,
    pub(super) reason: String,
}

/// What a text means, for its colour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Plain,
    Faint,
    Strong,
    Good,
    Doubtful,
    Bad,
    Returning,
}

impl Tone {
    /// The terminal's own sixteen colours: whoever chose them can read them.
    fn style(self, has_colours: bool) -> Style {
        let (colour, modifier) = match self {
            Self::Plain => (None, Modifier::empty()),
            Self::Faint => (None, Modifier::DIM),
            Self::Strong => (None, Modifier::BOLD),
            Self::Good => (Some(Color::Green), Modifier::empty()),
            Self::Doubtful => (Some(Color::Yellow), Modifier::empty()),
            Self::Bad => (Some(Color::Red), Modifier::BOLD),
            Self::Returning => (Some(Color::Cyan), Modifier::empty()),
        };
        let style = Style::new().add_modifier(modifier);
        match colour {
            Some(colour) if has_colours => style.fg(colour),
            Some(_) | None => style,
        }
    }
}

impl State {
    /// Symbols of different shape, in every font that a terminal has.
    const fn symbol(self) -> (&'static str, Tone) {
        match self {
            Self::Healthy => ("●", Tone::Good),
            Self::Throttling => ("▲", Tone::Doubtful),
            Self::Error => ("■", Tone::Bad),
            Self::Recovering => ("◐", Tone::Returning),
            Self::Disabled => ("○", Tone::Faint),
        }
    }
}

impl Widget for &Picture<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let mut rest = area;
        for line in self.head(area.width) {
            put(&line, take_top(&mut rest, 1), buffer);
        }
        let foot = self.foot(area.width);
        let room = u16::try_from(foot.len()).unwrap_or(u16::MAX);
        let below = take_bottom(&mut rest, room);
        for (row, line) in below.rows().zip(&foot) {
            put(line, row, buffer);
        }
        self.body(rest, buffer);
    }
}

impl Picture<'_> {
    /// Who answers, what it does in sum, and what is wrong.
    fn head(&self, width: u16) -> Vec<Line<'static>> {
        let mut lines = match self.board {
            None => vec![self.parts(width, &[(Tone::Strong, "tokenweir".to_owned())])],
            Some(board) => vec![
                self.parts(width, &process(board.status)),
                match self.form {
                    Form::Live | Form::Printed => self.parts(width, &sums(board)),
                    Form::Still { .. } => self.parts(width, &[served(board.status)]),
                },
            ],
        };
        let lost = self.lost.map(|lost| {
            let Lost { since, reason } = lost;
            format!("no answer since {}: {reason}", time(*since))
        });
        let reload = self.board.and_then(|board| {
            let last = board.status.config.last_reload.as_ref();
            let last = last.filter(|last| !last.ok)?;
            let error = last.error.as_deref().unwrap_or("no reason given");
            Some(format!("reload refused at {}: {error}", time(last.at)))
        });
        // Elsewhere it stands in any case.
        let unserved = self
            .board
            .filter(|_| !matches!(self.form, Form::Still { .. }))
            .and_then(|board| unserved(board.status));
        for trouble in lost.into_iter().chain(unserved).chain(reload) {
            // The frame is for the deployments: of a long message only the beginning is shown.
            for text in wrapped(&trouble, width.into()).into_iter().take(3) {
                lines.push(Line::styled(text, self.style(Tone::Bad)));
            }
        }
        if self.form == Form::Live {
            lines.push(self.tabs(width));
        }
        lines
    }

    fn tabs(&self, width: u16) -> Line<'static> {
        let Screen {
            tab,
            mode,
            filter,
            only_trouble,
            ..
        } = self.screen;
        let mut line = Line::default();
        for (this, name) in [
            (Tab::Deployments, " Deployments "),
            (Tab::Clients, " Clients "),
        ] {
            let style = if this == *tab {
                Style::new().add_modifier(Modifier::REVERSED)
            } else {
                Style::new()
            };
            line.push_span(Span::styled(name, style));
        }
        let mut said = Vec::new();
        if *only_trouble {
            said.push((Tone::Doubtful, "only trouble".to_owned()));
        }
        if *mode == Mode::Filter {
            said.push((Tone::Strong, format!("/{filter}_")));
        } else if !filter.is_empty() {
            said.push((Tone::Doubtful, format!("/{filter}")));
        }
        line.push_span(GAP);
        let used = u16::try_from(line.width()).unwrap_or(u16::MAX);
        line.extend(self.parts(width.saturating_sub(used), &said));
        line
    }

    fn body(&self, area: Rect, buffer: &mut Buffer) {
        let Some(board) = self.board else {
            let waits = "waiting for the gateway's first answer";
            return put(&Line::raw(waits), area, buffer);
        };
        let rows = Rows::of(board);
        let selected = self.screen.selected(&rows);
        match &self.screen.mode {
            Mode::Help => return self.page(&pages::help(), area, buffer),
            Mode::Details => {
                if let Some(member) = board.members().nth(selected) {
                    let page = pages::details(member, board.status.now);
                    return self.page(&page, area, buffer);
                }
            }
            Mode::Browse | Mode::Filter | Mode::Confirm(_) => {}
        }
        match self.screen.tab {
            Tab::Deployments => columns::deployments(self, board, selected, area, buffer),
            Tab::Clients => columns::clients(self, board, area, buffer),
        }
    }

    fn page(&self, lines: &[(Tone, String)], area: Rect, buffer: &mut Buffer) {
        let width = area.width.into();
        let lines = lines.iter().flat_map(|(tone, text)| {
            // A line that fits keeps its spaces.
            let fits = Span::raw(text.as_str()).width() <= width;
            let parts = if fits {
                vec![text.clone()]
            } else {
                wrapped(text, width)
            };
            let style = self.style(*tone);
            parts.into_iter().map(move |part| Line::styled(part, style))
        });
        for (row, line) in area.rows().zip(lines) {
            put(&line, row, buffer);
        }
    }

    fn foot(&self, width: u16) -> Vec<Line<'static>> {
        if self.form != Form::Live {
            return Vec::new();
        }
        let said = match (&self.screen.mode, self.notice) {
            (Mode::Confirm(order), _) => Some(question(order, self.board)),
            (Mode::Browse | Mode::Filter | Mode::Details | Mode::Help, notice) => {
                notice.map(str::to_owned)
            }
        };
        if let Some(text) = said {
            let style = self.style(Tone::Strong);
            let lines = wrapped(&text, width.into());
            return (lines.into_iter().map(|text| Line::styled(text, style))).collect();
        }
        let keys: &[&str] = match self.screen.mode {
            Mode::Browse => &[
                "q quit",
                "? help",
                "enter details",
                "tab clients",
                "/ filter",
                "t trouble",
                "d r e switch",
            ],
            Mode::Filter => &["enter keep", "esc clear"],
            Mode::Details => &["esc back", "d disable", "r drain", "e enable"],
            Mode::Help | Mode::Confirm(_) => &["any key: back"],
        };
        let keys: Vec<_> = keys
            .iter()
            .map(|key| (Tone::Faint, (*key).to_owned()))
            .collect();
        vec![self.parts(width, &keys)]
    }

    /// The first of the parts, as many as fit.
    fn parts(&self, width: u16, parts: &[(Tone, String)]) -> Line<'static> {
        let mut line = Line::default();
        for (index, (tone, text)) in parts.iter().enumerate() {
            let mut grown = line.clone();
            if index > 0 {
                grown.push_span(GAP);
            }
            grown.push_span(Span::styled(text.clone(), self.style(*tone)));
            if index > 0 && grown.width() > width.into() {
                break;
            }
            line = grown;
        }
        line
    }

    fn style(&self, tone: Tone) -> Style {
        tone.style(self.has_colours)
    }
}

fn process(status: &Status) -> [(Tone, String); 4] {
    let condition = match (status.draining, status.ready) {
        (true, _) => (Tone::Doubtful, "draining"),
        (false, true) => (Tone::Good, "ready"),
        (false, false) => (Tone::Bad, "not ready"),
    };
    [
        (Tone::Strong, format!("tokenweir {}", status.version)),
        (condition.0, condition.1.to_owned()),
        (
            Tone::Plain,
            format!("up {}", span(status.now - status.started)),
        ),
        (Tone::Faint, format!("config {}", status.config.hash)),
    ]
}

fn sums(board: &Board<'_>) -> [(Tone, String); 4] {
    let errors = board.error_ratio();
    let tone = match errors {
        Some(ratio) if ratio > 0.0 => Tone::Bad,
        Some(_) | None => Tone::Plain,
    };
    let errors = errors.map_or_else(|| "-".to_owned(), percent);
    [
        (
            Tone::Plain,
            format!("{} requests/s", rate(board.rates.requests)),
        ),
        (tone, format!("{errors} errors")),
        (
            Tone::Plain,
            format!("{} tokens/s", rate(board.rates.tokens)),
        ),
        (Tone::Plain, format!("{} in flight", board.in_flight)),
    ]
}

/// Which models nobody can serve.
fn unserved(status: &Status) -> Option<String> {
    let models = status.unserved();
    let is = if models.len() == 1 { "is" } else { "are" };
    (!models.is_empty()).then(|| format!("{} {is} not served", models.join(", ")))
}

/// What matters most of all.
fn served(status: &Status) -> (Tone, String) {
    if let Some(unserved) = unserved(status) {
        return (Tone::Bad, unserved);
    }
    let states = || {
        let deployments = status.pools.iter().flat_map(|pool| &pool.deployments);
        deployments.map(|deployment| deployment.state)
    };
    let (all, healthy) = (
        states().count(),
        states().filter(|state| *state == State::Healthy).count(),
    );
    if healthy == all {
        return (Tone::Good, "everything is served".to_owned());
    }
    let text = format!("{healthy} of {all} deployments healthy; every model is served");
    (Tone::Doubtful, text)
}

/// The line above the deployments of a model.
fn pool(row: &PoolRow<'_>) -> Vec<(Tone, String)> {
    let PoolRow { pool, rates, .. } = row;
    let all = pool.deployments.len();
    let usable = match pool.usable {
        0 => (Tone::Bad, format!("none of {all} usable")),
        usable if usable < all => (Tone::Doubtful, format!("{usable} of {all} usable")),
        usable => (Tone::Plain, format!("{usable} of {all} usable")),
    };
    let failed = match rates.failed {
        Some(failed) if failed > 0.0 => (Tone::Bad, format!("{} errors/s", count(failed))),
        Some(_) | None => (Tone::Faint, pool.balance.clone()),
    };
    let requests = rates
        .requests
        .map(|requests| (Tone::Plain, format!("{} requests/s", count(requests))));
    [(Tone::Strong, pool.model.clone()), usable]
        .into_iter()
        .chain(requests)
        .chain([failed])
        .collect()
}

fn question(order: &Order, board: Option<&Board<'_>>) -> String {
    let Order { endpoint, to } = order;
    let mut text = format!("{} {endpoint}?", verb(*to));
    if let Some(board) = board
        && *to != Switch::Enabled
    {
        let running: u32 = board
            .status
            .pools
            .iter()
            .flat_map(|pool| &pool.deployments)
            .filter(|deployment| deployment.endpoint == *endpoint)
            .map(|deployment| deployment.in_flight)
            .sum();
        text += &format!(" {running} in flight.");
        let alone = left_without(board.status, endpoint);
        if !alone.is_empty() {
            text += &format!(" Nobody else can serve {} now!", alone.join(", "));
        }
    }
    text + " y: yes, any other key: no"
}

/// Draws a line on the first row of `area`.
fn put(line: &Line<'_>, area: Rect, buffer: &mut Buffer) {
    if !area.is_empty() {
        buffer.set_line(area.x, area.y, line, area.width);
    }
}

fn take_top(rest: &mut Rect, rows: u16) -> Rect {
    let rows = rows.min(rest.height);
    let taken = Rect {
        height: rows,
        ..*rest
    };
    rest.y += rows;
    rest.height -= rows;
    taken
}

fn take_bottom(rest: &mut Rect, rows: u16) -> Rect {
    let rows = rows.min(rest.height);
    rest.height -= rows;
    Rect {
        y: rest.bottom(),
        height: rows,
        ..*rest
    }
}

#[cfg(test)]
mod tests;
