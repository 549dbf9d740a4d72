//! Where a check runs: once in a file, once in a Postgres of its own.

use std::{
    env,
    path::{Path, PathBuf},
};

use gateway::{
    secrets::Keys,
    store::{Place, Store},
};
use tempfile::TempDir;

use crate::postgres::Postgres;

/// An empty store with everything that it needs.
pub(crate) struct Home {
    pub(crate) store: Store,
    pub(crate) keys: Keys,
    pub(crate) place: Place,
    pub(crate) folder: TempDir,
    pub(crate) postgres: Option<Postgres>,
    url: String,
}

impl Home {
    /// In a file of a folder of its own.
    pub(crate) async fn in_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/openshell.db");
        Self::at(format!("sqlite://{}", file.display()), folder, None).await
    }

    /// In a server of its own; `None` where the caller has been told to go without.
    pub(crate) async fn in_postgres() -> Option<Self> {
        let postgres = postgres()?;
        let url = postgres.database();
        Some(Self::at(url, tempfile::tempdir().unwrap(), Some(postgres)).await)
    }

    async fn at(url: String, folder: TempDir, postgres: Option<Postgres>) -> Self {
        let place: Place = url.parse().unwrap();
        let keys = Keys::random().unwrap();
        let store = Store::open(&place, keys.clone()).await.unwrap();
        Self { store, keys, place, folder, postgres, url }
    }

    /// The same state through connections of its own, as another process would open it.
    pub(crate) async fn again(&self) -> Store {
        Store::open(&self.place, self.keys.clone()).await.unwrap()
    }

    /// A second, empty place of the same kind.
    pub(crate) fn elsewhere(&self) -> Place {
        match &self.postgres {
            Some(postgres) => postgres.database().parse().unwrap(),
            None => Place::Sqlite(self.folder.path().join("elsewhere.db")),
        }
    }

    /// Every byte on the disk: of the file and its log, or of the whole server.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        if let Some(postgres) = &self.postgres {
            return postgres.bytes();
        }
        let state = self.folder.path().join("state");
        let files = std::fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
        files.flat_map(|path| std::fs::read(path).unwrap()).collect()
    }

    /// The file of a store in a file.
    pub(crate) fn file(&self) -> &Path {
        match &self.place {
            Place::Sqlite(path) => path,
            Place::Postgres(_) => panic!("a server has no file"),
        }
    }

    /// A connection behind the store's back.
    pub(crate) async fn connect(&self) -> sqlx::AnyConnection {
        <sqlx::AnyConnection as sqlx::Connection>::connect(&self.url).await.unwrap()
    }

    /// Runs statements behind the store's back.
    pub(crate) async fn run(&self, statements: &str) -> u64 {
        use sqlx::{AssertSqlSafe, Connection as _};
        let mut connection = self.connect().await;
        let statements = AssertSqlSafe(statements.to_owned());
        let done = sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        done.rows_affected()
    }
}

/// Runs a check in a file and in a Postgres.
pub(crate) async fn on_both(check: impl AsyncFn(Home)) {
    check(Home::in_file().await).await;
    if let Some(home) = Home::in_postgres().await {
        check(home).await;
    }
}

/// A server of its own; `None` where the caller has been told to go without, which is said.
pub(crate) fn postgres() -> Option<Postgres> {
    if env::var_os("OPENSHELL_WITHOUT_POSTGRES").is_some() {
        #[expect(clippy::print_stderr, reason = "what was not checked is said")]
        {
            eprintln!(
                "skipped: OPENSHELL_WITHOUT_POSTGRES is set, so nothing was checked on Postgres"
            );
        }
        return None;
    }
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    Some(Postgres::start(&cache).unwrap_or_else(|missing| panic!("{missing}")))
}
