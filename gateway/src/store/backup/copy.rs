//! Copying every row of every table from one database to another with the same tables.
//!
//! What tables and columns there are is read from the one of both that is a file of SQLite, so that no list has to be kept.

use sqlx::{Any, AssertSqlSafe, Row as _, any::AnyArguments, any::AnyRow, query::Query};
use tokio_stream::StreamExt as _;

use super::super::{
    database::{Change, Database},
    error::StoreError,
};

/// How many rows one statement stores.
const ROWS: usize = 50;

/// A table as SQLite describes it.
struct Table {
    name: String,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Integer,
    Bytes,
}

/// Copies every row into a database that is empty, all or none. `described` is the one of both that is a file.
pub(super) async fn everything(
    from: &mut Change,
    described: &Database,
    to: &Database,
) -> Result<(), StoreError> {
    let tables = tables(described).await?;
    let mut change = to.begin().await?;
    sqlx::query("DELETE FROM keyring").execute(&mut *change).await?;
    for table in &tables {
        let names = table.names();
        let select = AssertSqlSafe(format!("SELECT {names} FROM {}", table.name));
        let mut rows = sqlx::query(select).fetch(&mut **from);
        let mut some = Vec::with_capacity(ROWS);
        while let Some(row) = rows.next().await {
            some.push(row?);
            if some.len() == ROWS {
                table.insert(&mut change, &some).await?;
                some.clear();
            }
        }
        table.insert(&mut change, &some).await?;
    }
    Ok(change.commit().await?)
}

/// Whether no table holds anything, but for the name of the master key, which a state has once it was opened.
pub(super) async fn is_empty(described: &Database, of: &Database) -> Result<bool, StoreError> {
    for table in tables(described).await?.iter().filter(|table| table.name != "keyring") {
        let some = AssertSqlSafe(format!("SELECT 1 FROM {} LIMIT 1", table.name));
        if sqlx::query(some).fetch_optional(of.reader()).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Every table of ours, but for the list of steps that the schema keeps.
async fn tables(described: &Database) -> Result<Vec<Table>, StoreError> {
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' \
         AND name <> '_sqlx_migrations' ORDER BY name";
    let names: Vec<String> = sqlx::query_scalar(names).fetch_all(described.reader()).await?;
    let mut tables = Vec::with_capacity(names.len());
    for name in names {
        let columns = sqlx::query("SELECT name, type FROM pragma_table_info($1)").bind(&name);
        let rows = columns.fetch_all(described.reader()).await?;
        let columns = rows.iter().map(column).collect::<Result<_, _>>()?;
        tables.push(Table { name, columns });
    }
    Ok(tables)
}

fn column(row: &AnyRow) -> Result<Column, StoreError> {
    let kind = match row.try_get::<&str, _>(1)? {
        "TEXT" => Kind::Text,
        "INTEGER" => Kind::Integer,
        "BLOB" => Kind::Bytes,
        _ => return Err(StoreError::Damaged),
    };
    Ok(Column { name: row.try_get(0)?, kind })
}

impl Table {
    fn names(&self) -> String {
        self.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    async fn insert(&self, change: &mut Change, rows: &[AnyRow]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut numbers = 1..;
        let mut places = Vec::with_capacity(rows.len());
        for _ in rows {
            let row = numbers.by_ref().take(self.columns.len());
            let row: Vec<String> = row.map(|number: u32| format!("${number}")).collect();
            places.push(format!("({})", row.join(", ")));
        }
        let (table, names, places) = (&self.name, self.names(), places.join(", "));
        let text = AssertSqlSafe(format!("INSERT INTO {table} ({names}) VALUES {places}"));
        let mut insert = sqlx::query(text);
        for row in rows {
            for (index, column) in self.columns.iter().enumerate() {
                insert = bound(insert, row, index, column.kind)?;
            }
        }
        insert.execute(&mut **change).await?;
        Ok(())
    }
}

fn bound<'q>(
    query: Query<'q, Any, AnyArguments>,
    row: &AnyRow,
    index: usize,
    kind: Kind,
) -> Result<Query<'q, Any, AnyArguments>, StoreError> {
    Ok(match kind {
        Kind::Text => query.bind(row.try_get::<Option<String>, _>(index)?),
        Kind::Integer => query.bind(row.try_get::<Option<i64>, _>(index)?),
        Kind::Bytes => query.bind(row.try_get::<Option<Vec<u8>>, _>(index)?),
    })
}
