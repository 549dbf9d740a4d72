//! Events of a gateway as they come, taken up where they were when the connection breaks or the gateway is started again.

use std::{ops::ControlFlow, time::Duration};

use api::client::{ClientError, Event};

use super::{Chosen, refused};
use crate::failure::Failure;

/// How often a stream that broke is taken up again without an event between.
const TRIES_MAX: usize = 5;
/// The pause before that.
const PAUSE: Duration = Duration::from_millis(500);

/// Gives every event after the one of that id, until it is told to stop.
///
/// # Errors
/// What `take` says; why the gateway does not answer.
pub(crate) async fn follow(
    asked: &Chosen,
    path: &str,
    mut last: String,
    mut take: impl FnMut(&Event) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        let broken = match asked.client().follow(path, Some(&last)).await {
            Ok(mut events) => loop {
                match events.next().await {
                    Ok(Some(event)) => {
                        tries = 0;
                        if take(&event)?.is_break() {
                            return Ok(());
                        }
                        if !event.id.is_empty() {
                            last = event.id;
                        }
                    }
                    // A gateway that stops ends its streams; the next one goes on with them.
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            },
            Err(error) => Some(error),
        };
        tries += 1;
        match broken {
            None | Some(ClientError::Unreachable { .. } | ClientError::Silent { .. })
                if tries <= TRIES_MAX => {}
            None => return Err(Failure::new("the gateway ends its events again and again")),
            Some(error) => return Err(refused(error)),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
