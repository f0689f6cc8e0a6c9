//! Workflow commands: lines of a step's output that ask something of the runner, such as `::error file=a.py::text`.
//!
//! Owns what is a command and what it means, as plain [`Effect`]s. Pure: carrying them out is the job's part.
//! Follows `ActionCommand.cs` and `ActionCommandManager.cs` of GitHub's runner; stricter in one point: the old form
//! `##[…]` counts only at the begin of a line too, not in its middle.

mod parse;

use parse::Raw;
use pilotage_api::runner::{Annotation, AnnotationLevel};
use std::borrow::Cow;

/// GitHub cuts an annotation's text here, in characters.
pub const ANNOTATION_CHARS_MAX: usize = 4096;

/// What a command asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Annotation(Annotation),
    /// Hide this from now on.
    AddMask(String),
    SetOutput {
        name: String,
        value: String,
    },
    SaveState {
        name: String,
        value: String,
    },
    /// Only where `ACTIONS_ALLOW_UNSECURE_COMMANDS` is `true`.
    SetEnv {
        name: String,
        value: String,
    },
    /// As [`Effect::SetEnv`].
    AddPath(String),
    /// A file with problem matchers, relative to the workspace.
    AddMatcher(String),
    RemoveMatcher(MatcherName),
    /// The step fails, with this error: the command cannot be carried out.
    Refused(String),
}

/// How `remove-matcher` names what it removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatcherName {
    Owner(String),
    File(String),
}

/// What becomes of one line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome<'a> {
    /// What the log shows for it.
    pub print: Option<Cow<'a, str>>,
    pub effect: Option<Effect>,
    /// Said once, as a warning: what the command's successor is.
    pub warning: Option<&'static str>,
}

impl<'a> Outcome<'a> {
    fn print(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            print: Some(text.into()),
            ..Self::default()
        }
    }

    fn effect(effect: Effect) -> Self {
        Self {
            effect: Some(effect),
            ..Self::default()
        }
    }

    fn refused(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            print: Some(format!("##[error]{message}").into()),
            effect: Some(Effect::Refused(message)),
            warning: None,
        }
    }
}

/// Reads the lines of one step.
#[derive(Clone, Debug)]
pub struct Commands {
    step: u32,
    /// Whether `::debug::` is shown (`ACTIONS_STEP_DEBUG`).
    pub show_debug: bool,
    /// Whether `set-env` and `add-path` work (`ACTIONS_ALLOW_UNSECURE_COMMANDS` is `true` for the step).
    pub allow_unsecure: bool,
    echo: bool,
    /// Commands are off until this one comes.
    stopped: Option<String>,
    warned_output: bool,
    warned_state: bool,
}

const DEPRECATED_OUTPUT: &str =
    "The `set-output` command is deprecated: write to the file $GITHUB_OUTPUT instead";
const DEPRECATED_STATE: &str =
    "The `save-state` command is deprecated: write to the file $GITHUB_STATE instead";

/// Every command, by its name in small letters.
const COMMANDS: &[(&str, Handler)] = &[
    ("error", |c, raw, _| c.annotation(AnnotationLevel::Error, raw)),
    ("warning", |c, raw, _| c.annotation(AnnotationLevel::Warning, raw)),
    ("notice", |c, raw, _| c.annotation(AnnotationLevel::Notice, raw)),
    ("debug", |c, raw, _| {
        if c.show_debug {
            Outcome::print(format!("##[debug]{}", raw.data))
        } else {
            Outcome::default()
        }
    }),
    ("group", |_, raw, _| {
        Outcome::print(format!("##[group]{}", raw.data))
    }),
    ("endgroup", |_, _, _| Outcome::print("##[endgroup]")),
    ("echo", |c, raw, _| c.set_echo(raw)),
    ("add-mask", |_, raw, _| add_mask(raw)),
    ("stop-commands", |c, raw, line| c.stop(raw, line)),
    ("set-output", |c, raw, line| c.set_output(raw, line)),
    ("save-state", |c, raw, line| c.save_state(raw, line)),
    ("set-env", |c, raw, line| c.set_env(raw, line)),
    ("add-path", |c, raw, line| c.add_path(raw, line)),
    ("add-matcher", |c, raw, line| c.add_matcher(raw, line)),
    ("remove-matcher", |c, raw, line| c.remove_matcher(raw, line)),
    // Known to GitHub's runner for its own use; said and done nothing.
    ("internal-set-repo-path", |_, _, _| Outcome::default()),
];

type Handler = for<'a> fn(&mut Commands, &Raw, &'a str) -> Outcome<'a>;

impl Commands {
    #[must_use]
    pub fn new(step: u32) -> Self {
        Self {
            step,
            show_debug: false,
            allow_unsecure: false,
            echo: false,
            stopped: None,
            warned_output: false,
            warned_state: false,
        }
    }

    /// Takes the next line, without its end. A line that is no command is printed as it is.
    pub fn line<'a>(&mut self, line: &'a str) -> Outcome<'a> {
        if let Some(token) = &self.stopped {
            if parse::line(line).is_some_and(|raw| raw.name.eq_ignore_ascii_case(token)) {
                self.stopped = None;
            }
            return Outcome::print(line);
        }
        let command = parse::line(line).and_then(|raw| Some((handler(&raw.name)?, raw)));
        match command {
            Some((handler, raw)) => handler(self, &raw, line),
            None => Outcome::print(line),
        }
    }

    fn annotation<'a>(&self, level: AnnotationLevel, raw: &Raw) -> Outcome<'a> {
        let number = |key: &str| raw.property(key).and_then(|v| v.trim().parse::<u32>().ok());
        let text = |key: &str| raw.property(key).map(str::to_owned).filter(|v| !v.is_empty());
        let (line, end_line) = (number("line"), number("endLine"));
        let (column, end_column) = (number("col"), number("endColumn"));
        // GitHub drops places that contradict themselves and keeps the message.
        let lines_fit = line.is_none_or(|l| end_line.is_none_or(|e| e >= l));
        let columns_fit =
            column.is_none_or(|c| end_column.is_none_or(|e| e >= c)) && (column.is_none() || line.is_some());
        let annotation = Annotation {
            step: self.step,
            level,
            message: raw.data.chars().take(ANNOTATION_CHARS_MAX).collect(),
            title: text("title"),
            file: text("file"),
            line,
            end_line: end_line.filter(|_| lines_fit && line.is_some()),
            column: column.filter(|_| columns_fit),
            end_column: end_column
                .filter(|_| columns_fit && column.is_some() && end_line.is_none_or(|e| Some(e) == line)),
            log_line: None,
        };
        Outcome {
            print: Some(format!("##[{}]{}", level_word(level), raw.data).into()),
            effect: Some(Effect::Annotation(annotation)),
            warning: None,
        }
    }

    fn set_echo<'a>(&mut self, raw: &Raw) -> Outcome<'a> {
        match raw.data.trim().to_ascii_lowercase().as_str() {
            "on" => self.echo = true,
            "off" => self.echo = false,
            other => return Outcome::refused(format!("`echo` takes `on` or `off`, not `{other}`")),
        }
        Outcome::default()
    }

    fn stop<'a>(&mut self, raw: &Raw, line: &'a str) -> Outcome<'a> {
        let token = raw.data.trim();
        // A word that anybody can guess would let the output that follows switch commands on again.
        if token.is_empty() || token.eq_ignore_ascii_case("pause-logging") || handler(token).is_some() {
            return Outcome::refused(format!("`stop-commands` needs a token of its own, not `{token}`"));
        }
        const MASKED_CHARS_MIN: usize = 7;
        self.stopped = Some(token.to_owned());
        let mask = (token.chars().count() >= MASKED_CHARS_MIN).then(|| Effect::AddMask(token.to_owned()));
        Outcome {
            print: Some(line.into()),
            effect: mask,
            warning: None,
        }
    }

    fn set_output<'a>(&mut self, raw: &Raw, line: &'a str) -> Outcome<'a> {
        let Some(name) = raw.property("name").filter(|n| !n.is_empty()) else {
            return Outcome::refused("`set-output` needs a `name`");
        };
        let warning = (!std::mem::replace(&mut self.warned_output, true)).then_some(DEPRECATED_OUTPUT);
        let effect = Effect::SetOutput {
            name: name.to_owned(),
            value: raw.data.clone(),
        };
        Outcome {
            warning,
            ..self.echoed(line, effect)
        }
    }

    fn save_state<'a>(&mut self, raw: &Raw, line: &'a str) -> Outcome<'a> {
        let Some(name) = raw.property("name").filter(|n| !n.is_empty()) else {
            return Outcome::refused("`save-state` needs a `name`");
        };
        let warning = (!std::mem::replace(&mut self.warned_state, true)).then_some(DEPRECATED_STATE);
        let effect = Effect::SaveState {
            name: name.to_owned(),
            value: raw.data.clone(),
        };
        Outcome {
            warning,
            ..self.echoed(line, effect)
        }
    }

    fn set_env<'a>(&mut self, raw: &Raw, line: &'a str) -> Outcome<'a> {
        if !self.allow_unsecure {
            return unsecure("set-env", "GITHUB_ENV");
        }
        match raw.property("name").filter(|n| !n.is_empty()) {
            None => Outcome::refused("`set-env` needs a `name`"),
            Some(name) if name.eq_ignore_ascii_case("NODE_OPTIONS") => {
                Outcome::refused("`set-env` must not set `NODE_OPTIONS`")
            }
            Some(name) => self.echoed(
                line,
                Effect::SetEnv {
                    name: name.to_owned(),
                    value: raw.data.clone(),
                },
            ),
        }
    }

    fn add_path<'a>(&mut self, raw: &Raw, line: &'a str) -> Outcome<'a> {
        if !self.allow_unsecure {
            return unsecure("add-path", "GITHUB_PATH");
        }
        if raw.data.is_empty() {
            return Outcome::refused("`add-path` needs a path");
        }
        self.echoed(line, Effect::AddPath(raw.data.clone()))
    }

    fn add_matcher<'a>(&mut self, raw: &Raw, line: &'a str) -> Outcome<'a> {
        if raw.data.is_empty() {
            return Outcome::refused("`add-matcher` needs the path of a file");
        }
        self.echoed(line, Effect::AddMatcher(raw.data.clone()))
    }

    fn remove_matcher<'a>(&mut self, raw: &Raw, line: &'a str) -> Outcome<'a> {
        let owner = raw.property("owner").filter(|o| !o.is_empty());
        match (owner, raw.data.as_str()) {
            (None, "") => Outcome::refused("`remove-matcher` needs an `owner` or the path of a file"),
            (Some(_), file) if !file.is_empty() => {
                Outcome::refused("`remove-matcher` takes an `owner` or a file, not both")
            }
            (Some(owner), _) => {
                self.echoed(line, Effect::RemoveMatcher(MatcherName::Owner(owner.to_owned())))
            }
            (None, file) => self.echoed(line, Effect::RemoveMatcher(MatcherName::File(file.to_owned()))),
        }
    }

    fn echoed<'a>(&self, line: &'a str, effect: Effect) -> Outcome<'a> {
        Outcome {
            print: self.echo.then_some(line.into()),
            ..Outcome::effect(effect)
        }
    }
}

fn handler(name: &str) -> Option<Handler> {
    COMMANDS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, handler)| *handler)
}

fn add_mask<'a>(raw: &Raw) -> Outcome<'a> {
    if raw.data.trim().is_empty() {
        return Outcome::refused("`add-mask` needs a text to hide");
    }
    Outcome::effect(Effect::AddMask(raw.data.clone()))
}

fn unsecure<'a>(command: &str, file: &str) -> Outcome<'a> {
    Outcome::refused(format!(
        "the `{command}` command is disabled, because any program's output could use it: write to the file ${file}, \
         or set the environment variable `ACTIONS_ALLOW_UNSECURE_COMMANDS` to `true`"
    ))
}

fn level_word(level: AnnotationLevel) -> &'static str {
    match level {
        AnnotationLevel::Error => "error",
        AnnotationLevel::Warning => "warning",
        AnnotationLevel::Notice => "notice",
    }
}

#[cfg(test)]
mod tests;
