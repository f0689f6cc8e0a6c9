-- Text is TEXT, numbers and flags and times (milliseconds since 1970) are BIGINT, structures are JSON in TEXT:
-- the same statements serve SQLite and PostgreSQL.

CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL);

CREATE TABLE projects (
    id BIGINT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    default_branch TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
-- Names differ by more than their case, as on GitHub.
CREATE UNIQUE INDEX projects_name ON projects (lower(owner), lower(name));

CREATE TABLE tokens (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    scopes TEXT NOT NULL,
    project_id BIGINT,
    job_id BIGINT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX tokens_job ON tokens (job_id) WHERE job_id IS NOT NULL;

-- The tips of refs as they were when their last event was made.
CREATE TABLE refs (
    project_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    oid TEXT NOT NULL,
    PRIMARY KEY (project_id, name)
);

CREATE TABLE events (
    id BIGINT PRIMARY KEY,
    project_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    payload TEXT NOT NULL,
    actor TEXT NOT NULL,
    at BIGINT NOT NULL,
    -- What came of it, for the answer to a push: JSON, empty until it was looked at.
    outcome TEXT NOT NULL
);
CREATE INDEX events_project ON events (project_id, id);
CREATE INDEX events_open ON events (id) WHERE outcome = '';

CREATE TABLE workflows (
    id BIGINT PRIMARY KEY,
    project_id BIGINT NOT NULL,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    -- Rises with each run.
    runs BIGINT NOT NULL,
    UNIQUE (project_id, path)
);

CREATE TABLE machines (
    kind TEXT NOT NULL,
    id BIGINT NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    deadline BIGINT,
    effects BIGINT NOT NULL,
    done BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX machines_deadline ON machines (deadline) WHERE deadline IS NOT NULL;

CREATE TABLE machine_events (
    kind TEXT NOT NULL,
    id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (kind, id, seq)
);

CREATE TABLE outbox (
    kind TEXT NOT NULL,
    id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    effect TEXT NOT NULL,
    done BIGINT NOT NULL,
    PRIMARY KEY (kind, id, seq)
);
CREATE INDEX outbox_open ON outbox (kind, id, seq) WHERE done = 0;

CREATE TABLE runs (
    id BIGINT PRIMARY KEY,
    project_id BIGINT NOT NULL,
    workflow_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    event_id BIGINT NOT NULL,
    event TEXT NOT NULL,
    ref TEXT NOT NULL,
    sha TEXT NOT NULL,
    title TEXT NOT NULL,
    actor TEXT NOT NULL,
    status TEXT NOT NULL,
    conclusion TEXT,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    -- One run for each workflow and event, however often the event is looked at.
    UNIQUE (event_id, workflow_id)
);
CREATE INDEX runs_project ON runs (project_id, id);
CREATE INDEX runs_workflow ON runs (workflow_id, id);
CREATE INDEX runs_open ON runs (id) WHERE conclusion IS NULL;

CREATE TABLE jobs (
    id BIGINT PRIMARY KEY,
    run_id BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    needs TEXT NOT NULL,
    status TEXT NOT NULL,
    conclusion TEXT,
    reason TEXT NOT NULL,
    error TEXT NOT NULL,
    environment TEXT NOT NULL,
    environment_url TEXT NOT NULL,
    runner TEXT NOT NULL,
    outputs TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    -- Of the log, when the job has ended: its lines, and the range that never came.
    log_lines BIGINT,
    log_missing_from BIGINT,
    log_missing_to BIGINT,
    log_archived BIGINT NOT NULL,
    -- The fence under which the result came.
    result_fence BIGINT
);
CREATE INDEX jobs_unarchived ON jobs (id) WHERE conclusion IS NOT NULL AND log_archived = 0;
CREATE INDEX jobs_run ON jobs (run_id, id);

CREATE TABLE steps (
    job_id BIGINT NOT NULL,
    step BIGINT NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    outcome TEXT,
    conclusion TEXT,
    started_at BIGINT,
    duration_ms BIGINT,
    reason TEXT NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (job_id, step)
);

CREATE TABLE annotations (
    job_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    annotation TEXT NOT NULL,
    PRIMARY KEY (job_id, seq)
);

CREATE TABLE summaries (
    job_id BIGINT NOT NULL,
    step BIGINT NOT NULL,
    markdown TEXT NOT NULL,
    PRIMARY KEY (job_id, step)
);

CREATE TABLE runners (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    token_id BIGINT NOT NULL,
    instance TEXT NOT NULL,
    labels TEXT NOT NULL,
    slots BIGINT NOT NULL,
    version TEXT NOT NULL,
    drain BIGINT NOT NULL,
    registered_at BIGINT NOT NULL
);

-- A job that waits for a runner, or is with one. No queue lives in memory.
CREATE TABLE queue (
    job_id BIGINT PRIMARY KEY,
    run_id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    labels TEXT NOT NULL,
    environment TEXT NOT NULL,
    spec TEXT NOT NULL,
    queued_at BIGINT NOT NULL,
    -- waiting, offered (leased, not acknowledged yet), held
    status TEXT NOT NULL,
    fence BIGINT NOT NULL,
    runner TEXT NOT NULL,
    slot BIGINT NOT NULL,
    instance TEXT NOT NULL,
    cancel BIGINT NOT NULL,
    cancel_reason TEXT NOT NULL,
    next_report BIGINT NOT NULL
);
CREATE INDEX queue_waiting ON queue (queued_at, job_id) WHERE status = 'waiting';

-- Jobs that wait for their environment, or have its word.
CREATE TABLE waits (
    job_id BIGINT PRIMARY KEY,
    run_id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    environment TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    -- waiting, granted, refused
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    again_at BIGINT
);
CREATE INDEX waits_environment ON waits (project_id, environment) WHERE status = 'waiting';
CREATE INDEX waits_again ON waits (again_at) WHERE again_at IS NOT NULL;

CREATE TABLE artifacts (
    id BIGINT PRIMARY KEY,
    project_id BIGINT NOT NULL,
    run_id BIGINT NOT NULL,
    job_id BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    name TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    digest TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    UNIQUE (run_id, attempt, name)
);
CREATE INDEX artifacts_digest ON artifacts (digest);

CREATE TABLE caches (
    id BIGINT PRIMARY KEY,
    project_id BIGINT NOT NULL,
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    version TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    digest TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    UNIQUE (project_id, scope, key, version)
);
CREATE INDEX caches_digest ON caches (digest);

-- The environment is empty for a secret or a variable of the whole project.
CREATE TABLE secrets (
    project_id BIGINT NOT NULL,
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    sealed TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, environment, name)
);
CREATE TABLE variables (
    project_id BIGINT NOT NULL,
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, environment, name)
);

CREATE TABLE environments (
    project_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    rules TEXT NOT NULL,
    rules_by TEXT NOT NULL,
    rules_at BIGINT NOT NULL,
    locked_by TEXT NOT NULL,
    lock_reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, name)
);

CREATE TABLE approvals (
    id BIGINT PRIMARY KEY,
    project_id BIGINT NOT NULL,
    environment TEXT NOT NULL,
    -- run or deployment, and which one
    machine TEXT NOT NULL,
    machine_id BIGINT NOT NULL,
    job_id BIGINT,
    -- What was looked at: the commit, and the release's digest where there is one.
    sha TEXT NOT NULL,
    digest TEXT NOT NULL,
    verdict TEXT NOT NULL,
    by_whom TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX approvals_machine ON approvals (machine, machine_id);

CREATE TABLE releases (
    id BIGINT PRIMARY KEY,
    project_id BIGINT NOT NULL,
    digest TEXT NOT NULL,
    run_id BIGINT NOT NULL,
    ref TEXT NOT NULL,
    sha TEXT NOT NULL,
    title TEXT NOT NULL,
    -- The frozen `pilotage.yml`, the services and the digests of their parts.
    manifest TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (project_id, digest)
);
-- Blobs that a release needs; retention leaves them alone while the release is kept.
CREATE TABLE release_blobs (
    release_id BIGINT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (release_id, digest)
);
CREATE INDEX release_blobs_digest ON release_blobs (digest);

CREATE TABLE deployments (
    id BIGINT PRIMARY KEY,
    project_id BIGINT NOT NULL,
    environment TEXT NOT NULL,
    release_id BIGINT NOT NULL,
    previous_id BIGINT,
    run_id BIGINT,
    job_id BIGINT,
    actor TEXT NOT NULL,
    -- (run, job, environment, digest), or empty for one that a person asked for
    idempotency TEXT NOT NULL,
    status TEXT NOT NULL,
    result TEXT,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE UNIQUE INDEX deployments_idempotency ON deployments (idempotency) WHERE idempotency <> '';
CREATE INDEX deployments_environment ON deployments (project_id, environment, id);

CREATE TABLE audit (
    seq BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash TEXT NOT NULL
);
