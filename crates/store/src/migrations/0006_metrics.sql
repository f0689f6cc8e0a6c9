-- What the services of environments did in windows of time: of ten seconds, of a minute, of ten minutes.
CREATE TABLE metrics (
    project_id BIGINT NOT NULL,
    environment TEXT NOT NULL,
    service TEXT NOT NULL,
    -- The window's length, in seconds, and when it began.
    span BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- How much of it was seen, in milliseconds.
    seen BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    errors BIGINT NOT NULL,
    -- Without an answer there is no response time.
    p50_us BIGINT,
    p95_us BIGINT,
    -- Of all its replicas together, in thousandths of a core; of the largest replica, in bytes.
    cpu BIGINT,
    memory BIGINT,
    PRIMARY KEY (project_id, environment, service, span, at)
);
CREATE INDEX metrics_age ON metrics (span, at);
