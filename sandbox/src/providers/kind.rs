//! The types of providers: where their credentials come from, and where they belong.
//!
//! Invariant: every host, port and word in here is one that a policy takes; a test holds it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A place that a credential belongs to: requests there are inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The host, or a pattern.
    pub host: &'static str,
    /// The port.
    pub port: u16,
    /// The protocol, as in a policy.
    pub protocol: &'static str,
    /// What a sandbox with the provider may do there, as in a policy.
    pub access: &'static str,
}

/// One credential, under whichever of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Credential {
    /// The variables that hold it, the usual one first.
    pub variables: &'static [&'static str],
    /// How its service takes it.
    pub header: &'static str,
    /// Where it belongs.
    pub places: &'static [Place],
}

/// A service that answers model calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ModelApi {
    /// Its word in `router.yaml`.
    pub provider: &'static str,
    /// The entry of the configuration that says where it is, beside `base_url`.
    pub base_url_key: &'static str,
    /// Where it is, where the router does not know that by itself.
    pub base_url: Option<&'static str>,
    /// Whether it runs on this machine.
    pub local: bool,
}

/// A type.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// The word for it.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// Its credentials.
    pub credentials: &'static [Credential],
    /// Its model API, if it has one that the router speaks to.
    pub model: Option<ModelApi>,
    /// Whether a sandbox with the provider may reach its places; else only a policy says so.
    pub opens: bool,
}

/// One of the types.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kind(&'static Profile);

const BEARER: &str = "authorization: Bearer";

const fn rest(host: &'static str) -> Place {
    Place { host, port: 443, protocol: "rest", access: "full" }
}

const fn one(
    variables: &'static [&'static str],
    header: &'static str,
    places: &'static [Place],
) -> Credential {
    Credential { variables, header, places }
}

const fn model(provider: &'static str, base_url_key: &'static str) -> ModelApi {
    ModelApi { provider, base_url_key, base_url: None, local: false }
}

const fn local(provider: &'static str, base_url_key: &'static str) -> ModelApi {
    ModelApi { provider, base_url_key, base_url: None, local: true }
}

const ANTHROPIC: &[Place] = &[rest("api.anthropic.com")];
const OPENAI: &[Place] = &[rest("api.openai.com")];
const OPENROUTER: &[Place] = &[rest("openrouter.ai")];
const GITHUB: &[Place] = &[
    rest("api.github.com"),
    rest("github.com"),
    rest("uploads.github.com"),
    rest("gist.github.com"),
];
const COPILOT: &[Place] =
    &[rest("api.github.com"), rest("api.githubcopilot.com"), rest("*.githubcopilot.com")];

/// All types, in the order in which they are offered.
pub static ALL: [Profile; 21] = [
    Profile {
        name: "claude",
        title: "Claude Code",
        credentials: &[one(&["ANTHROPIC_API_KEY", "CLAUDE_API_KEY"], "x-api-key", ANTHROPIC)],
        model: Some(model("anthropic", "ANTHROPIC_BASE_URL")),
        opens: true,
    },
    Profile {
        name: "opencode",
        title: "OpenCode",
        credentials: &[
            one(&["OPENCODE_API_KEY"], BEARER, &[rest("opencode.ai")]),
            one(&["OPENROUTER_API_KEY"], BEARER, OPENROUTER),
            one(&["OPENAI_API_KEY"], BEARER, OPENAI),
        ],
        model: None,
        opens: true,
    },
    Profile {
        name: "codex",
        title: "Codex",
        credentials: &[one(&["OPENAI_API_KEY"], BEARER, OPENAI)],
        model: Some(model("openai", "OPENAI_BASE_URL")),
        opens: true,
    },
    Profile {
        name: "copilot",
        title: "GitHub Copilot",
        credentials: &[one(&["COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"], BEARER, COPILOT)],
        model: None,
        opens: true,
    },
    Profile { name: "generic", title: "Anything else", credentials: &[], model: None, opens: true },
    Profile {
        name: "openai",
        title: "OpenAI",
        credentials: &[one(&["OPENAI_API_KEY"], BEARER, OPENAI)],
        model: Some(model("openai", "OPENAI_BASE_URL")),
        opens: true,
    },
    Profile {
        name: "anthropic",
        title: "Anthropic",
        credentials: &[one(&["ANTHROPIC_API_KEY"], "x-api-key", ANTHROPIC)],
        model: Some(model("anthropic", "ANTHROPIC_BASE_URL")),
        opens: true,
    },
    Profile {
        name: "nvidia",
        title: "NVIDIA",
        credentials: &[one(&["NVIDIA_API_KEY"], BEARER, &[rest("integrate.api.nvidia.com")])],
        model: Some(model("nvidia", "NVIDIA_BASE_URL")),
        opens: true,
    },
    Profile {
        name: "gitlab",
        title: "GitLab",
        credentials: &[one(
            &["GITLAB_TOKEN", "GLAB_TOKEN", "CI_JOB_TOKEN"],
            "private-token",
            &[rest("gitlab.com")],
        )],
        model: None,
        opens: true,
    },
    Profile {
        name: "github",
        title: "GitHub",
        credentials: &[one(&["GITHUB_TOKEN", "GH_TOKEN"], BEARER, GITHUB)],
        model: None,
        opens: true,
    },
    Profile {
        name: "outlook",
        title: "Microsoft Outlook",
        credentials: &[one(&[], BEARER, &[rest("graph.microsoft.com")])],
        model: None,
        opens: true,
    },
    Profile {
        name: "openrouter",
        title: "OpenRouter",
        credentials: &[one(&["OPENROUTER_API_KEY"], BEARER, OPENROUTER)],
        model: Some(model("openrouter", "OPENROUTER_BASE_URL")),
        opens: true,
    },
    Profile {
        name: "deepinfra",
        title: "DeepInfra",
        credentials: &[one(&["DEEPINFRA_API_KEY"], BEARER, &[rest("api.deepinfra.com")])],
        model: Some(ModelApi {
            provider: "openai-compatible",
            base_url_key: "DEEPINFRA_BASE_URL",
            base_url: Some("https://api.deepinfra.com/v1/openai"),
            local: false,
        }),
        opens: true,
    },
    Profile {
        name: "azure-openai",
        title: "Azure OpenAI",
        credentials: &[one(&["AZURE_OPENAI_API_KEY"], "api-key", &[rest("*.openai.azure.com")])],
        model: Some(model("azure-openai", "AZURE_OPENAI_ENDPOINT")),
        opens: true,
    },
    Profile {
        name: "openai-compatible",
        title: "Anything that speaks OpenAI's chat dialect",
        credentials: &[],
        model: Some(model("openai-compatible", "OPENAI_BASE_URL")),
        opens: true,
    },
    Profile {
        name: "ollama",
        title: "Ollama",
        credentials: &[],
        model: Some(local("ollama", "OLLAMA_BASE_URL")),
        opens: false,
    },
    Profile {
        name: "vllm",
        title: "vLLM",
        credentials: &[one(&["VLLM_API_KEY"], BEARER, &[])],
        model: Some(local("vllm", "VLLM_BASE_URL")),
        opens: false,
    },
    Profile {
        name: "llamacpp",
        title: "The server of llama.cpp",
        credentials: &[one(&["LLAMA_API_KEY"], BEARER, &[])],
        model: Some(local("llamacpp", "LLAMACPP_BASE_URL")),
        opens: false,
    },
    Profile {
        name: "cursor",
        title: "Cursor",
        credentials: &[one(
            &["CURSOR_API_KEY"],
            BEARER,
            &[rest("api.cursor.com"), rest("*.cursor.sh")],
        )],
        model: None,
        opens: true,
    },
    Profile {
        name: "huggingface",
        title: "Hugging Face",
        credentials: &[one(&["HF_TOKEN"], BEARER, &[rest("huggingface.co")])],
        model: None,
        opens: true,
    },
    Profile {
        name: "aws",
        title: "Amazon Web Services",
        credentials: &[one(
            &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"],
            "signature (credential_signing: sigv4)",
            &[rest("**.amazonaws.com")],
        )],
        model: None,
        // All of it is far too much to be opened by a word.
        opens: false,
    },
];

/// Programs of agents and of services, and the type of provider whose credentials they look for.
pub(super) const PROGRAMS: [(&str, &str); 12] = [
    ("claude", "claude"),
    ("claude-code", "claude"),
    ("codex", "codex"),
    ("opencode", "opencode"),
    ("copilot", "copilot"),
    ("cursor-agent", "cursor"),
    ("gh", "github"),
    ("glab", "gitlab"),
    ("hf", "huggingface"),
    ("huggingface-cli", "huggingface"),
    ("aws", "aws"),
    ("sam", "aws"),
];

impl Kind {
    /// The type whose credentials this program looks for, by the last part of its path; none where nobody knows.
    pub fn of_program(program: &str) -> Option<Self> {
        let name = program.rsplit('/').next().unwrap_or(program);
        let (_, kind) = PROGRAMS.iter().find(|(known, _)| *known == name)?;
        kind.parse().ok()
    }

    /// What is known of it.
    pub fn profile(self) -> &'static Profile {
        self.0
    }

    /// The variables that may hold its credentials on this machine.
    pub fn variables(self) -> impl Iterator<Item = &'static str> {
        self.0.credentials.iter().flat_map(|credential| credential.variables.iter().copied())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let name = if text == "claude-code" { "claude" } else { text };
        ALL.iter().find(|profile| profile.name == name).map(Self).ok_or(UnknownKind)
    }
}

/// The word stands for no type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such type of provider")]
pub struct UnknownKind;

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({self})")
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.name)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
