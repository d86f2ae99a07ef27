//! The picture as text: for a pipe, and for who reads on below it.

use std::io::{IsTerminal as _, stdout};

use ratatui::{
    backend::IntoCrossterm as _,
    buffer::{Buffer, Cell},
    crossterm::{style::ContentStyle, terminal},
    layout::Rect,
    style::{Color, Style},
    widgets::Widget as _,
};

use super::{
    keys::Screen,
    model::History,
    view::{Form, Picture},
};
use crate::cli::shown::Status;

/// Whoever reads plain text is no terminal, so there is room for every column.
const PLAIN_COLUMNS: u16 = 200;
/// What a letter, a ticket and most terminals have room for.
const COLUMNS: u16 = 80;

/// After several looks, without styles.
pub(super) fn plain(history: &History) -> String {
    text(&drawn(history, Form::Printed, PLAIN_COLUMNS))
}

/// After one look. On a terminal nothing is longer than a line; elsewhere nothing is left out of a name.
pub(in crate::cli) fn still(status: Status) -> String {
    let size = terminal::size().ok().filter(|_| stdout().is_terminal());
    let (columns, width) = match size {
        Some((columns @ 1.., _)) => (columns, columns),
        Some(_) | None => (COLUMNS, PLAIN_COLUMNS),
    };
    let mut history = History::default();
    history.add(status);
    coloured(&drawn(&history, Form::Still { columns }, width))
}

fn drawn(history: &History, form: Form, width: u16) -> Buffer {
    let board = history.board();
    let members = board.iter().flat_map(|board| board.members()).count();
    // A model has a line, too, and there are some above all of them.
    let rows = u16::try_from(2 * members + 16).unwrap_or(u16::MAX);
    let area = Rect::new(0, 0, width, rows);
    let mut buffer = Buffer::empty(area);
    let picture = Picture {
        board: board.as_ref(),
        screen: &Screen::default(),
        lost: None,
        notice: None,
        has_colours: form != Form::Printed,
        form,
    };
    picture.render(area, &mut buffer);
    buffer
}

/// What is drawn, without its styles.
pub(super) fn text(buffer: &Buffer) -> String {
    lines(buffer, |_, text| text)
}

fn coloured(buffer: &Buffer) -> String {
    lines(buffer, |cell, text| style(cell).apply(text).to_string())
}

/// What is drawn, without what is empty on the right and below. `shown` is what becomes of texts that have the style of
/// a cell.
fn lines(buffer: &Buffer, shown: impl Fn(&Cell, String) -> String) -> String {
    let mut lines = String::new();
    for row in buffer.content.chunks(usize::from(buffer.area.width).max(1)) {
        let last = row.iter().rposition(|cell| cell.symbol() != " ");
        let row = &row[..last.map_or(0, |last| last + 1)];
        for alike in row.chunk_by(|a, b| style(a) == style(b)) {
            lines += &shown(&alike[0], alike.iter().map(Cell::symbol).collect());
        }
        lines.push('\n');
    }
    lines.truncate(lines.trim_end().len());
    lines.push('\n');
    lines
}

fn style(cell: &Cell) -> ContentStyle {
    let style = Style::new().add_modifier(cell.modifier);
    match cell.fg {
        Color::Reset => style,
        colour => style.fg(colour),
    }
    .into_crossterm()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::sample;

    #[test]
    fn plain_text_has_every_column_and_no_keys() {
        let mut history = History::default();
        for now in [10.0, 11.0] {
            history.add(serde_json::from_value(sample::status(now)).unwrap());
        }
        let text = plain(&history);
        assert!(
            text.contains("LAST ERROR") && text.contains("UTIL"),
            "{text}"
        );
        assert!(!text.contains("quit") && !text.contains('\x1b'), "{text}");
        assert!(text.lines().all(|line| !line.ends_with(' ')), "{text}");
    }

    fn still(status: serde_json::Value, columns: u16, width: u16) -> Buffer {
        let mut history = History::default();
        history.add(serde_json::from_value(status).unwrap());
        drawn(&history, Form::Still { columns }, width)
    }

    #[test]
    fn one_look_says_what_is_served_and_has_no_rates() {
        let expected = "\
tokenweir 0.1.0  ready  up 60m  config 0123456789ab
1 of 4 deployments healthy; every model is served
PRI ENDPOINT     STATE        REASON         BUSY LEFT req/tok LAST ERROR, AGE
gpt-4o  1 of 3 usable  round_robin
  1 aoi-1        ● healthy    -                 2 950/120k     -
  1 aoi-2        ▲ throttling throttled 7s      2 950/120k     429 throttled 3s
  2 openai-spare ○ disabled   drained           2 950/120k     -
text-embedding-3-large  1 of 1 usable  random
  1 aoi-2        ◐ recovering -                 2 950/120k     -
";
        let status = || sample::status(3_601.0);
        assert_eq!(text(&still(status(), COLUMNS, COLUMNS)), expected);
        // Where nobody has to fit it in, nothing is cut off and nothing more is shown.
        assert_eq!(text(&still(status(), COLUMNS, PLAIN_COLUMNS)), expected);
        let long = "openai-spare-for-whoever-needs-it";
        let mut named = status();
        named["pools"][0]["deployments"][0]["endpoint"] = long.into();
        let cut = text(&still(named.clone(), COLUMNS, COLUMNS));
        assert!(!cut.contains(long) && cut.contains("openai-"), "{cut}");
        assert!(text(&still(named, COLUMNS, PLAIN_COLUMNS)).contains(long));
    }

    #[test]
    fn the_second_line_is_the_worst_that_there_is_to_say() {
        let mut status = sample::status(10.0);
        let deployments = |status: &mut serde_json::Value, state: &str| {
            for pool in status["pools"].as_array_mut().unwrap() {
                for deployment in pool["deployments"].as_array_mut().unwrap() {
                    deployment["state"] = state.into();
                }
            }
        };
        deployments(&mut status, "healthy");
        let mut said = vec![status.clone()];
        for pool in [1, 0] {
            status["pools"][pool]["usable"] = 0.into();
            said.push(status.clone());
        }
        let lines = said.into_iter().map(|status| {
            let text = text(&still(status, COLUMNS, PLAIN_COLUMNS));
            text.lines().nth(1).unwrap().to_owned()
        });
        let expected = [
            "everything is served",
            "text-embedding-3-large is not served",
            "gpt-4o, text-embedding-3-large are not served",
        ];
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn styles_are_around_the_words_that_they_are_of() {
        let buffer = still(sample::status(10.0), COLUMNS, COLUMNS);
        let styled = coloured(&buffer);
        assert!(
            styled.starts_with("\x1b[1mtokenweir 0.1.0\x1b[0m  "),
            "{styled:?}"
        );
        assert_eq!(
            anstream::adapter::strip_str(&styled).to_string(),
            text(&buffer)
        );
    }
}
