//! Models: their names and aliases, and their pools. A model exists because an endpoint deploys it.

use std::collections::{BTreeMap, HashMap};

use super::{AUTO, policy::Policy};
use crate::{
    config::{
        compiled::{Endpoint, Member, Model, Tier},
        diagnostics::{At, Diagnostics},
        raw::{Entries, List, Raw, RawModel},
        suggest,
    },
    ids::ModelName,
};

/// Every name a client may ask for, with the model it means. Made from what is written, good or not, so that a
/// mistake at an endpoint does not make its models unknown elsewhere.
pub(super) struct Names<'r> {
    meaning: BTreeMap<&'r str, &'r str>,
}

impl<'r> Names<'r> {
    pub(super) fn new(raw: &'r Raw, diagnostics: &mut Diagnostics) -> Self {
        let endpoints = raw.endpoints.iter().flat_map(Entries::iter);
        let deployed = endpoints
            .filter_map(|(_, endpoint)| endpoint?.deployments.as_ref())
            .flat_map(|deployments| deployments.names());
        let mut names = Self {
            meaning: deployed.map(|model| (model, model)).collect(),
        };
        let at = At::ROOT.key("models");
        for (model, entry) in raw.models.iter().flat_map(Entries::iter) {
            let at = at.key(model);
            if names.meaning.get(model) != Some(&model) {
                let deployed = names.meaning.iter().filter(|(name, model)| name == model);
                let message = suggest::unknown("model", model, deployed.map(|(name, _)| *name));
                diagnostics.error(at, format!("no endpoint deploys it: {message}"));
            }
            names.add_aliases(model, entry, at, diagnostics);
        }
        names
    }

    /// The model that the name means; an error for a name that means none.
    pub(super) fn resolve(
        &self,
        name: &str,
        at: At<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<ModelName> {
        let Some(model) = self.meaning.get(name) else {
            diagnostics.error(
                at,
                suggest::unknown("model", name, self.meaning.keys().copied()),
            );
            return None;
        };
        // A bad name was reported where it is deployed.
        ModelName::new(model).ok()
    }

    fn add_aliases(
        &mut self,
        model: &'r str,
        entry: Option<&'r RawModel>,
        at: At<'_>,
        diagnostics: &mut Diagnostics,
    ) {
        let at = at.key("aliases");
        let aliases = entry.and_then(|entry| entry.aliases.as_ref());
        for (index, alias) in aliases.into_iter().flat_map(List::iter) {
            let at = at.index(index);
            if alias == AUTO {
                diagnostics.error(
                    at,
                    "the name `auto` is reserved for a client's default model",
                );
                continue;
            }
            match self.meaning.get(alias.as_str()) {
                Some(&other) if other == alias => {
                    diagnostics.error(
                        at,
                        format!("`{alias}` is a model itself, expected another name"),
                    );
                }
                Some(&other) => {
                    diagnostics.error(at, format!("`{alias}` is already an alias of `{other}`"));
                }
                None => {
                    self.meaning.insert(alias, model);
                }
            }
        }
    }
}

/// Sorted by name.
pub(super) fn compile(
    raw: &Raw,
    endpoints: &[Endpoint],
    diagnostics: &mut Diagnostics,
) -> Vec<Model> {
    let at_defaults = At::ROOT.key("defaults");
    let defaults = match &raw.defaults {
        Some(defaults) => Policy::default().overlaid(defaults.into(), at_defaults, diagnostics),
        None => Policy::default(),
    };
    let at = At::ROOT.key("models");
    let mut given = HashMap::new();
    for (name, entry) in raw.models.iter().flat_map(Entries::iter) {
        let Some(entry) = entry else { continue };
        let at = at.key(name);
        let policy = defaults.overlaid(entry.into(), at, diagnostics);
        let price = super::price::compile(entry.price.as_ref(), at.key("price"), diagnostics);
        given.insert(name, (policy, aliases(entry, at, diagnostics), price));
    }
    let mut models = Vec::new();
    for (name, tiers) in pools(endpoints) {
        warn_about(name, &tiers, endpoints, diagnostics);
        let given = given.remove(name.as_str());
        let (policy, aliases, price) =
            given.unwrap_or_else(|| (defaults.clone(), Vec::new(), None));
        models.push(Model {
            name: name.clone(),
            aliases,
            price,
            balance: policy.balance,
            timeouts: policy.timeouts,
            retry: policy.retry,
            breaker: policy.breaker,
            cool_down: policy.cool_down,
            usage: policy.usage,
            tiers,
        });
    }
    models
}

fn aliases(raw: &RawModel, at: At<'_>, diagnostics: &mut Diagnostics) -> Vec<ModelName> {
    let at = at.key("aliases");
    let aliases = raw.aliases.iter().flat_map(List::iter);
    aliases
        .filter_map(|(index, alias)| {
            super::name(ModelName::new, alias, at.index(index), diagnostics)
        })
        .collect()
}

/// By model: its deployments over all endpoints, in priority groups.
fn pools(endpoints: &[Endpoint]) -> BTreeMap<&ModelName, Vec<Tier>> {
    let mut pools: BTreeMap<&ModelName, BTreeMap<u32, Vec<Member>>> = BTreeMap::new();
    for (endpoint, entry) in endpoints.iter().enumerate() {
        for (deployment, entry) in entry.deployments.iter().enumerate() {
            let member = Member {
                endpoint,
                deployment,
                weight: entry.weight,
            };
            pools
                .entry(&entry.model)
                .or_default()
                .entry(entry.priority)
                .or_default()
                .push(member);
        }
    }
    let tiers = |groups: BTreeMap<u32, Vec<Member>>| {
        groups
            .into_iter()
            .map(|(priority, members)| Tier { priority, members })
            .collect()
    };
    pools
        .into_iter()
        .map(|(name, groups)| (name, tiers(groups)))
        .collect()
}

fn warn_about(
    name: &ModelName,
    tiers: &[Tier],
    endpoints: &[Endpoint],
    diagnostics: &mut Diagnostics,
) {
    let mut warn = |member: &Member, message: String| {
        let at = At::ROOT.key("endpoints");
        let at = at.key(endpoints[member.endpoint].name.as_str());
        let at = at.key("deployments");
        diagnostics.warn(at.key(name.as_str()), message);
    };
    if let [Tier { members, .. }] = tiers
        && let [only] = members.as_slice()
    {
        warn(
            only,
            format!("only this deployment serves `{name}`: there is nowhere to fail over to"),
        );
    }
    for tier in tiers {
        if tier.members.iter().all(|member| member.weight == 0) {
            let message = format!(
                "every deployment of `{name}` with priority {} has weight 0: none of them gets traffic",
                tier.priority
            );
            warn(&tier.members[0], message);
        }
    }
}
