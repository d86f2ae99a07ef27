//! What a process tells its successor about the world, so that a restart forgets no throttling and sends no
//! second wave of requests to an endpoint that is just recovering. Decides what is worth telling and how it is
//! taken over; must not know how it travels.
//!
//! Both processes run on one machine, so points in time mean the same to both ([`crate::clock`]). They may be
//! different versions: a memory is a list of small facts, each understood on its own or dropped. Attempts under
//! way are no fact: they stay with the process that makes them, and so does a half-open breaker's probe.

use std::{sync::atomic::Ordering, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{EndpointKey, Health, Registry, is_let_through_due};
use crate::{
    clock::Timestamp,
    ids::{DeploymentName, EndpointName, ModelName},
    policy::{
        balance::SmoothRoundRobin, breaker::Breaker, budget::Budget, cause::Cause, reason::Switch,
    },
};

/// The longest duration that a configuration can hold: what ends later was not written by us.
const HOLD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The state of a [`Registry`] in a form that can be written. Holds names and URLs, no secret.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Memory {
    facts: Vec<Fact>,
    /// Facts that were not understood when it was read.
    dropped: usize,
}

/// What [`Registry::restore`] found, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    pub facts: usize,
    /// Not understood: another version of the program wrote them.
    pub dropped: usize,
}

/// Written as `{"cool_down":{"of":{"endpoint":{…}},"until":…,"cause":"auth"}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fact {
    CoolDown {
        of: Subject,
        until: Timestamp,
        cause: Cause,
    },
    Breaker {
        of: Subject,
        breaker: Breaker,
    },
    Budget {
        model: ModelName,
        budget: Budget,
    },
    LetThrough {
        model: ModelName,
        at: Timestamp,
    },
    Wheel {
        model: ModelName,
        priority: u32,
        wheel: SmoothRoundRobin,
    },
    Switch {
        endpoint: EndpointName,
        switch: Switch,
        /// Not told by older versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
}

/// What is healthy or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Subject {
    Endpoint(EndpointKey),
    Deployment {
        endpoint: EndpointKey,
        name: DeploymentName,
    },
}

impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.facts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Memory {
    /// Fails on what is no JSON, and on nothing else.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = match Value::deserialize(deserializer)? {
            Value::Array(list) => list,
            other => vec![other],
        };
        let length = list.len();
        let facts: Vec<Fact> = list
            .into_iter()
            .filter_map(|fact| serde_json::from_value(fact).ok())
            .collect();
        Ok(Self {
            dropped: length - facts.len(),
            facts,
        })
    }
}

impl Registry {
    /// All that still matters at `now`.
    #[must_use]
    pub fn memory(&self, now: Timestamp) -> Memory {
        let entries = self.entries.lock();
        let mut facts = Vec::new();
        for (key, state) in &entries.endpoints {
            tell(
                &mut facts,
                Subject::Endpoint(key.clone()),
                &state.health,
                now,
            );
        }
        for ((key, name), state) in &entries.deployments {
            let of = Subject::Deployment {
                endpoint: key.clone(),
                name: name.clone(),
            };
            tell(&mut facts, of, &state.health, now);
        }
        for (model, state) in &entries.pools {
            let budget = state.budget.lock();
            if !budget.is_spent(now) {
                facts.push(Fact::Budget {
                    model: model.clone(),
                    budget: budget.clone(),
                });
            }
            let last = state.let_through.load(Ordering::Relaxed);
            if !is_let_through_due(last, now) {
                facts.push(Fact::LetThrough {
                    model: model.clone(),
                    at: Timestamp::from_micros(last),
                });
            }
        }
        for ((model, priority), wheel) in &entries.wheels {
            let wheel = wheel.lock();
            if *wheel != SmoothRoundRobin::default() {
                facts.push(Fact::Wheel {
                    model: model.clone(),
                    priority: *priority,
                    wheel: wheel.clone(),
                });
            }
        }
        for (endpoint, state) in &entries.switches {
            let switch = state.position();
            if switch != Switch::default() {
                facts.push(Fact::Switch {
                    endpoint: endpoint.clone(),
                    switch,
                    since: state.since(),
                });
            }
        }
        Memory { facts, dropped: 0 }
    }

    /// Takes over what a predecessor remembered, before the first request: also of what no configuration mentions
    /// yet. Impossible times are brought into reach of `now`, so that none holds for ever.
    pub fn restore(&self, memory: Memory, now: Timestamp) -> Restored {
        let restored = Restored {
            facts: memory.facts.len(),
            dropped: memory.dropped,
        };
        for fact in memory.facts {
            match fact {
                Fact::CoolDown { of, until, cause } => {
                    let latest = now.saturating_add(HOLD_MAX);
                    self.with_health(&of, |health| {
                        health.cool_down(until.min(latest), cause, now);
                    });
                }
                Fact::Breaker { of, breaker } => {
                    let breaker = breaker.resumed(HOLD_MAX, now);
                    self.with_health(&of, |health| health.set_breaker(breaker, now));
                }
                Fact::Budget { model, budget } => {
                    *self.pool(&model).budget.lock() = budget.resumed(now);
                }
                Fact::LetThrough { model, at } => {
                    let at = at.min(now).as_micros();
                    let pool = self.pool(&model);
                    pool.let_through.fetch_max(at, Ordering::Relaxed);
                }
                Fact::Wheel {
                    model,
                    priority,
                    wheel,
                } => *self.wheel(&model, priority).lock() = wheel,
                Fact::Switch {
                    endpoint,
                    switch,
                    since,
                } => {
                    let since = since.map_or(now, |since| since.min(now));
                    self.switch(&endpoint).turn(switch, since);
                }
            }
        }
        restored
    }

    fn with_health(&self, of: &Subject, change: impl FnOnce(&Health)) {
        match of {
            Subject::Endpoint(key) => change(&self.endpoint(key).health),
            Subject::Deployment { endpoint, name } => {
                change(&self.deployment(endpoint, name).health);
            }
        }
    }
}

fn tell(facts: &mut Vec<Fact>, of: Subject, health: &Health, now: Timestamp) {
    if let Some((until, cause)) = health.cooling(now) {
        facts.push(Fact::CoolDown {
            of: of.clone(),
            until,
            cause,
        });
    }
    if let Some(breaker) = health.breaker() {
        facts.push(Fact::Breaker { of, breaker });
    }
}

#[cfg(test)]
mod tests;
