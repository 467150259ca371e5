//! The load that is planned for.

use std::{fmt, fs, path::Path, str::FromStr, time::Duration};

use prefork_core::{
    one_line,
    simulate::{Traffic, Work},
};

use super::{PlanArgs, time};

const DAY: Duration = Duration::from_secs(86_400);

/// How long a child is at work on a request, as given.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServiceTime(Work);

impl FromStr for ServiceTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted =
            "must be one time, as 20ms, or p50=20ms,p99=900ms, of which the second is no shorter";
        if !text.contains('=') {
            return Ok(Self(Work::Constant(time(text)?)));
        }
        let (mut median, mut p99) = (None, None);
        for part in text.split(',') {
            let (name, value) = part.split_once('=').ok_or(wanted)?;
            let place = match name.trim() {
                "p50" => &mut median,
                "p99" => &mut p99,
                _ => return Err(wanted.to_owned()),
            };
            *place = Some(time(value)?);
        }
        match (median, p99) {
            (Some(median), Some(p99)) if p99 >= median => Ok(Self(Work::LogNormal { median, p99 })),
            _ => Err(wanted.to_owned()),
        }
    }
}

/// Requests, and what is known of them.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) traffic: Traffic,
    of: Of,
    length: Duration,
}

#[derive(Debug)]
enum Of {
    Rate { rate: f64, work: Work, is_day: bool },
    Log(String),
}

impl Load {
    pub(super) fn of(args: &PlanArgs) -> Result<Self, String> {
        if let Some(path) = &args.access_log {
            return Self::of_log(path);
        }
        let (Some(rate), Some(ServiceTime(work))) = (args.rate, args.time) else {
            return Err("--rate and --time are needed, or --access-log".to_owned());
        };
        let length = if args.day { DAY } else { args.length };
        // Each takes some 50 bytes.
        let requests = rate * length.as_secs_f64() * if args.day { 0.4 } else { 1.0 };
        if requests > 1e8 {
            return Err(format!(
                "--rate: {requests:.0} requests are too many; 100 million can be planned for"
            ));
        }
        let traffic = if args.day {
            Traffic::diurnal(1, rate, work, args.seed)
        } else {
            Traffic::random(rate, work, length, args.seed)
        };
        Ok(Self { traffic, of: Of::Rate { rate, work, is_day: args.day }, length })
    }

    fn of_log(path: &Path) -> Result<Self, String> {
        let shown = one_line(path);
        let text =
            fs::read_to_string(path).map_err(|error| format!("--access-log: {shown}: {error}"))?;
        let mut requests = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let numbers = line.split_once(char::is_whitespace).and_then(|(end, took)| {
                let (end, took): (f64, f64) = (end.trim().parse().ok()?, took.trim().parse().ok()?);
                (end.is_finite() && (0.0..1e9).contains(&took)).then_some((end - took, took))
            });
            let numbers = numbers.ok_or_else(|| {
                format!(
                    "--access-log: {shown}:{}: must be two numbers of seconds, as nginx writes by log_format '$msec $request_time'",
                    index + 1
                )
            })?;
            requests.push(numbers);
        }
        let first = requests.iter().map(|(at, _)| *at).fold(f64::INFINITY, f64::min);
        let last = requests.iter().map(|(at, _)| *at - first).fold(0.0, f64::max);
        let seconds = |time| Duration::try_from_secs_f64(time).unwrap_or(Duration::MAX);
        let length = seconds(last);
        if requests.is_empty() {
            return Err(format!("--access-log: {shown} is empty"));
        }
        if length > DAY * 366 {
            return Err(format!("--access-log: {shown} has requests more than a year apart"));
        }
        let requests = requests.into_iter().map(|(at, took)| (seconds(at - first), seconds(took)));
        let traffic = requests.collect();
        Ok(Self { traffic, of: Of::Log(shown.to_string()), length })
    }

    pub(super) const fn length(&self) -> Duration {
        self.length
    }

    /// How many requests come a second, and how many seconds one takes, where that is the same all the time.
    pub(super) fn constant(&self) -> Option<(f64, f64)> {
        match &self.of {
            Of::Rate { rate, work, is_day: false } => Some((*rate, work.mean())),
            Of::Rate { .. } | Of::Log(_) => None,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = self.traffic.requests();
        match &self.of {
            Of::Log(path) => {
                write!(f, "{requests} requests of {path}, in {:.0} s", self.length.as_secs_f64())
            }
            Of::Rate { rate, work, is_day } => {
                let when = if *is_day { "at noon of a day" } else { "on the average" };
                write!(
                    f,
                    "{requests} requests, {} a second {when}, in {:.0} s",
                    rounded(*rate),
                    self.length.as_secs_f64()
                )?;
                match work {
                    Work::Constant(time) | Work::Exponential(time) => {
                        write!(f, "; each takes {time:?}")
                    }
                    Work::LogNormal { median, p99 } => {
                        write!(
                            f,
                            "; half take {median:?}, one in a hundred more than {p99:?}, {:.0} ms on the average",
                            work.mean() * 1000.0
                        )
                    }
                }
            }
        }
    }
}

/// To three digits, as `200 requests an hour` is no short number a second.
fn rounded(number: f64) -> f64 {
    format!("{number:.2e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_shown_in_few_digits() {
        for (rate, shown) in [(200.0 / 3600.0, "0.0556"), (200.0, "200"), (1.5, "1.5")] {
            assert_eq!(rounded(rate).to_string(), shown);
        }
    }

    #[test]
    fn a_log_is_read_line_by_line() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("log");
        fs::write(&path, "1700000001.500 0.500\n1700000000.250 0.250\n").expect("written");
        let load = Load::of_log(&path).expect("right");
        assert_eq!((load.traffic.requests(), load.length()), (2, Duration::from_secs(1)));
        for (text, named) in
            [("1.0 0.5\nGET /\n", "log:2:"), ("", "is empty"), ("1e300 0\n1 0\n", "year")]
        {
            fs::write(&path, text).expect("written");
            let error = Load::of_log(&path).expect_err(text);
            assert!(error.contains(named), "{error}");
        }
    }
}
