-- A browser's session: of a token, and dead with it.
CREATE TABLE sessions (
    -- SHA-256 of the cookie, hexadecimal.
    hash TEXT NOT NULL PRIMARY KEY,
    token_id BIGINT NOT NULL,
    -- Of the browser, as it names itself; cut.
    agent TEXT NOT NULL,
    address TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_token ON sessions (token_id);
