use super::*;
use proptest::prelude::*;
use serde_json::json;

/// The contexts are those of the JSON given; `success()` and `always()` are true; `failure('x')` fails.
struct World(Object);

impl World {
    fn new(contexts: &serde_json::Value) -> Self {
        let contexts = Value::from(contexts);
        Self(contexts.as_object().cloned().unwrap_or_default())
    }
}

impl Scope for World {
    fn context(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }

    fn function(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        match name {
            "success" | "always" => Some(Ok(Value::Bool(true))),
            "failure" => match arguments {
                [job] => Some(Err(format!("no job has the id {}", job.to_text()))),
                _ => Some(Ok(Value::Bool(false))),
            },
            _ => None,
        }
    }
}

fn world() -> World {
    World::new(&json!({
        "github": {"ref": "refs/heads/main", "ref_name": "main", "event_name": "push", "token": "t0p",
                   "event": {"commits": [{"id": "a", "author": {"name": "Ana"}}, {"id": "b"}]}},
        "inputs": {"rollback": true, "count": 3, "text": ""},
        "matrix": {"os": ["linux", "mac"], "deep": {"x": {"y": [1, 2]}, "z": {"y": [3]}}},
        "secrets": {"KEY": "hidden"},
        "needs": {"build": {"result": "success", "outputs": {"digest": "sha256:1"}}},
    }))
}

fn check(text: &str, expected: &serde_json::Value) {
    let expr = Expr::parse(text, Span::default()).unwrap_or_else(|e| panic!("{text}: {e}"));
    let value = expr.evaluate(&world()).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(serde_json::Value::from(&value), *expected, "{text}");
}

#[test]
fn values() {
    let table = [
        ("'it''s'", json!("it's")),
        ("0x10 == 16 && 1e1 == 10", json!(true)),
        ("github.ref == 'REFS/HEADS/MAIN'", json!(true)),
        ("inputs.rollback && 'yes' || 'no'", json!("yes")),
        ("inputs.text || inputs.missing || 'none'", json!("none")),
        ("!inputs.text == true", json!(true)),
        ("1 < 2 == true && !false", json!(true)),
        ("false || false && true", json!(false)),
        ("'10' > 9", json!(true)),
        ("'b' > 'A'", json!(true)),
        ("null >= null", json!(true)),
        ("matrix.os == matrix.os", json!(true)),
        ("fromJSON('[1]') == fromJSON('[1]')", json!(false)),
        ("matrix.os[1]", json!("mac")),
        ("matrix.os['1']", json!("mac")),
        ("matrix.os[2]", json!(null)),
        ("github.event.commits.*.id", json!(["a", "b"])),
        ("github.event.commits[*].author.name", json!(["Ana"])),
        ("matrix.deep.*.y", json!([[1, 2], [3]])),
        ("matrix.deep.*.y.*", json!([1, 2, 3])),
        ("(matrix.deep.*.y)[0]", json!([1, 3])),
        ("join(matrix.os.*, '+')", json!("linux+mac")),
        ("contains(matrix.os, 'MAC')", json!(true)),
        ("contains(github.ref, '/HEADS/')", json!(true)),
        (
            "startsWith(github.ref, 'refs/') && endsWith(github.ref, 'MAIN')",
            json!(true),
        ),
        ("format('{1}{{{0}}}', 'a', inputs.count)", json!("3{a}")),
        ("format('one', missing.context)", json!("one")),
        ("toJSON(matrix.os)", json!("[\n  \"linux\",\n  \"mac\"\n]")),
        ("fromJSON('{\"b\": 1, \"a\": [null]}').a", json!([null])),
        (
            "case(inputs.count == 2, 'two', inputs.count == 3, 'three', 'many')",
            json!("three"),
        ),
        ("success() && !failure()", json!(true)),
        ("needs.BUILD.Outputs['Digest']", json!("sha256:1")),
        ("NaN == NaN || Infinity > 1", json!(true)),
    ];
    for (text, expected) in table {
        check(text, &expected);
    }
}

#[test]
fn json_keeps_order_and_escapes() {
    let value = json!({"z": "a\"b\\c\n\u{1}", "a": {}, "n": -0.5});
    let world = World::new(&json!({"x": value}));
    let text = Expr::parse("toJSON(x)", Span::default())
        .unwrap()
        .evaluate(&world)
        .unwrap()
        .to_text();
    assert_eq!(
        text,
        "{\n  \"z\": \"a\\\"b\\\\c\\n\\u0001\",\n  \"a\": {},\n  \"n\": -0.5\n}"
    );
}

#[test]
fn faults_have_a_kind_and_a_place() {
    use ExprErrorKind::{Evaluation, Lexing, Parsing};
    let table = [
        ("github.ref = 'x'", Lexing, 12, "Unexpected symbol: '='"),
        ("\"double\"", Lexing, 1, "Unexpected symbol: '\"double\"'"),
        ("ref == 'open", Lexing, 8, "Unexpected symbol: ''open'"),
        ("a b", Parsing, 3, "Unexpected symbol: 'b'"),
        ("(a", Parsing, 2, "Unexpected end of expression: 'a'"),
        ("a &&", Parsing, 3, "Unexpected end of expression: '&&'"),
        ("a[1,2]", Parsing, 4, "Unexpected symbol: ','"),
        ("a)", Parsing, 2, "Unexpected symbol: ')'"),
        ("'a'.b", Parsing, 4, "Unexpected symbol: '.'"),
        ("a[]", Parsing, 3, "Unexpected symbol: ']'"),
        ("always(1)", Parsing, 1, "Too many parameters supplied: 'always'"),
        ("a || join()", Parsing, 6, "Too few parameters supplied: 'join'"),
        (
            "case(true, 1, false, 2)",
            Parsing,
            1,
            "Even number of parameters supplied",
        ),
        ("upper('a')", Parsing, 1, "Unrecognized function: 'upper'"),
        ("", Parsing, 0, "An expression was expected"),
        ("fromJSON('{')", Evaluation, 0, "Error parsing fromJson"),
        ("failure('biuld')", Evaluation, 0, "no job has the id biuld"),
        (
            "cancelled()",
            Evaluation,
            0,
            "the function 'cancelled' is not available here",
        ),
        ("env.X", Evaluation, 0, "the context 'env' is not available here"),
        (
            "case('yes', 1, 2)",
            Evaluation,
            0,
            "case predicate must evaluate to a boolean value",
        ),
        (
            "format('{5}', 1)",
            Evaluation,
            0,
            "The following format string references more arguments",
        ),
    ];
    for (text, kind, position, message) in table {
        let result = Expr::parse(text, Span::default()).and_then(|expr| expr.evaluate(&world()));
        let error = result.expect_err(text);
        assert_eq!((error.kind, error.position), (kind, position), "{text}: {error}");
        assert!(error.message.starts_with(message), "{text}: {error}");
    }
}

#[test]
fn limits() {
    let parse = |text: &str| Expr::parse(text, Span::default());
    let depth = |n: usize| format!("{}true", "!".repeat(n));
    assert!(parse(&depth(49)).is_ok());
    assert_eq!(
        parse(&depth(50)).unwrap_err().message,
        "Exceeded max expression depth 50"
    );
    assert!(parse(&depth(20_900)).is_err());
    assert!(parse(&format!("{}1{}", "(".repeat(9000), ")".repeat(9000))).is_ok());
    assert!(parse(&vec!["true"; 2000].join(" && ")).is_ok());
    assert_eq!(
        parse(&" ".repeat(21_001)).unwrap_err().message,
        "Exceeded max expression length 21,000"
    );

    let world = World::new(&json!({"x": "y".repeat(100_000)}));
    let bomb = parse(&format!("format('{}', x)", "{0}".repeat(6000))).unwrap();
    assert!(
        bomb.evaluate(&world)
            .unwrap_err()
            .message
            .starts_with("The maximum allowed memory size")
    );
    let deep = World::new(&json!({"x": format!("{}1", "[".repeat(100_000))}));
    assert!(parse("fromJSON(x)").unwrap().evaluate(&deep).is_err());
}

#[test]
fn names_that_a_key_does_not_offer() {
    let allowed = Allowed {
        contexts: &["github", "needs"],
        functions: &["success", "hashFiles"],
    };
    let text = "secrets.KEY != '' && GitHub.ref && always() && success() && env.x";
    let span = Span::new(100, 100 + text.len());
    let errors = Expr::parse_with(text, &Place::of(text, span), &allowed).unwrap_err();
    let found: Vec<_> = errors.iter().map(|e| (e.fault.clone(), e.span)).collect();
    assert_eq!(
        found,
        [
            (Fault::Context("secrets".to_owned()), Span::new(100, 107)),
            (Fault::Function("always".to_owned()), Span::new(135, 141)),
            (Fault::Context("env".to_owned()), Span::new(160, 163)),
        ]
    );
    let message = &errors[0].message;
    assert!(
        message.starts_with("Unrecognized named-value: 'secrets'. Located at position 1 within"),
        "{message}"
    );
}

#[test]
fn conditions_with_and_without_braces() {
    let allowed = Allowed {
        contexts: &["github", "inputs"],
        functions: &["success"],
    };
    let table = [
        ("github.ref_name == 'main'", "github.ref_name == 'main'", true),
        ("${{ inputs.text }}", "inputs.text", false),
        (" ${{ inputs.rollback }} ", "inputs.rollback", true),
        (
            "${{ inputs.text }} == 'x'",
            "format('{0} == ''x''', inputs.text)",
            true,
        ),
    ];
    for (text, expected, truthy) in table {
        let expr = Expr::parse_condition(text, &Place::whole(Span::default()), &allowed).unwrap();
        assert_eq!(expr.text, expected);
        assert_eq!(expr.evaluate(&world()).unwrap().is_truthy(), truthy, "{text}");
    }
    assert!(Expr::parse_condition("${{ env.x }}", &Place::whole(Span::default()), &allowed).is_err());
}

#[test]
fn what_an_expression_names() {
    let text =
        "needs.build.outputs['Digest'] && matrix.os[0] && steps.*.outcome && Success() && inputs[github.x]";
    let expr = Expr::parse(text, Span::default()).unwrap();
    assert_eq!(expr.contexts(), ["needs", "matrix", "steps", "inputs", "github"]);
    assert!(expr.calls("success") && expr.calls_status_function() && !expr.calls("always"));
    let found: Vec<_> = expr
        .references()
        .into_iter()
        .map(|(names, range)| (names.join("."), &text[range]))
        .collect();
    assert_eq!(
        found,
        [
            (
                "needs.build.outputs.digest".to_owned(),
                "needs.build.outputs['Digest']"
            ),
            ("matrix.os".to_owned(), "matrix.os"),
            ("steps".to_owned(), "steps"),
            ("inputs".to_owned(), "inputs"),
            ("github.x".to_owned(), "github.x"),
        ]
    );
}

#[test]
fn explanations() {
    let table = [
        (
            "github.ref_name == 'dev'",
            "github.ref_name == 'dev' is false, it is 'main'",
        ),
        ("github.ref_name == 'main'", "github.ref_name == 'main' is true"),
        (
            "success() && github.ref_name == 'dev' && inputs.rollback",
            "github.ref_name == 'dev' is false, it is 'main'",
        ),
        (
            "github.ref_name == 'dev' || (github.event_name != 'push')",
            "github.ref_name == 'dev' is false, it is 'main'; github.event_name != 'push' is false, it is 'push'",
        ),
        (
            "!inputs.rollback && true",
            "!inputs.rollback is false, inputs.rollback is true",
        ),
        ("failure()", "failure() is false"),
        (
            "contains(github.ref, 'release')",
            "contains(github.ref, 'release') is false, github.ref is 'refs/heads/main'",
        ),
        (
            "needs.build.outputs.missing",
            "needs.build.outputs.missing is null",
        ),
        ("secrets.KEY == 'x'", "secrets.KEY == 'x' is false"),
        ("secrets.NONE", "secrets.NONE is null"),
        (
            "success() && secrets.KEY",
            "success() is true; secrets.KEY is not empty",
        ),
        (
            "contains(secrets.KEY, github.token)",
            "contains(secrets.KEY, github.token) is false",
        ),
        (
            "startsWith(toJSON(github), 'x')",
            "startsWith(toJSON(github), 'x') is false",
        ),
        (
            "inputs.count   ==\n  github.ref_name",
            "inputs.count == github.ref_name is false, inputs.count is 3, github.ref_name is 'main'",
        ),
        ("false", "the condition is false"),
        (
            "env.X == 'a'",
            "env.X == 'a' cannot be evaluated: the context 'env' is not available here",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(
            Expr::parse(text, Span::default()).unwrap().explain(&world()),
            expected
        );
    }
    for text in [
        "secrets.KEY",
        "format('{0}', secrets.KEY)",
        "toJSON(secrets)",
        "github.token",
        "join(secrets.*)",
    ] {
        let said = Expr::parse(text, Span::default()).unwrap().explain(&world());
        assert!(!said.contains("hidden") && !said.contains("t0p"), "{said}");
    }
}

#[test]
fn templates() {
    let table = [
        ("plain", json!("plain")),
        ("", json!("")),
        ("${{ inputs.count }}", json!(3)),
        ("${{inputs.count}} ", json!("3 ")),
        ("a ${{ 'b }} ${{' }}c${{ null }}", json!("a b }} ${{c")),
        ("${{ matrix.os }}", json!(["linux", "mac"])),
        ("x${{ matrix.os }}", json!("xArray")),
    ];
    for (text, expected) in table {
        let template = Template::parse(text, Span::default()).unwrap();
        let value = template.evaluate(&world()).unwrap();
        assert_eq!(serde_json::Value::from(&value), expected, "{text}");
        assert_eq!(template.is_literal(), template.as_literal().is_some());
    }
}

#[test]
fn faults_in_templates_have_places_in_the_file() {
    /// Says which texts of the file are at fault.
    fn check(value: &str, raw: &str) -> Vec<String> {
        let file = format!("    run: {raw}\n");
        let place = Place::within(value, Span::new(9, 9 + raw.len()), raw);
        let allowed = Allowed {
            contexts: &["github"],
            functions: &[],
        };
        let errors = Template::parse_with(value, &place, &allowed).unwrap_err();
        errors
            .iter()
            .map(|e| file[e.span.start as usize..e.span.end as usize].to_owned())
            .collect()
    }
    assert_eq!(
        check("a ${{ x }} ${{ github.ref y }}", "a ${{ x }} ${{ github.ref y }}"),
        ["x", "y"]
    );
    assert_eq!(
        check(
            "${{ github.ref == 'a' && env.b }}",
            "'${{ github.ref == ''a'' && env.b }}'"
        ),
        ["env"]
    );
    assert_eq!(
        check("one\n${{  }}\n${{ 1", "|-\n      one\n      ${{  }}\n      ${{ 1"),
        ["${{  }}", "${{ 1"]
    );
    assert_eq!(check("${{ secrets.A }}", "*alias"), ["*alias"]);
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z0-9 .,*()\\[\\]!<>=&|'{}$ä-]{0,60}|.{0,60}") {
        if let Ok(expr) = Expr::parse(&text, Span::default()) {
            let _ = expr.evaluate(&world());
            let _ = expr.explain(&world());
            let _ = expr.references();
        }
        if let Ok(template) = Template::parse(&text, Span::default()) {
            let _ = template.evaluate(&world());
        }
        let _ = debug::evaluate_line(&text);
    }

    #[test]
    fn a_text_survives_its_literal(text in ".{0,40}") {
        let literal = format!("'{}'", text.replace('\'', "''"));
        check(&literal, &json!(text));
        check(&format!("format('{{0}}', {literal})"), &json!(text));
    }

    #[test]
    fn json_survives_the_round_trip(value in json_value()) {
        let world = World::new(&json!({"x": value}));
        let expr = Expr::parse("fromJSON(toJSON(x))", Span::default()).unwrap();
        prop_assert_eq!(serde_json::Value::from(&expr.evaluate(&world).unwrap()), value);
    }

    #[test]
    fn comparisons_agree(a in operand(), b in operand()) {
        let is = |text: String| {
            Expr::parse(&text, Span::default()).unwrap().evaluate(&world()).unwrap().is_truthy()
        };
        prop_assert_eq!(is(format!("{a} == {b}")), is(format!("{b} == {a}")));
        prop_assert_eq!(is(format!("{a} != {b}")), !is(format!("{a} == {b}")));
        prop_assert_eq!(is(format!("{a} < {b}")), is(format!("{b} > {a}")));
        prop_assert_eq!(is(format!("{a} <= {b}")), is(format!("{a} < {b} || {a} == {b}")));
        prop_assert_eq!(is(format!("!({a} && {b})")), is(format!("!{a} || !{b}")));
    }
}

fn operand() -> impl Strategy<Value = String> {
    let literals = [
        "null",
        "true",
        "false",
        "''",
        "'0'",
        "NaN",
        "Infinity",
        "matrix.os",
        "inputs",
        "'ä'",
        "'Ä'",
    ];
    prop_oneof![
        proptest::sample::select(literals.to_vec()).prop_map(str::to_owned),
        (-20i32..20).prop_map(|n| n.to_string()),
        "'[a-cA-C0-3 .]{0,3}'",
    ]
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i32>().prop_map(|n| json!(n)),
        ".{0,8}".prop_map(|s| json!(s)),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::vec(inner, 0..4).prop_map(|items| {
                items
                    .into_iter()
                    .enumerate()
                    .map(|(i, v)| (format!("k{i}"), v))
                    .collect()
            }),
        ]
    })
}
