//! Opening: what is refused, what a refusal leaves alone, and how files and connections are set up.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn refusal(directory: &TempDir) -> OpenError {
    SqliteStore::open(options(directory), Box::new(GatedSink::default())).err().expect("it opened")
}

#[tokio::test]
async fn a_second_open_is_refused_with_the_holder_until_the_first_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let (store, ..) = open_store(options(&directory)).await;
    let refused = refusal(&directory);
    assert!(matches!(refused, OpenError::Locked { .. }));
    let sentence = refused.to_string();
    assert!(sentence.contains(&std::process::id().to_string()) && sentence.contains("teahouse.lock"), "{sentence}");
    store.close().await;
    // The value still exists; it holds nothing any more.
    let next = SqliteStore::open(options(&directory), Box::new(GatedSink::default())).unwrap();
    drop(next);
    SqliteStore::open(options(&directory), Box::new(GatedSink::default())).expect("dropping closes too");
}

#[tokio::test]
async fn the_files_are_for_their_owner_only() {
    let outer = tempfile::tempdir().unwrap();
    let directory = outer.path().join("data").join("deeper");
    let store = SqliteStore::open(SqliteOptions::new(&directory), Box::new(GatedSink::default())).unwrap();
    new_user(&store, "amy").await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "{files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    open_store(options(&directory)).await.0.close().await;
    open_file(&directory)
        .execute_batch(
            "INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1');
             UPDATE meta SET value = '99' WHERE key = 'schema';",
        )
        .unwrap();
    let refused = refusal(&directory);
    assert!(matches!(refused, OpenError::Newer { found: 99, known: 7, .. }), "{refused}");
    assert!(refused.to_string().contains("newer version of Teahouse"));
    assert_eq!(query_number(&directory, "SELECT count(*) FROM users"), 1);
}

#[tokio::test]
async fn a_migration_that_was_cut_short_or_changed_is_refused() {
    for damage in [
        "UPDATE meta SET value = '0' WHERE key = 'schema'",
        "DELETE FROM meta WHERE key = 'schema'",
        "UPDATE refinery_schema_history SET checksum = '1'",
        "UPDATE refinery_schema_history SET name = 'other'",
    ] {
        let directory = tempfile::tempdir().unwrap();
        open_store(options(&directory)).await.0.close().await;
        open_file(&directory).execute_batch(damage).unwrap();
        let refused = refusal(&directory);
        assert!(matches!(refused, OpenError::HalfDone { .. }), "{damage}: {refused}");
    }
}

#[tokio::test]
async fn another_programs_file_is_refused_and_left_alone() {
    for theirs in [
        "CREATE TABLE theirs (x)",
        "PRAGMA application_id = 7",
        "CREATE TABLE refinery_schema_history (version INT4 PRIMARY KEY, name, applied_on, checksum);
         INSERT INTO refinery_schema_history VALUES (1, 'theirs', '2030-01-01T00:00:00Z', '1')",
    ] {
        let directory = tempfile::tempdir().unwrap();
        open_file(&directory).execute_batch(theirs).unwrap();
        let before = std::fs::read(directory.path().join(DATABASE_FILE)).unwrap();
        let refused = refusal(&directory);
        assert!(matches!(refused, OpenError::Foreign { .. }), "{theirs}: {refused}");
        assert_eq!(std::fs::read(directory.path().join(DATABASE_FILE)).unwrap(), before);
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(DATABASE_FILE), "not a database").unwrap();
    assert!(matches!(refusal(&directory), OpenError::Sqlite(_)));
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_before_the_first_migration_is_a_first_start() {
    let directory = tempfile::tempdir().unwrap();
    open_file(&directory)
        .execute_batch(
            "CREATE TABLE refinery_schema_history (version INT4 PRIMARY KEY, name VARCHAR(255), \
             applied_on VARCHAR(255), checksum VARCHAR(255))",
        )
        .unwrap();
    open_store(options(&directory)).await;
}

#[tokio::test]
async fn two_databases_have_two_epochs() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (open_store(options(&one)).await.0, open_store(options(&two)).await.0);
    assert_ne!(one.epoch(), two.epoch());
}

#[tokio::test]
async fn the_connection_has_the_durable_settings() {
    let directory = tempfile::tempdir().unwrap();
    let (store, ..) = open_store(options(&directory)).await;
    let settings = store
        .change(|group| {
            let ask = |name| {
                group.conn.pragma_query_value(None, name, |row| {
                    row.get::<_, String>(0).or_else(|_| row.get::<_, i64>(0).map(|n| n.to_string()))
                })
            };
            Ok((ask("journal_mode")?, ask("synchronous")?, ask("foreign_keys")?, ask("wal_autocheckpoint")?))
        })
        .await
        .unwrap();
    assert_eq!(settings, ("wal".into(), "2".into(), "1".into(), "0".into()), "2 is FULL");
}
