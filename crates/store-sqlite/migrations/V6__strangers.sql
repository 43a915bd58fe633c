-- Strangers: their invites wait, and their direct rooms are requests, until they are answered.

-- Repeats the room's kind, so that the private rooms of a user are found among thousands of direct ones.
ALTER TABLE members ADD COLUMN private INTEGER NOT NULL DEFAULT 0;
UPDATE members SET private = 1 WHERE room IN (SELECT id FROM rooms WHERE kind = 'private');
CREATE INDEX members_private ON members (user, room) WHERE private = 1;

-- In a direct room, the member's answer to the other one: empty as long as nobody asked, 'pending' while a stranger's
-- request waits, 'accepted' from the first message of this member on, 'declined'.
ALTER TABLE members ADD COLUMN answer TEXT NOT NULL DEFAULT '';
UPDATE members SET answer = 'accepted'
    WHERE room IN (SELECT id FROM rooms WHERE kind = 'direct')
    AND EXISTS (SELECT 1 FROM messages m WHERE m.room = members.room AND m.sender = members.user);

-- Declined ones stay, so that the same invite does not come again.
CREATE TABLE invites (
    user       INTEGER NOT NULL REFERENCES users (id),
    room       INTEGER NOT NULL REFERENCES rooms (id),
    inviter    INTEGER NOT NULL REFERENCES users (id),
    declined   INTEGER NOT NULL DEFAULT 0,
    invited_at INTEGER NOT NULL,
    PRIMARY KEY (user, room)
) STRICT, WITHOUT ROWID;

CREATE INDEX invites_room ON invites (room, invited_at);

-- How many strangers a user invited or wrote to in the day that began at `since`.
CREATE TABLE approaches (
    user  INTEGER NOT NULL PRIMARY KEY REFERENCES users (id),
    since INTEGER NOT NULL,
    count INTEGER NOT NULL
) STRICT;

UPDATE meta SET value = '6' WHERE key = 'schema';
