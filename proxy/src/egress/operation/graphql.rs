//! Operations of GraphQL requests: in a JSON body (one or a batch), in a form, as bare text, or in a query string.
//!
//! The document is read by a parser with limits on depth and tokens; root fields are those of the operation that will
//! run, with its fragments expanded. Persisted queries are what the policy has registered.
//! Sources: GraphQL specification (October 2021) sections 2 and 6, GraphQL over HTTP (working draft, 2026-11).

use std::collections::{BTreeMap, BTreeSet};

use apollo_parser::{
    Parser,
    cst::{self, Definition, Selection},
};
use policy::{OperationKind, Query, model::GraphqlOptions};
use router::json::{self, Kind, Value};
use sha2::{Digest as _, Sha256};

use super::{Message, Odd, OwnedOperation, batch, is_exact, is_json, media_type, member, text};

/// Deepest nesting of a document.
const DEPTH_MAX: usize = 64;
/// Most tokens of a document.
const TOKENS_MAX: usize = 50_000;
/// Most root fields of an operation.
const FIELDS_MAX: usize = 1024;

/// The members of a request, and the names under which servers look for the id of a persisted query.
const ENVELOPE: [&str; 4] = ["query", "operationName", "variables", "extensions"];
const IDS: [&str; 7] =
    ["id", "documentId", "document_id", "doc_id", "queryId", "query_id", "persistedQuery"];

/// One request: a document, or the id of one.
#[derive(Debug, Default)]
struct Asked {
    document: Option<String>,
    operation: Option<String>,
    id: Option<String>,
    /// The hash of the document, as `persistedQuery` has it.
    hash: Option<String>,
}

/// The operations of the request; `None` if they cannot be read in one way only.
pub(super) fn read(options: &GraphqlOptions, message: &Message<'_>) -> Option<Vec<OwnedOperation>> {
    let asked = if message.body.is_empty() {
        vec![from_query(message.query)?]
    } else {
        // Some servers let the query string win over the body.
        if ENVELOPE.iter().chain(&IDS).any(|name| message.query.values(name).next().is_some()) {
            return None;
        }
        from_body(message)?
    };
    asked.into_iter().map(|asked| operation(options, &asked)).collect()
}

fn from_body(message: &Message<'_>) -> Option<Vec<Asked>> {
    let kind = media_type(message.headers)?;
    if kind == "application/graphql" {
        let document = Some(str::from_utf8(message.body).ok()?.to_owned());
        return Some(vec![Asked { document, ..Asked::default() }]);
    }
    if kind == "application/x-www-form-urlencoded" {
        let form = Query::new(str::from_utf8(message.body).ok()?).ok()?;
        return Some(vec![from_query(&form)?]);
    }
    if !is_json(&kind) {
        return None;
    }
    let tape = json::parse(message.body).ok()?;
    batch(tape.root())?.into_iter().map(from_object).collect()
}

fn from_query(query: &Query<'_>) -> Option<Asked> {
    let one = |name: &str| {
        let mut values = query.values(name);
        let first = values.next().map(str::to_owned);
        values.next().is_none().then_some(first)
    };
    let extensions = one("extensions")?;
    let tape = match &extensions {
        Some(text) if !text.is_empty() => Some(json::parse(text.as_bytes()).ok()?),
        _ => None,
    };
    let hash = tape.as_ref().map(|tape| hash_in(tape.root())).transpose().ok()?;
    let id = IDS.iter().find_map(|name| query.values(name).next()).map(str::to_owned);
    // Under several names, or one twice: servers disagree about which counts.
    let again = IDS.iter().map(|name| query.values(name).count()).sum::<usize>() > 1;
    (!again).then_some(Asked {
        document: one("query")?,
        operation: one("operationName")?.filter(|name| !name.is_empty()),
        id,
        hash: hash.flatten(),
    })
}

fn from_object(object: Value<'_, '_>) -> Option<Asked> {
    if !is_exact(object, &ENVELOPE) || !is_exact(object, &IDS) {
        return None;
    }
    let present = IDS.iter().filter(|name| member(object, name).is_some()).count();
    let id = IDS.iter().find(|name| member(object, name).is_some());
    let id = match id {
        Some(name) if present == 1 => text(object, name).ok()?,
        Some(_) => return None,
        None => None,
    };
    let hash = match member(object, "extensions") {
        Some(extensions) => hash_in(extensions).ok()?,
        None => None,
    };
    Some(Asked {
        document: text(object, "query").ok()?,
        operation: text(object, "operationName").ok()?.filter(|name| !name.is_empty()),
        id,
        hash,
    })
}

/// `persistedQuery.sha256Hash` in the extensions.
fn hash_in(extensions: Value<'_, '_>) -> Result<Option<String>, Odd> {
    if extensions.kind() != Kind::Object || !is_exact(extensions, &["persistedQuery"]) {
        return Err(Odd);
    }
    match member(extensions, "persistedQuery") {
        None => Ok(None),
        Some(persisted) if is_exact(persisted, &["sha256Hash", "version"]) => {
            text(persisted, "sha256Hash")?.ok_or(Odd).map(Some)
        }
        Some(_) => Err(Odd),
    }
}

fn operation(options: &GraphqlOptions, asked: &Asked) -> Option<OwnedOperation> {
    match (&asked.document, &asked.id, &asked.hash) {
        (Some(document), None, None) => in_document(document, asked.operation.as_deref()),
        // A server may run what it has under the hash: it must be the hash of what we read.
        (Some(document), None, Some(hash)) => {
            let own = Sha256::digest(document.as_bytes());
            let same = hash.eq_ignore_ascii_case(&format!("{own:x}"));
            same.then(|| in_document(document, asked.operation.as_deref()))?
        }
        (None, Some(id), None) | (None, None, Some(id)) if options.persisted => {
            registered(options, id, asked.operation.as_deref())
        }
        _ => None,
    }
}

/// What the policy says that a persisted query does.
fn registered(options: &GraphqlOptions, id: &str, name: Option<&str>) -> Option<OwnedOperation> {
    let query = options.registered.get(id)?;
    let all = [OperationKind::Query, OperationKind::Mutation, OperationKind::Subscription];
    let kind = all.into_iter().find(|kind| kind.as_str() == query.operation_type)?;
    if name.is_some() && query.operation_name.as_deref() != name {
        return None;
    }
    Some(OwnedOperation { kind, name: query.operation_name.clone(), fields: query.fields.clone() })
}

/// The operation of `document` that runs when `wanted` is asked for.
fn in_document(document: &str, wanted: Option<&str>) -> Option<OwnedOperation> {
    let tree = Parser::new(document).recursion_limit(DEPTH_MAX).token_limit(TOKENS_MAX).parse();
    if tree.errors().next().is_some() {
        return None;
    }
    let mut operations = BTreeMap::new();
    let mut fragments = BTreeMap::new();
    for definition in tree.document().definitions() {
        match definition {
            Definition::OperationDefinition(one) => {
                let name = one.name().map(|name| name.text().to_string());
                if operations.insert(name, one).is_some() {
                    return None;
                }
            }
            Definition::FragmentDefinition(one) => {
                let name = one.fragment_name()?.name()?.text().to_string();
                if fragments.insert(name, one.selection_set()?).is_some() {
                    return None;
                }
            }
            // What defines types is nothing that a server runs.
            _ => return None,
        }
    }
    // An operation without a name stands alone (specification, section 5.2.2.1).
    let (name, chosen) = if operations.len() == 1 {
        operations.pop_first()?
    } else {
        if operations.contains_key(&None) {
            return None;
        }
        operations.remove_entry(&Some(wanted?.to_owned()))?
    };
    if wanted.is_some() && name.as_deref() != wanted {
        return None;
    }
    let mut roots = Roots { fragments: &fragments, seen: BTreeSet::new(), fields: Vec::new() };
    roots.add(&chosen.selection_set()?)?;
    let fields = roots.fields;
    (!fields.is_empty()).then_some(OwnedOperation { kind: kind_of(&chosen)?, name, fields })
}

fn kind_of(operation: &cst::OperationDefinition) -> Option<OperationKind> {
    let Some(kind) = operation.operation_type() else { return Some(OperationKind::Query) };
    match (kind.query_token(), kind.mutation_token(), kind.subscription_token()) {
        (Some(_), None, None) => Some(OperationKind::Query),
        (None, Some(_), None) => Some(OperationKind::Mutation),
        (None, None, Some(_)) => Some(OperationKind::Subscription),
        _ => None,
    }
}

/// Collects the root fields of an operation.
struct Roots<'d> {
    fragments: &'d BTreeMap<String, cst::SelectionSet>,
    /// Fragments that were expanded: each adds its fields once, so cycles end.
    seen: BTreeSet<String>,
    fields: Vec<String>,
}

impl Roots<'_> {
    /// Adds the fields of a selection. Depth is that of the document and at most one level per fragment.
    fn add(&mut self, first: &cst::SelectionSet) -> Option<()> {
        let mut open = vec![first.clone()];
        while let Some(selection) = open.pop() {
            for one in selection.selections() {
                match one {
                    Selection::Field(field) => {
                        let name = field.name()?.text().to_string();
                        if !self.fields.contains(&name) {
                            self.fields.push(name);
                        }
                    }
                    Selection::InlineFragment(inline) => open.push(inline.selection_set()?),
                    Selection::FragmentSpread(spread) => {
                        let name = spread.fragment_name()?.name()?.text().to_string();
                        let fragment = self.fragments.get(&name)?;
                        if self.seen.insert(name) {
                            open.push(fragment.clone());
                        }
                    }
                }
                if self.fields.len() > FIELDS_MAX {
                    return None;
                }
            }
        }
        Some(())
    }
}
