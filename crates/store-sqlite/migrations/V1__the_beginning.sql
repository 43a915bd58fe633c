-- The durable half from the start (DESIGN.md, section 4). Times are milliseconds since 1970 unless said otherwise.

-- "TeaH": a file without it is not ours.
PRAGMA application_id = 1415930184;

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id            INTEGER NOT NULL PRIMARY KEY,
    username      TEXT    NOT NULL,
    -- In lower case, so that names are unique whatever their case, in any script.
    username_key  TEXT    NOT NULL UNIQUE,
    email         TEXT,
    email_key     TEXT    UNIQUE,
    password_hash TEXT,
    -- A site's own name for the user (`sub`), when that is no number.
    subject       TEXT    UNIQUE,
    nickname      TEXT    NOT NULL,
    avatar        TEXT    NOT NULL DEFAULT '',
    bio           TEXT    NOT NULL DEFAULT '',
    role          TEXT    NOT NULL DEFAULT 'user',
    disabled      INTEGER NOT NULL DEFAULT 0,
    -- Tokens issued up to and including this second are void, but for those of one login or token.
    void_second   INTEGER NOT NULL DEFAULT -1,
    void_except   BLOB,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE rooms (
    id         INTEGER NOT NULL PRIMARY KEY,
    kind       TEXT    NOT NULL,
    name       TEXT    UNIQUE,
    title      TEXT    NOT NULL DEFAULT '',
    version    INTEGER NOT NULL DEFAULT 0,
    last_seq   INTEGER NOT NULL DEFAULT 0,
    -- The time of the newest message: no later one may be earlier.
    last_time  INTEGER NOT NULL DEFAULT 0,
    -- The two people of a direct room, in the order of their ids.
    user_low   INTEGER REFERENCES users (id),
    user_high  INTEGER REFERENCES users (id),
    created_at INTEGER NOT NULL DEFAULT 0,
    CHECK ((kind = 'direct') = (user_low IS NOT NULL)),
    CHECK ((user_low IS NULL AND user_high IS NULL) OR user_low < user_high)
) STRICT;

CREATE UNIQUE INDEX rooms_pair ON rooms (user_low, user_high) WHERE user_low IS NOT NULL;

CREATE TABLE members (
    room     INTEGER NOT NULL REFERENCES rooms (id),
    user     INTEGER NOT NULL REFERENCES users (id),
    role     TEXT    NOT NULL DEFAULT 'member',
    -- Up to here it is read. Unread is counted from it and kept nowhere.
    read_seq INTEGER NOT NULL DEFAULT 0,
    -- The user opened this direct room, so that it is listed before its first message.
    opened   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_user ON members (user, room);

-- No foreign keys here: the writer knows room, sender and the answered message by heart and checks them
-- itself; checking them again would cost three look-ups a message.
CREATE TABLE messages (
    id            INTEGER NOT NULL PRIMARY KEY,
    room          INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    -- The room's version that last changed it, and the one that it took when it was first stored.
    version       INTEGER NOT NULL,
    first_version INTEGER NOT NULL,
    sender        INTEGER NOT NULL,
    client_id     TEXT,
    -- What was first said under this client_id, so that sending again is known for ever, also after
    -- an edit or a deletion. Absent without a client_id.
    content_hash  BLOB,
    content       TEXT    NOT NULL,
    kind          TEXT    NOT NULL DEFAULT 'text',
    reply_to      INTEGER,
    -- User ids, as a JSON array.
    mentions      TEXT,
    -- 0: as it was said or edited; 1: deleted, the content is empty.
    state         INTEGER NOT NULL DEFAULT 0,
    deleted_by    INTEGER,
    -- For moderators only; no answer to anybody else may carry it.
    ip            TEXT,
    edited_at     INTEGER,
    sent_at       INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX messages_client_id ON messages (sender, client_id) WHERE client_id IS NOT NULL;
CREATE UNIQUE INDEX messages_seq ON messages (room, seq);
CREATE UNIQUE INDEX messages_version ON messages (room, version);

CREATE TABLE reactions (
    message INTEGER NOT NULL REFERENCES messages (id),
    emoji   TEXT    NOT NULL,
    user    INTEGER NOT NULL REFERENCES users (id),
    PRIMARY KEY (message, emoji, user)
) STRICT, WITHOUT ROWID;

-- Tokens and logins that are void (the first 16 bytes of a SHA-256), kept until they would have expired anyway.
CREATE TABLE revoked_tokens (
    user       INTEGER NOT NULL REFERENCES users (id),
    key        BLOB    NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (user, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX revoked_tokens_expiry ON revoked_tokens (expires_at);

CREATE TABLE refresh_tokens (
    key        BLOB    NOT NULL PRIMARY KEY,
    user       INTEGER NOT NULL REFERENCES users (id),
    login      BLOB    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_tokens_user ON refresh_tokens (user, login);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE api_keys (
    id         INTEGER NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    key        BLOB    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

-- What a user may not do for a time; room 0 is the whole server.
CREATE TABLE sanctions (
    user       INTEGER NOT NULL REFERENCES users (id),
    room       INTEGER NOT NULL DEFAULT 0,
    kind       TEXT    NOT NULL,
    until      INTEGER NOT NULL,
    PRIMARY KEY (user, room, kind)
) STRICT, WITHOUT ROWID;

INSERT INTO rooms (id, kind, name, title) VALUES (1, 'public', 'lobby', 'Lobby');
-- Every migration ends by saying how far it came.
INSERT INTO meta (key, value) VALUES ('schema', '1');
