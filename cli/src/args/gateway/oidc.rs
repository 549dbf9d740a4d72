//! What was typed about the OIDC issuer of a gateway.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context as _;
use api::user::Role;
use clap::Args;
use gateway::auth::oidc::{Config, claims::UserClaim};

use crate::failure::Failure;

/// Whose tokens a gateway takes beside its own.
#[expect(clippy::struct_field_names, reason = "they are the names of the flags, among others")]
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Logging in at an OIDC issuer")]
pub(crate) struct OidcArgs {
    /// Take tokens of this issuer too
    #[arg(
        help = "Take tokens of this issuer too: its https address, exactly as it stands in them",
        long,
        value_name = "URL",
        env = "OPENSHELL_OIDC_ISSUER"
    )]
    pub(crate) oidc_issuer: Option<String>,
    /// What these tokens have to be for; default is the first client
    #[arg(
        long,
        value_name = "AUDIENCE",
        env = "OPENSHELL_OIDC_AUDIENCE",
        requires = "oidc_issuer"
    )]
    pub(crate) oidc_audience: Option<String>,
    /// A client they may be made for
    #[arg(
        help = "A client that they may be made for, the first is that of `openshell gateway login`; may be repeated",
        long,
        value_name = "ID",
        requires = "oidc_issuer"
    )]
    pub(crate) oidc_client_id: Vec<String>,
    /// Who vouches for the issuer, PEM; the authorities of this system when not given
    #[arg(long, value_name = "FILE", requires = "oidc_issuer")]
    pub(crate) oidc_ca: Option<PathBuf>,
    /// The claim that names a user
    #[arg(
        help = "The claim that names a user: sub, preferred_username or email; default is preferred_username",
        long,
        value_name = "CLAIM",
        requires = "oidc_issuer"
    )]
    pub(crate) oidc_user_claim: Option<UserClaim>,
    /// Where roles stand
    #[arg(
        help = "The claim with roles or groups, such as realm_access.roles; without one nobody is made a user by logging in",
        long,
        value_name = "CLAIM",
        requires = "oidc_role"
    )]
    pub(crate) oidc_roles_claim: Option<String>,
    /// What role a word in that claim gives, such as team-a=operator; may be repeated
    #[arg(long, value_name = "WORD=ROLE", requires = "oidc_roles_claim", value_parser = role)]
    pub(crate) oidc_role: Vec<(String, Role)>,
    /// A scope that `openshell gateway login` asks for
    #[arg(
        help = "A scope that `openshell gateway login` asks for; default is openid profile email offline_access; may be repeated",
        long,
        value_name = "SCOPE",
        requires = "oidc_issuer"
    )]
    pub(crate) oidc_scope: Vec<String>,
}

/// What is asked for when nobody says.
const SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

impl OidcArgs {
    /// What the gateway is told.
    pub(crate) fn config(&self) -> Result<Option<Config>, Failure> {
        let Some(issuer) = self.oidc_issuer.clone() else { return Ok(None) };
        let audience = self.oidc_audience.as_ref().or(self.oidc_client_id.first()).cloned();
        let audience = audience.ok_or_else(|| {
            Failure::usage("nothing says what tokens of the issuer have to be for")
                .hint("give --oidc-audience, or --oidc-client-id when they are for that client")
        })?;
        let ca = self.oidc_ca.as_deref().map(|path| {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        });
        let scopes = if self.oidc_scope.is_empty() {
            SCOPES.map(str::to_owned).to_vec()
        } else {
            self.oidc_scope.clone()
        };
        Ok(Some(Config {
            issuer,
            audience,
            clients: self.oidc_client_id.clone(),
            scopes,
            ca_pem: ca.transpose()?,
            user_claim: self.oidc_user_claim.unwrap_or_default(),
            roles_claim: self.oidc_roles_claim.clone(),
            roles: self.oidc_role.iter().cloned().collect::<BTreeMap<_, _>>(),
        }))
    }

    /// The same as it would be typed from any folder; nothing when nothing was.
    pub(crate) fn words(&self) -> Result<Vec<String>, Failure> {
        let mut words = Vec::new();
        let mut say = |flag: &str, value: &str| words.push(format!("--oidc-{flag}={value}"));
        for (flag, value) in [
            ("issuer", &self.oidc_issuer),
            ("audience", &self.oidc_audience),
            ("roles-claim", &self.oidc_roles_claim),
        ] {
            if let Some(value) = value {
                say(flag, value);
            }
        }
        for client in &self.oidc_client_id {
            say("client-id", client);
        }
        for scope in &self.oidc_scope {
            say("scope", scope);
        }
        if let Some(claim) = self.oidc_user_claim {
            say("user-claim", &claim.to_string());
        }
        for (word, role) in &self.oidc_role {
            say("role", &format!("{word}={}", name(*role)));
        }
        if let Some(ca) = &self.oidc_ca {
            let path = std::path::absolute(ca)?;
            let path = path.to_str().ok_or_else(|| Failure::usage("--oidc-ca is no text"))?;
            say("ca", path);
        }
        Ok(words)
    }
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

fn role(text: &str) -> Result<(String, Role), String> {
    let (word, role) = text.rsplit_once('=').ok_or("write it as WORD=ROLE")?;
    let known = [Role::Viewer, Role::Operator, Role::Admin];
    let role = known.into_iter().find(|known| name(*known) == role);
    let role = role.ok_or("a role is viewer, operator or admin")?;
    if word.is_empty() {
        Err("write it as WORD=ROLE".to_owned())
    } else {
        Ok((word.to_owned(), role))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        oidc: OidcArgs,
    }

    fn read(words: &[&str]) -> Result<OidcArgs, clap::Error> {
        Line::try_parse_from(["x"].iter().chain(words)).map(|line| line.oidc)
    }

    #[test]
    fn what_is_said_again_means_the_same() {
        let typed = [
            "--oidc-issuer",
            "https://i",
            "--oidc-client-id",
            "cli",
            "--oidc-client-id",
            "ci",
            "--oidc-ca",
            "/ca.pem",
            "--oidc-user-claim",
            "email",
            "--oidc-roles-claim",
            "a.b",
            "--oidc-role",
            "x=y=admin",
            "--oidc-role",
            "-v=viewer",
            "--oidc-scope",
            "openid",
            "--oidc-audience",
            "-a",
        ];
        // What begins with a hyphen is only a value behind `=`.
        let typed: Vec<String> =
            typed.chunks(2).map(|pair| format!("{}={}", pair[0], pair[1])).collect();
        let first = read(&typed.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let words = first.words().unwrap();
        let again = read(&words.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{first:?}"));
        assert_eq!(again.oidc_role[0], ("x=y".to_owned(), Role::Admin));
        assert_eq!(OidcArgs::default().words().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_token_is_for_the_client_when_nothing_else_is_said() {
        let config = |words: &[&str]| read(words).unwrap().config();
        let issuer = ["--oidc-issuer", "https://i"];
        assert!(config(&issuer).is_err());
        let with = config(&[&issuer[..], &["--oidc-client-id", "cli"]].concat()).unwrap().unwrap();
        assert_eq!((with.audience.as_str(), with.clients.len()), ("cli", 1));
        assert!(config(&[]).unwrap().is_none());
        for bad in [
            &["--oidc-client-id", "x"][..],
            &["--oidc-role", "x=admin"],
            &["--oidc-issuer", "https://i", "--oidc-roles-claim", "x"],
            &["--oidc-issuer", "https://i", "--oidc-roles-claim", "x", "--oidc-role", "x=root"],
            &["--oidc-issuer", "https://i", "--oidc-user-claim", "name"],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
