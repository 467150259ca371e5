//! The children over the time, drawn.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use prefork_core::simulate::PoolSample;

/// How high a drawing in the terminal is, and in steps of an eighth of a line.
const LINES: u32 = 8;
const STEPS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How large an SVG is, with a margin for what is written beside it.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 48.0;

/// Draws it with characters: a column for each sample, as high as there were children.
pub(super) fn terminal(samples: &[PoolSample], length: Duration) -> impl fmt::Display {
    let top = samples.iter().map(|sample| sample.children).max().unwrap_or(0).max(1);
    let mut drawing = String::from("children\n");
    for line in (0..LINES).rev() {
        let label = if line == LINES - 1 { top.to_string() } else { String::new() };
        let _ = write!(drawing, "{label:>6} ");
        for sample in samples {
            let height = u64::from(sample.children) * u64::from(LINES) * 8 / u64::from(top);
            let step = height.saturating_sub(u64::from(line) * 8).min(8);
            drawing.push(STEPS[usize::try_from(step).unwrap_or(0)]);
        }
        let kept = drawing.trim_end_matches(' ').len();
        drawing.truncate(kept);
        drawing.push('\n');
    }
    let columns = samples.len().saturating_sub(2);
    let end = hours(length);
    let _ = writeln!(drawing, "{:>6} 0{end:>columns$}", "");
    drawing
}

/// Draws it as a picture, with those at work below all that there were.
pub(super) fn svg(samples: &[PoolSample], length: Duration) -> String {
    let top = f64::from(samples.iter().map(|sample| sample.children).max().unwrap_or(0).max(1));
    let whole = length.as_secs_f64().max(1.0);
    let area = |of: fn(&PoolSample) -> u32, class: &str| {
        let mut points = format!("{MARGIN},{:.1}", HEIGHT - MARGIN);
        for sample in samples {
            let x = (WIDTH - 2.0 * MARGIN).mul_add(sample.at.as_secs_f64() / whole, MARGIN);
            let y = HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * f64::from(of(sample)) / top;
            let _ = write!(points, " {x:.1},{y:.1}");
        }
        let last = samples.last().map_or(0.0, |sample| sample.at.as_secs_f64() / whole);
        let x = (WIDTH - 2.0 * MARGIN).mul_add(last, MARGIN);
        format!("<polygon class=\"{class}\" points=\"{points} {x:.1},{:.1}\"/>\n", HEIGHT - MARGIN)
    };
    let (right, bottom) = (WIDTH - MARGIN, HEIGHT - MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
         <title>Children over the time</title>\n\
         <style>text{{font:12px sans-serif;fill:#555}}.all{{fill:#9ecae1}}.work{{fill:#3182bd}}line{{stroke:#999}}</style>\n\
         {}{}<line x1=\"{MARGIN}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>\n\
         <text x=\"{MARGIN}\" y=\"{}\">0</text><text x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
         <text x=\"8\" y=\"{MARGIN}\">{top}</text>\n\
         <text x=\"{MARGIN}\" y=\"20\">children: all (light), at work (dark)</text>\n</svg>\n",
        area(|sample| sample.children, "all"),
        area(|sample| sample.at_work, "work"),
        bottom + 18.0,
        bottom + 18.0,
        hours(length),
    )
}

fn hours(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use prefork_core::{
        ScalingPolicy,
        simulate::{Traffic, World},
    };

    use super::*;

    fn samples() -> Vec<PoolSample> {
        let crowd = Traffic::burst(40, Duration::from_secs(10)).later(Duration::from_secs(30));
        let mut world = World::new(&crowd);
        world.sample_every(Duration::from_secs(2));
        world.run(&ScalingPolicy::new(3, 64)).samples
    }

    #[test]
    fn a_crowd_is_a_hill() {
        let drawn = terminal(&samples(), Duration::from_secs(90)).to_string();
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 10, "{drawn}");
        assert!(lines[1].trim_start().starts_with("41") && lines[1].contains('█'), "{drawn}");
        assert!(lines[8].matches('█').count() < 40, "{drawn}");
        assert!(lines[9].ends_with("90 s"), "{drawn}");
    }

    #[test]
    fn a_picture_has_both_areas() {
        let drawn = svg(&samples(), Duration::from_secs(90));
        assert_eq!(drawn.matches("<polygon").count(), 2);
        assert!(drawn.ends_with("</svg>\n") && drawn.contains(">41</text>"), "{drawn}");
    }
}
