-- What changed after it was said is found by its version; all else by its seq, since seqs grow as the versions do that
-- messages take when they are first stored. An index on every version would be a page more for each message to change.
-- That no seq and no version is taken twice is the writer's to see to: there is one.
CREATE UNIQUE INDEX messages_changed ON messages (room, version) WHERE version <> first_version;
DROP INDEX messages_version;

UPDATE meta SET value = '3' WHERE key = 'schema';
