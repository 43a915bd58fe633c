-- The rooms of a user by what they are, and direct rooms in the order of their list, however many there are.

ALTER TABLE members ADD COLUMN direct INTEGER NOT NULL DEFAULT 0;
-- The place of a direct room in this member's list: the time of its newest message or, before the first one, of its
-- creation. Null as long as the list does not show it.
ALTER TABLE members ADD COLUMN listed_at INTEGER;

UPDATE members SET direct = 1,
    listed_at = (SELECT max(r.last_time, r.created_at) FROM rooms r
        WHERE r.id = members.room AND (r.last_seq > 0 OR members.opened = 1))
    WHERE room IN (SELECT id FROM rooms WHERE kind = 'direct');

ALTER TABLE members DROP COLUMN opened;

CREATE INDEX members_rooms ON members (user, room) WHERE direct = 0;
CREATE INDEX members_directs ON members (user, listed_at, room)
    WHERE listed_at IS NOT NULL AND answer IN ('', 'accepted');
CREATE INDEX members_requests ON members (user, listed_at, room)
    WHERE listed_at IS NOT NULL AND answer = 'pending';

UPDATE meta SET value = '7' WHERE key = 'schema';
