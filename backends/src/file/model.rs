//! The models of one backend: what the file says, the rest from the catalogue, never a made-up price.

use document::{Report, Spot, Table};
use domain::{BackendName, ModelName, Price, Tokens, Zone};
use router::{
    candidate::{Abilities, Candidate, Encoding, Prices},
    wire::Dialect,
};

use super::quality;
use crate::{
    catalogue::{self, Facts, Kind},
    configuration::Model,
    provider::{Provider, subset},
};

const FIELDS: &[&str] =
    &["id", "context", "output_max", "quality", "price", "abilities", "encoding", "deployment"];

/// Most models of one backend.
const MODELS_MAX: usize = 512;

/// Most tokens that a window may have.
const TOKENS_MAX: u64 = 100_000_000;

/// Quality of a model that neither the file nor the catalogue knows.
const QUALITY_UNKNOWN: u8 = 50;

/// What models need to know of their backend; parts that were wrong in the file are `None`.
pub(super) struct Home<'a> {
    pub(super) name: Option<&'a BackendName>,
    pub(super) provider: Option<Provider>,
    pub(super) zone: Option<Zone>,
    pub(super) dialects: Option<&'static [Dialect]>,
}

/// The sound models of a backend with their candidates, equally many.
pub(super) fn read(
    table: &Table<'_>,
    home: &Home<'_>,
    report: &mut Report,
) -> (Vec<Model>, Vec<Candidate>) {
    let help = "list what it serves, as `models: [{id: gpt-5}]`";
    let Some(section) = table.need("models", help, report) else {
        return (Vec::new(), Vec::new());
    };
    let spots = section.list(report);
    if spots.is_empty() {
        section.fault(report, "at least one model is needed", Some(help));
    }
    if spots.len() > MODELS_MAX {
        section.fault(report, format!("at most {MODELS_MAX} models are possible"), None);
    }
    let mut ids = std::collections::HashSet::new();
    let mut found = Vec::new();
    for spot in spots.iter().take(MODELS_MAX) {
        if spot.is_scalar() {
            spot.fault(report, "expected a mapping", Some("write {id: NAME}"));
            continue;
        }
        let Some(fields) = spot.table(FIELDS, report) else { continue };
        let Some((model, candidate)) = model(&fields, home, report) else { continue };
        if !ids.insert(model.id.clone()) {
            spot.fault(report, format!("`{}` is listed twice", model.id), Some("keep one of them"));
        }
        found.push((model, candidate));
    }
    found.into_iter().unzip()
}

fn model(table: &Table<'_>, home: &Home<'_>, report: &mut Report) -> Option<(Model, Candidate)> {
    let id_spot = table.need("id", "name the model as the backend calls it", report);
    let id = id_spot.as_ref().and_then(|spot| spot.parsed::<ModelName>(report));
    let known = match (&id, home.provider) {
        (Some(id), Some(provider)) => catalogue::facts(provider, id.as_str()),
        _ => None,
    };
    let said = Said::read(table, report);
    let deployment = deployment(table, home, report);
    let prices = prices(table, home, known.as_ref(), report);
    let (id, id_spot) = (id?, id_spot?);
    unknowns(&id_spot, &said, known.as_ref(), report);
    if let (None, Some(_), Some(Provider::Ollama)) =
        (said.context, known.and_then(|facts| facts.context), home.provider)
    {
        let message = "Ollama cuts prompts at its own setting; say it as `context` too";
        id_spot.notice(report, message);
    }
    let facts = known.unwrap_or_else(Facts::unknown);
    let abilities = said.abilities.over(facts.abilities);
    let candidate = Candidate {
        backend: home.name?.clone(),
        model: id.clone(),
        zone: home.zone?,
        quality: said.quality.or(facts.quality).unwrap_or(QUALITY_UNKNOWN),
        context: said.context.or(facts.context),
        output_max: said.output_max.or(facts.output_max),
        prices,
        encoding: said.encoding.unwrap_or(facts.encoding),
        abilities,
        dialects: dialects(home, facts.kind, abilities)?,
    };
    if candidate.dialects.is_empty() {
        let help = "set `dialects` on the backend, or `abilities: {embeddings: false}`";
        id_spot.fault(report, "the backend takes no dialect for this model", Some(help));
    }
    Some((Model { id, deployment }, candidate))
}

/// The dialects in which this very model can be asked, out of those of its backend.
fn dialects(home: &Home<'_>, kind: Kind, abilities: Abilities) -> Option<&'static [Dialect]> {
    use Dialect::{OpenAiChat, OpenAiCompletions, OpenAiEmbeddings};
    let provider = home.provider?;
    if let Some(said) = home.dialects {
        return Some(said);
    }
    let offered = provider.dialects();
    // OpenAI's own service serves each model in few dialects; servers of open models serve all in all.
    let strict = matches!(provider, Provider::OpenAi | Provider::AzureOpenAi);
    let suits = |dialect: Dialect| {
        if abilities.embeddings || dialect == OpenAiEmbeddings {
            return abilities.embeddings && dialect == OpenAiEmbeddings;
        }
        match kind {
            Kind::Chat => !(strict && dialect == OpenAiCompletions),
            Kind::Responses => !(strict && matches!(dialect, OpenAiChat | OpenAiCompletions)),
            Kind::Completion => !strict || dialect == OpenAiCompletions,
            Kind::Embedding | Kind::Unknown => true,
        }
    };
    // A set that is not narrowed keeps the provider's own order.
    if offered.iter().all(|dialect| suits(*dialect)) {
        return Some(offered);
    }
    Some(subset(|dialect| offered.contains(&dialect) && suits(dialect)))
}

/// Tells what had to be assumed, in one notice.
fn unknowns(spot: &Spot<'_>, said: &Said, known: Option<&Facts>, report: &mut Report) {
    let Some(facts) = known else {
        let mut assumed = Vec::new();
        if said.quality.is_none() {
            assumed.push(format!("quality {QUALITY_UNKNOWN}"));
        }
        if said.context.is_none() {
            assumed.push("no limit on context".to_owned());
        }
        if said.abilities.is_silent() {
            assumed.push("tools and JSON schemas, no images".to_owned());
        }
        if !assumed.is_empty() {
            let assumed = assumed.join(", ");
            spot.notice(report, format!("this model is not in the catalogue; assumed: {assumed}"));
        }
        return;
    };
    if said.quality.is_none() && facts.quality.is_none() && !facts.abilities.embeddings {
        let message = format!("nobody rated this model; its quality is taken as {QUALITY_UNKNOWN}");
        spot.notice(report, message);
    }
}

fn deployment(table: &Table<'_>, home: &Home<'_>, report: &mut Report) -> Option<ModelName> {
    let spot = table.take("deployment")?;
    if home.provider.is_some_and(|provider| provider != Provider::AzureOpenAi) {
        spot.fault(report, "only the provider `azure-openai` has deployments", Some("remove it"));
    }
    spot.parsed(report)
}

/// The prices: as given, the rest from the catalogue; nothing for local compute; a fault where nobody knows.
fn prices(
    table: &Table<'_>,
    home: &Home<'_>,
    known: Option<&Facts>,
    report: &mut Report,
) -> Option<Prices> {
    let local = home.zone == Some(Zone::Local);
    let listed = known.and_then(|facts| facts.prices);
    let Some(spot) = table.take("price") else {
        if local {
            report.notice(
                table.mark,
                &table.path,
                "no price is given; local compute counts as free",
            );
            return Some(Prices::default());
        }
        if listed.is_none() && home.zone.is_some() && home.provider.is_some() {
            let help = "say what it costs in USD per million tokens, as `price: {input: 1, output: 4}`; 0 is a price";
            report.fault(table.mark, &table.path, "nobody knows what this model costs", Some(help));
        }
        return listed;
    };
    let fields = spot.table(&["input", "cached_input", "cache_write", "output"], report)?;
    let mut price = |name: &str| {
        let what = "a price in USD per million tokens, 0 or more";
        fields.take(name)?.number(what, Price::from_usd_per_million, report)
    };
    let (input, cached, write, output) =
        (price("input"), price("cached_input"), price("cache_write"), price("output"));
    let base = listed.or(local.then(Prices::default));
    let needed = |given: Option<Price>, name: &str, report: &mut Report| {
        let missing = given.is_none() && base.is_none() && fields.take(name).is_none();
        if missing {
            spot.fault(
                report,
                format!("`{name}` is missing and the catalogue does not know it"),
                None,
            );
        }
    };
    needed(input, "input", report);
    needed(output, "output", report);
    let base_of = |of: fn(Prices) -> Price| base.map(of);
    // A discount is never assumed: cached tokens cost what fresh ones do, where only the latter are priced.
    let fresh = input.or(base_of(|base| base.input))?;
    Some(Prices {
        input: fresh,
        cached_input: cached.or(input).or(base_of(|base| base.cached_input))?,
        cache_write: write.or(input).or(base_of(|base| base.cache_write))?,
        output: output.or(base_of(|base| base.output))?,
    })
}

/// What the file says of a model itself.
struct Said {
    quality: Option<u8>,
    context: Option<Tokens>,
    output_max: Option<Tokens>,
    encoding: Option<Encoding>,
    abilities: Overrides,
}

impl Said {
    fn read(table: &Table<'_>, report: &mut Report) -> Self {
        let mut tokens = |name: &str| {
            table.take(name).and_then(|spot| spot.integer(1..=TOKENS_MAX, report)).map(Tokens)
        };
        let (context, output_max) = (tokens("context"), tokens("output_max"));
        if let (Some(context), Some(output)) = (context, output_max)
            && output > context
        {
            let message = "`output_max` is larger than `context`, which holds prompt and answer";
            report.fault(table.mark, &table.path, message, None);
        }
        Self {
            quality: table.take("quality").and_then(|spot| quality(&spot, report)),
            context,
            output_max,
            encoding: table.take("encoding").and_then(|spot| encoding(&spot, report)),
            abilities: Overrides::read(table, report),
        }
    }
}

fn encoding(spot: &Spot<'_>, report: &mut Report) -> Option<Encoding> {
    if spot.is_scalar() {
        let words = [
            ("o200k_base", Encoding::O200k),
            ("cl100k_base", Encoding::Cl100k),
            ("o200k", Encoding::O200k),
            ("cl100k", Encoding::Cl100k),
        ];
        return spot.word(&words, report);
    }
    let fields = spot.table(&["per_thousand"], report)?;
    let help = "write {per_thousand: N}: how many tokens 1000 tokens of o200k_base are here";
    let number = fields.need("per_thousand", help, report)?.integer(100..=10_000, report)?;
    Some(Encoding::Estimate { per_thousand: u16::try_from(number).ok()? })
}

/// Abilities that the file states, in the order of [`Overrides::NAMES`].
struct Overrides([Option<bool>; 7]);

impl Overrides {
    const NAMES: [&'static str; 7] =
        ["tools", "images", "files", "audio", "json_schema", "reasoning", "embeddings"];

    fn read(table: &Table<'_>, report: &mut Report) -> Self {
        let fields = table.take("abilities").and_then(|spot| spot.table(&Self::NAMES, report));
        Self(
            Self::NAMES
                .map(|name| fields.as_ref().and_then(|fields| fields.take(name)?.boolean(report))),
        )
    }

    fn is_silent(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    fn over(&self, base: Abilities) -> Abilities {
        let [tools, images, files, audio, json_schema, reasoning, embeddings] = self.0;
        Abilities {
            tools: tools.unwrap_or(base.tools),
            images: images.unwrap_or(base.images),
            files: files.unwrap_or(base.files),
            audio: audio.unwrap_or(base.audio),
            json_schema: json_schema.unwrap_or(base.json_schema),
            reasoning: reasoning.unwrap_or(base.reasoning),
            embeddings: embeddings.unwrap_or(base.embeddings),
        }
    }
}
