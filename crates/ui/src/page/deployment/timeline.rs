//! What happened, to the millisecond, with the time since the line before; and what comes next.

use super::lead::whole;
use super::model::Deployment;
use crate::icon::{Icon, coloured};
use crate::words;
use maud::{Markup, html};

struct Line {
    at_us: i64,
    icon: (Icon, &'static str),
    /// In bold, then plainly.
    strong: String,
    text: String,
    hot: bool,
}

impl Deployment {
    pub(super) fn timeline(&self) -> Markup {
        let lines = self.lines();
        let next = self.next();
        html! {
            section id="timeline" aria-labelledby="ti" {
                div class="head" { h2 id="ti" { "Timeline" } span class="m" { "time, and since the line before" } }
                @if lines.is_empty() { p class="m s" { "It has not begun." } }
                ol class="tl" {
                    @for (index, line) in lines.iter().enumerate() {
                        @let before = index.checked_sub(1).and_then(|before| lines.get(before));
                        li class=[line.hot.then_some("hot")] {
                            (words::clock_ms(line.at_us.div_euclid(1_000)))
                            span class="dl" { @if let Some(before) = before { "+ " (difference(line.at_us - before.at_us)) } }
                            (coloured(line.icon.0, line.icon.1))
                            div {
                                @if !line.strong.is_empty() { b { (line.strong) } " " }
                                (line.text)
                            }
                        }
                    }
                }
                @if !next.is_empty() {
                    h3 { "Next, by itself" }
                    ol class="tl" {
                        @for (at, text) in &next {
                            li {
                                @match at {
                                    Some(at) => { (words::clock(*at)) span class="dl" { "in " time data-until=(at) { (words::duration((at - self.now).max(0))) } } }
                                    None => { span class="m" { "then" } span class="dl" {} }
                                }
                                (coloured(Icon::Queued, "q"))
                                div { (text) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = self
            .moments
            .iter()
            // Nothing was on its way, and nothing is to be told.
            .filter(|moment| !moment.text.ends_with(" let go of its last 0 requests"))
            .map(|moment| told(moment.at, &moment.text))
            .collect();
        for service in &self.services {
            let (Some(verdict), Some(decided)) = (&service.verdict, service.decided_at_us) else {
                continue;
            };
            let seen = if verdict.is_slow() {
                format!(
                    "{} timed answers, evidence 1 in {}",
                    words::count(verdict.new.timed),
                    whole(verdict.one_in)
                )
            } else {
                format!(
                    "{} failure of {} answers, evidence 1 in {}",
                    ordinal(verdict.new.errors),
                    words::count(verdict.new.answers),
                    whole(verdict.one_in)
                )
            };
            lines.push(Line {
                at_us: decided,
                icon: (Icon::Bad, "bad"),
                strong: "Guard trips.".to_owned(),
                text: seen,
                hot: true,
            });
            if let Some(last) = service.last_request_at_us {
                lines.push(Line {
                    at_us: last.max(decided),
                    icon: (Icon::Back, "infra"),
                    strong: String::new(),
                    text: format!("Last request sent to the new {}", service.name),
                    hot: true,
                });
            }
        }
        lines.sort_by_key(|line| line.at_us);
        lines
    }

    /// What it does by itself from here on, if nothing comes between.
    fn next(&self) -> Vec<(Option<i64>, String)> {
        let mut next = Vec::new();
        if self.ended_at.is_some() {
            return next;
        }
        let mut at = self.until;
        if self.state == "shifting" && !self.rollback {
            let share = self
                .services
                .iter()
                .map(|service| service.share)
                .max()
                .unwrap_or(0);
            for step in self.steps.iter().filter(|step| step.share > share) {
                next.push((
                    at,
                    format!(
                        "{} of the traffic",
                        words::percent(f64::from(step.share) / 10_000.0)
                    ),
                ));
                at = at.map(|at| at + step.for_ms).filter(|_| step.for_ms > 0);
            }
            if self.steps.last().is_none_or(|step| step.share < 10_000) {
                next.push((
                    at,
                    "All of the traffic, then which digest answers is verified".to_owned(),
                ));
            }
            at = None;
        }
        match (self.state.as_str(), self.watch_ms) {
            ("shifting" | "verifying", Some(watch)) => {
                next.push((
                    None,
                    format!("Live, after {} of watching", words::duration(watch)),
                ));
            }
            ("watching", _) => next.push((at, "Live, if the guard sees nothing".to_owned())),
            _ => {}
        }
        next
    }
}

/// A moment with its shape.
fn told(at: i64, text: &str) -> Line {
    const BEGINNINGS: &[(&str, Icon, &str, &str)] = &[
        ("asked for by ", Icon::Dot, "q", "Asked for"),
        ("approved ", Icon::Ok, "ok", "Approved"),
        ("waits: ", Icon::Wait, "wait", "Waits:"),
        ("frozen: ", Icon::Lock, "q", "Held:"),
        ("verified: ", Icon::Ok, "ok", "Verified:"),
        ("goes back: ", Icon::Back, "infra", "Goes back:"),
        ("live", Icon::Ok, "ok", "Live"),
        ("rolled back", Icon::Back, "infra", "Rolled back"),
        ("aborted", Icon::Cancelled, "q", "Aborted"),
        ("needs attention", Icon::Bad, "bad", "Needs attention"),
    ];
    let (mut icon, mut strong, mut rest) = ((Icon::Dot, "q"), String::new(), text);
    for (beginning, shape, class, word) in BEGINNINGS {
        if let Some(after) = text.strip_prefix(beginning) {
            icon = (*shape, *class);
            (*word).clone_into(&mut strong);
            rest = if *beginning == "asked for by " {
                &text["asked for ".len()..]
            } else {
                after
            };
            break;
        }
    }
    if strong.is_empty() {
        if let Some((share, to)) = text.split_once(" % of the traffic to ") {
            return Line {
                at_us: at * 1_000,
                icon,
                strong: format!("{share} %"),
                text: format!("of the traffic to {to}"),
                hot: false,
            };
        }
        if text.ends_with(" is quarantined") {
            icon = (Icon::Lock, "q");
        } else if text.ends_with(" healthy") {
            icon = (Icon::Ok, "ok");
        } else if [" died: ", "cannot ", "failed", "could not"]
            .iter()
            .any(|word| text.contains(word))
        {
            icon = (Icon::Bad, "bad");
        }
    }
    let text = rest.trim_start_matches([':', ',', ' ']).to_owned();
    let text = if strong.is_empty() { capital(&text) } else { text };
    Line {
        at_us: at * 1_000,
        icon,
        strong,
        text,
        hot: false,
    }
}

fn capital(text: &str) -> String {
    // A name stays as it is: `backend: 2 of 3 healthy`.
    if text.split_once(": ").is_some_and(|(name, _)| !name.contains(' ')) {
        return text.to_owned();
    }
    // So does a revision: `4f1c9ae is quarantined`.
    if text
        .split(' ')
        .next()
        .is_some_and(|word| word.chars().any(|c| c.is_ascii_digit()))
    {
        return text.to_owned();
    }
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// `0.4 ms`, `47 ms`, `2.914 s`, `3 m 30 s`.
fn difference(us: i64) -> String {
    match us.max(0) {
        0..100 => "0 ms".to_owned(),
        us @ 100..1_000 => format!("0.{} ms", us / 100),
        us @ 1_000..1_000_000 => format!("{} ms", us / 1_000),
        us @ 1_000_000..60_000_000 => format!("{}.{:03} s", us / 1_000_000, us % 1_000_000 / 1_000),
        us => words::duration(us / 1_000),
    }
}

fn ordinal(n: u64) -> String {
    let end = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{}{end}", words::count(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_the_precision_that_is_known() {
        for (us, expected) in [
            (-1, "0 ms"),
            (430, "0.4 ms"),
            (47_200, "47 ms"),
            (2_914_000, "2.914 s"),
            (210_000_000, "3 m 30 s"),
        ] {
            assert_eq!(difference(us), expected);
        }
        let all: Vec<String> = [1, 2, 3, 4, 11, 12, 13, 21, 24, 112]
            .into_iter()
            .map(ordinal)
            .collect();
        assert_eq!(all.join(" "), "1st 2nd 3rd 4th 11th 12th 13th 21st 24th 112th");
    }

    #[test]
    fn moments_say_their_word_first() {
        for (moment, strong, text) in [
            ("asked for by ana: by hand", "Asked for", "by ana: by hand"),
            (
                "10 % of the traffic to 4f1c9ae",
                "10 %",
                "of the traffic to 4f1c9ae",
            ),
            ("live, not proven: 3 answers", "Live", "not proven: 3 answers"),
            ("shop: 2 of 3 healthy", "", "shop: 2 of 3 healthy"),
            (
                "all traffic on 4f1c9ae; watched for 5 s",
                "",
                "All traffic on 4f1c9ae; watched for 5 s",
            ),
            ("ed1eaf9 is quarantined", "", "ed1eaf9 is quarantined"),
            ("<b>ö", "", "<b>ö"),
        ] {
            let line = told(0, moment);
            assert_eq!(
                (line.strong.as_str(), line.text.as_str()),
                (strong, text),
                "{moment}"
            );
        }
    }
}
