-- From where somebody logged in to an account, as a keyed hash: wrong passwords from elsewhere do not slow it.
CREATE TABLE login_prefixes (
    user INTEGER NOT NULL REFERENCES users (id),
    prefix BLOB NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (user, prefix)
) STRICT, WITHOUT ROWID;
CREATE INDEX login_prefixes_seen ON login_prefixes (seen_at);

UPDATE meta SET value = '4' WHERE key = 'schema';
