//! The view of a running run: a block at the end of a terminal that is drawn anew, or plain lines elsewhere; and the
//! end, which is the same for both.

use super::run::RunModel;
use super::style::{Sign, Style, duration, fit, width};
use super::text::uncoloured;
use crate::exec::driver::{Observer, now};
use pilotage_api::rest::{Job, RunEvent};
use pilotage_api::runner::Conclusion;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Lines at the end of a terminal that are drawn anew; nothing where the standard error is none.
pub(crate) struct Block(Option<usize>);

impl Block {
    pub(crate) fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self((std::io::stderr().is_terminal() && !dumb).then_some(0))
    }

    pub(crate) fn is_live(&self) -> bool {
        self.0.is_some()
    }

    /// In the place of what was drawn before. Lines must fit the window.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        let Some(before) = self.0 else { return };
        let mut text = String::new();
        if before > 0 {
            text.push_str(&format!("\x1b[{before}A\x1b[J"));
        }
        lines.iter().for_each(|line| text.extend([line, "\n"]));
        write_err(&text);
        self.0 = Some(lines.len());
    }

    /// Other lines come now: what was drawn stays above them.
    pub(crate) fn leave(&mut self) {
        self.0 = self.0.map(|_| 0);
    }
}

pub(crate) struct RunView {
    style: Style,
    model: RunModel,
    block: Block,
    drawn: Instant,
    /// Said already, for plain lines.
    said: std::collections::BTreeMap<i64, String>,
    /// The command that a person would want next.
    next: Option<String>,
    /// Whether logs are written out as they come (plain lines only).
    logs: bool,
}

impl RunView {
    /// `next` is shown at the end of a run that failed.
    pub(crate) fn new(style: Style, logs: bool, next: Option<String>) -> Self {
        Self {
            style,
            model: RunModel::default(),
            block: Block::new(),
            drawn: Instant::now(),
            said: Default::default(),
            next,
            logs,
        }
    }

    fn draw(&mut self) {
        if self.block.is_live() {
            let lines = self.lines();
            self.block.draw(&lines);
            self.drawn = Instant::now();
        }
    }

    fn lines(&self) -> Vec<String> {
        let width = width();
        let mut lines = Vec::new();
        if let Some(run) = &self.model.run {
            let file = run.workflow_path.rsplit('/').next().unwrap_or_default();
            let place = run.r#ref.strip_prefix("refs/heads/").unwrap_or(&run.r#ref);
            let commit = run.sha.get(..7).unwrap_or_default();
            let took = duration(elapsed(Some(run.started_at), run.ended_at));
            let head = format!("{file}  {}  {place}  {commit}", run.event);
            lines.push(format!(
                "{:<w$}{took:>10}",
                fit(&head, width - 12),
                w = width - 11
            ));
        }
        let names = self
            .model
            .jobs
            .iter()
            .map(|j| j.name.chars().count())
            .max()
            .unwrap_or(0)
            .min(width / 3);
        // A window that is too low for all jobs shows what moves and what failed.
        let room = height().saturating_sub(4);
        let quiet = self.model.jobs.len() > room;
        let mut hidden = 0;
        for job in &self.model.jobs {
            if quiet && matches!(job.conclusion, Some(Conclusion::Success | Conclusion::Skipped)) {
                hidden += 1;
                continue;
            }
            lines.extend(self.job_lines(job, names, width));
        }
        if hidden > 0 {
            lines.push(format!("  and {hidden} more that ended well or were skipped"));
        }
        lines.truncate(height().saturating_sub(2).max(3));
        lines
    }

    fn job_lines(&self, job: &Job, names: usize, width: usize) -> Vec<String> {
        let sign = self.style.sign(sign_of(job));
        let name = fit(&job.name, names);
        let took = duration(elapsed(job.started_at, job.ended_at));
        let progress = self.model.progress.get(&job.id);
        let rest = width.saturating_sub(names + 4);
        let text = match (job.status.as_str(), job.conclusion) {
            ("in_progress", _) => {
                let (step, lines) = progress.map_or(("", 0), |p| (p.step_name.as_str(), p.lines));
                let lines = if lines == 1 {
                    "1 line".to_owned()
                } else {
                    format!("{lines} lines")
                };
                format!(
                    "{took:>8}  {:<w$}{lines:>14}",
                    fit(step, rest.saturating_sub(26)),
                    w = rest.saturating_sub(25)
                )
            }
            ("completed", Some(Conclusion::Success)) => format!("{took:>8}"),
            ("completed", Some(Conclusion::Failure)) => format!("{took:>8}  {}", job.error),
            ("completed", _) => job.why.clone(),
            _ => job.why.clone(),
        };
        let mut lines = vec![
            format!("{sign} {name:<names$}  {}", fit(&text, rest))
                .trim_end()
                .to_owned(),
        ];
        let last = progress.and_then(|p| p.tail.back());
        if let Some((_, _, text)) = last.filter(|_| job.status == "in_progress") {
            lines.push(
                self.style
                    .dim(&fit(&format!("    {}", uncoloured(text.trim_end())), width)),
            );
        }
        lines
    }

    /// A line for each change of a job.
    fn say_changes(&mut self) {
        let mut text = String::new();
        for job in &self.model.jobs {
            let state = match (job.status.as_str(), job.conclusion) {
                ("completed", Some(conclusion)) => conclusion.word().to_owned(),
                ("in_progress", _) => "running".to_owned(),
                _ => format!("waiting {}", job.why),
            };
            if self.said.get(&job.id) == Some(&state) {
                continue;
            }
            let detail = match job.conclusion {
                Some(Conclusion::Failure) => job.error.as_str(),
                _ => job.why.as_str(),
            };
            let took = job
                .ended_at
                .and(job.started_at)
                .map(|_| duration(elapsed(job.started_at, job.ended_at)));
            let word = state.split(' ').next().unwrap_or_default();
            let line = [
                self.style.sign(sign_of(job)),
                fit(&job.name, 80),
                word.to_owned(),
                took.unwrap_or_default(),
                fit(detail, 300),
            ];
            let line: Vec<String> = line.into_iter().filter(|part| !part.is_empty()).collect();
            text.push_str(&format!("{}  {}\n", clock(now().0), line.join("  ")));
            self.said.insert(job.id, state);
        }
        write_err(&text);
    }

    /// How it ended, the first error where the eye is, and what to do next.
    pub(crate) fn end(&mut self) {
        self.draw();
        let Some((conclusion, duration_ms)) = self.model.ended else {
            return;
        };
        let took = duration(Duration::from_millis(duration_ms));
        let counts = [
            (Conclusion::Success, Sign::Success),
            (Conclusion::Failure, Sign::Failed),
            (Conclusion::Cancelled, Sign::Cancelled),
            (Conclusion::Skipped, Sign::Skipped),
        ];
        let counts = counts.map(|(c, sign)| (self.model.count(c), sign));
        let counts: Vec<String> = counts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, sign)| format!("{n} {}", self.style.sign(*sign)))
            .collect();
        let (sign, word) = match conclusion {
            Conclusion::Success | Conclusion::Skipped => (Sign::Success, "succeeded"),
            Conclusion::Failure => (Sign::Failed, "failed"),
            Conclusion::Cancelled => (Sign::Cancelled, "cancelled"),
        };
        let mut text = format!(
            "\n{} {word} after {took}: {}\n",
            self.style.sign(sign),
            counts.join("  ")
        );
        for job in self
            .model
            .jobs
            .iter()
            .filter(|job| job.conclusion == Some(Conclusion::Failure))
            .take(3)
        {
            text.push_str(&self.failure(job));
        }
        if let Some(next) = self.next.as_ref().filter(|_| conclusion != Conclusion::Success) {
            text.push_str(&format!("\n{next}\n"));
        }
        write_err(&text);
    }

    fn failure(&self, job: &Job) -> String {
        let width = width();
        let sign = self.style.sign(Sign::Failed);
        let name = fit(&job.name, width / 2);
        let Some(progress) = self.model.progress.get(&job.id) else {
            return format!("\n{sign} {name}  {}\n", fit(&job.error, width));
        };
        let mut text = match &progress.failed {
            Some((step, step_name, error)) => {
                format!(
                    "\n{sign} {name}  step {step}, {}  {}\n",
                    fit(step_name, 60),
                    fit(error, width)
                )
            }
            None => format!("\n{sign} {name}  {}\n", fit(&job.error, width)),
        };
        for (line, said) in &progress.failed_lines {
            text.push_str(&format!(
                "{:>6}  {}\n",
                line + 1,
                fit(&uncoloured(said.trim_end()), width.saturating_sub(8))
            ));
        }
        text
    }
}

impl Observer for RunView {
    fn told(&mut self, event: &RunEvent) {
        if let (false, true, RunEvent::Log { job, text, .. }) = (self.block.is_live(), self.logs, event) {
            let mut out = std::io::stdout().lock();
            // A reader that went away is no reason to stop the jobs.
            let _ = writeln!(out, "{} | {text}", fit(job, 60));
        }
        self.model.take(event);
        match event {
            RunEvent::State { .. } if !self.block.is_live() => self.say_changes(),
            RunEvent::Log { .. } => {}
            _ if self.drawn.elapsed() > Duration::from_millis(50) => self.draw(),
            _ => {}
        }
    }

    fn tick(&mut self) {
        self.draw();
    }
}

fn sign_of(job: &Job) -> Sign {
    match (job.status.as_str(), job.conclusion) {
        (_, Some(Conclusion::Success)) => Sign::Success,
        (_, Some(Conclusion::Failure)) if job.error.contains("runner lost") => Sign::Fault,
        (_, Some(Conclusion::Failure)) => Sign::Failed,
        (_, Some(Conclusion::Cancelled)) => Sign::Cancelled,
        (_, Some(Conclusion::Skipped)) => Sign::Skipped,
        ("in_progress", None) => Sign::Running,
        ("waiting", None) if !job.environment.is_empty() && job.why.contains("approv") => Sign::Person,
        _ => Sign::Waiting,
    }
}

fn elapsed(start: Option<i64>, end: Option<i64>) -> Duration {
    let Some(start) = start else { return Duration::ZERO };
    Duration::from_millis(u64::try_from(end.unwrap_or_else(|| now().0) - start).unwrap_or(0))
}

/// `14:03:07`, in UTC.
pub(crate) fn clock(at: i64) -> String {
    let seconds = at.div_euclid(1_000).rem_euclid(86_400);
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn height() -> usize {
    terminal_size::terminal_size()
        .map_or(40, |(_, height)| usize::from(height.0))
        .max(6)
}

fn write_err(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
