-- What people are to be told of, written in the transaction in which it happened.
CREATE TABLE notices (
    id BIGINT PRIMARY KEY,
    project_id BIGINT NOT NULL,
    environment TEXT NOT NULL,
    deployment_id BIGINT,
    run_id BIGINT,
    -- In the words of `pilotage.yml`: live, rolled-back, aborted, needs-attention, waiting.
    event TEXT NOT NULL,
    -- The same thing said again is one notice.
    key TEXT NOT NULL UNIQUE,
    -- What was known then, as JSON.
    message TEXT NOT NULL,
    at BIGINT NOT NULL,
    -- Whether its notifications were made.
    routed BIGINT NOT NULL
);
CREATE INDEX notices_unrouted ON notices (id) WHERE routed = 0;
CREATE INDEX notices_deployment ON notices (deployment_id) WHERE deployment_id IS NOT NULL;
CREATE INDEX notices_run ON notices (run_id) WHERE run_id IS NOT NULL;

-- A notice on its way along one route.
CREATE TABLE notifications (
    id BIGINT PRIMARY KEY,
    notice_id BIGINT NOT NULL,
    -- The same at every try: who gets it twice knows it.
    key TEXT NOT NULL,
    -- As in `pilotage.yml`, as JSON; its templates are resolved at every try.
    route TEXT NOT NULL,
    channel TEXT NOT NULL,
    -- Where it was sent to last; of an address, people are shown no more.
    host TEXT NOT NULL,
    -- pending, told, given-up
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    next_at BIGINT,
    -- How the last try ended, in words without an address.
    error TEXT NOT NULL,
    -- When it came to its state, or was last tried.
    at BIGINT NOT NULL
);
CREATE INDEX notifications_due ON notifications (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX notifications_notice ON notifications (notice_id);
