use super::*;

/// What is printed for the lines, with the effects after `=>`.
fn check(commands: &mut Commands, lines: &[(&str, &str)]) {
    for (line, expected) in lines {
        let outcome = commands.line(line);
        let mut shown = outcome.print.as_deref().unwrap_or_default().to_owned();
        if let Some(effect) = &outcome.effect {
            shown = format!("{shown} => {}", short(effect));
        }
        if outcome.warning.is_some() {
            shown += " (deprecated)";
        }
        assert_eq!(shown, *expected, "{line:?}");
    }
}

fn short(effect: &Effect) -> String {
    match effect {
        Effect::Annotation(a) => {
            let n = |n: Option<u32>| n.map_or("-".to_owned(), |n| n.to_string());
            format!(
                "{} {:?} {} {}:{}..{}:{} {}",
                level_word(a.level),
                a.message,
                a.file.as_deref().unwrap_or("-"),
                n(a.line),
                n(a.column),
                n(a.end_line),
                n(a.end_column),
                a.title.as_deref().unwrap_or("-")
            )
        }
        Effect::Refused(message) => format!("refused: {}", message.split(':').next().unwrap_or_default()),
        other => format!("{other:?}"),
    }
}

#[test]
fn lines_that_are_no_commands_stay() {
    check(
        &mut Commands::new(1),
        &[
            ("", ""),
            ("hello", "hello"),
            ("::", "::"),
            ("::::", "::::"),
            ("::unknown::x", "::unknown::x"),
            ("a ::error::x", "a ::error::x"),
            ("a ##[error]x", "a ##[error]x"),
            ("##[]x", "##[]x"),
            ("##[error", "##[error"),
            ("::error", "::error"),
            (":: error::x", ":: error::x"),
        ],
    );
}

#[test]
fn annotations() {
    check(
        &mut Commands::new(1),
        &[
            (
                "::error::it broke",
                "##[error]it broke => error \"it broke\" - -:-..-:- -",
            ),
            ("  ::ERROR::x", "##[error]x => error \"x\" - -:-..-:- -"),
            (
                "::warning file=a.py,line=3,endLine=4,col=5,endColumn=6,title=T%2C t%3A::a%0Ab",
                "##[warning]a\nb => warning \"a\\nb\" a.py 3:5..4:- T, t:",
            ),
            (
                "::notice file=a,line=3,col=5,endColumn=9::m",
                "##[notice]m => notice \"m\" a 3:5..-:9 -",
            ),
            (
                "::error line=9,endLine=2::m",
                "##[error]m => error \"m\" - 9:-..-:- -",
            ),
            ("::error col=9::m", "##[error]m => error \"m\" - -:-..-:- -"),
            ("::error line=x::m", "##[error]m => error \"m\" - -:-..-:- -"),
            ("::error::a::b", "##[error]a::b => error \"a::b\" - -:-..-:- -"),
            (
                "::error::100%250A%2x%",
                "##[error]100%0A%2x% => error \"100%0A%2x%\" - -:-..-:- -",
            ),
            ("##[error]old", "##[error]old => error \"old\" - -:-..-:- -"),
            (
                "##[warning file=b;line=2]old%3B",
                "##[warning]old; => warning \"old;\" b 2:-..-:- -",
            ),
        ],
    );
    let long = format!("::error::{}", "ä".repeat(5000));
    let mut commands = Commands::new(1);
    let Some(Effect::Annotation(annotation)) = commands.line(&long).effect else {
        panic!("an annotation")
    };
    assert_eq!(annotation.message.chars().count(), ANNOTATION_CHARS_MAX);
}

#[test]
fn groups_debug_and_echo() {
    let mut commands = Commands::new(1);
    check(
        &mut commands,
        &[
            ("::group::A b", "##[group]A b"),
            ("::endgroup::", "##[endgroup]"),
            ("##[group]c", "##[group]c"),
            ("::debug::hidden", ""),
            ("::echo::on", ""),
            (
                "::save-state name=a::b",
                "::save-state name=a::b => SaveState { name: \"a\", value: \"b\" } (deprecated)",
            ),
            ("::add-mask::never shown", " => AddMask(\"never shown\")"),
            ("::echo::OFF", ""),
            (
                "::save-state name=a::b",
                " => SaveState { name: \"a\", value: \"b\" }",
            ),
            (
                "::echo::maybe",
                "##[error]`echo` takes `on` or `off`, not `maybe` => refused: `echo` takes `on` or `off`, not `maybe`",
            ),
        ],
    );
    commands.show_debug = true;
    check(&mut commands, &[("::debug::shown", "##[debug]shown")]);
}

#[test]
fn masks_outputs_and_matchers() {
    check(
        &mut Commands::new(1),
        &[
            ("::add-mask::a%0Ab", " => AddMask(\"a\\nb\")"),
            (
                "::set-output name=x::1=2",
                " => SetOutput { name: \"x\", value: \"1=2\" } (deprecated)",
            ),
            (
                "::set-output name=y::",
                " => SetOutput { name: \"y\", value: \"\" }",
            ),
            (
                "::add-matcher::.github/m.json",
                " => AddMatcher(\".github/m.json\")",
            ),
            (
                "::remove-matcher owner=eslint::",
                " => RemoveMatcher(Owner(\"eslint\"))",
            ),
            ("::remove-matcher::m.json", " => RemoveMatcher(File(\"m.json\"))"),
        ],
    );
}

#[test]
fn what_a_program_must_not_do_by_printing_is_refused() {
    for line in [
        "::set-env name=PATH::/evil",
        "::add-path::/evil",
        "::set-output::x",
        "::save-state name=::x",
        "::add-mask::",
        "::add-mask:: ",
        "::add-matcher::",
        "::remove-matcher::",
        "::remove-matcher owner=a::b",
        "::stop-commands::",
        "::stop-commands::add-mask",
        "::stop-commands::pause-logging",
    ] {
        let mut commands = Commands::new(1);
        assert!(
            matches!(commands.line(line).effect, Some(Effect::Refused(_))),
            "{line}"
        );
        assert_eq!(commands.stopped, None, "{line}");
    }
    let mut commands = Commands {
        allow_unsecure: true,
        ..Commands::new(1)
    };
    check(
        &mut commands,
        &[
            ("::set-env name=A::b", " => SetEnv { name: \"A\", value: \"b\" }"),
            ("::add-path::/bin", " => AddPath(\"/bin\")"),
        ],
    );
    assert!(matches!(
        commands.line("::set-env name=node_options::x").effect,
        Some(Effect::Refused(_))
    ));
}

#[test]
fn stopped_commands_are_text_until_their_token() {
    check(
        &mut Commands::new(1),
        &[
            (
                "::stop-commands::t0ken-of-mine",
                "::stop-commands::t0ken-of-mine => AddMask(\"t0ken-of-mine\")",
            ),
            ("::error::x", "::error::x"),
            ("::stop-commands::other", "::stop-commands::other"),
            ("::t0ken::", "::t0ken::"),
            ("::T0KEN-of-mine::", "::T0KEN-of-mine::"),
            ("::group::x", "##[group]x"),
            ("::stop-commands::short", "::stop-commands::short"),
        ],
    );
}
