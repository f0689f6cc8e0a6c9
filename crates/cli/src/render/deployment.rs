//! A deployment as it is drawn: what was done, where it stands with the figures of both revisions, and how it ended.

use super::page::Page;
use super::style::{Sign, duration, fit};
use super::text::{short, thousands};
use pilotage_api::deployment::{Counts, DeployedService, Deployment, DeploymentDetail, Moment};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Columns of the word after the sign.
const WORD: usize = 11;
const BAR: usize = 24;
const SPARKS: usize = 12;

/// A deployment, and how the evidence grew while it was looked at.
#[derive(Default)]
pub(crate) struct DeploymentModel {
    pub(crate) detail: Option<DeploymentDetail>,
    /// Of each service: the evidence, as a share of the way to the threshold (both as logarithms), 0 to 1.
    evidence: BTreeMap<String, VecDeque<f64>>,
}

impl DeploymentModel {
    pub(crate) fn take(&mut self, mut detail: DeploymentDetail) {
        // The proxy forgets a revision that has left; what it answered is still told.
        for service in &mut detail.services {
            let before = self
                .detail
                .iter()
                .flat_map(|d| &d.services)
                .find(|s| s.name == service.name);
            if let (None, Some(before)) = (&service.new, before) {
                service.new.clone_from(&before.new);
            }
        }
        for service in &detail.services {
            if let (Some(one_in), Some(at)) = (service.one_in, service.goes_back_at) {
                let way = one_in.max(1.0).ln() / at.max(1.001).ln();
                let seen = self.evidence.entry(service.name.clone()).or_default();
                if seen.len() == SPARKS {
                    seen.pop_front();
                }
                seen.push_back(way.clamp(0.0, 1.0));
            }
        }
        self.detail = Some(detail);
    }

    /// All lines: while it goes on, or at its end.
    pub(crate) fn lines(&self, page: &Page) -> Vec<String> {
        let Some(detail) = &self.detail else {
            return Vec::new();
        };
        let mut lines = vec![head(detail, page), String::new()];
        let back = detail
            .moments
            .iter()
            .position(|m| m.text.starts_with("goes back: "));
        let ended = detail.deployment.outcome.is_some();
        // What stands now is drawn with its figures.
        let stands = still_stands(detail).then(|| detail.moments.len().saturating_sub(1));
        let shown = back.filter(|_| ended).or(stands).unwrap_or(detail.moments.len());
        lines.extend(history(detail.moments.get(..shown).unwrap_or_default(), page));
        if ended {
            lines.extend(end(detail, page));
        } else {
            lines.extend(self.now(detail, page));
        }
        lines
    }

    /// Only how it ended, for where the rest was said line by line.
    pub(crate) fn end_lines(&self, page: &Page) -> Vec<String> {
        self.detail
            .as_ref()
            .map(|detail| end(detail, page))
            .unwrap_or_default()
    }

    /// Where it stands.
    fn now(&self, detail: &DeploymentDetail, page: &Page) -> Vec<String> {
        let deployment = &detail.deployment;
        let state = deployment.state.as_str();
        let sign = match state {
            "waiting" => Sign::Person,
            "queued" => Sign::Waiting,
            "rolling-back" | "verifying-rollback" => Sign::RolledBack,
            _ => Sign::Running,
        };
        let text = match state {
            "shifting" => shifting(detail, page),
            "watching" => time_of(detail, page).trim_start().to_owned(),
            "starting" => {
                let of = |count: fn(&DeployedService) -> u32| detail.services.iter().map(count).sum::<u32>();
                format!("{} of {} healthy", of(|s| s.healthy), of(|s| s.replicas))
            }
            "rolling-back" | "verifying-rollback" => String::new(),
            _ => deployment.reason.clone(),
        };
        let mut lines = vec![line(page, sign, &state.replace('-', " "), &text)];
        let asked = detail
            .moments
            .first()
            .is_some_and(|m| m.text.ends_with(&deployment.reason));
        if state == "shifting" && !asked && !deployment.reason.is_empty() {
            lines.push(line_below(page, "", &deployment.reason));
        }
        if state == "waiting" && deployment.reason.contains("approv") {
            let approve = format!("pilotage deployment approve {}", deployment.id);
            lines.push(line_below(page, "", &approve));
        }
        for service in &detail.services {
            lines.extend(self.figures(service, detail.services.len() > 1, page));
        }
        lines
    }

    fn figures(&self, service: &DeployedService, named: bool, page: &Page) -> Vec<String> {
        let mut lines = Vec::new();
        if service.new.as_ref().is_none_or(|new| new.requests == 0) {
            return lines;
        }
        let mut label = if named { service.name.as_str() } else { "" };
        for (which, counts) in [("new", &service.new), ("old", &service.old)] {
            if let Some(counts) = counts {
                lines.push(line_below(page, label, &counts_line(which, counts)));
                label = "";
            }
        }
        if let (Some(one_in), Some(at)) = (service.one_in, service.goes_back_at) {
            let sparks = self.evidence.get(&service.name);
            let sparks = sparks.map(|seen| sparkline(seen, page)).unwrap_or_default();
            let text = format!(
                "evidence against it  1 in {}   {sparks}   goes back at 1 in {}",
                whole(one_in),
                whole(at)
            );
            lines.push(line_below(page, label, &text));
        }
        lines
    }
}

/// Whether the last that happened is the step, the watch or the wait that stands.
fn still_stands(detail: &DeploymentDetail) -> bool {
    let last = detail.moments.last().map_or("", |moment| moment.text.as_str());
    match detail.deployment.state.as_str() {
        "shifting" => last.contains(" % of the traffic to "),
        "watching" => last.starts_with("all traffic on "),
        "waiting" => last.starts_with("waits: "),
        _ => false,
    }
}

/// Whether a moment only says what the end says again, or that there was nothing to do.
pub(crate) fn is_noise(text: &str) -> bool {
    let ends = ["live", "rolled back", "aborted", "needs attention"];
    ends.contains(&text)
        || text.starts_with("live: ")
        || text.starts_with("live, ")
        || text.ends_with(" had no request left")
}

/// `production  #312  backend  9e07b51 → 4f1c9ae  Retry checkout on a lost connection`
pub(crate) fn head(detail: &DeploymentDetail, page: &Page) -> String {
    let deployment = &detail.deployment;
    let services: Vec<&str> = detail.services.iter().map(|s| s.name.as_str()).collect();
    let kind = if deployment.kind == "rollback" {
        "rollback"
    } else {
        ""
    };
    let parts = [
        deployment.environment.clone(),
        format!("#{}", deployment.id),
        kind.to_owned(),
        services.join(", "),
        way(deployment, page),
        deployment.title.clone(),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    fit(&parts.join("  "), page.width)
}

/// `9e07b51 → 4f1c9ae`, or only the new one where there was none.
fn way(deployment: &Deployment, page: &Page) -> String {
    let arrow = if page.style.is_ascii() { "->" } else { "→" };
    match deployment.old_revision.as_str() {
        "" => deployment.revision.clone(),
        old => format!("{old} {arrow} {}", deployment.revision),
    }
}

/// Something that was done, of one or several moments.
struct Step {
    sign: Sign,
    word: &'static str,
    text: String,
    first_at: i64,
    last_at: i64,
}

impl Step {
    fn is_wait(&self) -> bool {
        matches!(self.word, "waited" | "frozen")
    }
}

/// What was done, in the order of what happened. Later words of the same kind take the place of earlier ones.
fn history(moments: &[Moment], page: &Page) -> Vec<String> {
    let mut steps: Vec<Step> = Vec::new();
    for moment in moments.iter().filter(|moment| !is_noise(&moment.text)) {
        let (sign, word, text) = told(&moment.text);
        match steps.last_mut() {
            Some(step) if step.word == word && word == "started" => {
                let service = text.split_once(": ").map_or("", |(service, _)| service);
                let others = step
                    .text
                    .split("  ")
                    .filter(|part| !part.starts_with(&format!("{service}: ")));
                step.text = others.chain([text.as_str()]).collect::<Vec<_>>().join("  ");
                step.last_at = moment.at;
            }
            Some(step) if step.word == word && word == "shifted" => {
                step.text = text;
                step.last_at = moment.at;
            }
            _ => steps.push(Step {
                sign,
                word,
                text,
                first_at: moment.at,
                last_at: moment.at,
            }),
        }
    }
    let room = page.width.min(78).saturating_sub(WORD + 4);
    let mut lines = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| steps.get(before));
        // A wait takes until the next thing; everything else has taken its time when it is told.
        let ms = match (step.is_wait(), before) {
            (true, _) => steps
                .get(index + 1)
                .map_or(0, |next| next.first_at - step.last_at),
            (false, Some(before)) if !before.is_wait() => step.last_at - before.last_at,
            (false, _) => step.last_at - step.first_at,
        };
        let took = u64::try_from(ms)
            .ok()
            .filter(|ms| *ms > 0)
            .map(Duration::from_millis);
        let took = took.map(duration).unwrap_or_default();
        let text = &step.text;
        let (length, space) = (text.chars().count(), took.chars().count() + 2);
        let text = match took.is_empty() || length + space > room {
            true => text.clone(),
            false => format!("{text:<w$}  {took}", w = room - space),
        };
        lines.push(line(page, step.sign, step.word, &text));
    }
    lines
}

/// A moment's sign, word and what is left to say.
fn told(text: &str) -> (Sign, &'static str, String) {
    const BEGINNINGS: &[(&str, Sign, &str)] = &[
        ("asked for ", Sign::Success, "asked for"),
        ("approved ", Sign::Success, "approved"),
        ("waits: ", Sign::Person, "waited"),
        ("frozen: ", Sign::Waiting, "frozen"),
        ("verified: ", Sign::Success, "verified"),
        ("goes back: ", Sign::RolledBack, "goes back"),
        ("the watch ends early: ", Sign::Success, "cut short"),
    ];
    if let Some((_, time)) = text.split_once("; watched for ") {
        return (
            Sign::Success,
            "watched",
            format!("with all traffic, for up to {time}"),
        );
    }
    for (beginning, sign, word) in BEGINNINGS {
        if let Some(rest) = text.strip_prefix(beginning) {
            let rest = rest.strip_prefix("waits ").unwrap_or(rest);
            return (*sign, word, rest.to_owned());
        }
    }
    if text.ends_with(" healthy") {
        return (Sign::Success, "started", text.to_owned());
    }
    if text.contains(" % of the traffic to ") {
        return (Sign::Success, "shifted", text.to_owned());
    }
    let failed = [" died: ", "cannot ", "failed"]
        .iter()
        .any(|word| text.contains(word));
    (
        if failed { Sign::Failed } else { Sign::Success },
        "",
        text.to_owned(),
    )
}

fn shifting(detail: &DeploymentDetail, page: &Page) -> String {
    let share = detail
        .services
        .iter()
        .map(|s| s.share)
        .max()
        .unwrap_or(0)
        .min(10_000);
    let (full, empty) = if page.style.is_ascii() {
        ("#", "-")
    } else {
        ("█", "░")
    };
    let filled = (share as usize * BAR).div_ceil(10_000);
    let bar = full.repeat(filled) + &empty.repeat(BAR - filled);
    let share = match (share / 100, share % 100) {
        (whole, 0) => whole.to_string(),
        (whole, part) => format!("{whole}.{part:02}"),
    };
    format!("{share} %  {bar}{}", time_of(detail, page))
}

/// `  8.6 of 60.0 s` of the step or the watch that stands.
fn time_of(detail: &DeploymentDetail, page: &Page) -> String {
    let (Some(until), Some(last)) = (detail.until, detail.moments.last()) else {
        return String::new();
    };
    let begun = detail.moments.iter().rev().find(|m| m.text.contains("traffic"));
    let begun = begun.unwrap_or(last).at;
    let span = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let (passed, all) = (span(page.now.min(until) - begun), span(until - begun));
    if all <= Duration::from_secs(60) {
        return format!("  {:.1} of {:.1} s", passed.as_secs_f64(), all.as_secs_f64());
    }
    format!("  {} of {}", duration(passed), duration(all))
}

fn counts_line(which: &str, counts: &Counts) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let percent = match counts.requests {
        0 => 0.0,
        n => 100.0 * counts.errors as f64 / n as f64,
    };
    format!(
        "{which} {:>7} answers {:>6} failed {:>6.1} %   p95 {}",
        thousands(counts.requests),
        thousands(counts.errors),
        percent,
        duration(Duration::from_micros(counts.p95_us)),
    )
}

fn sparkline(seen: &VecDeque<f64>, page: &Page) -> String {
    const SPARK: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];
    let set = if page.style.is_ascii() { ASCII } else { SPARK };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 7"
    )]
    let spark = |way: &f64| set[((way * 7.99) as usize).min(7)];
    seen.iter().map(spark).collect()
}

/// How it ended, with the evidence, the proof, and what to do next.
fn end(detail: &DeploymentDetail, page: &Page) -> Vec<String> {
    let deployment = &detail.deployment;
    let outcome = deployment.outcome.as_deref().unwrap_or_default();
    if outcome == "live" {
        return live(detail, page);
    }
    let sign = match outcome {
        "rolled-back" => Sign::RolledBack,
        "aborted" => Sign::Cancelled,
        _ => Sign::Fault,
    };
    let decided = detail.services.iter().find(|s| s.verdict.is_some());
    let why = decided
        .and_then(|s| s.verdict.clone())
        .unwrap_or_else(|| deployment.reason.clone());
    let mut lines = vec![line(page, sign, &outcome.replace('-', " "), &why)];
    if let Some(service) = decided {
        let returned = service.returned_in_us.map(|us| {
            #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
            let after = match us {
                ..10_000 => format!("{:.1} ms", us as f64 / 1_000.0),
                us => duration(Duration::from_micros(u64::try_from(us).unwrap_or(0))),
            };
            format!("last request to it {after} after the deciding answer")
        });
        let met = service.new.as_ref().map(|new| match new.errors {
            0 => format!("{} requests met it", thousands(new.requests)),
            1 => "1 request met the fault".to_owned(),
            n => format!("{} requests met the fault", thousands(n)),
        });
        let parts: Vec<String> = returned.into_iter().chain(met).collect();
        if !parts.is_empty() {
            lines.push(line_below(page, "", &parts.join("; ")));
        }
    }
    let back = detail
        .moments
        .iter()
        .position(|m| m.text.starts_with("goes back: "))
        .unwrap_or(0);
    let after = detail.moments.get(back..).unwrap_or_default();
    for moment in after {
        if let Some(what) = moment.text.strip_prefix("verified: ") {
            lines.push(line(page, Sign::Success, "verified", what));
        }
    }
    if outcome == "needs-attention" && decided.is_some() && !deployment.reason.is_empty() {
        lines.push(line_below(page, "", &deployment.reason));
    }
    lines.push(String::new());
    let quarantined = after.iter().find(|m| m.text.ends_with(" is quarantined"));
    let view = format!("pilotage deployment view {}", deployment.id);
    // One that was quarantined before it was asked for goes nowhere until somebody lets it.
    if why.contains(" is quarantined since ") {
        lines.push(format!("pilotage release clear {}", short(&deployment.sha)));
    }
    lines.push(match quarantined {
        Some(moment) => format!("{}. {view}", fit(&moment.text, 100)),
        None => view,
    });
    lines
}

fn live(detail: &DeploymentDetail, page: &Page) -> Vec<String> {
    let answers: u64 = detail.services.iter().map(|s| s.answers).sum();
    let open: Vec<&DeployedService> = detail.services.iter().filter(|s| !s.proven).collect();
    let told = detail
        .moments
        .iter()
        .rev()
        .find_map(|moment| moment.text.strip_prefix("live: "));
    let text = match open.as_slice() {
        _ if told.is_some() => told.unwrap_or_default().to_owned(),
        [] => format!("proven over {} answers", thousands(answers)),
        [one, ..] if one.needed > 0 => {
            let name = if detail.services.len() > 1 {
                format!("{}: ", one.name)
            } else {
                String::new()
            };
            format!(
                "not proven: {name}{} answers seen, about {} needed",
                thousands(one.answers),
                thousands(one.needed)
            )
        }
        _ => {
            let unproven = |moment: &Moment| moment.text.strip_prefix("live, ").map(str::to_owned);
            let last = detail.moments.iter().rev().find_map(unproven);
            last.unwrap_or_default()
        }
    };
    let mut lines = vec![line(page, Sign::Success, "live", &text)];
    if !detail.deployment.url.is_empty() {
        lines.push(String::new());
        lines.push(fit(&detail.deployment.url, page.width));
    }
    lines
}

/// `✓ approved     by ana after 3 m 30 s`
fn line(page: &Page, sign: Sign, word: &str, text: &str) -> String {
    let room = page.width.saturating_sub(WORD + 4);
    let line = match word {
        "" => format!(
            "{} {}",
            page.style.sign(sign),
            fit(text, page.width.saturating_sub(3))
        ),
        _ => format!("{} {word:<WORD$}  {}", page.style.sign(sign), fit(text, room)),
    };
    line.trim_end().to_owned()
}

fn line_below(page: &Page, label: &str, text: &str) -> String {
    let room = page.width.saturating_sub(WORD + 4);
    format!("  {:<WORD$}  {}", fit(label, WORD), fit(text, room))
        .trim_end()
        .to_owned()
}

fn whole(n: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped first"
    )]
    let n = n.clamp(1.0, 1e12) as u64;
    thousands(n)
}

/// The sign of a deployment in a list.
pub(crate) fn sign(deployment: &Deployment) -> Sign {
    match deployment.state.as_str() {
        "live" => Sign::Success,
        "rolled-back" | "rolling-back" | "verifying-rollback" => Sign::RolledBack,
        "aborted" => Sign::Cancelled,
        "needs-attention" => Sign::Fault,
        "waiting" => Sign::Person,
        "queued" => Sign::Waiting,
        _ => Sign::Running,
    }
}

#[cfg(test)]
mod tests;
