//! How long requests take.

use std::time::Duration;

use super::dice::Dice;

/// How far above the median 99 of 100 are, in standard deviations of a normal distribution.
const DEVIATIONS: f64 = 2.326;

/// How long children are at work on requests, by which distribution. A time stands for an exponential one with this average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// On all equally long.
    Constant(Duration),
    /// Exponentially, with this average.
    Exponential(Duration),
    /// Log-normally: half take no longer than the median, and 99 of 100 no longer than `p99`, which is at least that. As most
    /// servers do, with few requests that take very long.
    LogNormal {
        /// What half of the requests do not exceed.
        median: Duration,
        /// What one request in a hundred exceeds.
        p99: Duration,
    },
}

impl Work {
    /// Returns how long they take on the average, in seconds.
    #[must_use]
    pub fn mean(self) -> f64 {
        match self {
            Self::Constant(time) | Self::Exponential(time) => time.as_secs_f64(),
            Self::LogNormal { median, p99 } => {
                median.as_secs_f64() * (sigma(median, p99).powi(2) / 2.0).exp()
            }
        }
    }

    pub(super) fn draw(self, dice: &mut Dice) -> f64 {
        match self {
            Self::Constant(time) => time.as_secs_f64(),
            Self::Exponential(mean) => mean.as_secs_f64() * dice.exponential(),
            Self::LogNormal { median, p99 } => {
                median.as_secs_f64() * (sigma(median, p99) * dice.normal()).exp()
            }
        }
    }
}

impl From<Duration> for Work {
    fn from(mean: Duration) -> Self {
        Self::Exponential(mean)
    }
}

/// The standard deviation of the logarithm.
fn sigma(median: Duration, p99: Duration) -> f64 {
    if median.is_zero() { 0.0 } else { p99.div_duration_f64(median).max(1.0).ln() / DEVIATIONS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_distributed_as_was_said() {
        let ms = Duration::from_millis;
        let work = Work::LogNormal { median: ms(20), p99: ms(900) };
        let mut dice = Dice::new(3);
        let mut drawn: Vec<f64> = (0..100_000).map(|_| work.draw(&mut dice)).collect();
        drawn.sort_by(f64::total_cmp);
        assert!((drawn[50_000] / 0.02 - 1.0).abs() < 0.02, "{}", drawn[50_000]);
        assert!((drawn[99_000] / 0.9 - 1.0).abs() < 0.08, "{}", drawn[99_000]);
        let mean = drawn.iter().sum::<f64>() / 100_000.0;
        assert!((mean / work.mean() - 1.0).abs() < 0.1, "{mean} {}", work.mean());
    }

    #[test]
    fn times_that_do_not_vary_are_themselves() {
        let second = Duration::from_secs(1);
        let mut dice = Dice::new(0);
        for work in [Work::Constant(second), Work::LogNormal { median: second, p99: second }] {
            assert!((work.draw(&mut dice) - 1.0).abs() < 1e-9 && (work.mean() - 1.0).abs() < 1e-9);
        }
        let nothing = Work::LogNormal { median: Duration::ZERO, p99: second };
        assert!(nothing.draw(&mut dice).abs() < 1e-9);
    }
}
