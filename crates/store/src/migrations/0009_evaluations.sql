-- What the expressions of a job (step 0) and of its steps came to, masked, as JSON.
CREATE TABLE evaluations (
    job_id BIGINT NOT NULL,
    step BIGINT NOT NULL,
    evaluated TEXT NOT NULL,
    PRIMARY KEY (job_id, step)
);
