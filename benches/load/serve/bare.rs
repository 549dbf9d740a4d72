//! The bare proxy: Pingora's own `ProxyHttp` with the one thing that a gateway to models must do, the swap of a credential.

use std::{net::SocketAddr, os::fd::IntoRawFd as _, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::{
    http::RequestHeader,
    prelude::{HttpPeer, ProxyHttp, Result, Session, http_proxy_service},
    server::{Fds, configuration::ServerConf},
    services::Service as _,
};
use tokio::{net::TcpListener, sync::watch};

/// Connections to the upstream that are kept; as many as the router keeps.
const IDLE_CONNECTIONS_MAX: usize = 1_024;

struct Bare {
    upstream: SocketAddr,
    authorization: String,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        (): &mut (),
    ) -> Result<()> {
        request.insert_header("authorization", self.authorization.as_str())?;
        request.insert_header("host", "model")
    }
}

/// Starts the proxy on the current runtime.
///
/// # Errors
/// When there is no port.
pub(super) async fn start(upstream: SocketAddr) -> anyhow::Result<SocketAddr> {
    let conf =
        ServerConf { upstream_keepalive_pool_size: IDLE_CONNECTIONS_MAX, ..ServerConf::default() };
    let bare = Bare { upstream, authorization: format!("Bearer {}", super::KEY) };
    let mut service = http_proxy_service(&Arc::new(conf), bare);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?.into_std()?;
    let address = listener.local_addr()?;
    let mut table = Fds::new();
    table.add(address.to_string(), listener.into_raw_fd());
    service.add_tcp(&address.to_string());
    let (stop, stopped) = watch::channel(false);
    #[expect(clippy::disallowed_methods, reason = "ends with this process")]
    tokio::spawn(async move {
        let table = Arc::new(Mutex::new(table));
        service.start_service(Some(table), stopped, 1).await;
        drop(stop);
    });
    Ok(address)
}
