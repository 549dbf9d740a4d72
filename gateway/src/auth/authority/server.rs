//! The certificate that the gateway shows: made at the start, and again in the running process long before it ends.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::auth::authority::{Authority, AuthorityError, LEAF_LIFE_S};

/// After which part of its life a certificate is replaced: two thirds.
const RENEW_AFTER_S: u64 = LEAF_LIFE_S / 3 * 2;

struct Shown {
    key: Arc<CertifiedKey>,
    made: u64,
}

/// The certificate of the gateway for its names.
pub struct ServerLeaf {
    authority: Arc<Authority>,
    names: Vec<String>,
    shown: ArcSwap<Shown>,
    renewing: Mutex<()>,
}

impl ServerLeaf {
    /// A certificate for these DNS names and IP addresses, made `now` (seconds since 1970).
    ///
    /// # Errors
    /// A name that is none.
    pub fn new(
        authority: Arc<Authority>,
        names: Vec<String>,
        now: u64,
    ) -> Result<Self, AuthorityError> {
        let key = Arc::new(authority.server(&names, now)?);
        let shown = ArcSwap::from_pointee(Shown { key, made: now });
        Ok(Self { authority, names, shown, renewing: Mutex::new(()) })
    }

    /// What to show at `now`. Handshakes ask, and not a timer, because timers stand still while a machine sleeps.
    pub fn at(&self, now: u64) -> Arc<CertifiedKey> {
        let shown = self.shown.load();
        if is_fresh(&shown, now) {
            return Arc::clone(&shown.key);
        }
        // One renews, for the microseconds of a signature; the others show the old one, which is good for weeks.
        let Some(_renewing) = self.renewing.try_lock() else { return Arc::clone(&shown.key) };
        let shown = self.shown.load();
        if is_fresh(&shown, now) {
            return Arc::clone(&shown.key);
        }
        match self.authority.server(&self.names, now) {
            Ok(key) => {
                let key = Arc::new(key);
                self.shown.store(Arc::new(Shown { key: Arc::clone(&key), made: now }));
                tracing::info!("the certificate of the gateway was renewed");
                key
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "the certificate of the gateway cannot be renewed");
                Arc::clone(&shown.key)
            }
        }
    }
}

/// A clock that was set back does not make a certificate fresh that is not valid yet.
fn is_fresh(shown: &Shown, now: u64) -> bool {
    (shown.made.saturating_sub(super::BEFORE_S)..shown.made.saturating_add(RENEW_AFTER_S))
        .contains(&now)
}

impl ResolvesServerCert for ServerLeaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(self.at(now.as_secs()))
    }
}

impl fmt::Debug for ServerLeaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerLeaf").field("names", &self.names).finish_non_exhaustive()
    }
}
