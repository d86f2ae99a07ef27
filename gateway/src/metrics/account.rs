//! Who asked for what, and what it cost: requests, tokens and money by client and model. Most pairs of the two never
//! meet, so a pair gets its counters when it first does, once in the life of a snapshot.

use std::sync::{Arc, OnceLock};

use prometheus::{Counter, IntCounter};

use super::{ANONYMOUS, Metrics, OTHER};
use crate::{
    api::{
        answer::{Counted, Usage},
        operation::Operation,
    },
    config::compiled::{Access, Compiled, Price},
    ids::{ClientName, EndpointName, ModelName},
    pool::Place,
};

/// Status classes, as labels.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The operations of models, then lists of models, then whatever else was asked for.
const OPERATIONS: usize = Operation::ALL.len() + 2;
/// In the order of [`Spent::tokens`].
const DIRECTIONS: [&str; 4] = ["prompt", "cached", "completion", "reasoning"];

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Caller {
    /// Not recognised, or not yet.
    #[default]
    Nobody,
    /// Everybody may call.
    Anonymous,
    /// Place among the configured clients.
    Client(usize),
}

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Asked {
    /// Nothing that exists, or not known yet.
    #[default]
    Nothing,
    /// Which models there are.
    Models,
    Model(Operation),
}

impl Asked {
    fn index(self) -> usize {
        match self {
            Self::Model(operation) => Operation::ALL
                .iter()
                .position(|&other| other == operation)
                .expect("every operation is in ALL"),
            Self::Models => OPERATIONS - 2,
            Self::Nothing => OPERATIONS - 1,
        }
    }

    /// The word for metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model(operation) => operation.path(),
            Self::Models => "models",
            Self::Nothing => OTHER,
        }
    }
}

/// The accounts of a snapshot.
#[derive(Debug)]
pub struct Accounts {
    metrics: Metrics,
    clients: Vec<ClientName>,
    models: Vec<Sold>,
    currency: Arc<str>,
    /// By caller, then by model; the last one of each row is for requests without a model.
    rows: Vec<OnceLock<Row>>,
}

type Row = Box<[OnceLock<Box<Account>>]>;

/// A model, and who serves it.
#[derive(Debug)]
struct Sold {
    name: ModelName,
    /// By group and member, as a [`Place`] names them.
    members: Vec<Vec<(EndpointName, Option<Price>)>>,
}

/// The counters of one client and one model.
#[derive(Debug, Default)]
struct Account {
    /// All classes at once: a rate does not see the first step of a series that begins with it.
    requests: [OnceLock<[IntCounter; CLASSES.len()]>; OPERATIONS],
    /// As [`Sold::members`].
    spent: Vec<Vec<Spent>>,
}

#[derive(Debug, Default)]
struct Spent {
    /// As the provider counted them, and estimated.
    tokens: [OnceLock<[IntCounter; DIRECTIONS.len()]>; 2],
    cost: OnceLock<Counter>,
}

impl Accounts {
    #[must_use]
    pub fn link(config: &Compiled, metrics: &Metrics) -> Self {
        let clients: Vec<ClientName> = match &config.access {
            Access::Open { .. } => Vec::new(),
            Access::Clients(clients) => {
                let names = clients.list.iter().map(|client| client.name.clone());
                names.collect()
            }
        };
        let models: Vec<Sold> = config
            .models
            .iter()
            .map(|model| Sold {
                name: model.name.clone(),
                members: model
                    .tiers
                    .iter()
                    .map(|tier| {
                        let member = |member: &crate::config::compiled::Member| {
                            let endpoint = &config.endpoints[member.endpoint];
                            let deployment = &endpoint.deployments[member.deployment];
                            (endpoint.name.clone(), deployment.price.or(model.price))
                        };
                        tier.members.iter().map(member).collect()
                    })
                    .collect(),
            })
            .collect();
        Self {
            rows: (0..clients.len() + 2).map(|_| OnceLock::new()).collect(),
            metrics: metrics.clone(),
            currency: config.currency.clone(),
            clients,
            models,
        }
    }

    /// `model`: its place in the configuration.
    pub fn request(&self, caller: Caller, model: Option<usize>, asked: Asked, status: u16) {
        let Some(class) = usize::from(status / 100).checked_sub(1) else {
            return;
        };
        let counters = self.account(caller, model).requests[asked.index()].get_or_init(|| {
            let client = self.client(caller);
            let model = model.map_or(OTHER, |model| self.models[model].name.as_str());
            let family = &self.metrics.families.requests;
            CLASSES.map(|class| family.with_label_values(&[client, model, asked.as_str(), class]))
        });
        if let Some(counter) = counters.get(class) {
            counter.inc();
        }
    }

    /// Books the tokens of an answer that this member of the model's pool gave. Returns what they cost, in the
    /// configured currency.
    pub fn tokens(
        &self,
        caller: Caller,
        model: usize,
        place: Place,
        counted: &Counted,
    ) -> Option<f64> {
        let sold = &self.models[model];
        let (endpoint, price) = &sold.members[place.tier][place.member];
        let spent = &self.account(caller, Some(model)).spent[place.tier][place.member];
        let labels = [self.client(caller), sold.name.as_str(), endpoint.as_str()];
        let [client, model, endpoint] = labels;
        let counters = spent.tokens[usize::from(counted.estimated)].get_or_init(|| {
            let estimated = if counted.estimated { "true" } else { "false" };
            let family = &self.metrics.families.tokens;
            DIRECTIONS.map(|direction| {
                family.with_label_values(&[client, model, endpoint, direction, estimated])
            })
        });
        let Usage {
            prompt,
            completion,
            cached,
            reasoning,
        } = counted.usage;
        for (counter, tokens) in counters.iter().zip([prompt, cached, completion, reasoning]) {
            counter.inc_by(tokens);
        }
        let cost = cost(price.as_ref()?, &counted.usage);
        let family = &self.metrics.families.cost;
        let resolve =
            || family.with_label_values(&[client, model, endpoint, self.currency.as_ref()]);
        spent.cost.get_or_init(resolve).inc_by(cost);
        Some(cost)
    }

    fn client(&self, caller: Caller) -> &str {
        match caller {
            Caller::Nobody => OTHER,
            Caller::Anonymous => ANONYMOUS,
            Caller::Client(place) => self.clients[place].as_str(),
        }
    }

    fn account(&self, caller: Caller, model: Option<usize>) -> &Account {
        let row = match caller {
            Caller::Nobody => self.clients.len(),
            Caller::Anonymous => self.clients.len() + 1,
            Caller::Client(place) => place,
        };
        let columns = self.models.len() + 1;
        let row = self.rows[row].get_or_init(|| (0..columns).map(|_| OnceLock::new()).collect());
        row[model.unwrap_or(columns - 1)].get_or_init(|| {
            let members = model.map_or(&[][..], |model| &self.models[model].members);
            let spent = |tier: &Vec<_>| tier.iter().map(|_| Spent::default()).collect();
            Box::new(Account {
                spent: members.iter().map(spent).collect(),
                ..Account::default()
            })
        })
    }
}

/// Reasoning is part of the completion; what was cached has a price of its own.
fn cost(price: &Price, usage: &Usage) -> f64 {
    let Price {
        prompt,
        cached,
        completion,
    } = price;
    let read = usage.cached.min(usage.prompt);
    let millionths = (usage.prompt - read) as f64 * prompt.per_token()
        + read as f64 * cached.per_token()
        + usage.completion as f64 * completion.per_token();
    millionths / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::compiled::Rate;

    #[test]
    fn cached_tokens_are_paid_at_their_own_price_and_reasoning_as_completion() {
        let rate = |units: u64| Rate(units * 1_000_000);
        let price = Price {
            prompt: rate(10),
            cached: rate(1),
            completion: rate(100),
        };
        let usage = |prompt, cached, completion, reasoning| Usage {
            prompt,
            completion,
            cached,
            reasoning,
        };
        for (usage, millionths) in [
            (usage(0, 0, 0, 0), 0.0),
            (usage(7, 0, 0, 0), 70.0),
            (usage(7, 5, 0, 0), 25.0),
            (usage(0, 0, 3, 2), 300.0),
            // A provider that miscounts must not be paid back.
            (usage(1, 5, 0, 0), 1.0),
        ] {
            let expected: f64 = millionths / 1e6;
            assert!((cost(&price, &usage) - expected).abs() < 1e-12, "{usage:?}");
        }
    }
}
