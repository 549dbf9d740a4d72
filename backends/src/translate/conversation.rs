//! A request without a dialect: what three readers give and three writers take.
//!
//! Text and JSON values borrow from the body that was read. Not here: anything that only one dialect has and no other
//! can say; the readers refuse it by name.

use std::borrow::Cow;

use crate::translate::{late, omitted::Omitted};

/// What the caller asks for.
#[derive(Debug, Default)]
pub(crate) struct Conversation<'a> {
    pub(crate) turns: Vec<Turn<'a>>,
    pub(crate) tools: Vec<Tool<'a>>,
    pub(crate) choice: Option<Choice<'a>>,
    /// Whether several tools may be called at once; `None` leaves it to the backend.
    pub(crate) parallel: Option<bool>,
    pub(crate) stream: bool,
    pub(crate) output_max: Option<u64>,
    pub(crate) stop: Vec<Cow<'a, str>>,
    /// Number as written.
    pub(crate) temperature: Option<&'a str>,
    /// Number as written.
    pub(crate) top_p: Option<&'a str>,
    pub(crate) format: Option<Format<'a>>,
    pub(crate) effort: Option<Effort>,
    pub(crate) knobs: Vec<Knob<'a>>,
    /// The field by which the caller asks that its prompt be cached, without saying up to where.
    pub(crate) cached: Option<&'static str>,
    /// Names and types of tools that only another provider runs.
    pub(crate) hosted: Vec<Cow<'a, str>>,
    /// What was left out.
    pub(crate) omitted: Omitted,
    pub(crate) paths: Paths,
}

/// Where the caller's dialect keeps what another dialect may refuse, for errors.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paths {
    pub(crate) turns: &'static str,
    pub(crate) stop: &'static str,
    pub(crate) effort: &'static str,
}

impl Conversation<'_> {
    /// Gives the user what the system says after the start, in tags that say who spoke.
    pub(crate) fn late_system_as_user(&mut self) {
        let starts = self.system_turns();
        let rest = self.turns.split_off(starts);
        let mut was_late = false;
        for mut turn in rest {
            let is_late = turn.speaker == Speaker::System;
            if is_late {
                turn.speaker = Speaker::User;
                turn.blocks.iter_mut().for_each(tag);
            }
            let other = self.turns.len() > starts && (is_late || was_late);
            was_late = is_late;
            // Templates that refuse a late system message often want speakers to take turns as well.
            match self.turns.last_mut() {
                Some(last) if other && last.speaker == turn.speaker => {
                    last.blocks.append(&mut turn.blocks);
                }
                _ => self.turns.push(turn),
            }
        }
    }

    /// Moves what the system says after the start to the start.
    pub(crate) fn hoist_late_system(&mut self) {
        // Stable, so that the order on both sides stays.
        self.turns.sort_by_key(|turn| turn.speaker != Speaker::System);
    }

    /// Number of system turns at the start.
    pub(crate) fn system_turns(&self) -> usize {
        self.turns.iter().take_while(|turn| turn.speaker == Speaker::System).count()
    }

    /// Joins consecutive turns of the assistant: its words and its calls are one message outside the Responses dialect.
    pub(crate) fn join_assistant_turns(&mut self) {
        self.turns.dedup_by(|next, kept| {
            let joins = next.speaker == Speaker::Assistant && kept.speaker == Speaker::Assistant;
            if joins {
                kept.blocks.append(&mut next.blocks);
            }
            joins
        });
    }

    /// Joins consecutive turns of results: all calls of a turn are answered before anything else is said, such as a
    /// picture that one of the results holds.
    pub(crate) fn join_result_turns(&mut self) {
        let only_results = |turn: &Turn<'_>| {
            let is_result = |block: &Block<'_>| matches!(block, Block::Result(_));
            turn.speaker == Speaker::User && turn.blocks.iter().all(is_result)
        };
        self.turns.dedup_by(|next, kept| {
            let joins = only_results(next) && only_results(kept);
            if joins {
                kept.blocks.append(&mut next.blocks);
            }
            joins
        });
    }
}

fn tag(block: &mut Block<'_>) {
    if let Block::Text(text) = block
        && !text.is_empty()
    {
        *text = format!("{}{text}{}", late::BEGIN, late::END).into();
    }
}

/// Who speaks. A tool's result is a block of the user's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    System,
    User,
    Assistant,
}

/// Consecutive blocks of one speaker.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) speaker: Speaker,
    pub(crate) blocks: Vec<Block<'a>>,
}

/// One piece of a turn.
#[derive(Clone, Debug)]
pub(crate) enum Block<'a> {
    Text(Cow<'a, str>),
    Refusal(Cow<'a, str>),
    Image(Media<'a>),
    File(Media<'a>),
    Call(Call<'a>),
    Result(ToolResult<'a>),
    /// The prompt up to here may be cached. JSON as written.
    CacheUntil(&'a str),
}

/// A picture or a document.
#[derive(Clone, Debug)]
pub(crate) struct Media<'a> {
    pub(crate) source: Source<'a>,
    /// File name or title.
    pub(crate) name: Option<Cow<'a, str>>,
    /// `low`, `high`, `auto`: how closely a picture is looked at.
    pub(crate) detail: Option<Cow<'a, str>>,
    /// JSON path in the request, for errors.
    pub(crate) path: String,
}

/// Where the bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Source<'a> {
    /// `data` is base64.
    Inline {
        media_type: Cow<'a, str>,
        data: Cow<'a, str>,
    },
    Url(Cow<'a, str>),
}

impl<'a> Source<'a> {
    /// Splits a `data:` URL with base64 content; any other URL stays one.
    pub(crate) fn of_url(url: Cow<'a, str>) -> Self {
        let split = |url: &'a str| {
            let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
            let media_type = head.strip_suffix(";base64")?;
            let media_type = media_type.split(';').next().unwrap_or(media_type);
            Some((media_type, data))
        };
        match url {
            Cow::Borrowed(text) => match split(text) {
                Some((media_type, data)) => {
                    Self::Inline { media_type: media_type.into(), data: data.into() }
                }
                None => Self::Url(text.into()),
            },
            // An escaped URL (`\/`) is rare: copying it is cheaper than a second code path.
            Cow::Owned(text) => match Source::of_url(Cow::Borrowed(text.as_str())) {
                Source::Inline { media_type, data } => Self::Inline {
                    media_type: media_type.into_owned().into(),
                    data: data.into_owned().into(),
                },
                Source::Url(url) => Self::Url(url.into_owned().into()),
            },
        }
    }

    /// The URL of the source; a `data:` URL for inline bytes.
    pub(crate) fn url(&self) -> Cow<'_, str> {
        match self {
            Self::Inline { media_type, data } => format!("data:{media_type};base64,{data}").into(),
            Self::Url(url) => url.as_ref().into(),
        }
    }
}

/// The model's wish to run a tool.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) id: Cow<'a, str>,
    pub(crate) name: Name<'a>,
    /// JSON text, as the model wrote it.
    pub(crate) arguments: Cow<'a, str>,
    /// JSON path in the request, for errors.
    pub(crate) path: String,
}

/// What the tool said.
#[derive(Clone, Debug)]
pub(crate) struct ToolResult<'a> {
    pub(crate) id: Cow<'a, str>,
    /// Text, images and files only.
    pub(crate) blocks: Vec<Block<'a>>,
    pub(crate) failed: bool,
}

/// A tool's name; the Responses dialect may put it into a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name<'a> {
    pub(crate) namespace: Option<Cow<'a, str>>,
    pub(crate) name: Cow<'a, str>,
}

/// A tool that the caller runs.
#[derive(Debug)]
pub(crate) struct Tool<'a> {
    pub(crate) name: Name<'a>,
    pub(crate) description: Option<Cow<'a, str>>,
    /// JSON schema as written; `None` takes no argument.
    pub(crate) schema: Option<&'a str>,
    pub(crate) strict: Option<bool>,
    /// The tools up to this one may be cached. JSON as written.
    pub(crate) cache: Option<&'a str>,
}

/// Which tool must be called.
#[derive(Debug)]
pub(crate) enum Choice<'a> {
    Auto,
    None,
    Required,
    Tool(Name<'a>),
}

/// What the answer must look like.
#[derive(Debug)]
pub(crate) enum Format<'a> {
    /// Any JSON object. `path` is where the caller asked for it.
    Json { path: String },
    Schema {
        name: Option<Cow<'a, str>>,
        /// JSON schema as written.
        schema: &'a str,
        strict: Option<bool>,
        description: Option<Cow<'a, str>>,
    },
}

/// How much the model should think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    ExtraHigh,
    Max,
}

impl Effort {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "none" => Self::None,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" => Self::ExtraHigh,
            "max" => Self::Max,
            _ => return None,
        })
    }
}

/// A setting that only some dialects have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Knob<'a> {
    pub(crate) kind: KnobKind,
    /// JSON path in the request, for errors.
    pub(crate) path: &'static str,
    /// JSON as written.
    pub(crate) value: &'a str,
}

/// The settings that only some dialects have, by their name in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnobKind {
    FrequencyPenalty,
    PresencePenalty,
    Seed,
    LogitBias,
    Verbosity,
    TopK,
}

impl KnobKind {
    /// The member of the chat or Anthropic dialect that holds it.
    pub(crate) const fn field(self) -> &'static str {
        match self {
            Self::FrequencyPenalty => "frequency_penalty",
            Self::PresencePenalty => "presence_penalty",
            Self::Seed => "seed",
            Self::LogitBias => "logit_bias",
            Self::Verbosity => "verbosity",
            Self::TopK => "top_k",
        }
    }
}
