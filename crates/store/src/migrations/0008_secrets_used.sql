-- When a secret was last given to something, and to what: a job of a run, a deployment, or (neither) a notification.
ALTER TABLE secrets ADD COLUMN used_at BIGINT;
ALTER TABLE secrets ADD COLUMN used_run BIGINT;
ALTER TABLE secrets ADD COLUMN used_job BIGINT;
ALTER TABLE secrets ADD COLUMN used_deployment BIGINT;
