//! What may be proposed for a policy by somebody other than its author: nothing that leads to this host or its link.

use domain::Host;
use ipnet::IpNet;
use thiserror::Error;

use crate::{address, host_pattern::HostPattern, model::Endpoint};

/// Why an endpoint may not be proposed. The wording is that which users know.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProposalError {
    /// An address that no policy opens.
    #[error(
        "proposed rule endpoint host '{0}' is an always-blocked address (loopback/link-local/unspecified)"
    )]
    Address(Host),
    /// A name of this host.
    #[error("proposed rule endpoint host '{0}' is always blocked")]
    Local(Host),
    /// A network with an address that no policy opens.
    #[error("proposed rule contains always-blocked allowed_ips entry '{0}'")]
    Network(IpNet),
}

/// Whether an endpoint may be proposed.
pub(super) fn check(endpoint: &Endpoint) -> Result<(), ProposalError> {
    if let Some(HostPattern::Exact(host)) = &endpoint.host {
        if host.address().is_some_and(address::is_always_blocked) {
            return Err(ProposalError::Address(host.clone()));
        }
        let local = |name: &str| name == "localhost" || name.ends_with(".localhost");
        if host.name().is_some_and(local) {
            return Err(ProposalError::Local(host.clone()));
        }
    }
    match endpoint.allowed_ips.iter().find(|net| address::overlaps_always_blocked(net)) {
        Some(net) => Err(ProposalError::Network(*net)),
        None => Ok(()),
    }
}
