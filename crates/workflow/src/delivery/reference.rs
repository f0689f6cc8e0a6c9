//! The reference of `pilotage.yml`, as Markdown, from the tables that parse it.

use super::keys::{
    CANARY_STEPS_MAX, CHECKS_MAX, Form, Key, NAME_BYTES_MAX, OTHER_TARGETS, ROUTES_MAX, SECTIONS, Section,
};
use super::{FILE_NAME, defaults, unit};
use std::fmt::Write;

/// The text of `docs/pilotage-yml.md`.
#[must_use]
pub fn reference() -> String {
    let mut text = format!(
        "# `{FILE_NAME}`

What of a project is served, where, and how a release gets there. The file stands at the root of the project, is read \
at the commit that is released, and goes with the release: a rollback brings it back, too. `pilotage init` writes a \
first one, `pilotage lint` checks it, and `pilotage debug plan ENVIRONMENT` prints what it comes to with every default \
filled in.

This page is printed from the tables that the parser uses; a test fails where the two differ.

```yaml
services:
  web:
    run: python3 app.py
environments:
  production:
    url: http://localhost:8080
```

## Values

- Numbers carry their unit. A duration: {}, also together, as in `1m30s`; {} days at most. A size: {}. A share: `5%`.
- Names of services, environments and lists: lower-case letters, digits and `-`, at most {NAME_BYTES_MAX}, beginning \
with a letter.
- A command is a line for `sh -c`.
- A key that is not here is an error (P0101), with the nearest one that is. The other codes are in \
[diagnostics](diagnostics.md).
- A list of checks has at most {CHECKS_MAX}, a canary {CANARY_STEPS_MAX} steps, `notify` {ROUTES_MAX} entries.
",
        unit::DURATIONS.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        unit::DURATION_DAYS_MAX,
        unit::SIZES.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    );
    SECTIONS.iter().for_each(|section| describe(section, &mut text));
    refused(&mut text);
    text
}

fn describe(section: &Section, text: &mut String) {
    let _ = write!(text, "\n## {}\n", section.place);
    if !section.note.is_empty() {
        let _ = write!(text, "\n{}\n", section.note);
    }
    text.push_str("\n| key | value | default | |\n|---|---|---|---|\n");
    for key in section.keys.iter().filter(|key| !is_refused(key)) {
        let default = match key.default {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let mut what = key.what.to_owned();
        if (section.place, key.name) == ("`strategy`", "canary") {
            let _ = write!(what, " `strategy: canary` alone is {}.", default_canary());
        }
        let _ = writeln!(
            text,
            "| `{}` | {} | {default} | {what} |",
            key.name,
            form(&key.form)
        );
    }
}

fn form(form: &Form) -> String {
    match form {
        Form::Of(words) => (*words).to_owned(),
        Form::Command => "a command".to_owned(),
        Form::Path => "a path".to_owned(),
        Form::Url => "a URL".to_owned(),
        Form::Size => "a size".to_owned(),
        Form::Duration { most_days: None } => "a duration".to_owned(),
        Form::Duration {
            most_days: Some(days),
        } => format!("a duration, at most {days} days"),
        Form::Count { least, most } => format!("{least} to {most}"),
        Form::Share { most_percent } => format!("a share, at most {most_percent} %"),
        Form::Word(words) => words
            .iter()
            .map(|w| format!("`{w}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Form::Refused(_) => String::new(),
    }
}

fn default_canary() -> String {
    let steps = defaults::CANARY.iter().map(|step| {
        format!(
            "{} % for {} s",
            f64::from(step.share) / 100.0,
            step.for_ms / 1_000
        )
    });
    steps.collect::<Vec<_>>().join(", ")
}

fn is_refused(key: &Key) -> bool {
    matches!(key.form, Form::Refused(_))
}

/// What is known by name, and is an error.
fn refused(text: &mut String) {
    text.push_str(
        "\n## Refused by name\n\nThese are errors (P0110), never skipped.\n\n| what | instead |\n|---|---|\n",
    );
    for section in SECTIONS {
        for key in section.keys {
            if let Form::Refused(instead) = key.form {
                let _ = writeln!(
                    text,
                    "| `{}` of {} | {} |",
                    key.name,
                    section.what,
                    instead.unwrap_or_default()
                );
            }
        }
    }
    for target in OTHER_TARGETS {
        let _ = writeln!(text, "| the target `{target}` | `local`, the default |");
    }
    text.push_str(
        "| a `url` with `https` | a reverse proxy that ends TLS, and forwards to the `http` address |\n",
    );
}

#[cfg(test)]
mod tests {
    use super::super::{EnvironmentPlan, parse, plan};
    use super::*;
    use crate::source::Source;

    /// A file with a line of one section in it.
    fn with(place: &str, line: &str) -> String {
        let web = |inner: &str| format!("  web:\n    run: x\n{inner}");
        let e = |inner: &str| format!("  e:\n    url: http://localhost:1\n{inner}");
        let nested = |key: &str| format!("    {key}: {{{line}}}\n");
        let (mut root, mut service, mut environment) = (String::new(), String::new(), String::new());
        match place {
            "The file" => root = format!("{line}\n"),
            "`services.NAME`" => service = format!("    {line}\n"),
            "`environments.NAME`" => environment = format!("    {line}\n"),
            "`environments.NAME.services.NAME`" => {
                environment = format!("    services: {{web: {{{line}}}}}\n");
            }
            "`health`" | "`stop`" => service = nested(place.trim_matches('`')),
            "`before`" => service = format!("    before: {{run: y, {line}}}\n"),
            "`guard`" => environment = nested("guard"),
            "`verify.NAME[]`" => environment = format!("    verify: [{{get: /, {line}}}]\n"),
            "`notify[]`" => root = format!("notify: [{{{line}}}]\n"),
            _ => panic!("no sample for {place}"),
        }
        format!(
            "services:\n{}environments:\n{}{root}",
            web(&service),
            e(&environment)
        )
    }

    /// What a file comes to, and the codes of its faults.
    fn read(text: &str) -> (Option<EnvironmentPlan>, Vec<&'static str>) {
        let (delivery, diagnostics) = parse(&Source::new(FILE_NAME, text));
        let codes = diagnostics.iter().map(|d| d.code).collect();
        (delivery.and_then(|d| plan(&d, "e")), codes)
    }

    #[test]
    fn a_default_that_is_written_out_changes_nothing() {
        let mut defaults = 0;
        for section in SECTIONS {
            for key in section.keys.iter().filter(|key| !key.default.is_empty()) {
                let line = format!("{}: {}", key.name, key.default);
                let (given, codes) = read(&with(section.place, &line));
                assert_eq!(codes, Vec::<&str>::new(), "{} {line}", section.place);
                let (without, _) = read(&with(section.place, ""));
                assert_eq!(given, without, "{} {line}", section.place);
                defaults += 1;
            }
        }
        assert!(defaults > 20, "{defaults}");
    }

    #[test]
    fn what_the_table_calls_refused_is_refused_by_name() {
        for section in SECTIONS {
            for key in section.keys {
                let text = match key.form {
                    Form::Refused(_) => with(section.place, &format!("{}: x", key.name)),
                    _ => continue,
                };
                assert!(
                    read(&text).1.contains(&"P0110"),
                    "{} of {}",
                    key.name,
                    section.what
                );
            }
        }
        for target in OTHER_TARGETS {
            let (_, codes) = read(&with("`environments.NAME`", &format!("target: {target}")));
            assert_eq!(codes, ["P0110"], "{target}");
        }
    }

    #[test]
    fn limits_hold_where_the_table_says() {
        for section in SECTIONS.iter().filter(|s| s.place != "`strategy.canary[]`") {
            for key in section.keys {
                let (good, bad) = match key.form {
                    Form::Count { least: _, most } => (most.to_string(), (most + 1).to_string()),
                    Form::Share { most_percent } => {
                        (format!("{most_percent}%"), format!("{}%", most_percent + 1))
                    }
                    Form::Duration {
                        most_days: Some(days),
                    } => (format!("{days}d"), format!("{days}d1s")),
                    Form::Duration { most_days: None } => {
                        let days = unit::DURATION_DAYS_MAX;
                        (format!("{days}d"), format!("{days}d1s"))
                    }
                    _ => continue,
                };
                for (value, expected) in [(good, &[][..]), (bad, &["P0107"][..])] {
                    let line = format!("{}: {value}", key.name);
                    assert_eq!(
                        read(&with(section.place, &line)).1,
                        expected,
                        "{} {line}",
                        section.place
                    );
                }
            }
        }
    }

    /// `UPDATE_DOCS=1 cargo test -p pilotage-workflow reference` writes it anew.
    #[test]
    fn the_page_is_what_the_tables_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pilotage-yml.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == reference(),
            "docs/pilotage-yml.md is stale: UPDATE_DOCS=1 cargo test -p pilotage-workflow reference"
        );
    }
}
