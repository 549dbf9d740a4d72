//! Care of what is kept: a copy of everything, and another key above the secrets.

use std::{io, path::PathBuf, sync::Arc};

use api::gateway::Rotated;
use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use http::{StatusCode, header};
use tokio::{
    fs::File,
    io::AsyncReadExt as _,
    sync::{Semaphore, TryAcquireError},
};

use super::{App, Refusal};
use crate::{
    auth::access::Permit,
    lifecycle::written,
    secrets::{KeySource, KeysError},
    store::RotateError,
};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 << 10;

/// What upkeep needs beside the store.
#[derive(Debug)]
pub(crate) struct Upkeep {
    /// Where the key above the secrets comes from.
    pub(crate) key: KeySource,
    /// A folder of this user alone, with room for a copy.
    pub(crate) folder: PathBuf,
    /// One copy at a time: each takes the disk that everything takes.
    copies: Arc<Semaphore>,
}

impl Upkeep {
    /// With that key and that folder.
    pub(crate) fn new(key: KeySource, folder: PathBuf) -> Self {
        Self { key, folder, copies: Arc::new(Semaphore::new(1)) }
    }
}

/// Replaces the key above the secrets, while everything runs.
#[utoipa::path(
    post, path = "/v1/key/rotate", tag = "gateway",
    responses((status = 200, body = Rotated), (status = 409, body = api::problem::Problem)),
)]
pub(super) async fn rotate(
    _permit: Permit,
    State(app): State<Arc<App>>,
) -> Result<Json<Rotated>, Refusal> {
    let resealed = app.store.rotate(&app.upkeep.key).await.map_err(|error| match &error {
        RotateError::Source(KeysError::Foreign) => {
            let detail = "the key comes from a command, which has to print the next one by itself";
            Refusal::new(StatusCode::CONFLICT, "key_foreign", detail).next_step(
                "let it print the new key before the old one, and start the gateway again",
            )
        }
        RotateError::Source(KeysError::Rotating) | RotateError::Meanwhile => {
            Refusal::new(StatusCode::CONFLICT, "key_rotating", written(error))
                .next_step("try again when the other rotation is over")
        }
        _ => {
            tracing::error!(error = %written(error), "the key above the secrets was not replaced");
            let detail = "the key was not replaced; nothing is lost, and the log tells why";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "key_not_rotated", detail)
        }
    })?;
    tracing::info!(resealed, "the key above the secrets was replaced");
    Ok(Json(Rotated { resealed }))
}

/// Everything that is kept, as one file of SQLite. Secrets are sealed in it under the key that is not in it.
#[utoipa::path(
    get, path = "/v1/backup", tag = "gateway",
    responses(
        (status = 200, description = "The file", content_type = "application/vnd.sqlite3"),
        (status = 409, body = api::problem::Problem),
    ),
)]
pub(super) async fn backup(
    _permit: Permit,
    State(app): State<Arc<App>>,
) -> Result<Response, Refusal> {
    let copies = Arc::clone(&app.upkeep.copies);
    let place = copies.try_acquire_owned().map_err(|error| match error {
        TryAcquireError::NoPermits | TryAcquireError::Closed => {
            let detail = "another backup is being taken";
            Refusal::new(StatusCode::CONFLICT, "backup_under_way", detail)
                .next_step("try again when it is there")
        }
    })?;
    let path = app.upkeep.folder.join(format!("backup-{}.db", uuid::Uuid::new_v4().simple()));
    app.store.backup(&path).await?;
    let opened = async {
        let file = File::open(&path).await?;
        // It has no name from here on, and is gone with the last who reads it.
        tokio::fs::remove_file(&path).await?;
        let length = file.metadata().await?.len();
        Ok::<_, io::Error>((file, length))
    };
    let (file, length) = opened.await.map_err(|error| {
        tracing::error!(%error, "a backup cannot be read");
        let detail = "the backup cannot be read; the log tells why";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "backup_unreadable", detail)
    })?;
    // The length first: who reads less knows that it is not all of it.
    let kind = "application/vnd.sqlite3".to_owned();
    let head = [(header::CONTENT_TYPE, kind), (header::CONTENT_LENGTH, length.to_string())];
    let pieces = stream::try_unfold((file, place), async |(mut file, place)| {
        let mut piece = vec![0; PIECE_BYTES];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, io::Error>((read > 0).then_some((piece, (file, place))))
    });
    Ok((head, Body::from_stream(pieces)).into_response())
}
