-- When a lock goes by itself; nothing for one that somebody has to take away.
ALTER TABLE environments ADD COLUMN locked_until BIGINT;
CREATE INDEX environments_locked_until ON environments (locked_until) WHERE locked_until IS NOT NULL;
