//! What would help after a refusal: commands for whoever runs the sandbox, ready for a shell.
//!
//! Invariant: a command never opens more than what was refused; what has a wildcard in it is not put into one.
#![deny(clippy::wildcard_enum_match_arm)]

use std::borrow::Cow;

use policy::{address::Blocked, change::EndpointSpec};

use super::{caller::Unidentified, refusal::Asked};

/// For a connection that no block opens to its caller. The rule gets a name of its own: to list the caller in a block that
/// is there would open all of that block to it.
pub(super) fn open(asked: &Asked<'_>) -> Vec<String> {
    let mut steps = Vec::with_capacity(2);
    let endpoint = asked.to.to_string();
    let spec = endpoint.parse::<EndpointSpec>().ok();
    let binary = asked.binary.filter(|binary| !binary.contains('*'));
    if let Some((spec, binary)) = spec.zip(binary) {
        steps.push(format!(
            "openshell policy update {} --add-endpoint {} --binary {} --rule-name {}",
            word(asked.sandbox),
            word(&endpoint),
            word(binary),
            spec.rule_name(),
        ));
    }
    steps.push(list(asked));
    steps
}

/// For a request that no rule allows.
pub(super) fn allow(asked: &Asked<'_>) -> Vec<String> {
    let mut steps = Vec::with_capacity(2);
    if let Some((method, path)) = asked.request.filter(|(_, path)| is_exact(path)) {
        let rule = format!("{}:{method}:{path}", asked.to);
        let sandbox = word(asked.sandbox);
        steps.push(format!("openshell policy update {sandbox} --add-allow {}", word(&rule)));
    }
    steps.push(list(asked));
    steps
}

/// For what the policy as a whole has to be looked at.
pub(super) fn show(asked: &Asked<'_>) -> String {
    format!("openshell policy get {} --full", word(asked.sandbox))
}

/// For an address that may not be dialled.
pub(super) fn address(blocked: Blocked, asked: &Asked<'_>) -> Vec<String> {
    match blocked {
        Blocked::Always => {
            vec!["no policy opens loopback, link-local and metadata addresses".to_owned()]
        }
        Blocked::ControlPort => {
            vec!["no policy opens ports of control planes at internal addresses".to_owned()]
        }
        Blocked::Internal | Blocked::NotListed => vec![
            format!("add the address of {} to allowed_ips of its endpoint in the policy", asked.to),
            format!("openshell policy set {} --policy FILE", word(asked.sandbox)),
        ],
    }
}

/// For a caller that cannot be told for sure.
pub(super) fn identity(error: &Unidentified) -> Vec<String> {
    let step = match error {
        Unidentified::NotFound | Unidentified::Ambiguous(_) => {
            "let the process that opened the connection use it alone, and stay until it ends"
        }
        Unidentified::NoFile(_) => "run the program from a file that stays where it is",
        Unidentified::Changed(_) => {
            "a sandbox trusts the first version of a program that it sees; create a new sandbox for another"
        }
        Unidentified::Writable(_) => {
            "load only code from places that the sandbox cannot write, such as /usr"
        }
        Unidentified::System(_) => return Vec::new(),
    };
    vec![step.to_owned()]
}

/// What was refused lately, and what may be approved.
fn list(asked: &Asked<'_>) -> String {
    format!("openshell rule list {}", word(asked.sandbox))
}

/// Whether a path means itself when it is read as a glob.
fn is_exact(path: &str) -> bool {
    !path.contains(['*', '?', '[', ']', '{', '}'])
}

/// A word of a shell command.
fn word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '@' | '+' | ',')
    };
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_word_to_a_shell() {
        let cases = [
            ("/usr/bin/curl", "/usr/bin/curl"),
            ("[::1]:443", "'[::1]:443'"),
            ("a b", "'a b'"),
            ("$(x)'`", r"'$(x)'\''`'"),
            ("", "''"),
        ];
        for (text, expected) in cases {
            assert_eq!(word(text), expected);
        }
    }

    #[test]
    fn a_wildcard_in_what_was_refused_opens_nothing_else() {
        let to = "example.com:443".parse().unwrap();
        let asked = Asked {
            sandbox: "s",
            binary: Some("/tmp/**"),
            to: &to,
            request: Some(("GET", "/a/*")),
        };
        assert_eq!(open(&asked), ["openshell rule list s"]);
        assert_eq!(allow(&asked), ["openshell rule list s"]);
    }
}
