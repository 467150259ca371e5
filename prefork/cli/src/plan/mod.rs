//! `prefork plan`: how many children a load takes, by the very supervisor that a daemon has.

mod draw;
mod erlang;
mod traffic;

use std::{fmt::Write, fs, num::ParseFloatError, path::PathBuf, time::Duration};

use clap::{Args, ValueHint};
use prefork::Settings;
use prefork_core::{
    LARGEST_POOL, QueueLimit, ScalingPolicy, in_memory_units,
    simulate::{Report, World},
};

use crate::{amounts::bytes, exit::Exit, failure::Failure, output};
use erlang::Erlang;
use traffic::{Load, ServiceTime};

/// What a child takes to start, unless told: a fork, and a little of one's own.
const START_TIME: Duration = Duration::from_millis(2);

/// Into how many parts the time is divided that is drawn.
const PARTS: u32 = 96;

/// The arguments of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Requests a second, as 200/s, 12000/min or 200; with --day at noon, the busiest time
    #[arg(long, value_parser = rate, required_unless_present = "access_log")]
    rate: Option<f64>,
    /// How long a child is at work on one: p50=20ms,p99=900ms, or the same time for all
    #[arg(long, value_name = "TIME", required_unless_present = "access_log")]
    time: Option<ServiceTime>,
    /// Take the requests of this file, with two numbers in each line, as nginx writes by log_format '$msec $request_time': the
    /// time in seconds at which an answer was complete, and how many seconds that took
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rate", "time", "day", "length"], value_hint = ValueHint::FilePath)]
    access_log: Option<PathBuf>,
    /// For how long
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time, conflicts_with = "day")]
    length: Duration,
    /// For a day that is quiet at midnight, with a fiftieth of the rate, and busiest at noon
    #[arg(long)]
    day: bool,
    /// Children at rest, as prefork of the daemon
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=i64::from(LARGEST_POOL)))]
    prefork: u32,
    /// Children at most, as max_children of the daemon
    #[arg(long, alias = "ceiling", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(LARGEST_POOL)))]
    max_children: u32,
    /// Requests that a child has in hand at once, as concurrency of the daemon
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: u32,
    /// How long a child takes from its fork until it serves, 2ms unless told
    #[arg(long, value_name = "TIME", value_parser = time)]
    start_time: Option<Duration>,
    /// What a child takes of memory, as 40M
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    memory_per_child: Option<u64>,
    /// After how long clients give up
    #[arg(long, value_name = "TIME", value_parser = time)]
    client_timeout: Option<Duration>,
    /// After how long in the queue clients are refused while that stays long, as queue_limit of the daemon
    #[arg(long, value_name = "TIME", value_parser = time)]
    queue_limit: Option<Duration>,
    /// Draw the children over the time into this file, as SVG
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    svg: Option<PathBuf>,
    /// The number by which chance is drawn: equal ones give equal plans
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Prints what comes of the load.
pub(crate) fn run(args: &PlanArgs) -> Result<Exit, Failure> {
    if args.prefork > args.max_children {
        output::warn(&format!(
            "--prefork: must be at most --max-children, {}, not {}",
            args.max_children, args.prefork
        ));
        return Ok(Exit::Usage);
    }
    let load = match Load::of(args) {
        Ok(load) => load,
        Err(problem) => {
            output::warn(&problem);
            return Ok(Exit::Usage);
        }
    };
    let report = simulated(args, &load);
    if let Some(path) = &args.svg {
        let drawing = draw::svg(&report.samples, load.length());
        fs::write(path, drawing)
            .map_err(|source| Failure::NotWritten { path: path.clone(), source })?;
    }
    output::print(&text(args, &load, &report))
}

fn simulated(args: &PlanArgs, load: &Load) -> Report {
    let mut world = World::new(&load.traffic);
    world
        .start_time(args.start_time.unwrap_or(START_TIME))
        .concurrency(args.concurrency)
        .sample_every(load.length() / PARTS);
    if let Some(patience) = args.client_timeout {
        world.patience(patience);
    }
    if let Some(target) = args.queue_limit {
        world.queue_limit(QueueLimit { target, interval: target });
    }
    let mut report = world.run(&ScalingPolicy::new(args.prefork, args.max_children));
    // What is in hand at the end is still answered.
    report.samples.retain(|sample| sample.at < load.length());
    report
}

fn text(args: &PlanArgs, load: &Load, report: &Report) -> String {
    let mut text = format!("{load}\n");
    let mut line = |what: &str, said: String| {
        let _ = writeln!(text, "  {what:16} {said}");
    };
    let [median, p99] = [0.5, 0.99].map(|part| shown(report.waits.quantile(part)));
    let longest = shown(report.waits.longest());
    line("wait for a child", format!("p50 {median}, p99 {p99}, at most {longest}"));
    let samples = &report.samples;
    let mean = |of: fn(&prefork_core::simulate::PoolSample) -> u32| {
        let sum: f64 = samples.iter().map(|sample| f64::from(of(sample))).sum();
        sum / f64::from(u32::try_from(samples.len()).unwrap_or(u32::MAX).max(1))
    };
    let (children, at_work) = (mean(|it| it.children), mean(|it| it.at_work));
    line(
        "children",
        format!(
            "{children:.1} on the average, {at_work:.1} of them at work; {} at most, of {} to {}",
            report.largest, args.prefork, args.max_children
        ),
    );
    if let Some(bytes) = args.memory_per_child {
        let most = bytes.saturating_mul(report.largest.into());
        let all = bytes.saturating_mul(args.max_children.into());
        let [most, all] = [most, all].map(in_memory_units);
        line("memory", format!("{most} at most; {all} if all children were there"));
    }
    line(
        "forks",
        format!("{}, {} of them soon after another child had left", report.forks, report.regrets),
    );
    let late = report.served.saturating_sub(report.in_time);
    line(
        "requests",
        format!(
            "{} answered in time, {late} too late, {} refused, {} gone before, {} not answered by the end",
            report.in_time, report.refused, report.abandoned, report.lost
        ),
    );
    if let Some((rate, time)) = load.constant() {
        let servers = args.max_children.saturating_mul(args.concurrency);
        line("Erlang C", Erlang::new(rate, time, servers).to_string());
    }
    let _ = write!(text, "{}", draw::terminal(samples, load.length()));
    text
}

fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.1} s") }
}

fn rate(text: &str) -> Result<f64, String> {
    let (number, per) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match per.trim() {
        "s" | "sec" | "second" => 1.0,
        "min" | "m" | "minute" => 60.0,
        "h" | "hour" => 3600.0,
        "d" | "day" => 86_400.0,
        _ => {
            return Err("must be a number of requests by /s, /min, /h or /day, as 200/s".to_owned());
        }
    };
    let rate: f64 = number.trim().parse().map_err(|error: ParseFloatError| error.to_string())?;
    let is_sensible = (0.000_01..=1_000_000.0).contains(&(rate / seconds));
    if is_sensible {
        Ok(rate / seconds)
    } else {
        Err("must be above 0, and 1000000/s at most".to_owned())
    }
}

/// Reads a time as all settings have it.
fn time(text: &str) -> Result<Duration, String> {
    let read = Settings::from_flags([("max_lifetime", text)]).max_lifetime;
    let read = read.filter(|time| !time.is_zero());
    read.ok_or_else(|| "must be a time longer than 0, such as 20ms, 5s or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        plan: PlanArgs,
    }

    fn planned(flags: &str) -> (String, Report) {
        let words = ["plan"].into_iter().chain(flags.split_ascii_whitespace());
        let args = Alone::try_parse_from(words).expect("right").plan;
        let load = Load::of(&args).expect("one");
        let report = simulated(&args, &load);
        (text(&args, &load, &report), report)
    }

    #[test]
    fn a_load_that_fits_is_answered_in_time_by_as_many_as_it_takes() {
        let flags =
            "--rate 100/s --time 100ms --max-children 64 --length 10min --memory-per-child 40M";
        let (text, report) = planned(flags);
        assert_eq!((report.lost, report.in_time), (0, report.served), "{text}");
        // Ten are at work on the average, by Little's law.
        let at_work: u32 = report.samples.iter().map(|sample| sample.at_work).sum();
        let mean = f64::from(at_work) / report.samples.len() as f64;
        assert!((8.5..11.5).contains(&mean), "{mean} {text}");
        assert!(text.contains("memory") && text.contains("Erlang C"), "{text}");
    }

    #[test]
    fn an_overload_is_said_and_a_limit_of_the_queue_helps() {
        let flags = "--rate 80/s --time 100ms --max-children 4 --length 1min --client-timeout 1s";
        let (text, without) = planned(flags);
        assert!(text.contains("8.0 would be at work, and there are 4"), "{text}");
        let (text, with) = planned(&format!("{flags} --queue-limit 500ms"));
        assert!(with.in_time > 10 * without.in_time.max(100), "{text}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (flags, named) in [
            ("--rate 0 --time 1s --max-children 4", "--rate"),
            ("--rate 1/x --time 1s --max-children 4", "--rate"),
            ("--rate 1 --time p50=1s --max-children 4", "--time"),
            ("--rate 1 --time p50=2s,p99=1s --max-children 4", "--time"),
            ("--rate 1 --time 1s --max-children 0", "--max-children"),
            ("--time 1s --max-children 4", "--rate"),
            ("--rate 1 --time 1s --max-children 4 --memory-per-child 40MB", "--memory-per-child"),
        ] {
            let words = ["plan"].into_iter().chain(flags.split_ascii_whitespace());
            let error = Alone::try_parse_from(words).expect_err(flags).to_string();
            assert!(error.contains(named), "{flags}: {error}");
        }
    }
}
