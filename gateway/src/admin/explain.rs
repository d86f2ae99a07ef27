//! Why a request would go where it goes: every endpoint of the configuration with what speaks for or against it, and
//! its share of the next requests. It asks the pool itself, which decides in the same way.

mod words;

use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use self::words::{listed, nobody, served};
use super::moment::{Moment, seconds};
use crate::{
    api::{
        operation::{Operation, Shape},
        table::url_form,
    },
    config::{
        compiled::{Access, Client},
        suggest,
    },
    ids::ModelName,
    policy::reason::Reason,
    pool::{Condition, Explanation, Place, Pool, Wanted},
    snapshot::{NoModel, Snapshot, Upstream},
};

/// Times are Unix time in seconds.
#[derive(Serialize)]
pub(super) struct Explained<'a> {
    asked: String,
    model: Option<&'a str>,
    client: Option<&'a str>,
    operation: Option<&'static str>,
    at: f64,
    /// `served`, `nobody`, `model_not_found` or `model_not_allowed`.
    verdict: &'static str,
    /// For people.
    sentence: String,
    /// Until somebody can be asked.
    retry_after_seconds: Option<f64>,
    /// The priority that gets most of the next requests.
    tier: Option<u32>,
    /// The pool's first, preferred ones before the others.
    candidates: Vec<Candidate<'a>>,
}

#[derive(Serialize)]
struct Candidate<'a> {
    endpoint: &'a str,
    region: Option<&'a str>,
    deployment: Option<&'a str>,
    priority: Option<u32>,
    weight: Option<u32>,
    /// Of the next requests, from 0 to 1.
    share: f64,
    eligible: bool,
    reason: &'static str,
    detail: String,
    /// As `/status` says it.
    state: Option<&'static str>,
    since: Option<f64>,
    until: Option<f64>,
}

type Refusal = (StatusCode, String);

/// Names are short, and the answer repeats the model's for every endpoint.
const QUERY_BYTES_MAX: usize = 4 * 1024;

/// # Errors
/// What is wrong with the question.
pub(super) fn explain<'a>(
    snapshot: &'a Snapshot,
    query: Option<&str>,
    moment: Moment,
) -> Result<Explained<'a>, Refusal> {
    if query.is_some_and(|query| query.len() > QUERY_BYTES_MAX) {
        return Err(bad(format!(
            "the query is longer than {QUERY_BYTES_MAX} bytes"
        )));
    }
    let asked = parameter(query, "model");
    let asked = asked.ok_or_else(|| bad("which model? /explain?model=NAME".to_owned()))?;
    let client = match parameter(query, "client") {
        None => None,
        Some(name) => Some(find_client(snapshot, &name)?),
    };
    let operation = match parameter(query, "operation") {
        None => None,
        Some(name) => Some(find_operation(&name)?),
    };
    let mut explained = Explained {
        model: None,
        client: client.map(|client| client.name.as_str()),
        operation: operation.map(Operation::path),
        at: moment.unix(moment.now),
        verdict: "model_not_found",
        sentence: String::new(),
        retry_after_seconds: None,
        tier: None,
        candidates: Vec::new(),
        asked,
    };
    let question = Question {
        snapshot,
        operation,
        moment,
    };
    match snapshot.find(client, &explained.asked) {
        Ok(pool) => question.answer(&snapshot.pools[pool], &mut explained),
        Err(NoModel::Unknown) => {
            let models = snapshot.config.models.iter();
            let known = models.flat_map(|model| std::iter::once(&model.name).chain(&model.aliases));
            let known = known.map(ModelName::as_str);
            explained.sentence = suggest::unknown("model", &explained.asked, known);
            explained.candidates = question.without(&explained.asked, |_| false);
        }
        Err(NoModel::NotAllowed) => {
            if let Some(pool) = snapshot.pool_of(&explained.asked) {
                question.answer(&snapshot.pools[pool], &mut explained);
            }
            explained.forbid(client);
        }
    }
    Ok(explained)
}

impl Explained<'_> {
    /// However its deployments are, this client gets nothing of the model.
    fn forbid(&mut self, client: Option<&Client>) {
        for candidate in &mut self.candidates {
            candidate.share = 0.0;
            candidate.eligible = false;
        }
        let allowed = client.and_then(|client| client.models.as_ref());
        let allowed = allowed.into_iter().flatten();
        let allowed = listed(allowed.map(ModelName::to_string), ", ");
        self.verdict = "model_not_allowed";
        self.tier = None;
        self.retry_after_seconds = None;
        self.sentence = format!(
            "client {} may not use {}, only {allowed}",
            self.client.unwrap_or_default(),
            self.asked
        );
    }
}

struct Question<'a> {
    snapshot: &'a Snapshot,
    operation: Option<Operation>,
    moment: Moment,
}

impl<'a> Question<'a> {
    fn answer(&self, pool: &'a Pool, explained: &mut Explained<'a>) {
        let now = self.moment.now;
        let explanation = pool.explain(&Wanted {
            tried: &[],
            serves: |endpoint: usize| {
                let upstream = &self.snapshot.upstreams[endpoint];
                // What the caller would show is not known: that it shows what is needed is the kinder guess.
                upstream.service(self.offers(upstream), true, now)
            },
            now,
        });
        let model = pool.model.name.as_str();
        explained.model = Some(model);
        explained.candidates = explanation
            .members
            .iter()
            .map(|&(place, reason)| self.candidate(pool, place, reason, &explanation))
            .collect();
        match &explanation.prospect {
            Ok(prospect) => {
                let tier = pool.tiers[prospect.group].priority;
                explained.verdict = "served";
                explained.tier = Some(tier);
                explained.sentence = served(model, tier, &explained.candidates);
            }
            Err(blocked) => {
                explained.verdict = "nobody";
                let wait = blocked.soonest.map(|soonest| soonest.since(now));
                explained.retry_after_seconds = wait.map(seconds);
                explained.sentence = nobody(model, &explained.candidates);
                if let Some(wait) = wait {
                    explained.sentence += &format!(
                        "; the first is back in {:.1} s, and until then one request a second is let through",
                        wait.as_secs_f64()
                    );
                }
            }
        }
        let is_member = |endpoint| {
            pool.places()
                .any(|place| pool.member(place).endpoint == endpoint)
        };
        explained.candidates.extend(self.without(model, is_member));
    }

    /// Whether the endpoint has the operation in some shape.
    fn offers(&self, upstream: &Upstream) -> bool {
        let kind = upstream.endpoint.kind;
        self.operation.is_none_or(|operation| {
            Shape::ALL
                .into_iter()
                .any(|shape| url_form(kind, operation, shape).is_some())
        })
    }

    fn candidate(
        &self,
        pool: &'a Pool,
        place: Place,
        reason: Reason,
        explanation: &Explanation,
    ) -> Candidate<'a> {
        let (member, now) = (pool.member(place), self.moment.now);
        let endpoint = &self.snapshot.upstreams[member.endpoint].endpoint;
        let share = explanation.share(place);
        let word = match reason {
            Reason::BreakerOpen { .. } if share > 0.0 => "last_resort",
            Reason::Ready | Reason::Recovering { .. } if share == 0.0 => "lower_priority",
            _ => reason.as_str(),
        };
        let Condition {
            state,
            reason: _,
            since,
            until,
        } = pool.condition(place, pool.reason(place, &self.snapshot.anything(now)), now);
        Candidate {
            endpoint: endpoint.name.as_str(),
            region: endpoint.region.as_deref(),
            deployment: Some(member.deployment.as_str()),
            priority: Some(pool.tiers[place.tier].priority),
            weight: Some(pool.weight(place)),
            share: (share * 1e4).round() / 1e4,
            eligible: share > 0.0,
            reason: word,
            detail: self.detail(pool, place, reason, share),
            state: Some(state),
            since: since.map(|since| self.moment.unix(since)),
            until: until.map(|until| self.moment.unix(until)),
        }
    }

    /// Every endpoint that has nothing to do with a model.
    fn without(&self, model: &str, is_member: impl Fn(usize) -> bool) -> Vec<Candidate<'a>> {
        let upstreams = self.snapshot.upstreams.iter().enumerate();
        upstreams
            .filter(|&(endpoint, _)| !is_member(endpoint))
            .map(|(_, upstream)| Candidate {
                endpoint: upstream.endpoint.name.as_str(),
                region: upstream.endpoint.region.as_deref(),
                deployment: None,
                priority: None,
                weight: None,
                share: 0.0,
                eligible: false,
                reason: "no_deployment",
                detail: format!("it deploys no {model}"),
                state: None,
                since: None,
                until: None,
            })
            .collect()
    }
}

fn find_client<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a Client, Refusal> {
    let clients = match &snapshot.config.access {
        Access::Open { .. } => &[][..],
        Access::Clients(clients) => &clients.list,
    };
    let found = clients.iter().find(|client| client.name.as_str() == name);
    found.ok_or_else(|| {
        let known = clients.iter().map(|client| client.name.as_str());
        (
            StatusCode::NOT_FOUND,
            suggest::unknown("client", name, known),
        )
    })
}

/// By its path, with `_` or `/`.
fn find_operation(name: &str) -> Result<Operation, Refusal> {
    let path = name.replace('_', "/");
    let found = Operation::ALL
        .into_iter()
        .find(|operation| operation.path() == path);
    found.ok_or_else(|| {
        let words = Operation::ALL.map(|operation| operation.path().replace('/', "_"));
        bad(suggest::unknown(
            "operation",
            name,
            words.iter().map(String::as_str),
        ))
    })
}

/// A name that is not there is one that is empty.
fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    let value = percent_decode_str(value).decode_utf8().ok()?;
    (!value.is_empty()).then(|| value.into_owned())
}

fn bad(reason: String) -> Refusal {
    (StatusCode::BAD_REQUEST, reason)
}
