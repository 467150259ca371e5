//! The plot: horizontal bars, the shorter the better.

use std::{error::Error, path::Path};

use plotters::{
    backend::SVGBackend,
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    element::{PathElement, Rectangle, Text},
    style::{
        Color, IntoFont, RGBColor, WHITE,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::{measure::Row, peer::Peer};

const WIDTH: u32 = 1040;
const BAR: i32 = 22;
const STEP: i32 = 32;
const TOP: i32 = 78;
/// Where names end and bars begin, and how long the longest bar is.
const LEFT: i32 = 176;
const LONGEST: f64 = 250.0;
const PANEL: i32 = 520;

const OURS: RGBColor = RGBColor(0xc2, 0x41, 0x0c);
const OTHERS: RGBColor = RGBColor(0x94, 0xa3, 0xb8);
const INK: RGBColor = RGBColor(0x1e, 0x29, 0x3b);
const FAINT: RGBColor = RGBColor(0x64, 0x74, 0x8b);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws CPU per request and the burst into this file.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn draw(rows: &[Row], path: &Path) -> Result<(), Box<dyn Error>> {
    let cpu: Vec<_> =
        rows.iter().filter_map(|row| Some((row.peer, row.cpu.as_ref().ok()?.ratio[1]))).collect();
    let burst: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row.peer, *row.burst.as_ref().ok()? / 1000.0)))
        .collect();
    let most = i32::try_from(cpu.len().max(burst.len()))?;
    let height = u32::try_from(TOP + STEP * most + 16)?;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let how = "times that of a bare fork loop; 4 workers, 8 clients";
    panel(&area, 0, ("CPU per request", how), cpu, |value| format!("{value:.2}"))?;
    let how = "100 clients at once, 1 s of work each, from 3 workers";
    panel(&area, PANEL, ("Burst", how), burst, |value| format!("{value:.1} s"))?;
    area.present()?;
    Ok(())
}

fn panel(
    area: &Area<'_>,
    x: i32,
    (title, how): (&str, &str),
    mut bars: Vec<(Peer, f64)>,
    show: impl Fn(f64) -> String,
) -> Result<(), Box<dyn Error>> {
    bars.sort_by(|a, b| a.1.total_cmp(&b.1));
    let longest = bars.last().map_or(1.0, |(_, value)| *value);
    text(area, title, (x + 20, 26), (19, INK), HPos::Left)?;
    text(area, how, (x + 20, 50), (13, FAINT), HPos::Left)?;
    let mut top = TOP;
    for (peer, value) in &bars {
        let color = if *peer == Peer::Hello { OURS } else { OTHERS };
        let ink = if *peer == Peer::Hello { OURS } else { INK };
        #[expect(clippy::cast_possible_truncation, reason = "at most the longest bar")]
        let end = x + LEFT + (value / longest * LONGEST).max(1.0) as i32;
        area.draw(&Rectangle::new([(x + LEFT, top), (end, top + BAR)], color.filled()))?;
        let middle = top + BAR / 2;
        text(area, peer.name(), (x + LEFT - 10, middle), (14, ink), HPos::Right)?;
        text(area, &show(*value), (end + 8, middle), (14, ink), HPos::Left)?;
        top += STEP;
    }
    let axis = vec![(x + LEFT, TOP - 6), (x + LEFT, top - STEP + BAR + 6)];
    area.draw(&PathElement::new(axis, FAINT))?;
    Ok(())
}

fn text(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    (size, color): (i32, RGBColor),
    align: HPos,
) -> Result<(), Box<dyn Error>> {
    let style = ("sans-serif", size).into_font().color(&color).pos(Pos::new(align, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}
