//! Who was told of the deployment, and who could not be.

use super::model::{Deployment, Told};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

impl Deployment {
    pub(super) fn told(&self) -> Markup {
        html! {
            section id="told" aria-labelledby=[(!self.told.is_empty()).then_some("tol")] {
                @if !self.told.is_empty() {
                    div class="head" { h2 id="tol" { "Told" } }
                    table class="keep" {
                        tbody {
                            @for told in &self.told {
                                tr {
                                    td class="w" {
                                        b { (channel(&told.channel)) } " " (told.event.replace('-', " "))
                                        @if !told.host.is_empty() { " " span class="m" { (told.host) } }
                                        @if !told.error.is_empty() && told.state != "told" { br; span class="m" { (told.error) } }
                                    }
                                    td class="m hs" { (self.when(told)) }
                                    td class="r" { (state(told)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn when(&self, told: &Told) -> Markup {
        html! {
            @match (told.state.as_str(), told.next_at) {
                ("pending", Some(next)) if told.tries > 0 => {
                    "again in " time data-until=(next) { (words::duration((next - self.now).max(0))) }
                }
                ("pending", _) => {}
                _ => { (words::clock(told.at)) }
            }
        }
    }
}

fn state(told: &Told) -> Markup {
    let tries = words::counted(u64::try_from(told.tries).unwrap_or(0), "try", "tries");
    match told.state.as_str() {
        "told" if told.tries > 1 => Status::Passed.mark_as(&format!("told, {tries}")),
        "told" => Status::Passed.mark_as("told"),
        "given-up" => Status::Failed.mark_as(&format!("given up, {tries}")),
        _ if told.tries > 0 => Status::Queued.mark_as(&format!("not told yet, {tries}")),
        _ => Status::Queued.mark_as("on its way"),
    }
}

fn channel(word: &str) -> &str {
    match word {
        "slack" => "Slack",
        "pagerduty" => "PagerDuty",
        "webhook" => "Webhook",
        other => other,
    }
}
