//! When requests arrive and how long each takes.

use std::time::Duration;

/// Arrivals in order: (time, work).
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) arrivals: Vec<(Duration, Duration)>,
    pub(crate) end: Duration,
}

impl Traffic {
    /// So many requests, spread over `within`.
    pub(crate) fn burst(count: u32, work: Duration, within: Duration) -> Self {
        let second = Duration::from_secs(1);
        let arrivals = (0..count).map(|n| (second + within * n / count, work)).collect();
        Self { arrivals, end: second }
    }

    /// One request every so often, with work that varies a little.
    pub(crate) fn steady(every: Duration, work: Duration, jitter: Duration) -> Self {
        let count = u32::try_from(3_600_000 / every.as_millis()).expect("few").min(200_000);
        let arrivals = (0..count).map(|n| (every * n, work + jitter * (n % 7))).collect();
        Self { arrivals, end: every * count }
    }

    /// Days that are busy at noon and quiet at night, with a burst every couple of hours.
    pub(crate) fn days(days: u32, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut arrivals = Vec::new();
        let mut now = 0.0;
        let end = f64::from(days) * 86_400.0;
        let mut next_burst = 3600.0;
        while now < end {
            let day = (now / 86_400.0).fract();
            let rate = 8.0 * (0.02 + (std::f64::consts::PI * day).sin().powi(4));
            now += dice.exponential() / rate;
            arrivals.push((now, 0.05 + 0.45 * dice.exponential()));
            if now > next_burst {
                next_burst += 7200.0 * dice.exponential();
                for _ in 0..40 {
                    arrivals.push((now + 0.02 * dice.uniform(), 0.5));
                }
            }
        }
        arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
        let time = Duration::from_secs_f64;
        let arrivals = arrivals.into_iter().map(|(at, work)| (time(at), time(work))).collect();
        Self { arrivals, end: time(end + 60.0) }
    }

    pub(crate) fn later(mut self, by: Duration) -> Self {
        for (at, _) in &mut self.arrivals {
            *at += by;
        }
        self
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.arrivals.extend(other.arrivals);
        self.arrivals.sort();
        self
    }

    /// The world ends then; what arrives later does not come.
    pub(crate) fn until(mut self, end: Duration) -> Self {
        self.arrivals.retain(|(at, _)| *at < end);
        self.end = end;
        self
    }
}

/// A small generator, so that a run is the same everywhere (xorshift64*).
struct Dice(u64);

impl Dice {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
        #[expect(clippy::cast_precision_loss, reason = "24 bits fit")]
        let fraction = bits as f64 / f64::from(1 << 24);
        fraction
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }
}
