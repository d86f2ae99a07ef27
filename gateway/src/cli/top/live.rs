//! The picture on a terminal: keys, signals and answers, whichever comes first, and a frame after each. However it ends,
//! also by a panic, the terminal is left as it was found.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use http::Method;
use ratatui::{
    DefaultTerminal,
    crossterm::{
        event::{self, Event, KeyEvent},
        style::Colored,
    },
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
};

use super::{
    PERIOD,
    keys::{Order, Rows, Screen, Wish},
    look,
    model::History,
    view::{Form, Lost, Picture},
};
use crate::{
    cli::{
        ask::Gateway,
        endpoint::{path, verb},
        shown::Status,
    },
    clock,
};

/// Keys that may wait while a frame is drawn.
const KEYS_MAX: usize = 64;

/// What came back from the gateway.
enum News {
    Looked(anyhow::Result<Box<Status>>),
    Switched(Order, anyhow::Result<()>),
}

/// Until a key or a signal ends it.
///
/// # Errors
/// The terminal cannot be used, or is gone.
pub(super) async fn watch(gateway: Gateway) -> anyhow::Result<()> {
    let mut stop = Stop::new()?;
    let mut live = Live::new(Arc::new(gateway));
    // Before the terminal is touched, so that it is also put back if that goes wrong halfway.
    let _put_back = PutBack;
    let mut terminal = ratatui::try_init().context("cannot use this terminal")?;
    let mut keys = read_keys();
    live.look(Duration::ZERO);
    loop {
        live.draw(&mut terminal)?;
        tokio::select! {
            event = keys.recv() => match event {
                Some(Event::Key(key)) => match live.press(key) {
                    Some(Wish::Quit) => return Ok(()),
                    Some(Wish::Switch(order)) => live.switch(order),
                    None => {}
                },
                // It has another size now, and is drawn anew in any case.
                Some(_) => {}
                None => bail!("the terminal is gone"),
            },
            Some(news) = live.work.join_next() => live.hear(news?),
            () = stop.asked() => return Ok(()),
        }
    }
}

/// Puts the terminal back when it is dropped. A panic does so before it says what went wrong, by ratatui's hook.
struct PutBack;

impl Drop for PutBack {
    fn drop(&mut self) {
        let _ = ratatui::try_restore();
    }
}

/// Keys are waited for by a thread of their own: it ends with the process.
fn read_keys() -> mpsc::Receiver<Event> {
    let (sender, keys) = mpsc::channel(KEYS_MAX);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    keys
}

/// What is known of the gateway, what is shown of it, and what it is being asked.
struct Live {
    gateway: Arc<Gateway>,
    history: History,
    screen: Screen,
    lost: Option<Lost>,
    notice: Option<String>,
    /// When it answered last, seconds since 1970; at first when this began.
    answered: f64,
    work: JoinSet<News>,
}

impl Live {
    fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            gateway,
            history: History::default(),
            screen: Screen::default(),
            lost: None,
            notice: None,
            answered: clock::unix_now().as_secs_f64(),
            work: JoinSet::new(),
        }
    }

    fn look(&mut self, after: Duration) {
        let gateway = Arc::clone(&self.gateway);
        self.work.spawn(async move {
            tokio::time::sleep(after).await;
            News::Looked(look(&gateway).await.map(Box::new))
        });
    }

    fn switch(&mut self, order: Order) {
        let gateway = Arc::clone(&self.gateway);
        self.notice = Some(format!("{} {} ...", verb(order.to), order.endpoint));
        self.work.spawn(async move {
            let path = path(&order.endpoint, order.to);
            let done = gateway.ask(Method::POST, &path, Vec::new()).await;
            News::Switched(order, done.map(|_| ()))
        });
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Looked(Ok(status)) => {
                self.answered = clock::unix_now().as_secs_f64();
                self.lost = None;
                self.history.add(*status);
                self.look(PERIOD);
            }
            News::Looked(Err(error)) => {
                self.lost = Some(Lost {
                    since: self.answered,
                    reason: format!("{error:#}"),
                });
                self.look(PERIOD);
            }
            News::Switched(order, Ok(())) => {
                self.notice = Some(format!("{} is {}", order.endpoint, order.to.as_str()));
            }
            News::Switched(order, Err(error)) => {
                let verb = verb(order.to);
                self.notice = Some(format!("cannot {verb} {}: {error:#}", order.endpoint));
            }
        }
    }

    fn press(&mut self, key: KeyEvent) -> Option<Wish> {
        self.notice = None;
        let board = self.history.board();
        let board = board.map(|board| self.screen.narrow(board));
        let rows = board.as_ref().map(Rows::of).unwrap_or_default();
        drop(board);
        self.screen.press(key, &rows)
    }

    fn draw(&self, terminal: &mut DefaultTerminal) -> anyhow::Result<()> {
        let board = self.history.board();
        let board = board.map(|board| self.screen.narrow(board));
        let picture = Picture {
            board: board.as_ref(),
            screen: &self.screen,
            lost: self.lost.as_ref(),
            notice: self.notice.as_deref(),
            // Reads NO_COLOR.
            has_colours: !Colored::ansi_color_disabled_memoized(),
            form: Form::Live,
        };
        terminal
            .draw(|frame| frame.render_widget(&picture, frame.area()))
            .context("cannot draw")?;
        Ok(())
    }
}

/// The signals that end a program that is watched.
struct Stop([Signal; 3]);

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self([
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::interrupt())?,
        ]))
    }

    async fn asked(&mut self) {
        let [terminate, hangup, interrupt] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
