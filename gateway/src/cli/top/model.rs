//! The rows of the picture: what two looks at the gateway say, and how fast it happens. Pure; it knows nothing of
//! terminals. A counter that went back (its process or its deployment is new) counts as standing still.

use std::collections::VecDeque;

use crate::cli::shown::{Client, Deployment, Endpoint, Pool, State, Status};

/// Rates are over about this long: in one second most deployments answer no request.
const WINDOW_SECONDS: f64 = 5.0;
/// A process started this much later than the one before is another one. Clocks are put right by less.
const RESTART_SECONDS: f64 = 1.0;

/// The looks of the last seconds.
#[derive(Default)]
pub(super) struct History(VecDeque<Status>);

impl History {
    pub(super) fn add(&mut self, status: Status) {
        let is_another = |last: &Status| (status.started - last.started).abs() > RESTART_SECONDS;
        if self.0.back().is_some_and(is_another) {
            self.0.clear();
        }
        let begin = status.now - WINDOW_SECONDS;
        self.0.push_back(status);
        while self.0.len() > 2 && self.0[1].now <= begin {
            self.0.pop_front();
        }
    }

    /// `None` before the first look.
    pub(super) fn board(&self) -> Option<Board<'_>> {
        let after = self.0.back()?;
        let before = self.0.front().filter(|_| self.0.len() > 1);
        Some(Board::of(before, after))
    }
}

/// Everything that the picture shows.
pub(super) struct Board<'a> {
    pub(super) status: &'a Status,
    pub(super) rates: Rates,
    pub(super) in_flight: u32,
    pub(super) pools: Vec<PoolRow<'a>>,
    /// The one who uses most tokens first.
    pub(super) clients: Vec<ClientRow<'a>>,
}

pub(super) struct PoolRow<'a> {
    pub(super) pool: &'a Pool,
    pub(super) rates: Rates,
    /// By priority.
    pub(super) members: Vec<Member<'a>>,
}

pub(super) struct Member<'a> {
    pub(super) pool: &'a Pool,
    pub(super) deployment: &'a Deployment,
    pub(super) endpoint: Option<&'a Endpoint>,
    pub(super) rates: Rates,
    /// Seconds since the newest of its last errors.
    pub(super) error_age: Option<f64>,
}

pub(super) struct ClientRow<'a> {
    pub(super) client: &'a Client,
    pub(super) currency: &'a str,
    pub(super) rates: Rates,
}

/// Per second; `None` as long as there is nothing to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rates {
    pub(super) requests: Option<f64>,
    pub(super) failed: Option<f64>,
    pub(super) tokens: Option<f64>,
}

/// Which deployment a row is about, whatever rows come and go around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) model: String,
    pub(super) endpoint: String,
    pub(super) deployment: String,
}

impl<'a> Board<'a> {
    pub(super) fn of(before: Option<&'a Status>, after: &'a Status) -> Self {
        let span = Span::between(before, after);
        let pools: Vec<_> = after
            .pools
            .iter()
            .map(|pool| {
                let earlier = before
                    .and_then(|before| before.pools.iter().find(|other| other.model == pool.model));
                PoolRow::of(pool, earlier, after, span)
            })
            .collect();
        let sum = |rate: fn(&PoolRow<'_>) -> Option<f64>| {
            span.0.map(|_| pools.iter().filter_map(rate).sum())
        };
        let rates = Rates {
            requests: sum(|pool| pool.rates.requests),
            failed: sum(|pool| pool.rates.failed),
            tokens: sum(|pool| pool.rates.tokens),
        };
        Self {
            status: after,
            rates,
            in_flight: pools
                .iter()
                .flat_map(|pool| &pool.members)
                .map(|member| member.deployment.in_flight)
                .sum(),
            pools,
            clients: clients(before, after, span),
        }
    }

    /// Only the deployments that contain `filter`, and with `only_trouble` only those of them that are in trouble.
    pub(super) fn narrowed(mut self, filter: &str, only_trouble: bool) -> Self {
        let filter = filter.to_lowercase();
        for pool in &mut self.pools {
            pool.members.retain(|member| {
                member.contains(&filter) && (!only_trouble || member.is_in_trouble())
            });
        }
        self.pools.retain(|pool| !pool.members.is_empty());
        self.clients
            .retain(|row| row.client.name.to_lowercase().contains(&filter));
        self
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member<'a>> {
        self.pools.iter().flat_map(|pool| &pool.members)
    }

    /// Which part of the requests was answered with 5xx, 0 to 1; `None` if there was no request.
    pub(super) fn error_ratio(&self) -> Option<f64> {
        let requests = self.rates.requests.filter(|rate| *rate > 0.0)?;
        Some(self.rates.failed? / requests)
    }
}

/// Models that nobody could serve without `endpoint`, of those that it can serve.
pub(super) fn left_without<'a>(status: &'a Status, endpoint: &str) -> Vec<&'a str> {
    let usable_at = |pool: &Pool, here: bool| {
        pool.deployments.iter().any(|deployment| {
            deployment.state.is_usable() && (deployment.endpoint == endpoint) == here
        })
    };
    status
        .pools
        .iter()
        .filter(|pool| usable_at(pool, true) && !usable_at(pool, false))
        .map(|pool| pool.model.as_str())
        .collect()
}

impl<'a> PoolRow<'a> {
    fn of(pool: &'a Pool, before: Option<&'a Pool>, status: &'a Status, span: Span) -> Self {
        let mut members: Vec<_> = pool
            .deployments
            .iter()
            .map(|deployment| {
                let is_same = |other: &&Deployment| {
                    (&other.endpoint, &other.deployment)
                        == (&deployment.endpoint, &deployment.deployment)
                };
                let before = before.and_then(|before| before.deployments.iter().find(is_same));
                Member::of(pool, deployment, before, status, span)
            })
            .collect();
        members.sort_by_key(|member| member.deployment.priority);
        let rate = |counter: fn(&Pool) -> f64| span.rate(before.map(counter), counter(pool));
        let tokens = members.iter().filter_map(|member| member.rates.tokens);
        let rates = Rates {
            requests: rate(|pool| pool.requests),
            failed: rate(|pool| pool.errors),
            tokens: span.0.map(|_| tokens.sum()),
        };
        Self {
            pool,
            rates,
            members,
        }
    }
}

impl<'a> Member<'a> {
    fn of(
        pool: &'a Pool,
        deployment: &'a Deployment,
        before: Option<&'a Deployment>,
        status: &'a Status,
        span: Span,
    ) -> Self {
        let rate =
            |counter: fn(&Deployment) -> f64| span.rate(before.map(counter), counter(deployment));
        let newest = deployment.last_errors.first();
        Self {
            pool,
            deployment,
            endpoint: status
                .endpoints
                .iter()
                .find(|endpoint| endpoint.name == deployment.endpoint),
            rates: Rates {
                requests: rate(|it| it.attempts.ok + it.attempts.client + it.attempts.failed),
                failed: rate(|it| it.attempts.failed),
                tokens: rate(|it| it.tokens.prompt + it.tokens.completion),
            },
            error_age: newest.map(|error| (status.now - error.at).max(0.0)),
        }
    }

    pub(super) fn key(&self) -> Key {
        Key {
            model: self.pool.model.clone(),
            endpoint: self.deployment.endpoint.clone(),
            deployment: self.deployment.deployment.clone(),
        }
    }

    /// `filter` is in lower case.
    fn contains(&self, filter: &str) -> bool {
        let Deployment {
            endpoint,
            region,
            deployment,
            state,
            reason,
            ..
        } = self.deployment;
        [self.pool.model.as_str(), endpoint, deployment, state.word()]
            .into_iter()
            .chain(self.pool.aliases.iter().map(String::as_str))
            .chain(region.as_deref())
            .chain(reason.as_deref())
            .any(|text| text.to_lowercase().contains(filter))
    }

    fn is_in_trouble(&self) -> bool {
        self.deployment.state != State::Healthy || self.rates.failed.is_some_and(|rate| rate > 0.0)
    }
}

fn clients<'a>(before: Option<&'a Status>, after: &'a Status, span: Span) -> Vec<ClientRow<'a>> {
    let all = |client: &Client| client.prompt_tokens + client.completion_tokens;
    let mut rows: Vec<_> = after
        .clients
        .iter()
        .map(|client| {
            let before = before.and_then(|before| {
                let mut others = before.clients.iter();
                others.find(|other| other.name == client.name)
            });
            ClientRow {
                client,
                currency: after.currency.as_deref().unwrap_or_default(),
                rates: Rates {
                    requests: span.rate(before.map(|it| it.requests), client.requests),
                    failed: None,
                    tokens: span.rate(before.map(all), all(client)),
                },
            }
        })
        .collect();
    rows.sort_by(|a, b| {
        let rank = |row: &ClientRow<'_>| (row.rates.tokens.unwrap_or_default(), all(row.client));
        let ((a_rate, a_all), (b_rate, b_all)) = (rank(a), rank(b));
        (b_rate.total_cmp(&a_rate))
            .then(b_all.total_cmp(&a_all))
            .then_with(|| a.client.name.cmp(&b.client.name))
    });
    rows
}

/// Seconds from one look to the next; `None` if there is no earlier one, or the clock was set back.
#[derive(Clone, Copy)]
struct Span(Option<f64>);

impl Span {
    fn between(before: Option<&Status>, after: &Status) -> Self {
        let span = before.map(|before| after.now - before.now);
        Self(span.filter(|seconds| *seconds > 0.0))
    }

    fn rate(self, before: Option<f64>, after: f64) -> Option<f64> {
        Some((after - before?).max(0.0) / self.0?)
    }
}

#[cfg(test)]
mod tests;
