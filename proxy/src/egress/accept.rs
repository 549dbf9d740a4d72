//! Lets connections in, as many as there is room for; the others wait in the kernel.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::OwnedSemaphorePermit};

use super::{captured, explicit, service::Shared};
use crate::tasks::Tasks;

/// Pause after the system had no room for a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves the explicit proxy.
pub(super) async fn explicit(listener: TcpListener, shared: Arc<Shared>) {
    let Ok(own) = listener.local_addr() else { return };
    loop {
        let (place, stream, from) = next(&listener, &shared).await;
        let Some(tasks) = shared.tasks.upgrade() else { return };
        let connection = explicit::serve(Arc::clone(&shared), stream, from, own);
        spawn(&tasks, place, connection);
    }
}

/// Serves what was captured.
pub(super) async fn captured(listener: TcpListener, shared: Arc<Shared>) {
    let Ok(own) = listener.local_addr() else { return };
    loop {
        let (place, stream, from) = next(&listener, &shared).await;
        let Some(tasks) = shared.tasks.upgrade() else { return };
        let connection = captured::serve(Arc::clone(&shared), stream, from, own);
        spawn(&tasks, place, connection);
    }
}

fn spawn(
    tasks: &Tasks,
    place: OwnedSemaphorePermit,
    connection: impl Future<Output = ()> + Send + 'static,
) {
    // Boxed: a connection begins with little and grows with what it carries.
    let connection = Box::pin(connection);
    tasks.spawn("egress connection", async move {
        connection.await;
        drop(place);
    });
}

/// The next connection, once there is room for it.
async fn next(
    listener: &TcpListener,
    shared: &Shared,
) -> (OwnedSemaphorePermit, tokio::net::TcpStream, std::net::SocketAddr) {
    loop {
        let Ok(place) = Arc::clone(&shared.places).acquire_owned().await else {
            std::future::pending().await
        };
        match listener.accept().await {
            Ok((stream, from)) => {
                if stream.set_nodelay(true).is_ok() {
                    return (place, stream, from);
                }
            }
            // Out of descriptors, or the caller is gone already.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
