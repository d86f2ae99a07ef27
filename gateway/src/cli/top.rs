//! `tokenweir top`: what the running gateway does, drawn anew every second, until a key or a signal ends it. Without a
//! terminal it is one picture in plain text. However it ends, the terminal is left as it was found.

mod gateway;
mod keys;
mod live;
mod model;
#[cfg(test)]
mod sample;
mod view;

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;
use ratatui::{buffer::Buffer, layout::Rect, widgets::Widget as _};
use reqwest::Url;

use self::{gateway::Gateway, keys::Screen, model::History, view::Picture};
use super::{ask::Socket, print};
use crate::{auth::files, config::load::SECRET_BYTES_MAX, secret::Secret};

/// From an answer to the next question.
const PERIOD: Duration = Duration::from_secs(1);
/// Of plain text: whoever reads it is no terminal, so there is room for every column.
const PLAIN_COLUMNS: u16 = 200;

#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    socket: Socket,

    /// The gateway's `admin.address`, where its socket is out of reach, as http://127.0.0.1:9090
    #[arg(long, value_name = "URL", value_parser = listener, conflicts_with = "socket")]
    url: Option<Url>,

    /// A file with the `admin.token`, without which a listener may not let anybody read or switch
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,

    /// Print one picture as plain text, after a second; that is also what happens without a terminal
    #[arg(long)]
    once: bool,
}

fn listener(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(_) => Err("it must begin with http:// or https://".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// # Errors
/// The terminal cannot be used, or with `--once`: the gateway does not answer.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        let gateway = find(options).await?;
        if options.once || !std::io::stdout().is_terminal() {
            print(&once(&gateway).await?);
        } else {
            live::watch(gateway).await?;
        }
        Ok(ExitCode::SUCCESS)
    });
    // Whoever leaves does not wait for a name server that is being asked.
    runtime.shutdown_background();
    done
}

async fn find(options: &Options) -> anyhow::Result<Gateway> {
    let Some(url) = &options.url else {
        return Ok(Gateway::Socket(options.socket.socket.clone()));
    };
    let token = match &options.token_file {
        None => None,
        Some(path) => {
            let bytes = files::read_limited(path, SECRET_BYTES_MAX)
                .await
                .with_context(|| format!("--token-file {}", path.display()))?;
            let text = String::from_utf8(bytes).context("--token-file holds no text")?;
            Some(Secret::new(text.trim_end_matches(['\n', '\r']).to_owned()))
        }
    };
    Ok(Gateway::Listener {
        url: url.clone(),
        token,
    })
}

/// Two looks, so that there are rates.
async fn once(gateway: &Gateway) -> anyhow::Result<String> {
    let mut history = History::default();
    history.add(gateway.status().await?);
    tokio::time::sleep(PERIOD).await;
    history.add(gateway.status().await?);
    Ok(plain(&history))
}

fn plain(history: &History) -> String {
    let board = history.board();
    let members = board.iter().flat_map(|board| board.members()).count();
    // A model has a line, too, and there are some above all of them.
    let rows = u16::try_from(2 * members + 16).unwrap_or(u16::MAX);
    let area = Rect::new(0, 0, PLAIN_COLUMNS, rows);
    let mut buffer = Buffer::empty(area);
    let picture = Picture {
        board: board.as_ref(),
        screen: &Screen::default(),
        lost: None,
        notice: None,
        has_colours: false,
        takes_keys: false,
    };
    picture.render(area, &mut buffer);
    text(&buffer)
}

/// What is drawn, without its styles and what is empty on the right and below.
fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in buffer.content.chunks(usize::from(buffer.area.width).max(1)) {
        let line: String = row.iter().map(|cell| cell.symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::{History, plain, sample};

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
}
