//! What a server is started with: `server.yml`, and what the command line says over it.

use crate::outgoing::{Allowed, Target};
use pilotage_workflow::diagnostic::Diagnostic;
use pilotage_workflow::parse::closest;
use pilotage_workflow::source::{Source, Span};
use pilotage_workflow::yaml::{self, Node};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Config {
    /// Everything that the server keeps lies here.
    pub data: PathBuf,
    pub listen: SocketAddr,
    /// Where people and programs reach it, if that is not the address it listens on.
    pub url: Option<String>,
    /// Slots of the runner that the server starts for itself; 0 for no runner.
    pub runner_slots: u32,
    pub retention: Retention,
    pub outgoing: OutgoingConfig,
    /// The program whose `keep` and `proxy` are run: `pilotage` itself.
    pub exe: PathBuf,
}

/// How long things are kept, unless something needs them.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Runs with their logs, in days after their end.
    pub run_days: u32,
    /// Caches that nobody used for so many days.
    pub cache_days: u32,
    /// All caches of a project together, in bytes; the longest unused go first.
    pub cache_bytes_max: u64,
}

/// Where the server itself sends what people are told.
#[derive(Clone, Debug)]
pub struct OutgoingConfig {
    /// What may be called besides the public internet.
    pub allow: Vec<Allowed>,
    /// Where PagerDuty takes events.
    pub pagerduty: String,
}

impl Default for OutgoingConfig {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            pagerduty: "https://events.pagerduty.com/v2/enqueue".to_owned(),
        }
    }
}

impl Default for Retention {
    /// As on GitHub: 90 days, 7 days, 10 GB.
    fn default() -> Self {
        Self {
            run_days: 90,
            cache_days: 7,
            cache_bytes_max: 10 * 1024 * 1024 * 1024,
        }
    }
}

impl Config {
    /// A server on loopback with a runner of two slots.
    #[must_use]
    pub fn new(data: PathBuf) -> Self {
        Self {
            data,
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            url: None,
            runner_slots: 2,
            retention: Retention::default(),
            outgoing: OutgoingConfig::default(),
            exe: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("pilotage")),
        }
    }
}

impl Config {
    /// Takes what a `server.yml` says. What is wrong with it is said with its place; then the server does not start.
    ///
    /// ```yaml
    /// listen: 127.0.0.1:7070
    /// url: https://ci.example.com
    /// runner: {slots: 2}
    /// retention: {runs: 90d, caches: 7d, cache-size: 10GiB}
    /// outgoing: {allow: [10.1.0.0/16, hooks.internal], pagerduty: https://events.eu.pagerduty.com/v2/enqueue}
    /// ```
    pub fn apply(&mut self, source: &Arc<Source>) -> Vec<Diagnostic> {
        let (root, diagnostics) = yaml::parse(source);
        let mut reader = Reader { source, diagnostics };
        if let Some(root) = root {
            reader.map(
                &root,
                &["listen", "url", "runner", "retention", "outgoing"],
                |reader, key, value| match key {
                    "listen" => reader.set(
                        value,
                        "an address such as `127.0.0.1:7070`",
                        |t| t.parse().ok(),
                        &mut self.listen,
                    ),
                    "url" => reader.set(
                        value,
                        "an address such as `https://ci.example.com`",
                        url,
                        &mut self.url,
                    ),
                    "runner" => reader.map(value, &["slots"], |reader, _, value| {
                        reader.set(
                            value,
                            "a number of jobs at a time, 0 for no runner",
                            slots,
                            &mut self.runner_slots,
                        );
                    }),
                    "outgoing" => reader.outgoing(value, &mut self.outgoing),
                    _ => reader.retention(value, &mut self.retention),
                },
            );
        }
        reader.diagnostics
    }
}

fn url(text: &str) -> Option<Option<String>> {
    let plain = text.starts_with("http://") || text.starts_with("https://");
    let plain = plain && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    plain.then(|| Some(text.trim_end_matches('/').to_owned()))
}

/// An address that can be called, as it is written.
fn endpoint(text: &str) -> Option<String> {
    Target::parse(text).ok().map(|_| text.to_owned())
}

fn slots(text: &str) -> Option<u32> {
    text.parse().ok().filter(|slots| *slots <= 1000)
}

/// `90d`.
fn days(text: &str) -> Option<u32> {
    text.strip_suffix('d')?
        .parse()
        .ok()
        .filter(|days| (1..=36_500).contains(days))
}

/// `500MiB`, `10GiB`.
fn size(text: &str) -> Option<u64> {
    [
        ("KiB", 1_u64 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ]
    .into_iter()
    .find_map(|(unit, bytes)| {
        text.strip_suffix(unit)?
            .trim_end()
            .parse::<u64>()
            .ok()?
            .checked_mul(bytes)
    })
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn retention(&mut self, node: &Node, retention: &mut Retention) {
        self.map(
            node,
            &["runs", "caches", "cache-size"],
            |reader, key, value| match key {
                "runs" => reader.set(
                    value,
                    "a number of days such as `90d`",
                    days,
                    &mut retention.run_days,
                ),
                "caches" => reader.set(
                    value,
                    "a number of days such as `7d`",
                    days,
                    &mut retention.cache_days,
                ),
                _ => reader.set(
                    value,
                    "a size such as `10GiB`",
                    size,
                    &mut retention.cache_bytes_max,
                ),
            },
        );
    }

    fn outgoing(&mut self, node: &Node, outgoing: &mut OutgoingConfig) {
        self.map(node, &["allow", "pagerduty"], |reader, key, value| {
            match (key, value.items()) {
                ("allow", Some(items)) => {
                    outgoing.allow.clear();
                    for item in items {
                        let expected = "a network such as `10.1.0.0/16`, an address, or the name of a host";
                        let mut allowed = None;
                        reader.set(
                            item,
                            expected,
                            |text| Allowed::parse(text).map(Some),
                            &mut allowed,
                        );
                        outgoing.allow.extend(allowed);
                    }
                }
                ("allow", None) if value.is_null() => {}
                ("allow", None) => {
                    let message = format!("{} is not expected here, but a list", value.noun());
                    reader.error("S0102", value.span, message, None);
                }
                _ => reader.set(
                    value,
                    "an address such as `https://events.eu.pagerduty.com/v2/enqueue`",
                    endpoint,
                    &mut outgoing.pagerduty,
                ),
            }
        });
    }

    /// Gives each known key of a map to `take`; the others are errors.
    fn map(&mut self, node: &Node, known: &[&'static str], mut take: impl FnMut(&mut Self, &str, &Node)) {
        let Some(entries) = node.entries() else {
            if !node.is_null() {
                self.error(
                    "S0102",
                    node.span,
                    format!("{} is not expected here, but a map", node.noun()),
                    None,
                );
            }
            return;
        };
        for entry in entries {
            let name = entry.key.text().unwrap_or_default();
            if known.contains(&&*name) {
                take(self, &name, &entry.value);
                continue;
            }
            let help = match closest(&name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("keys here are {}", known.join(", ")),
            };
            self.error(
                "S0101",
                entry.key.span,
                format!("there is no key `{name}` here"),
                Some(help),
            );
        }
    }

    fn set<T>(&mut self, node: &Node, expected: &str, read: impl Fn(&str) -> Option<T>, into: &mut T) {
        match node.text().and_then(|text| read(&text)) {
            Some(value) => *into = value,
            None => self.error("S0103", node.span, format!("this is not {expected}"), None),
        }
    }

    fn error(&mut self, code: &'static str, span: Span, message: String, help: Option<String>) {
        let mut diagnostic = Diagnostic::error(code, self.source, span, message);
        diagnostic.help = help;
        self.diagnostics.push(diagnostic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults of a text, each with its place.
    fn check(text: &str) -> (Config, Vec<String>) {
        let mut config = Config::new(PathBuf::from("data"));
        let source = Source::new("server.yml", text);
        let faults = config.apply(&source);
        let shown = faults.iter().map(|fault| {
            let place = source.position(fault.span.start);
            format!("{}:{} {} {}", place.line, place.column, fault.code, fault.message)
        });
        (config, shown.collect())
    }

    #[test]
    fn what_is_written_is_taken() {
        let (config, faults) = check(
            "listen: 127.0.0.1:8080\nurl: https://ci.example.com/\nrunner: {slots: 0}\nretention: {runs: 30d, cache-size: 1GiB}\n",
        );
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(
            (config.listen.port(), config.url.as_deref()),
            (8080, Some("https://ci.example.com"))
        );
        assert_eq!((config.runner_slots, config.retention.run_days), (0, 30));
        assert_eq!(
            (config.retention.cache_days, config.retention.cache_bytes_max),
            (7, 1 << 30)
        );
        assert_eq!(check("").1, Vec::<String>::new());
        let (config, faults) = check(
            "outgoing: {allow: [127.0.0.1/32, 'fd00::/8', hooks.internal], pagerduty: 'http://127.0.0.1:1/x'}\n",
        );
        assert_eq!(faults, Vec::<String>::new());
        let allowed =
            ["127.0.0.1/32", "fd00::/8", "hooks.internal"].map(|text| Allowed::parse(text).unwrap());
        assert_eq!(config.outgoing.allow, allowed);
        assert_eq!(config.outgoing.pagerduty, "http://127.0.0.1:1/x");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let (_, faults) = check("lisen: x\nlisten: here\nrunner: 2\nretention:\n  runs: 90\n");
        assert_eq!(
            faults,
            [
                "1:1 S0101 there is no key `lisen` here",
                "2:9 S0103 this is not an address such as `127.0.0.1:7070`",
                "3:9 S0102 a number is not expected here, but a map",
                "5:9 S0103 this is not a number of days such as `90d`",
            ]
        );
        let (_, faults) =
            check("outgoing:\n  alow: []\n  allow: [10.0.0.0/33, '*.x', 10.1]\n  pagerduty: ftp://x\n");
        assert_eq!(
            faults,
            [
                "2:3 S0101 there is no key `alow` here",
                "3:11 S0103 this is not a network such as `10.1.0.0/16`, an address, or the name of a host",
                "3:24 S0103 this is not a network such as `10.1.0.0/16`, an address, or the name of a host",
                "3:31 S0103 this is not a network such as `10.1.0.0/16`, an address, or the name of a host",
                "4:14 S0103 this is not an address such as `https://events.eu.pagerduty.com/v2/enqueue`",
            ]
        );
        assert_eq!(
            check("outgoing: {allow: all}\n").1,
            ["1:19 S0102 a text is not expected here, but a list"]
        );
    }
}
