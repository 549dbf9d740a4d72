//! The code that somebody types into a browser anywhere (RFC 8628).

use std::{borrow::Cow, time::Duration};

use oauth2::StandardDeviceAuthorizationResponse;

use super::{Issuer, Tokens, refused};
use crate::{failure::Failure, output};

/// How long somebody may take to log in, whatever the issuer allows.
const LOGIN_MAX: Duration = Duration::from_mins(15);

/// Says where to log in, and waits until somebody has.
pub(super) async fn login(issuer: &Issuer) -> Result<Tokens, Failure> {
    let flow = issuer.flow()?;
    let no_devices = |_| {
        Failure::new("the issuer has no way to log in with another device")
            .hint("`openshell gateway login` without --device uses a browser on this machine")
    };
    let mut request = flow.exchange_device_code().map_err(no_devices)?.add_scopes(issuer.scopes());
    for (name, value) in issuer.wanted() {
        request = request.add_extra_param(name, value);
    }
    let asked: StandardDeviceAuthorizationResponse =
        request.request_async(&issuer.http).await.map_err(refused)?;
    let code = asked.user_code().secret(); // it is there to be typed
    output::complain("Log in with any browser at:");
    output::complain(&format!("  {}", asked.verification_uri().as_str()));
    output::complain(&format!("and type the code {code}"));
    let mut exchange = flow.exchange_device_access_token(&asked);
    for (name, value) in issuer.wanted() {
        exchange = exchange.add_extra_param(Cow::from(name), Cow::from(value));
    }
    let polled = exchange.request_async(&issuer.http, tokio::time::sleep, Some(LOGIN_MAX));
    polled.await.map_err(refused)
}
