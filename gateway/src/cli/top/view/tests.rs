use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{
        KeyCode::{self, Char, Down, End, Enter, Tab},
        KeyEvent,
    },
    style::Color,
};

use super::{Form, Lost, Picture};
use crate::cli::top::{
    keys::{Rows, Screen},
    model::History,
    printed::text,
    sample,
};

const NOW: f64 = 3_601.0;

fn history() -> History {
    let mut history = History::default();
    for now in [NOW - 1.0, NOW] {
        history.add(serde_json::from_value(sample::status(now)).unwrap());
    }
    history
}

/// What is on a terminal after some keys.
struct Case<'a> {
    history: History,
    size: (u16, u16),
    keys: &'a [KeyCode],
    lost: Option<Lost>,
    has_colours: bool,
}

impl Case<'_> {
    fn of(size: (u16, u16)) -> Self {
        Self {
            history: history(),
            size,
            keys: &[],
            lost: None,
            has_colours: true,
        }
    }

    fn draw(&self) -> Terminal<TestBackend> {
        let mut screen = Screen::default();
        for key in self.keys {
            let board = self.history.board().map(|board| screen.narrow(board));
            let rows = board.as_ref().map(Rows::of).unwrap_or_default();
            drop(board);
            screen.press(KeyEvent::from(*key), &rows);
        }
        let (width, height) = self.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let board = self.history.board().map(|board| screen.narrow(board));
        let picture = Picture {
            board: board.as_ref(),
            screen: &screen,
            lost: self.lost.as_ref(),
            notice: None,
            has_colours: self.has_colours,
            form: Form::Live,
        };
        let drawn = terminal.draw(|frame| frame.render_widget(&picture, frame.area()));
        drawn.unwrap();
        terminal
    }

    fn text(&self) -> String {
        text(self.draw().backend().buffer())
    }
}

#[test]
fn a_common_terminal_shows_what_matters() {
    let expected = "\
tokenweir 0.1.0  ready  up 60m  config 0123456789ab
10 requests/s  0% errors  1k tokens/s  8 in flight
 Deployments  Clients
PRI ENDPOINT      STATE        REASON         BUSY REQ/S FAIL/S TOK/S FIRST UTIL
gpt-4o  1 of 3 usable  10 requests/s  round_robin
  1 aoi-1         ● healthy    -                 2    10      1    1k 320ms  73%
  1 aoi-2         ▲ throttling throttled 7s      2     0      0     0 320ms    -
  2 openai-spare  ○ disabled   drained           2     0      0     0 320ms    -
text-embedding-3-large  1 of 1 usable  0 requests/s  random
  1 aoi-2         ◐ recovering -                 2     0      0     0 320ms    -
";
    let text = Case::of((80, 24)).text();
    assert!(text.starts_with(expected), "{text}");
    let last = text.lines().last();
    assert_eq!(text.lines().count(), 24);
    assert!(
        last.is_some_and(|keys| keys.starts_with("q quit  ? help")),
        "{text}"
    );
}

#[test]
fn a_small_terminal_keeps_names_states_and_failures() {
    let expected = "\
tokenweir 0.1.0  ready  up 60m
10 requests/s  0% errors  1k tokens/s
 Deployments  Clients
ENDPOINT      STATE        REQ/S FAIL/S
gpt-4o  1 of 3 usable  10 requests/s
aoi-1         ● healthy       10      1
aoi-2         ▲ throttling     0      0
openai-spare  ○ disabled       0      0
text-embedding-3-large  1 of 1 usable
aoi-2         ◐ recovering     0      0

q quit  ? help  enter details
";
    assert_eq!(Case::of((40, 12)).text(), expected);
}

#[test]
fn no_size_and_no_key_is_too_much() {
    let keys = [
        &[][..],
        &[Tab],
        &[Enter],
        &[Char('?')],
        &[Char('d')],
        &[Char('/'), Char('x'), Char('y')],
    ];
    for keys in keys {
        for size in [
            (0, 0),
            (1, 1),
            (1, 40),
            (7, 3),
            (20, 5),
            (300, 2),
            (300, 100),
        ] {
            Case {
                keys,
                ..Case::of(size)
            }
            .draw();
        }
        let history = History::default();
        Case {
            keys,
            history,
            ..Case::of((80, 24))
        }
        .draw();
    }
}

#[test]
fn the_chosen_row_is_seen_where_rows_do_not_fit() {
    let keys = &[End];
    let text = Case {
        keys,
        ..Case::of((40, 7))
    }
    .text();
    assert!(
        text.contains("recovering") && !text.contains("aoi-1"),
        "{text}"
    );
}

#[test]
fn details_show_the_last_errors_first() {
    let expected = "\
gpt-4o on aoi-2
state       ▲ throttling, throttled, since 00:59:58 UTC, 7s left
last errors 00:59:58 UTC  3s ago  throttled  429  wait 10s
            00:58:58 UTC  63s ago  timeout
endpoint    enabled, azure, https://aoi-2.example
deployment  gpt-4o, swedencentral
";
    let keys = &[Down, Enter];
    let text = Case {
        keys,
        ..Case::of((80, 24))
    }
    .text();
    assert!(text.contains(expected), "{text}");
}

#[test]
fn clients_have_their_own_table() {
    let expected = "\
CLIENT          TOK/S  REQ/S REQUESTS  PROMPT COMPLETION           COST
team-busy          1k     10      36k    2.2M       1.4M              -
team-idle           0      0        7      5M         10      12.50 USD
";
    let keys = &[Tab];
    let text = Case {
        keys,
        ..Case::of((80, 24))
    }
    .text();
    assert!(text.contains(expected), "{text}");
}

#[test]
fn the_question_says_what_would_be_left() {
    for (keys, said) in [
        (
            &[Char('d')][..],
            "disable aoi-1? 2 in flight. Nobody else can serve gpt-4o now! y: yes",
        ),
        (
            &[Down, Down, Char('r')],
            "drain openai-spare? 2 in flight. y: yes",
        ),
        (&[Char('e')], "enable aoi-1? y: yes"),
    ] {
        let text = Case {
            keys,
            ..Case::of((80, 24))
        }
        .text();
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn a_lost_gateway_and_a_refused_reload_are_said_above_the_last_rows() {
    let mut value = sample::status(NOW);
    value["config"]["last_reload"] = serde_json::json!(
        { "at": NOW, "ok": false, "error": "pools: one is wrong", "changes": [] }
    );
    let mut case = Case::of((80, 24));
    case.history.add(serde_json::from_value(value).unwrap());
    case.lost = Some(Lost {
        since: NOW,
        reason: "nothing within 5 s".to_owned(),
    });
    let text = case.text();
    for said in [
        "\nno answer since 01:00:01 UTC: nothing within 5 s\n",
        "\nreload refused at 01:00:01 UTC: pools: one is wrong\n",
        "throttled 7s",
    ] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
}

#[test]
fn without_colours_nothing_is_coloured_and_nothing_else_changes() {
    let colours = |has_colours| {
        let case = Case {
            has_colours,
            ..Case::of((80, 24))
        };
        let terminal = case.draw();
        let cells = &terminal.backend().buffer().content;
        let coloured = cells.iter().filter(|cell| cell.fg != Color::Reset);
        (coloured.count(), case.text())
    };
    let (with, without) = (colours(true), colours(false));
    assert!(with.0 > 0 && without.0 == 0, "{} and {}", with.0, without.0);
    assert_eq!(with.1, without.1);
}
