//! Every key of `pilotage.yml`, in one table: the parser knows its keys from here, and the reference in
//! `docs/pilotage-yml.md` is printed from here. Limits are the constants that the parser checks.

use super::plan::Occasion;

/// A map of the file, or of a part of it.
pub(super) struct Section {
    /// As diagnostics name it.
    pub(super) what: &'static str,
    /// Where it stands.
    pub(super) place: &'static str,
    /// What the reference says before its keys.
    pub(super) note: &'static str,
    pub(super) keys: &'static [Key],
}

pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// As it would be written; empty where leaving the key out is not the same as any value.
    pub(super) default: &'static str,
    pub(super) what: &'static str,
}

/// What may be written behind a key.
pub(super) enum Form {
    /// Said in words.
    Of(&'static str),
    Command,
    Path,
    Url,
    /// At most so many days, where it is less than any duration may be.
    Duration {
        most_days: Option<u64>,
    },
    Size,
    Count {
        least: u32,
        most: u32,
    },
    Share {
        most_percent: u32,
    },
    Word(&'static [&'static str]),
    /// Known, and not supported: with what does the same today, where there is that.
    Refused(Option<&'static str>),
}

pub(super) const REPLICAS_MAX: u32 = 100;
pub(super) const KEEP_MAX: u32 = 100;
pub(super) const PASSES_MAX: u32 = 100;
pub(super) const CANARY_STEPS_MAX: usize = 20;
pub(super) const CHECKS_MAX: usize = 100;
pub(super) const ROUTES_MAX: usize = 20;
pub(super) const WATCH_DAYS_MAX: u64 = 7;
pub(super) const NAME_BYTES_MAX: usize = 63;
pub(super) const SIGNALS: &[&str] = &["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"];
pub(super) const OTHER_TARGETS: &[&str] = &["docker", "ecs", "render", "kubernetes"];

const fn key(name: &'static str, form: Form, default: &'static str, what: &'static str) -> Key {
    Key {
        name,
        form,
        default,
        what,
    }
}

const HEALTH: Key = key(
    "health",
    Form::Of("a path, or a map"),
    "",
    "How a replica proves that it can take traffic.",
);
const STOP: Key = key(
    "stop",
    Form::Of("a duration (the `grace`), or a map"),
    "",
    "How a replica is stopped.",
);
const MEMORY: Key = key(
    "memory",
    Form::Size,
    "",
    "The most of private memory that each process of a replica may have (`RLIMIT_DATA`). No limit unless given.",
);
const REPLICAS: Key = key(
    "replicas",
    Form::Count {
        least: 1,
        most: REPLICAS_MAX,
    },
    "1",
    "How many of the program run.",
);
const ENV: Key = key(
    "env",
    Form::Of("a map of texts"),
    "",
    "Variables of the replicas. Levels are merged by name. `${{ vars.NAME }}` and `${{ secrets.NAME }}` may stand in a \
     value, nothing else. `PORT` and names that begin with `PILOTAGE_` are the platform's own.",
);
const STRATEGY: Key = key(
    "strategy",
    Form::Of("`rolling`, `canary`, `blue-green`, or a map"),
    "rolling",
    "How traffic moves from the old release to the new one. `rolling`: one replica at a time, new before old. \
     `canary`: a share of the traffic for a while, then more. `blue-green`: all at once, both sides standing.",
);
const GUARD: Key = key(
    "guard",
    Form::Of("`on`, `off`, or a map"),
    "on",
    "The judge that compares the new release with the old one. The server can demand it.",
);
const KEEP: Key = key(
    "keep",
    Form::Count {
        least: 1,
        most: KEEP_MAX,
    },
    "5",
    "How many releases stay ready for a rollback.",
);

pub(super) const ROOT: Section = Section {
    what: "`pilotage.yml`",
    place: "The file",
    note: "What stands here besides `services` and `environments` holds for all of them; the nearest value wins, \
           field by field: file, service, environment, service of an environment.",
    keys: &[
        key(
            "services",
            Form::Of("a map of services"),
            "",
            "**Needed.** What can be deployed, by name.",
        ),
        key(
            "environments",
            Form::Of("a map of environments"),
            "",
            "**Needed.** Where it lives, by name.",
        ),
        key(
            "verify",
            Form::Of("a map of lists of checks"),
            "",
            "Lists of requests with names, for the `verify` of environments.",
        ),
        key(
            "notify",
            Form::Of("a list of notifications"),
            "",
            "Who is told of what.",
        ),
        STRATEGY,
        GUARD,
        REPLICAS,
        KEEP,
        HEALTH,
        STOP,
        MEMORY,
        ENV,
    ],
};

pub(super) const SERVICE: Section = Section {
    what: "a service",
    place: "`services.NAME`",
    note: "One deployable part of the project. Without `artifact` its release is the project's own files at the run's \
           commit.",
    keys: &[
        key(
            "artifact",
            Form::Of("a name"),
            "",
            "The artifact of the run that the release is made of (`actions/upload-artifact`).",
        ),
        key(
            "image",
            Form::Refused(Some("use `artifact`, or the project's own files")),
            "",
            "A container image.",
        ),
        key(
            "static",
            Form::Refused(Some("use `run` with a program that serves files")),
            "",
            "Files that the proxy serves itself.",
        ),
        key(
            "prepare",
            Form::Command,
            "",
            "Runs once for each release and host, in the release's folder, before any replica starts.",
        ),
        key(
            "run",
            Form::Command,
            "",
            "**Needed.** Starts the program, in the release's folder. It listens on `127.0.0.1:$PORT`.",
        ),
        key(
            "path",
            Form::Path,
            "/",
            "The prefix of the paths that it answers. The longest that fits wins; what the program sees is the whole path.",
        ),
        HEALTH,
        key(
            "before",
            Form::Of("a command, or a map"),
            "",
            "Runs once before the first replica of a new release starts, such as a migration. Not in a rollback.",
        ),
        STOP,
        MEMORY,
        ENV,
        key(
            "assets",
            Form::Path,
            "",
            "A prefix of paths that is asked of every kept revision, so that a page of the old release finds its files.",
        ),
        key(
            "after",
            Form::Of("a name, or a list of names"),
            "",
            "Services that go live before it, and are taken back after it.",
        ),
        REPLICAS,
    ],
};

pub(super) const ENVIRONMENT: Section = Section {
    what: "an environment",
    place: "`environments.NAME`",
    note: "A place where releases live. Who may deploy there is not said here, but on the server (`pilotage env set`).",
    keys: &[
        key(
            "url",
            Form::Url,
            "",
            "**Needed**, unless each service has its own. Where the proxy listens: `http://host[:port]`, without a path.",
        ),
        key(
            "target",
            Form::Of("`local`"),
            "local",
            "Where it runs: on this machine. `docker`, `ecs`, `render` and `kubernetes` are refused by name (P0110).",
        ),
        STRATEGY,
        GUARD,
        key(
            "verify",
            Form::Of("the name of a list, or a list of names and checks"),
            "",
            "Requests that must be answered rightly before a release is live, and after a rollback.",
        ),
        REPLICAS,
        KEEP,
        HEALTH,
        STOP,
        MEMORY,
        ENV,
        key(
            "services",
            Form::Of("a map of services"),
            "",
            "What differs for single services here.",
        ),
        key("invalidate", Form::Refused(None), "", "Caches of a CDN."),
    ],
};

pub(super) const HERE: Section = Section {
    what: "a service of an environment",
    place: "`environments.NAME.services.NAME`",
    note: "",
    keys: &[
        key(
            "url",
            Form::Url,
            "",
            "An address of its own, instead of a path of the environment's.",
        ),
        REPLICAS,
        HEALTH,
        STOP,
        MEMORY,
        ENV,
    ],
};

pub(super) const HEALTH_MAP: Section = Section {
    what: "`health`",
    place: "`health`",
    note: "A path alone is the `get` of this map. A replica that does not pass within its time fails the deployment.",
    keys: &[
        key(
            "get",
            Form::Path,
            "",
            "What is asked. A path that you name must answer below 400; without one, `/` must answer below 500.",
        ),
        key(
            "every",
            Form::Duration { most_days: None },
            "500ms",
            "From one question to the next; 10 ms at least.",
        ),
        key(
            "passes",
            Form::Count {
                least: 1,
                most: PASSES_MAX,
            },
            "3",
            "Good answers in a row.",
        ),
        key(
            "within",
            Form::Duration { most_days: None },
            "1m",
            "From its start to the last of them.",
        ),
    ],
};

pub(super) const STOP_MAP: Section = Section {
    what: "`stop`",
    place: "`stop`",
    note: "A duration alone is the `grace` of this map. A replica is stopped when no request is under way in it.",
    keys: &[
        key("signal", Form::Word(SIGNALS), "TERM", "What asks it to stop."),
        key(
            "grace",
            Form::Duration { most_days: None },
            "30s",
            "From the signal to the kill.",
        ),
    ],
};

pub(super) const BEFORE_MAP: Section = Section {
    what: "`before`",
    place: "`before`",
    note: "A command alone is the `run` of this map.",
    keys: &[
        key("run", Form::Command, "", "**Needed.**"),
        key(
            "reversible",
            Form::Word(&["true", "false"]),
            "false",
            "Whether the release before can live with what it did. A rollback past one that is not says so.",
        ),
    ],
};

pub(super) const STRATEGY_MAP: Section = Section {
    what: "`strategy`",
    place: "`strategy`",
    note: "",
    keys: &[key(
        "canary",
        Form::Of("a list of steps"),
        "",
        "Each step's share is greater than the one before it. After the last one, all traffic.",
    )],
};

pub(super) const CANARY_STEP: Section = Section {
    what: "a canary's step",
    place: "`strategy.canary[]`",
    note: "",
    keys: &[
        key(
            "share",
            Form::Share { most_percent: 100 },
            "",
            "**Needed.** So much of the traffic goes to the new release.",
        ),
        key(
            "for",
            Form::Duration { most_days: None },
            "",
            "**Needed.** For so long.",
        ),
    ],
};

pub(super) const GUARD_MAP: Section = Section {
    what: "`guard`",
    place: "`guard`",
    note: "[The guard explained](guard.md) says what the numbers mean.",
    keys: &[
        key(
            "error-rate",
            Form::Share { most_percent: 100 },
            "5%",
            "The share of failed answers (500 and above, or none) that is too many. A release that fails more than the old \
             one goes back below it, too.",
        ),
        key(
            "response-time",
            Form::Share { most_percent: 10_000 },
            "+50%",
            "How much slower than the old release is too slow, in the median and the 95th percentile.",
        ),
        key(
            "watch",
            Form::Duration {
                most_days: Some(WATCH_DAYS_MAX),
            },
            "10m",
            "How long it looks on once all traffic is on the new release.",
        ),
        key(
            "false-alarms",
            Form::Share { most_percent: 20 },
            "1%",
            "The chance that a good release is taken back, over the whole deployment.",
        ),
        key(
            "undecided",
            Form::Word(&["continue", "hold", "roll-back"]),
            "continue",
            "What follows at the end of a step or of the watch when too few answers were seen to prove the release. \
             `continue`: it goes on, and ends as live, not proven. `hold`: it waits for more, up to ten times as long, \
             then goes back. `roll-back`: it goes back.",
        ),
        key("metrics", Form::Refused(None), "", "Queries of a metrics store."),
    ],
};

pub(super) const CHECK: Section = Section {
    what: "a check",
    place: "`verify.NAME[]`",
    note: "One request, sent to the environment's address.",
    keys: &[
        key("get", Form::Path, "", "**Needed.** The path, with its query."),
        key(
            "status",
            Form::Count {
                least: 100,
                most: 599,
            },
            "200",
            "",
        ),
        key("contains", Form::Of("a text"), "", "What must stand in the body."),
        key(
            "json",
            Form::Of("a map"),
            "",
            "Members that the body, as JSON, must have; it may have more.",
        ),
        key(
            "within",
            Form::Duration { most_days: None },
            "5s",
            "How long the answer may take.",
        ),
    ],
};

pub(super) const NOTIFICATION: Section = Section {
    what: "a notification",
    place: "`notify[]`",
    note: "One channel, and what it is told of. `${{ vars.NAME }}` and `${{ secrets.NAME }}` of the project may stand in \
           an address. It is tried until it was told, for a day.",
    keys: &[
        key(
            "slack",
            Form::Of("an incoming webhook's URL"),
            "",
            "Written out instead of a secret, it is a warning (P0112).",
        ),
        key("webhook", Form::Of("a URL"), "", "Gets the message as JSON."),
        key("pagerduty", Form::Of("an integration key"), "", "Events v2."),
        key(
            "email",
            Form::Refused(Some("`slack`, `webhook` and `pagerduty` are sent")),
            "",
            "",
        ),
        key(
            "secret",
            Form::Of("a text"),
            "",
            "What a `webhook`'s body is signed with: `Pilotage-Signature: sha256=` and the HMAC in hexadecimal.",
        ),
        key(
            "on",
            Form::Word(OCCASIONS),
            "",
            "One, or a list. Everything where nothing is named.",
        ),
    ],
};

const OCCASIONS: &[&str] = &{
    let mut words = [""; Occasion::ALL.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = Occasion::ALL[at].0;
        at += 1;
    }
    words
};

/// In the order of the reference.
pub(super) const SECTIONS: &[&Section] = &[
    &ROOT,
    &SERVICE,
    &ENVIRONMENT,
    &HERE,
    &HEALTH_MAP,
    &STOP_MAP,
    &BEFORE_MAP,
    &STRATEGY_MAP,
    &CANARY_STEP,
    &GUARD_MAP,
    &CHECK,
    &NOTIFICATION,
];
