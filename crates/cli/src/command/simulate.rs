//! `pilotage simulate`: what a guard's policy would do with a fault, before it meets one.

use crate::error::{CommandError, CommandResult};
use crate::render::page::result;
use clap::Args;
use pilotage_guard::Policy;
use pilotage_guard::simulate::{Fault, Scenario, Summary, Weather, summarise};
use serde_json::json;
use std::process::ExitCode;

/// How soon would a fault be found, and how often would a good release be taken back?
///
/// Plays the guard that runs in the proxy against imagined traffic: a fault in the new revision, and the same
/// traffic with a good release.
#[derive(Args)]
pub(crate) struct Simulate {
    /// Requests a second, of all revisions together.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// The canary's steps: share and seconds each, such as 5%:30,25%:60,50%:60.
    #[arg(long, default_value = "5%:30,25%:60,50%:60")]
    steps: String,
    /// Seconds that it is watched for with all traffic.
    #[arg(long, default_value_t = 600.0)]
    watch: f64,
    /// The share of the new revision's answers that fail, in per cent.
    #[arg(long, default_value_t = 0.0)]
    errors: f64,
    /// How many times slower the new revision is.
    #[arg(long, default_value_t = 1.0)]
    slower: f64,
    /// The fault begins after so many answers of the new revision.
    #[arg(long, default_value_t = 0)]
    after: u64,
    /// The share of answers that fail in a good revision, in per cent.
    #[arg(long, default_value_t = 0.1)]
    base_errors: f64,
    /// Median response time of a good revision, in milliseconds.
    #[arg(long, default_value_t = 40.0)]
    median_ms: f64,
    /// How far response times spread (sigma of a lognormal).
    #[arg(long, default_value_t = 0.5)]
    sigma: f64,
    /// The guard's `error-rate`, in per cent.
    #[arg(long, default_value_t = 5.0)]
    error_rate: f64,
    /// The guard's `response-time`, in per cent.
    #[arg(long, default_value_t = 50.0)]
    response_time: f64,
    /// The guard's `false-alarms`, in per cent.
    #[arg(long, default_value_t = 1.0)]
    false_alarms: f64,
    /// Deployments to play.
    #[arg(long, default_value_t = 200)]
    plays: u32,
    /// What the dice begin with: the same number gives the same plays.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl Simulate {
    #[expect(clippy::print_stderr, reason = "what is said beside the result")]
    pub(crate) fn run(self) -> CommandResult {
        let scenario = self.scenario()?;
        let answers = self.rate * scenario.steps.iter().map(|(_, seconds)| seconds).sum::<f64>();
        if answers * f64::from(self.plays) > 2e9 {
            return Err(CommandError::invalid(format!(
                "that is {answers:.0} answers a play: too many to simulate"
            ))
            .hint("lower --plays, --rate or --watch"));
        }
        let good = Scenario {
            new: Fault::NONE,
            ..scenario.clone()
        };
        if !self.json {
            eprintln!(
                "playing {} deployments of {answers:.0} answers with the fault, and as many without",
                self.plays
            );
        }
        let (faulty, good) = (
            summarise(&scenario, self.seed, self.plays),
            summarise(&good, self.seed, self.plays),
        );
        if self.json {
            result(&format!("{}\n", json!({"fault": faulty, "good": good})));
        } else {
            result(&text(&faulty, &good, self.errors > 0.0 || self.slower > 1.0));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn scenario(&self) -> CommandResult<Scenario> {
        let mut steps = Vec::new();
        for step in self.steps.split(',').filter(|s| !s.is_empty()) {
            steps.push(parse_step(step).ok_or_else(|| {
                CommandError::invalid(format!(
                    "`{step}` is no step: write a share and seconds, such as 5%:30"
                ))
            })?);
        }
        steps.push((10_000, self.watch));
        let within = |value: f64, low: f64, high: f64, name: &str| {
            if (low..=high).contains(&value) {
                return Ok(value);
            }
            Err(CommandError::invalid(format!(
                "--{name} is {value}, and must be between {low} and {high}"
            )))
        };
        Ok(Scenario {
            policy: Policy {
                error_rate: within(self.error_rate, 0.1, 90.0, "error-rate")? / 100.0,
                response_time: within(self.response_time, 1.0, 1_000.0, "response-time")? / 100.0,
                false_alarms: within(self.false_alarms, 0.001, 50.0, "false-alarms")? / 100.0,
                expected_answers: (self.rate * self.watch).max(50_000.0),
                ..Policy::default()
            },
            rate: within(self.rate, 0.01, 1e6, "rate")?,
            steps,
            median_us: within(self.median_ms, 0.01, 1e6, "median-ms")? * 1_000.0,
            sigma: within(self.sigma, 0.0, 3.0, "sigma")?,
            correlation: 0.0,
            base_errors: within(self.base_errors, 0.0, 100.0, "base-errors")? / 100.0,
            new: Fault {
                errors: within(self.errors, 0.0, 100.0, "errors")? / 100.0,
                slower: within(self.slower, 0.01, 1_000.0, "slower")?,
                after: self.after,
            },
            both: Weather::Calm,
        })
    }
}

fn parse_step(text: &str) -> Option<(u32, f64)> {
    let (share, seconds) = text.split_once(':')?;
    let share: f64 = share.trim().strip_suffix('%')?.parse().ok()?;
    let seconds: f64 = seconds.trim().trim_end_matches('s').parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be a share"
    )]
    let parts = (share * 100.0).round().clamp(0.0, 10_000.0) as u32;
    ((0.0..=100.0).contains(&share) && (0.0..=1e6).contains(&seconds)).then_some((parts, seconds))
}

fn text(faulty: &Summary, good: &Summary, fault: bool) -> String {
    let percent = |n: u32, all: u32| 100.0 * f64::from(n) / f64::from(all.max(1));
    let mut text = String::new();
    if fault {
        text.push_str(&format!(
            "fault          taken back in {:.1} % of {} deployments\n",
            percent(faulty.taken_back, faulty.plays),
            faulty.plays
        ));
        if faulty.taken_back > 0 {
            text.push_str(&format!(
                "               {:.1} s after it began (19 of 20 within {:.1} s)\n               {} of its answers met it (19 of 20: at most {})\n",
                faulty.seconds_p50, faulty.seconds_p95, faulty.answers_p50, faulty.answers_p95
            ));
        }
    }
    text.push_str(&format!(
        "good release   taken back in {:.2} % of {} deployments\n",
        percent(good.taken_back + good.outages, good.plays),
        good.plays
    ));
    text
}
