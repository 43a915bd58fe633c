-- Nothing that a stranger can make grow may make a job of the one writer, or a page of a reader, long.

-- Public rooms by the pieces of their names and titles: each character, and each two that follow each other.
-- `room_pieces` is ours (see `schema`), as `lower_case` is. Creating and renaming a room keep the table.
CREATE TABLE room_pieces (
    piece TEXT    NOT NULL,
    room  INTEGER NOT NULL REFERENCES rooms (id),
    PRIMARY KEY (piece, room)
) STRICT, WITHOUT ROWID;

INSERT INTO room_pieces (piece, room)
    SELECT piece.value, r.id FROM rooms r, json_each(room_pieces(r.name_key, r.title_key)) piece WHERE r.kind = 'public';

-- How often a message has each reaction, so that nobody counts those of thousands each time.
CREATE TABLE reaction_counts (
    message INTEGER NOT NULL REFERENCES messages (id),
    emoji   TEXT    NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (message, emoji)
) STRICT, WITHOUT ROWID;

INSERT INTO reaction_counts (message, emoji, count) SELECT message, emoji, count(*) FROM reactions GROUP BY message, emoji;

-- Deleted messages whose reactions are not all deleted yet.
CREATE TABLE reacted_deleted (message INTEGER NOT NULL PRIMARY KEY) STRICT;

-- In how many rooms a user is, direct rooms not counted. Only the two triggers write it.
ALTER TABLE users ADD COLUMN rooms INTEGER NOT NULL DEFAULT 0;
UPDATE users SET rooms =
    (SELECT count(*) FROM members m JOIN rooms r ON r.id = m.room WHERE m.user = users.id AND r.kind <> 'direct');

CREATE TRIGGER rooms_of_a_user_come AFTER INSERT ON members BEGIN
    UPDATE users SET rooms = rooms + 1
        WHERE id = NEW.user AND (SELECT kind FROM rooms WHERE id = NEW.room) <> 'direct';
END;

CREATE TRIGGER rooms_of_a_user_go AFTER DELETE ON members BEGIN
    UPDATE users SET rooms = rooms - 1
        WHERE id = OLD.user AND (SELECT kind FROM rooms WHERE id = OLD.room) <> 'direct';
END;

-- The few who own or moderate a room, among the many who are in it.
CREATE INDEX members_roles ON members (room, role, user) WHERE role <> 'member';

-- Users who can be found, past any number who are disabled.
CREATE INDEX users_enabled ON users (id) WHERE disabled = 0;

UPDATE meta SET value = '5' WHERE key = 'schema';
