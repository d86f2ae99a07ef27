//! The two tables: which columns there is room for, how wide they are, and which rows are seen.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Modifier,
    text::{Line, Span},
};

use super::{
    Form, Picture, Tone, pool, put, take_top,
    words::{count, millis, percent, rate, shortened, span},
};
use crate::cli::top::model::{Board, ClientRow, Member, PoolRow};

/// A text and what it means; `None` is an empty cell.
type Cell = Option<(Tone, String)>;

struct Column<R> {
    title: &'static str,
    /// Never narrower.
    least: u16,
    /// Never wider; where this is more than `least`, as wide as its cells.
    most: u16,
    /// The least important goes first where there is no room for all.
    importance: u8,
    is_number: bool,
    cell: fn(&R) -> Cell,
}

/// A column of the table that is drawn.
struct Placed<'a, R> {
    column: &'a Column<R>,
    width: u16,
}

const fn number<R>(
    title: &'static str,
    width: u16,
    importance: u8,
    cell: fn(&R) -> Cell,
) -> Column<R> {
    Column {
        title,
        least: width,
        most: width,
        importance,
        is_number: true,
        cell,
    }
}

const fn text<R>(
    title: &'static str,
    (least, most): (u16, u16),
    importance: u8,
    cell: fn(&R) -> Cell,
) -> Column<R> {
    Column {
        title,
        least,
        most,
        importance,
        is_number: false,
        cell,
    }
}

fn plain(text: String) -> Cell {
    Some((Tone::Plain, text))
}

fn failures(per_second: Option<f64>) -> Cell {
    let tone = match per_second {
        Some(rate) if rate > 0.0 => Tone::Bad,
        Some(_) | None => Tone::Plain,
    };
    Some((tone, rate(per_second)))
}

fn deployment_columns<'a>() -> [Column<Member<'a>>; 14] {
    [
        number("PRI", 3, 7, priority),
        text("ENDPOINT", (13, 64), 14, endpoint),
        text("REGION", (6, 20), 1, region),
        text("DEPLOYMENT", (10, 40), 2, deployment),
        text("STATE", (12, 12), 13, state),
        text("REASON", (14, 14), 10, reason),
        number("BUSY", 4, 8, busy),
        number("REQ/S", 5, 12, |row| plain(rate(row.rates.requests))),
        number("FAIL/S", 6, 11, |row| failures(row.rates.failed)),
        number("TOK/S", 5, 9, |row| plain(rate(row.rates.tokens))),
        number("FIRST", 5, 6, |row| {
            row.deployment
                .latency_ms
                .first_byte
                .map(millis)
                .and_then(plain)
        }),
        number("UTIL", 4, 5, utilization),
        text("LEFT req/tok", (12, 12), 4, left),
        text("LAST ERROR, AGE", (17, 40), 3, last_error),
    ]
}

/// Where there are no rates. All but the least important fit into 80 characters.
fn still_columns<'a>() -> [Column<Member<'a>>; 10] {
    [
        number("PRI", 3, 6, priority),
        text("ENDPOINT", (10, 64), 10, endpoint),
        text("REGION", (6, 20), 1, region),
        text("DEPLOYMENT", (10, 40), 2, deployment),
        text("STATE", (12, 12), 9, state),
        text("REASON", (14, 20), 8, reason),
        number("BUSY", 4, 5, busy),
        number("UTIL", 4, 3, utilization),
        text("LEFT req/tok", (12, 12), 4, left),
        text("LAST ERROR, AGE", (15, 40), 7, last_error),
    ]
}

fn priority(row: &Member<'_>) -> Cell {
    Some((Tone::Faint, row.deployment.priority.to_string()))
}

fn endpoint(row: &Member<'_>) -> Cell {
    plain(row.deployment.endpoint.clone())
}

fn region(row: &Member<'_>) -> Cell {
    row.deployment.region.clone().and_then(plain)
}

fn deployment(row: &Member<'_>) -> Cell {
    let name = &row.deployment.deployment;
    (*name != row.pool.model).then(|| (Tone::Plain, name.clone()))
}

fn state(row: &Member<'_>) -> Cell {
    let state = row.deployment.state;
    let (symbol, tone) = state.symbol();
    Some((tone, format!("{symbol} {}", state.word())))
}

fn busy(row: &Member<'_>) -> Cell {
    plain(count(row.deployment.in_flight.into()))
}

fn utilization(row: &Member<'_>) -> Cell {
    let used = row.deployment.utilization?;
    let tone = if used >= 1.0 {
        Tone::Doubtful
    } else {
        Tone::Plain
    };
    Some((tone, percent(used)))
}

fn left(row: &Member<'_>) -> Cell {
    let quota = &row.deployment.quota;
    let is_known = quota.requests.is_some() || quota.tokens.is_some();
    is_known.then(|| {
        (
            Tone::Plain,
            format!("{}/{}", rate(quota.requests), rate(quota.tokens)),
        )
    })
}

fn reason(row: &Member<'_>) -> Cell {
    // The state's own word stands beside it.
    let reason = row.deployment.reason.as_deref().map(|reason| match reason {
        "disabled by operator" => "by operator",
        "drained by operator" => "drained",
        other => other,
    });
    let left = row.deployment.seconds_left.map(|left| span(left.ceil()));
    let parts: Vec<&str> = reason.into_iter().chain(left.as_deref()).collect();
    (!parts.is_empty()).then(|| (Tone::Plain, parts.join(" ")))
}

fn last_error(row: &Member<'_>) -> Cell {
    let error = row.deployment.last_errors.first()?;
    let status = error.status.map(|status| format!("{status} "));
    let age = row.error_age.map(span).unwrap_or_default();
    Some((
        Tone::Faint,
        format!("{}{} {age}", status.unwrap_or_default(), error.cause),
    ))
}

fn client_columns<'a>() -> [Column<ClientRow<'a>>; 7] {
    [
        text("CLIENT", (14, 64), 7, |row| plain(row.client.name.clone())),
        number("TOK/S", 6, 6, |row| plain(rate(row.rates.tokens))),
        number("REQ/S", 6, 5, |row| plain(rate(row.rates.requests))),
        number("REQUESTS", 8, 3, |row| plain(count(row.client.requests))),
        number("PROMPT", 7, 1, |row| plain(count(row.client.prompt_tokens))),
        number("COMPLETION", 10, 2, |row| {
            plain(count(row.client.completion_tokens))
        }),
        number("COST", 14, 4, |row| {
            let cost = row.client.cost?;
            plain(format!("{cost:.2} {}", row.currency))
        }),
    ]
}

enum Row<'a> {
    Pool(&'a PoolRow<'a>),
    Member(&'a Member<'a>),
}

pub(super) fn deployments(
    picture: &Picture<'_>,
    board: &Board<'_>,
    selected: usize,
    mut area: Rect,
    buffer: &mut Buffer,
) {
    let members: Vec<_> = board.members().collect();
    let (live, still) = (deployment_columns(), still_columns());
    let table = match picture.form {
        Form::Live | Form::Printed => placed(&live, &members, area.width, area.width),
        Form::Still { columns } => placed(&still, &members, columns, area.width),
    };
    head(picture, &table, take_top(&mut area, 1), buffer);
    if members.is_empty() {
        return put(&nothing(picture), area, buffer);
    }
    let rows: Vec<Row<'_>> = board
        .pools
        .iter()
        .flat_map(|pool| {
            let members = pool.members.iter().map(Row::Member);
            std::iter::once(Row::Pool(pool)).chain(members)
        })
        .collect();
    let is_chosen =
        |member: &Member<'_>| picture.form == Form::Live && std::ptr::eq(member, members[selected]);
    let chosen = rows
        .iter()
        .position(|row| matches!(row, Row::Member(member) if is_chosen(member)));
    let first = first_row(chosen.unwrap_or_default(), rows.len(), area.height.into());
    for (place, row) in area.rows().zip(&rows[first..]) {
        match row {
            Row::Pool(row) => put(&picture.parts(place.width, &pool(row)), place, buffer),
            Row::Member(member) => {
                cells(picture, &table, member, place, buffer);
                if is_chosen(member) {
                    buffer.set_style(place, Modifier::REVERSED);
                }
            }
        }
    }
}

pub(super) fn clients(
    picture: &Picture<'_>,
    board: &Board<'_>,
    mut area: Rect,
    buffer: &mut Buffer,
) {
    let columns = client_columns();
    let rows: Vec<_> = board.clients.iter().collect();
    let table = placed(&columns, &rows, area.width, area.width);
    head(picture, &table, take_top(&mut area, 1), buffer);
    if rows.is_empty() {
        return put(&nothing(picture), area, buffer);
    }
    let first = picture.screen.first_client.min(rows.len() - 1);
    for (place, row) in area.rows().zip(&rows[first..]) {
        cells(picture, &table, row, place, buffer);
    }
}

fn nothing(picture: &Picture<'_>) -> Line<'static> {
    let screen = picture.screen;
    Line::raw(match (screen.only_trouble, screen.filter.is_empty()) {
        (true, true) => "no trouble",
        (_, false) => "nothing fits the filter",
        (false, true) => "none yet",
    })
}

/// The rows that are seen have the chosen one in their middle, as far as that leaves none empty.
fn first_row(chosen: usize, rows: usize, height: usize) -> usize {
    chosen
        .saturating_sub(height / 2)
        .min(rows.saturating_sub(height))
}

/// The most important columns that fit into `room` with their least widths; then those of texts grow, up to `width`.
fn placed<'a, R>(
    columns: &'a [Column<R>],
    rows: &[&R],
    room: u16,
    width: u16,
) -> Vec<Placed<'a, R>> {
    let cell_width = |column: &Column<R>, row: &R| {
        (column.cell)(row)
            .map(|(_, text)| u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX))
    };
    let mut kept: Vec<Placed<'_, R>> = columns
        .iter()
        .filter(|column| rows.is_empty() || rows.iter().any(|row| (column.cell)(row).is_some()))
        .map(|column| Placed {
            column,
            width: column.least,
        })
        .collect();
    let used = |kept: &[Placed<'_, R>]| {
        let widths: u16 = kept.iter().map(|placed| placed.width + 1).sum();
        widths.saturating_sub(1)
    };
    while kept.len() > 1 && used(&kept) > room {
        let least = kept
            .iter()
            .enumerate()
            .min_by_key(|(_, placed)| placed.column.importance);
        let (index, _) = least.expect("there is more than one");
        kept.remove(index);
    }
    let mut spare = width.saturating_sub(used(&kept));
    for placed in &mut kept {
        let column = placed.column;
        let widest = rows.iter().filter_map(|row| cell_width(column, row)).max();
        let wanted = widest.unwrap_or_default().clamp(column.least, column.most);
        let more = (wanted - column.least).min(spare);
        placed.width += more;
        spare -= more;
    }
    kept
}

fn head<R>(picture: &Picture<'_>, table: &[Placed<'_, R>], area: Rect, buffer: &mut Buffer) {
    draw(table, area, buffer, |column| {
        Span::styled(column.title, picture.style(Tone::Faint))
    });
}

fn cells<R>(
    picture: &Picture<'_>,
    table: &[Placed<'_, R>],
    row: &R,
    area: Rect,
    buffer: &mut Buffer,
) {
    draw(table, area, buffer, |column| {
        let (tone, text) = (column.cell)(row).unwrap_or((Tone::Faint, "-".to_owned()));
        Span::styled(text, picture.style(tone))
    });
}

fn draw<'a, R>(
    table: &[Placed<'_, R>],
    area: Rect,
    buffer: &mut Buffer,
    span: impl Fn(&Column<R>) -> Span<'a>,
) {
    if area.is_empty() {
        return;
    }
    let mut x = area.x;
    for Placed { column, width } in table {
        let width = (*width).min(area.right().saturating_sub(x));
        let span = span(column);
        let shown = Span::styled(shortened(&span.content, width.into()), span.style);
        let needed = u16::try_from(shown.width()).unwrap_or(u16::MAX);
        let indent = if column.is_number {
            width.saturating_sub(needed)
        } else {
            0
        };
        buffer.set_span(x + indent, area.y, &shown, width - indent);
        x += width + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::first_row;

    #[test]
    fn the_chosen_row_is_seen_and_no_row_is_left_empty() {
        for (chosen, rows, height, first) in [
            (0, 5, 10, 0),
            (4, 5, 10, 0),
            (0, 20, 10, 0),
            (10, 20, 10, 5),
            (19, 20, 10, 10),
            (3, 4, 1, 3),
            (3, 4, 0, 3),
        ] {
            assert_eq!(first_row(chosen, rows, height), first, "{chosen} of {rows}");
        }
    }
}
