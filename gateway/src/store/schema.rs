//! The tables, and the way to them from any older form.
//!
//! One file for each step in `gateway/migrations`, the same for both databases but for three words: `BYTES` is `BLOB` or
//! `BYTEA`, `BIGINT` is `INTEGER` in SQLite, and `TEXT` sorts by its bytes in Postgres too. A step that was released is
//! never changed; its hash is in every database.

use sqlx::{
    AnyConnection, AssertSqlSafe, SqlSafeStr as _,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::{database::Engine, error::StoreError};

/// The steps, in order.
const STEPS: &[(&str, &str)] = &[
    ("objects", include_str!("../../migrations/0001_objects.sql")),
    ("secrets", include_str!("../../migrations/0002_secrets.sql")),
    ("tokens", include_str!("../../migrations/0003_tokens.sql")),
    ("policies", include_str!("../../migrations/0004_policies.sql")),
    ("answers", include_str!("../../migrations/0005_answers.sql")),
    ("audit", include_str!("../../migrations/0006_audit.sql")),
    ("ledger", include_str!("../../migrations/0007_ledger.sql")),
    ("calls", include_str!("../../migrations/0008_calls.sql")),
];

/// Brings the tables to the newest form.
///
/// # Errors
/// [`StoreError::Newer`] and [`StoreError::Schema`] for tables of others, which stay as they are.
pub(super) async fn migrate(
    engine: Engine,
    connection: &mut AnyConnection,
) -> Result<(), StoreError> {
    let steps = steps(engine);
    let known = steps.last().map_or(0, |step| step.version);
    let migrator = Migrator::with_migrations(steps);
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > known => StoreError::Newer { found, known },
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Schema(other.to_string()),
    })
}

fn steps(engine: Engine) -> Vec<Migration> {
    let numbered = (1..).zip(STEPS);
    let migration = |(version, (name, text)): (i64, &(&'static str, &str))| {
        let sql = AssertSqlSafe(spelled(engine, text)).into_sql_str();
        Migration::new(version, (*name).into(), MigrationType::Simple, sql, false)
    };
    numbered.map(migration).collect()
}

/// The words of one database.
fn spelled(engine: Engine, text: &str) -> String {
    match engine {
        Engine::Sqlite => text
            .replace(" BYTES", " BLOB")
            .replace(" BIGINT", " INTEGER")
            // Strict: a number that outgrew its column is refused, not rounded.
            .replace("\n);", "\n) STRICT;"),
        Engine::Postgres => {
            text.replace(" BYTES", " BYTEA").replace(" TEXT", " TEXT COLLATE \"C\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

    use super::*;

    #[tokio::test]
    async fn every_older_form_is_brought_forward() {
        sqlx::any::install_default_drivers();
        let folder = tempfile::tempdir().unwrap();
        for older in 1..=i64::try_from(STEPS.len()).unwrap() {
            let path = folder.path().join(older.to_string());
            let url = format!("sqlite://{}?mode=rwc", path.display());
            let mut connection = AnyConnection::connect(&url).await.unwrap();
            let migrator = Migrator::with_migrations(steps(Engine::Sqlite));
            migrator.run_direct(Some(older), &mut connection, false).await.unwrap();
            let object = "INSERT INTO objects VALUES ('i', 'k', 'w', 'n', 1, '{}', 0, 0)";
            sqlx::query(object).execute(&mut connection).await.unwrap();
            migrate(Engine::Sqlite, &mut connection).await.unwrap();
            let count =
                "SELECT (SELECT COUNT(*) FROM objects) + (SELECT COUNT(*) FROM _sqlx_migrations)";
            let count: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
            assert_eq!(count, 1 + i64::try_from(STEPS.len()).unwrap());
        }
    }

    #[test]
    fn every_step_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut files: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
        files.sort();
        let listed: Vec<_> =
            (1..).zip(STEPS).map(|(number, (name, _))| format!("{number:04}_{name}.sql")).collect();
        assert_eq!(files, listed);
    }
}
