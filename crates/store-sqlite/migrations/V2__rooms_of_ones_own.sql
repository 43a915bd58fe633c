-- Rooms that people make, join and look for; names that are looked for by how they begin. `lower_case` is
-- ours (see `schema`): SQLite's own knows no letters but the 26.

-- How many are in a room, so that nobody counts the lobby each time. Only the two triggers write it.
ALTER TABLE rooms ADD COLUMN members INTEGER NOT NULL DEFAULT 0;
UPDATE rooms SET members = (SELECT count(*) FROM members WHERE room = rooms.id);

CREATE TRIGGER members_come AFTER INSERT ON members BEGIN
    UPDATE rooms SET members = members + 1 WHERE id = NEW.room;
END;

CREATE TRIGGER members_go AFTER DELETE ON members BEGIN
    UPDATE rooms SET members = members - 1 WHERE id = OLD.room;
END;

-- In lower case, so that names are unique, and found, whatever their case. Direct rooms have none.
ALTER TABLE rooms ADD COLUMN name_key TEXT;
ALTER TABLE rooms ADD COLUMN title_key TEXT NOT NULL DEFAULT '';
UPDATE rooms SET name_key = lower_case(name), title_key = lower_case(title) WHERE name IS NOT NULL;

CREATE UNIQUE INDEX rooms_name_key ON rooms (name_key) WHERE name_key IS NOT NULL;
-- Direct rooms are many, and never looked for.
CREATE INDEX rooms_public ON rooms (id) WHERE kind = 'public';

ALTER TABLE users ADD COLUMN nickname_key TEXT NOT NULL DEFAULT '';
UPDATE users SET nickname_key = lower_case(nickname);

CREATE INDEX users_nickname_key ON users (nickname_key);

-- What unread is counted from, and the newest message found by, without a look at the messages themselves: a
-- welcome does both for every room. In the place of the one on (room, seq), since one more would cost every
-- message; that no seq is taken twice is kept by the one on (room, version): both are taken at once.
CREATE INDEX messages_unread ON messages (room, seq, sender, state);
DROP INDEX messages_seq;

-- A user's own reactions, also to what thousands reacted to.
CREATE INDEX reactions_user ON reactions (user, message);

CREATE UNIQUE INDEX api_keys_name ON api_keys (name);

UPDATE meta SET value = '2' WHERE key = 'schema';
