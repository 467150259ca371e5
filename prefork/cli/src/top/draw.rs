//! Drawing the live view, in a terminal of any size.

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{
        Block, Cell, Clear, Paragraph, RenderDirection, Row as TableRow, Sparkline, SparklineBar,
        Table,
    },
};

use unicode_width::UnicodeWidthStr;

use super::{
    app::{App, Mode, Shown},
    columns::{Align, Column, columns},
    help,
    history::Sample,
    kill::{OFFERED, Target},
    palette::Palette,
    sort::{Key, OWN},
    watched::Tab,
};
use prefork_view::{Row, View, duration};

/// The least height at which there is room for the sparklines, and for the whole footer.
const TALL: u16 = 14;

/// The words in front of a sparkline, with their figure.
const LEGEND: u16 = 12;

/// The least room in the title that is worth shortening a path to.
const SHORTEST_PATH: usize = 12;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, app: &mut App, palette: &Palette) {
    let tall = frame.area().height >= TALL;
    let [title, pools, summary, pool, busy, table, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(if app.tabs().is_empty() { 0 } else { 1 }),
        Constraint::Length(1),
        Constraint::Length(if tall { 2 } else { 0 }),
        Constraint::Length(if tall { 2 } else { 0 }),
        Constraint::Min(2),
        Constraint::Length(if tall { 2 } else { 1 }),
    ])
    .areas(frame.area());
    draw_title(frame, title, app, palette);
    draw_pools(frame, pools, app, palette);
    draw_summary(frame, summary, app, palette);
    if tall {
        let tally = app.view().tally;
        draw_graph(
            frame,
            pool,
            app,
            &Graph {
                name: if app.view().is_of_daemon() { "children" } else { "processes" },
                now: tally.taken(),
                value: |sample| sample.pool,
                style: palette.pool(),
            },
        );
        draw_graph(
            frame,
            busy,
            app,
            &Graph {
                name: "busy",
                now: tally.busy,
                value: |sample| sample.busy,
                style: palette.busy(),
            },
        );
    }
    draw_table(frame, table, app, palette);
    draw_footer(frame, footer, app, palette);
    match app.mode() {
        Mode::Help => draw_help(frame, app.view(), palette),
        Mode::Watch | Mode::Filter | Mode::Ask(_) => {}
    }
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, app: &App, palette: &Palette) {
    let view = app.view();
    let daemon = format!(" {}", view.daemon());
    let paused = if app.is_paused() { "PAUSED  " } else { "" };
    let room = usize::from(area.width).saturating_sub(daemon.width() + paused.width() + 3);
    let path = if room < SHORTEST_PATH { String::new() } else { tail(&view.path, room) };
    sides(frame, area, daemon, [format!("{paused}{path} "), paused.into()], palette.bar());
}

/// All pools in one line, that which is shown marked; it begins where that can be seen.
fn draw_pools(frame: &mut Frame<'_>, area: Rect, app: &App, palette: &Palette) {
    let width = |tab: &Tab| tab.words.width() + 4;
    let tabs = app.tabs();
    let chosen = tabs.iter().position(|tab| tab.is_chosen).unwrap_or(0);
    let mut first = 0;
    while first < chosen
        && tabs[first..=chosen].iter().map(width).sum::<usize>() > usize::from(area.width)
    {
        first += 1;
    }
    let spans = tabs[first..].iter().map(|tab| match tab.is_chosen {
        true => Span::styled(format!(" [{}] ", tab.words), palette.bar()),
        false => Span::raw(format!("  {}  ", tab.words)),
    });
    frame.render_widget(Paragraph::new(Line::from_iter(spans)), area);
}

fn draw_summary(frame: &mut Frame<'_>, area: Rect, app: &App, palette: &Palette) {
    if let Some(trouble) = app.trouble() {
        let since = duration(app.lost_for());
        let text = format!(" gone; waiting for the next daemon ({since}): {trouble}");
        frame.render_widget(Paragraph::new(text).style(palette.trouble()), area);
        return;
    }
    if let Some(news) = app.news() {
        frame.render_widget(Paragraph::new(format!(" {news}")).style(palette.news()), area);
        return;
    }
    let view = app.view();
    let shown = app.filter().words().map(|words| format!("shown: {words}; "));
    let shown = shown.unwrap_or_default();
    let left = format!(" {shown}{}", view.pool());
    let longest = view.longest_request().map_or_else(|| "-".to_owned(), duration);
    let longest = format!("longest {longest} ");
    let rate = app.rate().map_or_else(String::new, |rate| format!("{rate:.0} requests/s  "));
    sides(frame, area, left, [format!("{rate}{longest}"), longest], Style::new());
}

/// Shortens a path to its end, where paths differ.
fn tail(path: &str, room: usize) -> String {
    if path.width() <= room {
        return path.to_owned();
    }
    let mut start = path.len();
    for (place, _) in path.char_indices().rev() {
        if path[place..].width() >= room {
            break;
        }
        start = place;
    }
    format!("\u{2026}{}", &path[start..])
}

/// Writes texts at both ends of a line: of those for the right end, the first for which there is
/// room.
fn sides(
    frame: &mut Frame<'_>,
    area: Rect,
    left: String,
    rights: impl IntoIterator<Item = String>,
    style: Style,
) {
    let left = Line::from(left);
    let room = usize::from(area.width).saturating_sub(left.width());
    frame.render_widget(Paragraph::new(left).style(style), area);
    let right = rights.into_iter().map(Line::from).find(|right| right.width() < room);
    if let Some(right) = right {
        let width = u16::try_from(right.width()).unwrap_or(area.width);
        let place = Rect { x: area.right() - width, width, ..area };
        frame.render_widget(Paragraph::new(right).style(style), place);
    }
}

/// What a sparkline shows.
struct Graph {
    name: &'static str,
    now: usize,
    value: fn(Sample) -> u64,
    style: Style,
}

fn draw_graph(frame: &mut Frame<'_>, area: Rect, app: &App, it: &Graph) {
    let Graph { name, now, value, style } = *it;
    let [legend, graph] =
        Layout::horizontal([Constraint::Length(LEGEND + 2), Constraint::Min(0)]).areas(area);
    let width = usize::from(LEGEND) - name.len();
    let legend_line =
        Line::from(vec![Span::raw(format!(" {name}")), Span::raw(format!("{now:>width$} "))]);
    // Beside the lower line, on which the graph stands.
    let lower = Rect { y: legend.bottom().saturating_sub(1), height: 1, ..legend };
    frame.render_widget(Paragraph::new(legend_line), lower);
    let (samples, largest) = app.history().latest(graph.width.into());
    let bars = samples.into_iter().map(|sample| SparklineBar::from(sample.map(value)));
    let sparkline = Sparkline::default()
        .data(bars)
        .max(largest.max(1))
        .direction(RenderDirection::RightToLeft)
        .absent_value_symbol(" ")
        .style(style);
    frame.render_widget(sparkline, graph);
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, app: &mut App, palette: &Palette) {
    // In line with what stands above and below it.
    let indent = area.width.min(1);
    let area = Rect { x: area.x + indent, width: area.width - indent, ..area };
    let columns = columns(area.width, app.view());
    let sort = app.sort();
    let heading = columns.iter().map(|column| {
        let is_sorted = column.key == sort.key;
        let mark = match (is_sorted, sort.reversed) {
            (false, _) => "",
            (true, false) => "\u{25bc}",
            (true, true) => "\u{25b2}",
        };
        aligned(column, format!("{}{mark}", column.heading))
    });
    let heading = TableRow::new(heading).style(palette.heading());
    let widths: Vec<_> = columns.iter().map(|column| Constraint::Length(column.width)).collect();
    let stale = app.trouble().is_some();
    let Shown { rows, chosen } = app.children(usize::from(area.height.saturating_sub(1)));
    let lines = rows.iter().enumerate().map(|(place, row)| {
        let line = draw_row(row, &columns, palette);
        if chosen == Some(place) { line.style(palette.bar()) } else { line }
    });
    let lines: Vec<_> = lines.collect();
    let style = if stale { palette.faint() } else { Style::new() };
    let table = Table::new(lines, widths).header(heading).column_spacing(1).style(style);
    frame.render_widget(table, area);
}

fn draw_row<'a>(row: &Row, columns: &[Column], palette: &Palette) -> TableRow<'a> {
    TableRow::new(columns.iter().map(|column| {
        let cell = aligned(column, column.text(row));
        match column.key {
            Key::State => cell.style(palette.class(row.class())),
            Key::Slot
            | Key::Pid
            | Key::Generation
            | Key::InHand
            | Key::Queued
            | Key::Requests
            | Key::Age
            | Key::Time
            | Key::Memory
            | Key::Client
            | Key::Label
            | Key::Own(_) => cell,
        }
    }))
}

fn aligned<'a>(column: &Column, text: String) -> Cell<'a> {
    let alignment = match column.align {
        Align::Left => Alignment::Left,
        Align::Right => Alignment::Right,
    };
    Cell::from(Line::from(text).alignment(alignment))
}

fn draw_footer(frame: &mut Frame<'_>, area: Rect, app: &App, palette: &Palette) {
    let first = match app.mode() {
        Mode::Watch | Mode::Help => keys(app, palette),
        Mode::Filter => {
            Line::from(format!(" show those with: {}_   Enter keep   Esc all", app.filter().text()))
        }
        Mode::Ask(target) => question(target, palette),
    };
    let mut sorts = vec![Span::raw(" sort:")];
    for (sort, character, word) in orders(app.view()) {
        let style = if app.sort().key == sort { palette.bar() } else { Style::new() };
        let key = Span::styled(format!(" {character}"), palette.heading());
        sorts.extend([key, Span::raw(" "), Span::styled(word, style)]);
    }
    frame.render_widget(Paragraph::new(vec![first, Line::from(sorts)]), area);
}

/// What the processes of a board can be sorted by: those of its own columns come first.
fn orders(view: &View) -> impl Iterator<Item = (Key, char, String)> {
    let own = view.columns.iter().zip(OWN.chars()).enumerate();
    let own = own
        .map(|(place, (column, character))| (Key::Own(place), character, column.name().to_owned()));
    let common = Key::ALL.into_iter().filter(|key| key.is_of(view));
    own.chain(common.map(|key| {
        let (character, word) = key.name();
        (key, character, word.to_owned())
    }))
}

fn keys(app: &App, palette: &Palette) -> Line<'static> {
    let pause = if app.is_paused() { " go on  " } else { " pause  " };
    let mut spans = Vec::new();
    for (name, what) in [
        ("q", " quit  "),
        ("space", pause),
        ("/", " filter  "),
        ("i", " idle  "),
        ("k", " signal  "),
        ("\u{2191}\u{2193}", " choose  "),
        ("?", " help"),
    ] {
        spans.extend([Span::styled(format!(" {name}"), palette.heading()), Span::raw(what)]);
    }
    Line::from(spans)
}

/// Asks which signal a child is sent.
fn question(target: &Target, palette: &Palette) -> Line<'static> {
    let Target { pid, slot, .. } = target;
    let mut spans = vec![Span::styled(format!(" child {pid} in slot {slot}:"), palette.news())];
    for (character, _, name, _) in OFFERED {
        let key = Span::styled(format!("  {character}"), palette.heading());
        spans.extend([key, Span::raw(format!(" SIG{name}"))]);
    }
    spans.push(Span::raw("   others none"));
    Line::from(spans)
}

/// Draws all keys over the middle, as far as there is room.
fn draw_help(frame: &mut Frame<'_>, view: &View, palette: &Palette) {
    let lines = help::lines(view);
    let area = frame.area();
    let width = lines.iter().map(|line| line.width()).max().unwrap_or(0) + 2;
    let width = u16::try_from(width).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let (x, y) = ((area.width - width) / 2, (area.height - height) / 2);
    let place = Rect { x: area.x + x, y: area.y + y, width, height };
    let lines: Vec<_> = lines.into_iter().map(Line::from).collect();
    let block = Block::bordered().title(" keys ").title_style(palette.heading());
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

#[cfg(test)]
mod tests;
