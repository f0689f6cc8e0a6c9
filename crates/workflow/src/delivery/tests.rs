use super::*;
use crate::source::Source;

/// What is wrong with a file, one fault a line.
fn check(text: &str, expected: &[&str]) {
    let (_, diagnostics) = parse(&Source::new(FILE_NAME, text));
    let lines: Vec<String> = diagnostics
        .iter()
        .map(|d| {
            let place = d.source.position(d.span.start);
            let help = d.help.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
            format!("{}:{} {} {}{help}", place.line, place.column, d.code, d.message)
        })
        .collect();
    assert_eq!(lines, expected, "of:\n{text}");
}

fn plan_of(text: &str, environment: &str) -> EnvironmentPlan {
    let (delivery, diagnostics) = parse(&Source::new(FILE_NAME, text));
    assert!(!crate::diagnostic::has_errors(&diagnostics), "{diagnostics:?}");
    plan(&delivery.unwrap(), environment).unwrap()
}

const SMALL: &str = "
services:
  web:
    run: python3 app.py
environments:
  production:
    url: http://localhost:8080
";

#[test]
fn the_smallest_file_has_safe_defaults() {
    let plan = serde_json::to_value(plan_of(SMALL, "production")).unwrap();
    let expected = serde_json::json!({
        "environment": "production",
        "url": "http://localhost:8080",
        "services": [{
            "name": "web", "source": "project", "run": "python3 app.py", "prepare": null, "before": null,
            "path": "/", "url": "http://localhost:8080", "replicas": 1,
            "health": {"path": "/", "every_ms": 500, "passes": 3, "within_ms": 60_000, "status_below": 500},
            "stop": {"signal": "TERM", "grace_ms": 30_000},
            "memory_bytes": null, "env": [], "after": [], "assets": null,
        }],
        "strategy": {"kind": "rolling"},
        "guard": {
            "enabled": true, "error_rate": 0.05, "response_time": 0.5, "watch_ms": 600_000,
            "false_alarms": 0.01, "undecided": "continue",
        },
        "verify": [],
        "keep": 5,
    });
    assert_eq!(plan, expected);
}

const LARGE: &str = "
env: {LOG_LEVEL: info, REGION: eu}
stop: 20s
services:
  backend:
    artifact: backend
    prepare: ./install.sh
    run: .venv/bin/uvicorn app.main:app --port $PORT
    path: /api
    health: {get: /health, every: 1s, passes: 2, within: 30s}
    before: {run: alembic upgrade head, reversible: true}
    memory: 512MiB
    env: {LOG_LEVEL: debug}
  frontend:
    run: node server.mjs
    assets: /assets/
    after: backend
    health: /up
verify:
  smoke:
    - {get: /api/health, json: {status: ok, n: [1, null]}, within: 500ms}
    - {get: /, contains: OmniLife, status: 302}
environments:
  staging:
    url: http://localhost:3100/
    guard: off
    strategy: blue-green
  production:
    url: http://localhost:3000
    replicas: 3
    keep: 7
    strategy:
      canary:
        - {share: 5%, for: 30s}
        - {share: 0.5 %, for: 1m}
    guard: {error-rate: 2%, response-time: +80%, watch: 1m30s, false-alarms: 0.5%, undecided: roll-back}
    verify: smoke
    health: {every: 2s}
    env:
      DATABASE_URL: ${{ secrets.DATABASE_URL }}?x=${{ vars.X }}
      VERSION: 1.10
    services:
      backend: {url: 'http://127.0.0.1:8001', replicas: 1, env: {REGION: us}, stop: {signal: INT}}
notify:
  - {slack: '${{ secrets.HOOK }}', on: [live, rolled-back]}
  - {webhook: 'https://example.org/x', secret: '${{ secrets.SIGN }}'}
";

#[test]
fn the_nearest_setting_wins_field_by_field() {
    let text = LARGE.replace("share: 0.5 %", "share: 50 %");
    let plan = plan_of(&text, "production");
    let backend = &plan.services[0];
    assert_eq!(
        (backend.replicas, plan.services[1].replicas, plan.keep),
        (1, 3, 7)
    );
    assert_eq!(backend.url, "http://127.0.0.1:8001");
    assert_eq!(plan.services[1].url, "http://localhost:3000");
    let health = &backend.health;
    assert_eq!(
        (
            health.path.as_str(),
            health.every_ms,
            health.passes,
            health.status_below
        ),
        ("/health", 2000, 2, 400)
    );
    assert_eq!(
        (backend.stop.signal.as_str(), backend.stop.grace_ms),
        ("INT", 20_000)
    );
    let env: Vec<String> = backend.env.iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(
        env,
        [
            "LOG_LEVEL=debug",
            "REGION=us",
            "DATABASE_URL=${{ secrets.DATABASE_URL }}?x=${{ vars.X }}",
            "VERSION=1.10"
        ]
    );
    assert_eq!(backend.memory_bytes, Some(512 << 20));
    assert_eq!(
        backend.before,
        Some(Before {
            run: "alembic upgrade head".to_owned(),
            reversible: true
        })
    );
    assert_eq!(plan.services[1].after, ["backend"]);
    let steps = vec![
        Canary {
            share: 500,
            for_ms: 30_000,
        },
        Canary {
            share: 5000,
            for_ms: 60_000,
        },
    ];
    assert_eq!(plan.strategy, Strategy::Canary { steps });
    assert_eq!(
        (
            plan.guard.error_rate,
            plan.guard.response_time,
            plan.guard.watch_ms
        ),
        (0.02, 0.8, 90_000)
    );
    assert_eq!(
        (plan.guard.false_alarms, plan.guard.undecided),
        (0.005, Undecided::RollBack)
    );
    assert_eq!(
        plan.verify[0].json,
        Some(serde_json::json!({"status": "ok", "n": [1, null]}))
    );
    assert_eq!(
        (plan.verify[1].status, plan.verify[1].contains.as_deref()),
        (302, Some("OmniLife"))
    );

    let staging = plan_of(&text, "staging");
    assert_eq!(
        (staging.strategy, staging.guard.enabled),
        (Strategy::BlueGreen, false)
    );
    assert_eq!(staging.url, "http://localhost:3100");
}

#[test]
fn routes_say_who_is_told_of_what() {
    let plan = plan_of(&LARGE.replace("share: 0.5 %", "share: 50 %"), "staging");
    let routes = [
        Route {
            channel: Channel::Slack,
            address: "${{ secrets.HOOK }}".to_owned(),
            secret: None,
            on: vec![Occasion::Live, Occasion::RolledBack],
        },
        Route {
            channel: Channel::Webhook,
            address: "https://example.org/x".to_owned(),
            secret: Some("${{ secrets.SIGN }}".to_owned()),
            on: Vec::new(),
        },
    ];
    assert_eq!(plan.notify, routes);
    assert!(!plan.notify[0].takes(Occasion::Waiting) && plan.notify[1].takes(Occasion::Waiting));
    check(
        "services: {a: {run: x}}\nenvironments: {p: {url: 'http://h'}}\nnotify:\n  - {slack: hooks.slack.com/x}\n  - {slack: 'https://hooks.slack.com/x', secret: y}\n  - {email: a@b.c}\n  - {on: [live, waitng, failed]}\n  - {webhook: 'http://h', slack: '${{ vars.X }}'}\n  - {pagerduty: ''}\n  - {weebhook: x}\n  - 7\n",
        &[
            "4:13 P0107 this is not an address such as `https://…`, or a secret that holds it",
            "5:13 P0112 whoever reads this file can write there, too (pilotage secret set SLACK_WEBHOOK_URL, and `${{ secrets.SLACK_WEBHOOK_URL }}` here)",
            "5:42 P0111 `secret` signs what a `webhook` gets, nothing else",
            "6:6 P0110 the channel `email` is not supported yet (`slack`, `webhook` and `pagerduty` are sent)",
            "7:5 P0102 a notification needs `slack`, `webhook` or `pagerduty`",
            "7:17 P0103 there is no event `waitng` (did you mean `waiting`?)",
            "7:25 P0103 there is no event `failed` (what fails ends as `rolled-back`, `aborted` or `needs-attention`)",
            "8:27 P0111 a notification has one channel (write another one in the list)",
            "9:17 P0107 this is not a key, or a secret that holds it",
            "10:6 P0101 unknown key `weebhook` in a notification (did you mean `webhook`?)",
            "11:5 P0107 `7` is not expected here, but a map",
        ],
    );
}

#[test]
fn a_plan_comes_back_from_json() {
    let plan = plan_of(&LARGE.replace("share: 0.5 %", "share: 50 %"), "production");
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<EnvironmentPlan>(&json).unwrap(), plan);
}

#[test]
fn misspelt_keys_and_names_get_a_suggestion() {
    check(
        "servces: {}\nservices:\n  web: {run: x, helth: /, after: wbe}\nenvironments:\n  prod:\n    url: http://h\n    stratgy: rolling\n    verify: smok\n    services: {wbe: {}}\nverify: {smoke: []}\n",
        &[
            "1:1 P0101 unknown key `servces` in `pilotage.yml` (did you mean `services`?)",
            "3:17 P0101 unknown key `helth` in a service (did you mean `health`?)",
            "3:34 P0103 there is no service `wbe` (did you mean `web`?)",
            "7:5 P0101 unknown key `stratgy` in an environment (did you mean `strategy`?)",
            "8:13 P0103 there is no list `smok` under `verify` (did you mean `smoke`?)",
            "9:16 P0103 there is no service `wbe` (did you mean `web`?)",
        ],
    );
}

#[test]
fn numbers_carry_their_unit_and_their_bounds() {
    check(
        "services:\n  web: {run: x, memory: 512, stop: 30, replicas: 0, health: {every: 1x, passes: many}}\nenvironments:\n  prod:\n    url: http://h\n    keep: 1.5\n    guard: {error-rate: 5, watch: soon, false-alarms: 50%}\n    strategy: {canary: [{share: 200%, for: 1s}, {share: 5%}]}\n",
        &[
            "2:25 P0107 `512` is not expected here, but a size such as `512MiB` (say in which unit: `512MiB`)",
            "2:36 P0107 `30` is not expected here, but a duration such as `30s` (say in which unit: `30s`)",
            "2:50 P0107 `0` is not expected here, but a whole number from 1 to 100",
            "2:69 P0107 `1x` is not expected here, but a duration such as `30s`",
            "2:81 P0107 `many` is not expected here, but a whole number from 1 to 100",
            "6:11 P0107 `1.5` is not expected here, but a whole number from 1 to 100",
            "7:25 P0107 `5` is not expected here, but a share such as `5%` (say in which unit: `5%`)",
            "7:35 P0107 `soon` is not expected here, but a duration such as `30s`",
            "7:55 P0107 `50%` is not expected here, but a share above 0 % and up to 20 %",
            "8:33 P0107 `200%` is not expected here, but a share above 0 % and up to 100 %",
            "8:49 P0102 a canary's step needs `for`",
        ],
    );
    check(
        &LARGE.replace(
            "{get: /health, every: 1s, passes: 2, within: 30s}",
            "{every: 1s, passes: 60, within: 30s}",
        ),
        &[
            "10:13 P0111 60 passes, one each 1000 ms, do not fit within 30000 ms",
            "35:11 P0111 each step's share is greater than the one before it",
        ],
    );
}

#[test]
fn what_is_not_built_yet_is_refused_by_name() {
    check(
        "services:\n  a: {image: x, run: y}\n  b: {static: dist, path: /b}\nenvironments:\n  p:\n    url: https://example.org\n    target: {ecs: {region: x}}\n    invalidate: {cloudfront: E}\n    guard: {metrics: []}\n  q: {url: 'http://h:1', target: kubernetes}\n  r: {url: 'http://h:2', target: mars}\n  s: {url: 'http://h:3', target: local}\n",
        &[
            "2:7 P0110 `image` is not supported yet (use `artifact`, or the project's own files)",
            "3:7 P0110 `static` is not supported yet (use `run` with a program that serves files)",
            "6:10 P0110 `https` of the local target is not supported yet (let the proxy listen on `http://`, behind what ends TLS today)",
            "7:14 P0110 the target `ecs` is not supported yet (`local`, the default, runs it on this machine)",
            "8:5 P0110 `invalidate` is not supported yet",
            "9:13 P0110 `metrics` is not supported yet",
            "10:34 P0110 the target `kubernetes` is not supported yet (`local`, the default, runs it on this machine)",
            "11:34 P0101 there is no target `mars` (`local`, the default, runs it on this machine)",
        ],
    );
}

#[test]
fn expressions_are_variables_and_secrets_only() {
    check(
        "services:\n  web:\n    run: echo ${{ vars.X }}\n    env:\n      A: ${{ github.sha }}\n      B: ${{ vars.X == 1 }}\n      C: ${{ secrets }}\n      D: ${{ vars.X\n      PORT: 1\n      PILOTAGE_X: 2\n      E: ${{ secrets['X'] }}\nenvironments: {p: {url: 'http://h'}}\n",
        &[
            "3:10 P0106 an expression is not allowed here (`${{ vars.NAME }}` and `${{ secrets.NAME }}` stand in `env` and `notify`)",
            "5:14 P0106 only `vars.NAME` and `secrets.NAME` may stand in an expression here",
            "6:14 P0106 only `vars.NAME` and `secrets.NAME` may stand in an expression here",
            "7:14 P0106 only `vars.NAME` and `secrets.NAME` may stand in an expression here",
            "8:10 P0106 only `vars.NAME` and `secrets.NAME` may stand in an expression here",
            "9:7 P0105 `PORT` is set by the platform (choose another name)",
            "10:7 P0105 `PILOTAGE_X` is set by the platform (choose another name)",
        ],
    );
}

#[test]
fn parts_that_do_not_fit_together_are_found() {
    check(
        "services:\n  a: {run: x, after: b}\n  b: {run: y, after: [a]}\n  c: {after: b}\n  Bad_name: {run: x}\nenvironments:\n  p: {url: 'http://h:0'}\n  q: {strategy: rolling}\n",
        &[
            "2:22 P0104 `a` goes live after `b`, which waits for it",
            "3:23 P0104 `b` goes live after `a`, which waits for it",
            "4:3 P0102 the service `c` needs `run`, the command that starts it",
            "5:3 P0105 `Bad_name` is no name of a service (lower-case letters, digits and `-`, at most 63, beginning with a letter)",
            "7:12 P0109 `http://h:0` is no URL that the proxy can listen on (`http://host:port`, without a path)",
            "8:3 P0102 the environment `q` needs `url`, where it is reached (url: http://localhost:8080)",
        ],
    );
    check(
        "services: {a: {run: x}, b: {run: y}}\nenvironments:\n  p: {url: 'http://h'}\n  q: {url: 'http://h:2', services: {b: {url: 'http://h:3'}}}\n  r: {services: {b: {url: 'http://h:3'}}}\n",
        &[
            "1:25 P0108 `b` and `a` both answer `/` of http://h in `p` (give one of them a `path` of its own)",
            "5:3 P0102 the environment `r` needs `url`, where it is reached (url: http://localhost:8080)",
        ],
    );
    check(
        "",
        &["1:1 P0102 the file is empty, it needs `services` and `environments`"],
    );
    check(
        "services:\n",
        &[
            "1:1 P0102 `pilotage.yml` needs `services`",
            "1:1 P0102 `pilotage.yml` needs `environments`",
        ],
    );
}

#[test]
fn a_starting_file_fits_the_project_and_is_sound() {
    for (files, run) in [
        (vec!["app.py", "README.md"], "python3 app.py"),
        (vec!["requirements.txt", "app.py"], ".venv/bin/python app.py"),
        (vec!["pyproject.toml"], ".venv/bin/python app.py"),
        (vec!["package.json", "package-lock.json"], "npm start"),
        (
            vec!["index.html"],
            "python3 -m http.server $PORT --bind 127.0.0.1",
        ),
        (vec![], "./start"),
    ] {
        let plan = plan_of(&init(&files), "production");
        assert_eq!(plan.services[0].run, run, "{files:?}");
    }
    assert!(init(&["pyproject.toml"]).contains("pip install ."));
}
