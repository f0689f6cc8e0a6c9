-- deploy or rollback, and the release's name in its environment.
ALTER TABLE deployments ADD COLUMN kind TEXT NOT NULL DEFAULT 'deploy';
ALTER TABLE deployments ADD COLUMN revision TEXT NOT NULL DEFAULT '';

-- What stands in an environment: the last deployment that went live there.
CREATE TABLE standings (
    project_id BIGINT NOT NULL,
    environment TEXT NOT NULL,
    deployment_id BIGINT NOT NULL,
    release_id BIGINT NOT NULL,
    -- The engine's `Standing`: the revision and its replicas.
    standing TEXT NOT NULL,
    proven BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (project_id, environment)
);

-- Releases that were taken back; they go nowhere until a person lets them.
CREATE TABLE quarantine (
    project_id BIGINT NOT NULL,
    digest TEXT NOT NULL,
    revision TEXT NOT NULL,
    environment TEXT NOT NULL,
    deployment_id BIGINT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (project_id, digest)
);
