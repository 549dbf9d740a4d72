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
