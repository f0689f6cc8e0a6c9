-- What people filter lists by is found without walking all runs, however many there are.
CREATE INDEX runs_sha ON runs (sha, id);
CREATE INDEX runs_ref ON runs (project_id, ref, id);
CREATE INDEX runs_event ON runs (project_id, event, id);
CREATE INDEX runs_actor ON runs (project_id, actor, id);
CREATE INDEX runs_conclusion ON runs (project_id, conclusion, id);

CREATE INDEX deployments_project ON deployments (project_id, id);
CREATE INDEX deployments_open ON deployments (project_id, environment, id) WHERE ended_at IS NULL;
CREATE INDEX deployments_live ON deployments (project_id, environment, id) WHERE result = 'live';
-- What waits for a person, on the overview.
CREATE INDEX deployments_waiting ON deployments (id) WHERE result IS NULL AND status = 'waiting';
CREATE INDEX waits_run ON waits (run_id);
CREATE INDEX waits_waiting ON waits (job_id) WHERE status = 'waiting';

CREATE INDEX releases_project ON releases (project_id, id);
CREATE INDEX releases_run ON releases (run_id);

-- What retention looks for, every hour.
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX artifacts_expiry ON artifacts (expires_at);
CREATE INDEX events_at ON events (at);
CREATE INDEX notices_at ON notices (at);
