//! One service, and the settings that may stand at every level.

use super::defaults;
use super::keys::{self, CANARY_STEPS_MAX, KEEP_MAX, PASSES_MAX, REPLICAS_MAX, SIGNALS, WATCH_DAYS_MAX};
use super::model::{Guard, Health, Service, Settings, Stop};
use super::plan::{ArtifactSource, Before, Canary, Strategy, Undecided};
use super::reader::{Field, Reader};
use crate::source::Spanned;
use crate::yaml::{Kind, Node};

/// Variables that the platform sets itself.
const RESERVED: &[&str] = &["PORT"];
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

pub(super) fn read(reader: &mut Reader<'_>, name: Spanned<String>, node: &Node) -> Option<Service> {
    let fields = reader.fields(node, &keys::SERVICE);
    let mut service = Service {
        source: ArtifactSource::Project,
        run: String::new(),
        prepare: None,
        before: None,
        path: None,
        assets: None,
        after: Vec::new(),
        settings: Settings::default(),
        name,
    };
    let mut run = None;
    let is_static = fields.iter().any(|f| f.key == "static");
    for field in &fields {
        let value = field.value;
        match field.key {
            "artifact" => {
                if let Some(name) = reader.text(value, "the name of an artifact") {
                    service.source = ArtifactSource::Artifact(name);
                }
            }
            "image" => reader.not_yet(
                field.span,
                "`image`",
                Some("use `artifact`, or the project's own files"),
            ),
            "static" => reader.not_yet(
                field.span,
                "`static`",
                Some("use `run` with a program that serves files"),
            ),
            "prepare" => service.prepare = reader.text(value, "a command"),
            "run" => run = reader.text(value, "a command"),
            "path" => service.path = reader.path(value).map(|p| Spanned::new(p, value.span)),
            "assets" => service.assets = reader.path(value),
            "before" => service.before = before(reader, value),
            "after" => service.after = names(reader, value),
            _ => setting(reader, field, &mut service.settings),
        }
    }
    if run.is_none() && !is_static && !fields.iter().any(|f| f.key == "run") {
        let span = service.name.span;
        let message = format!(
            "the service `{}` needs `run`, the command that starts it",
            service.name.value
        );
        reader.error("P0102", span, message);
    }
    service.run = run?;
    Some(service)
}

/// Whether it is a key of [`Settings`].
pub(super) fn setting(reader: &mut Reader<'_>, field: &Field<'_>, settings: &mut Settings) {
    let value = field.value;
    match field.key {
        "health" => settings.health = health(reader, value),
        "stop" => settings.stop = stop(reader, value),
        "memory" => settings.memory_bytes = reader.size(value),
        "replicas" => settings.replicas = reader.count(value, 1, REPLICAS_MAX),
        "keep" => settings.keep = reader.count(value, 1, KEEP_MAX),
        "env" => settings.env = env(reader, value),
        "strategy" => settings.strategy = strategy(reader, value),
        "guard" => settings.guard = guard(reader, value),
        _ => {}
    }
}

/// `/health`, or a map.
fn health(reader: &mut Reader<'_>, node: &Node) -> Health {
    let mut health = Health::default();
    if let Kind::String(_) = node.kind {
        health.path = reader.path(node);
        return health;
    }
    for field in reader.fields(node, &keys::HEALTH_MAP) {
        match field.key {
            "get" => health.path = reader.path(field.value),
            "every" => health.every_ms = reader.duration(field.value).map(|ms| ms.max(10)),
            "passes" => health.passes = reader.count(field.value, 1, PASSES_MAX),
            _ => health.within_ms = reader.duration(field.value),
        }
    }
    if let (Some(every), Some(passes), Some(within)) = (health.every_ms, health.passes, health.within_ms)
        && every.saturating_mul(u64::from(passes.saturating_sub(1))) > within
    {
        let span = reader.head(node);
        reader.error(
            "P0111",
            span,
            format!("{passes} passes, one each {every} ms, do not fit within {within} ms"),
        );
    }
    health
}

/// `10s`, the time from the signal to the kill, or a map.
fn stop(reader: &mut Reader<'_>, node: &Node) -> Stop {
    let mut stop = Stop::default();
    if node.entries().is_none() {
        stop.grace_ms = reader.duration(node);
        return stop;
    }
    let signals: Vec<_> = SIGNALS.iter().map(|name| (*name, *name)).collect();
    for field in reader.fields(node, &keys::STOP_MAP) {
        match field.key {
            "signal" => stop.signal = reader.word(field.value, &signals).map(str::to_owned),
            _ => stop.grace_ms = reader.duration(field.value),
        }
    }
    stop
}

/// A command, or a map that says whether the release before can live with what it did.
fn before(reader: &mut Reader<'_>, node: &Node) -> Option<Before> {
    if node.entries().is_none() {
        return reader.text(node, "a command").map(|run| Before {
            run,
            reversible: false,
        });
    }
    let mut run = None;
    let mut reversible = false;
    for field in reader.fields(node, &keys::BEFORE_MAP) {
        match field.key {
            "run" => run = reader.text(field.value, "a command"),
            _ => reversible = reader.boolean(field.value).unwrap_or(false),
        }
    }
    if run.is_none() && node.get("run").is_none() {
        let span = reader.head(node);
        reader.error("P0102", span, "`before` needs `run`");
    }
    run.map(|run| Before { run, reversible })
}

fn env(reader: &mut Reader<'_>, node: &Node) -> Vec<(String, String)> {
    let Some(entries) = node.entries() else {
        if !node.is_null() {
            reader.unexpected(node, "a map of variables");
        }
        return Vec::new();
    };
    let mut env = Vec::new();
    for entry in entries {
        let name = entry.key.text().unwrap_or_default().to_string();
        let is_reserved = RESERVED.contains(&name.as_str()) || name.starts_with("PILOTAGE_");
        if name.is_empty() || name.contains(['=', '\0']) || name.contains("${{") {
            reader.error(
                "P0105",
                entry.key.span,
                format!("`{name}` is no name of a variable"),
            );
        } else if is_reserved {
            let message = format!("`{name}` is set by the platform");
            reader.error("P0105", entry.key.span, message).help = Some("choose another name".to_owned());
        } else if let Some(value) = reader.template(&entry.value) {
            env.push((name, value));
        }
    }
    env
}

/// A name or a list of names.
pub(super) fn names(reader: &mut Reader<'_>, node: &Node) -> Vec<Spanned<String>> {
    let mut name = |n: &Node| reader.text(n, "a name").map(|t| Spanned::new(t, n.span));
    match node.items() {
        Some(items) => items.iter().filter_map(name).collect(),
        None => name(node).into_iter().collect(),
    }
}

/// `rolling`, `canary`, `blue-green`, or `{canary: [{share, for}, …]}`.
fn strategy(reader: &mut Reader<'_>, node: &Node) -> Option<Strategy> {
    if node.entries().is_none() {
        let word = reader.word(node, &[("rolling", 0), ("canary", 1), ("blue-green", 2)])?;
        return Some(match word {
            0 => Strategy::Rolling,
            1 => Strategy::Canary {
                steps: defaults::CANARY.to_vec(),
            },
            _ => Strategy::BlueGreen,
        });
    }
    let fields = reader.fields(node, &keys::STRATEGY_MAP);
    let steps = fields.first()?.value;
    let Some(items) = steps.items().filter(|i| !i.is_empty()) else {
        reader.unexpected(steps, "a list of steps such as `{share: 5%, for: 30s}`");
        return None;
    };
    if items.len() > CANARY_STEPS_MAX {
        reader.error(
            "P0111",
            steps.span,
            format!("a canary has at most {CANARY_STEPS_MAX} steps"),
        );
        return None;
    }
    let mut canary: Vec<Canary> = Vec::new();
    for item in items {
        let Some(step) = canary_step(reader, item) else {
            continue;
        };
        if canary.last().is_some_and(|before| before.share >= step.share) {
            let span = reader.head(item);
            reader.error(
                "P0111",
                span,
                "each step's share is greater than the one before it",
            );
        }
        canary.push(step);
    }
    Some(Strategy::Canary { steps: canary })
}

fn canary_step(reader: &mut Reader<'_>, node: &Node) -> Option<Canary> {
    let (mut share, mut for_ms) = (None, None);
    for field in reader.fields(node, &keys::CANARY_STEP) {
        match field.key {
            "share" => share = reader.share(field.value, 1.0),
            _ => for_ms = reader.duration(field.value),
        }
    }
    for key in ["share", "for"] {
        if node.entries().is_some() && node.get(key).is_none() {
            let span = reader.head(node);
            reader.error("P0102", span, format!("a canary's step needs `{key}`"));
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share is between 0 and 1"
    )]
    let parts = (share? * 10_000.0).round() as u32;
    Some(Canary {
        share: parts.max(1),
        for_ms: for_ms?,
    })
}

/// `off`, or a map of limits.
fn guard(reader: &mut Reader<'_>, node: &Node) -> Guard {
    let mut guard = Guard::default();
    if node.entries().is_none() && !node.is_null() {
        guard.enabled = reader.word(
            node,
            &[("on", true), ("off", false), ("true", true), ("false", false)],
        );
        return guard;
    }
    const UNDECIDED: [(&str, Undecided); 3] = [
        ("continue", Undecided::Continue),
        ("hold", Undecided::Hold),
        ("roll-back", Undecided::RollBack),
    ];
    for field in reader.fields(node, &keys::GUARD_MAP) {
        match field.key {
            "error-rate" => guard.error_rate = reader.share(field.value, 1.0),
            "response-time" => guard.response_time = reader.share(field.value, 100.0),
            "watch" => guard.watch_ms = watch(reader, field.value),
            "false-alarms" => guard.false_alarms = reader.share(field.value, 0.2),
            "undecided" => guard.undecided = reader.word(field.value, &UNDECIDED),
            _ => reader.not_yet(field.span, "`metrics`", None),
        }
    }
    guard
}

fn watch(reader: &mut Reader<'_>, node: &Node) -> Option<u64> {
    let ms = reader.duration(node)?;
    if ms > WATCH_DAYS_MAX * DAY_MS {
        reader.unexpected(node, &format!("at most {WATCH_DAYS_MAX} days"));
        return None;
    }
    Some(ms)
}
