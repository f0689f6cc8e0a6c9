//! What was counted of both revisions, what the guard watches, and the proof of what answers.

use super::model::{Deployment, Judged, Service, Tally, Test, share};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

/// One number of a tally.
type Of = fn(&Tally) -> u64;

impl Deployment {
    pub(super) fn counted(&self) -> Markup {
        let services: Vec<(&Service, &Judged)> = self
            .services
            .iter()
            .filter_map(|s| Some((s, s.judged.as_ref()?)))
            .collect();
        html! {
            section id="counted" aria-labelledby=[(!services.is_empty()).then_some("co")] {
                @if !services.is_empty() {
                    div class="head" { h2 id="co" { "Counted" } span class="m" { "answers that the guard judged" } }
                    @for (service, judged) in &services {
                        (self.table(service, judged, services.len() > 1))
                    }
                }
            }
        }
    }

    fn table(&self, service: &Service, judged: &Judged, named: bool) -> Markup {
        let (new, old) = (&judged.new, &judged.old);
        let bad = if service.verdict.as_ref().is_some_and(|v| !v.is_slow()) {
            "r bad"
        } else {
            "r"
        };
        let has_old = old.answers > 0;
        let rows: [(&str, Of); 2] = [
            ("Took longer than allowed, median", |t| t.over_p50),
            ("Took longer than allowed, p95", |t| t.over_p95),
        ];
        html! {
            table class="keep" {
                thead {
                    tr {
                        th scope="col" { @if named { (service.name) } @else { span class="vh" { "Answers" } } }
                        th scope="col" class="r" { "new" }
                        th scope="col" class="r" { "old" }
                    }
                }
                tbody {
                    tr { td class="w" { "Answers" } td class="r" { (words::count(new.answers)) } td class="r" { (dash(has_old, words::count(old.answers))) } }
                    tr {
                        td class="w" { b { "Failed" } }
                        td class=(bad) { b { (words::count(new.errors)) } }
                        td class="r" { b { (dash(has_old, words::count(old.errors))) } }
                    }
                    @if new.timed > 0 {
                        @for (what, of) in rows {
                            tr {
                                td class="w in" { (what) }
                                td class="r" { (words::count(of(new))) " of " (words::count(new.timed)) }
                                td class="r" { (dash(old.timed > 0, format!("{} of {}", words::count(of(old)), words::count(old.timed)))) }
                            }
                        }
                    }
                    @if let (Some(new), old) = (&service.new, &service.old) {
                        @let ms = |us: u64| format!("{} ms", us / 1_000);
                        tr {
                            td class="w" { "Response time p50, p95" }
                            td class="r" { (ms(new.p50_us)) ", " (ms(new.p95_us)) }
                            td class="r" { @match old { Some(old) => { (ms(old.p50_us)) ", " (ms(old.p95_us)) } None => { "–" } } }
                        }
                        tr {
                            td class="w" { "On their way now" }
                            td class="r" { (words::count(new.in_flight)) }
                            td class="r" { @match old { Some(old) => { (words::count(old.in_flight)) } None => { "–" } } }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn watched(&self) -> Markup {
        let judged = self.services.iter().find_map(|s| Some((s, s.judged.as_ref()?)));
        html! {
            section id="watched" aria-labelledby=[judged.is_some().then_some("wa")] {
                @if let Some((service, judged)) = judged {
                    div class="head" { h2 id="wa" { @if self.ended_at.is_some() { "What it watched" } @else { "What it watches" } } }
                    table class="keep" {
                        tbody {
                            @for (test, what, seen) in watches(judged) {
                                tr {
                                    td class="w" {
                                        (what)
                                        @if judged.test == test && service.verdict.is_none() && judged.new.answers > 0 { " " span class="m" { (judged.odds()) } }
                                    }
                                    td class="m hs" { (seen) }
                                    td class="r" { (self.sign(service, test)) }
                                }
                            }
                        }
                    }
                    p class="m s" {
                        "Looked at after every answer. A good release is taken back by any of them at most once in "
                        (super::lead::whole(1.0 / judged.false_alarms.max(1e-9))) " deployments."
                    }
                }
            }
        }
    }

    fn sign(&self, service: &Service, test: Test) -> Markup {
        match &service.verdict {
            Some(verdict) if verdict.test == test => {
                Status::Failed.mark_as(if verdict.outage { "outage" } else { "tripped" })
            }
            Some(_) => Status::Unproven.mark_as("quiet"),
            None if test == Test::Errors && service.proven => Status::Passed.mark_as("proven"),
            None if self.ended_at.is_some() => Status::Unproven.mark_as("quiet"),
            None if test == Test::Errors => Status::Running.mark_as("undecided"),
            None => Status::Unproven.mark_as("quiet"),
        }
    }

    pub(super) fn proof(&self) -> Markup {
        let verified: Vec<&str> = self
            .moments
            .iter()
            .filter_map(|moment| moment.text.strip_prefix("verified: "))
            .collect();
        let proven = !verified.is_empty();
        let any = proven || !self.checks.is_empty() || !self.replicas.is_empty();
        html! {
            section id="proof" aria-labelledby=[any.then_some("ve")] {
                @if any {
                    div class="head" { h2 id="ve" { "Verified" } span class="m" { "which digest answered, told by the keepers" } }
                    table class="keep" {
                        tbody {
                            @for what in verified {
                                tr { td class="w" { (what) } td class="r" { (Status::Passed.mark_as("verified")) } }
                            }
                            @for check in &self.checks {
                                tr {
                                    td class="w" { @if !check.service.is_empty() { (check.service) " " } code { (check.what) } }
                                    // It is verified only where all that was asked answered as it should.
                                    td class="r m" {
                                        @if proven { (Status::Passed.mark_as("as it should be")) }
                                        @else if self.ended_at.is_some() { "not asked to the end" }
                                        @else { (Status::Queued.mark_as("to be asked")) }
                                    }
                                }
                            }
                            @for replica in &self.replicas {
                                tr {
                                    td class="w" {
                                        (replica.service) " " (replica.number) " " span class="m" { @if replica.new { "new" } @else { "old" } } " "
                                        @if let Some(digest) = &replica.executes { code { (words::digest(digest)) } }
                                    }
                                    td class="r" { (replica.state.mark_as(&replica.word)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Each test in words, with what it saw of both.
fn watches(judged: &Judged) -> [(Test, String, String); 4] {
    let (new, old) = (&judged.new, &judged.old);
    let slower = words::percent(judged.slower_limit);
    let two = |a: Option<f64>, b: Option<f64>| {
        let shown = |share: Option<f64>| share.map_or("–".to_owned(), words::percent);
        format!("{}, {}", shown(a), shown(b))
    };
    [
        (
            Test::Errors,
            format!("Errors over {}", words::percent(judged.error_limit)),
            new.failed().map_or("–".to_owned(), words::percent),
        ),
        (
            Test::MoreErrors,
            "Errors, new against old".to_owned(),
            two(new.failed(), old.failed()),
        ),
        (
            Test::SlowP50,
            format!("Response time over the median +{slower}"),
            two(share(new.over_p50, new.timed), share(old.over_p50, old.timed)),
        ),
        (
            Test::SlowP95,
            format!("Response time over p95 +{slower}"),
            two(share(new.over_p95, new.timed), share(old.over_p95, old.timed)),
        ),
    ]
}

fn dash(there: bool, text: String) -> String {
    if there { text } else { "–".to_owned() }
}
