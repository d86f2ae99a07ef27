//! What the person in front of the terminal has chosen, and what a key changes about it. Pure: what is to be done
//! outside of the picture is said, not done.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Board, Key};
use crate::policy::reason::Switch;

/// Rows that a page key moves by.
const PAGE: isize = 10;
/// Longest filter: names have no more.
const FILTER_CHARS_MAX: usize = 128;

/// What is shown, and how.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pub(super) tab: Tab,
    pub(super) mode: Mode,
    pub(super) filter: String,
    pub(super) only_trouble: bool,
    selected: Option<Key>,
    /// The first client that is shown.
    pub(super) first_client: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    #[default]
    Deployments,
    Clients,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Browse,
    /// Keys are the filter's.
    Filter,
    Details,
    Help,
    /// Whether it is meant so.
    Confirm(Order),
}

/// A switch to be set, by its endpoint's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) endpoint: String,
    pub(super) to: Switch,
}

/// What a key asks for that the picture cannot do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Switch(Order),
}

/// The rows that are shown.
#[derive(Debug, Default)]
pub(super) struct Rows {
    members: Vec<Key>,
    clients: usize,
}

impl Rows {
    pub(super) fn of(board: &Board<'_>) -> Self {
        Self {
            members: board.members().map(|member| member.key()).collect(),
            clients: board.clients.len(),
        }
    }
}

impl Screen {
    /// Only the rows that are to be shown.
    pub(super) fn narrow<'a>(&self, board: Board<'a>) -> Board<'a> {
        board.narrowed(&self.filter, self.only_trouble)
    }

    /// The chosen row; the first one if it is gone.
    pub(super) fn selected(&self, rows: &Rows) -> usize {
        let same = |key: &Key| Some(key) == self.selected.as_ref();
        rows.members.iter().position(same).unwrap_or_default()
    }

    pub(super) fn press(&mut self, key: KeyEvent, rows: &Rows) -> Option<Wish> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return (key.code == KeyCode::Char('c')).then_some(Wish::Quit);
        }
        match std::mem::take(&mut self.mode) {
            Mode::Browse => self.browse(key.code, rows),
            Mode::Filter => {
                self.edit(key.code);
                None
            }
            Mode::Details => {
                if !closes(key.code) {
                    self.mode = Mode::Details;
                    return self.act(key.code, rows);
                }
                None
            }
            Mode::Help => None,
            Mode::Confirm(order) => {
                let is_meant = matches!(key.code, KeyCode::Char('y' | 'Y'));
                is_meant.then_some(Wish::Switch(order))
            }
        }
    }

    fn browse(&mut self, code: KeyCode, rows: &Rows) -> Option<Wish> {
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Some(Wish::Quit),
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Left | KeyCode::Right => {
                self.tab = match self.tab {
                    Tab::Deployments => Tab::Clients,
                    Tab::Clients => Tab::Deployments,
                };
            }
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('t') => self.only_trouble = !self.only_trouble,
            KeyCode::Enter if self.tab == Tab::Deployments && !rows.members.is_empty() => {
                // The row that is now the chosen one stays so, also where it was chosen by nobody.
                self.go(0, rows);
                self.mode = Mode::Details;
            }
            _ => return self.act(code, rows),
        }
        None
    }

    /// What keys do in the list as well as in the details.
    fn act(&mut self, code: KeyCode, rows: &Rows) -> Option<Wish> {
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.go(-1, rows),
            KeyCode::Down | KeyCode::Char('j') => self.go(1, rows),
            KeyCode::PageUp => self.go(-PAGE, rows),
            KeyCode::PageDown => self.go(PAGE, rows),
            KeyCode::Home | KeyCode::Char('g') => self.go(isize::MIN, rows),
            KeyCode::End | KeyCode::Char('G') => self.go(isize::MAX, rows),
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('d') => self.confirm(Switch::Disabled, rows),
            KeyCode::Char('r') => self.confirm(Switch::Drained, rows),
            KeyCode::Char('e') => self.confirm(Switch::Enabled, rows),
            _ => {}
        }
        None
    }

    fn go(&mut self, by: isize, rows: &Rows) {
        let to = |from: usize, count: usize| {
            let last = count.saturating_sub(1);
            from.saturating_add_signed(by).min(last)
        };
        match self.tab {
            Tab::Deployments => {
                let to = to(self.selected(rows), rows.members.len());
                self.selected = rows.members.get(to).cloned();
            }
            Tab::Clients => self.first_client = to(self.first_client, rows.clients),
        }
    }

    fn confirm(&mut self, to: Switch, rows: &Rows) {
        if self.tab == Tab::Deployments
            && let Some(key) = rows.members.get(self.selected(rows))
        {
            let endpoint = key.endpoint.clone();
            self.mode = Mode::Confirm(Order { endpoint, to });
        }
    }

    fn edit(&mut self, code: KeyCode) {
        self.mode = Mode::Filter;
        match code {
            KeyCode::Enter => self.mode = Mode::Browse,
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::Browse;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(typed) if self.filter.chars().count() < FILTER_CHARS_MAX => {
                self.filter.push(typed);
            }
            _ => {}
        }
    }
}

const fn closes(code: KeyCode) -> bool {
    matches!(code, KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q'))
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyCode::{
        Backspace, Char, Down, End, Enter, Esc, Tab as TabKey,
    };

    use super::*;

    fn rows(endpoints: &[&str]) -> Rows {
        let key = |endpoint: &&str| Key {
            model: "gpt-4o".to_owned(),
            endpoint: (*endpoint).to_owned(),
            deployment: "d".to_owned(),
        };
        Rows {
            members: endpoints.iter().map(key).collect(),
            clients: 3,
        }
    }

    /// Presses the keys one after the other; the last wish.
    fn press(screen: &mut Screen, rows: &Rows, codes: &[KeyCode]) -> Option<Wish> {
        let mut wish = None;
        for code in codes {
            wish = screen.press(KeyEvent::from(*code), rows);
        }
        wish
    }

    fn switch(endpoint: &str, to: Switch) -> Option<Wish> {
        let endpoint = endpoint.to_owned();
        Some(Wish::Switch(Order { endpoint, to }))
    }

    #[test]
    fn a_switch_is_asked_for_only_after_a_yes_and_for_the_chosen_endpoint() {
        for (codes, wish) in [
            (&[Char('d')][..], None),
            (&[Char('d'), Char('y')], switch("a", Switch::Disabled)),
            (&[Char('d'), Char('n')], None),
            (&[Char('d'), Enter], None),
            (&[Char('d'), Char('q')], None),
            (&[Char('d'), Char('n'), Char('y')], None),
            (&[Down, Char('r'), Char('y')], switch("b", Switch::Drained)),
            (
                &[Char('j'), Enter, Char('e'), Char('y')],
                switch("b", Switch::Enabled),
            ),
            (
                &[End, Char('k'), Char('e'), Char('Y')],
                switch("b", Switch::Enabled),
            ),
            (&[TabKey, Char('d'), Char('y')], None),
            (&[Char('/'), Char('d'), Char('y')], None),
        ] {
            let done = press(&mut Screen::default(), &rows(&["a", "b", "c"]), codes);
            assert_eq!(done, wish, "{codes:?}");
        }
        let nothing = press(&mut Screen::default(), &rows(&[]), &[Char('d'), Char('y')]);
        assert_eq!(nothing, None);
    }

    #[test]
    fn quitting_is_for_the_list_and_escape_closes_what_is_over_it() {
        for (codes, quits) in [
            (&[Char('q')][..], true),
            (&[Esc], true),
            (&[Char('?'), Esc], false),
            (&[Char('?'), Esc, Esc], true),
            (&[Enter, Char('q')], false),
            (&[Enter, Esc, Char('q')], true),
            (&[Char('/'), Char('q')], false),
            (&[Char('/'), Char('a'), Esc], false),
            (&[Char('/'), Char('a'), Enter, Esc], true),
        ] {
            let wish = press(&mut Screen::default(), &rows(&["a"]), codes);
            assert_eq!(wish == Some(Wish::Quit), quits, "{codes:?}");
        }
        let interrupt = KeyEvent::new(Char('c'), KeyModifiers::CONTROL);
        for codes in [&[][..], &[Char('/')], &[Char('d')], &[Enter], &[Char('?')]] {
            let mut screen = Screen::default();
            press(&mut screen, &rows(&["a"]), codes);
            let wish = screen.press(interrupt, &rows(&["a"]));
            assert_eq!(wish, Some(Wish::Quit), "{codes:?}");
        }
    }

    #[test]
    fn the_chosen_deployment_stays_chosen_when_others_come_and_go() {
        let mut screen = Screen::default();
        press(
            &mut screen,
            &rows(&["a", "b", "c"]),
            &[Down, Down, Down, Down],
        );
        assert_eq!(screen.selected(&rows(&["a", "b", "c"])), 2);
        assert_eq!(screen.selected(&rows(&["x", "a", "c", "d"])), 2);
        assert_eq!(screen.selected(&rows(&["x"])), 0, "it is gone");
    }

    #[test]
    fn the_filter_takes_every_letter() {
        let mut screen = Screen::default();
        let typed = [Char('/'), Char('t'), Char('q'), Char('x'), Backspace, Enter];
        press(&mut screen, &rows(&["a"]), &typed);
        assert_eq!(
            (screen.filter.as_str(), &screen.mode),
            ("tq", &Mode::Browse)
        );
        assert!(!screen.only_trouble);
        press(&mut screen, &rows(&["a"]), &[Char('t')]);
        assert!(screen.only_trouble);
    }

    #[test]
    fn clients_scroll_to_the_last_one_and_no_further() {
        let mut screen = Screen::default();
        press(&mut screen, &rows(&[]), &[TabKey, Down, Down, Down, Down]);
        assert_eq!(screen.first_client, 2);
    }
}
