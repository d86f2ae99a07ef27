//! An explanation in sentences.

use super::{Candidate, Question};
use crate::{
    api::operation::Operation,
    clock::Timestamp,
    policy::{cause::Cause, reason::Reason},
    pool::{Member, Place, Pool},
    state::Trouble,
};

/// A sentence names no more than so many.
const NAMED_MAX: usize = 8;

impl Question<'_> {
    /// What the reason is, with its time and its cause.
    pub(super) fn detail(&self, pool: &Pool, place: Place, reason: Reason, share: f64) -> String {
        let member = pool.member(place);
        let endpoint = &self.snapshot.upstreams[member.endpoint].endpoint;
        let until = |until: Timestamp| {
            let left = until.since(self.moment.now).as_secs_f64();
            format!("until {} ({left:.1} s)", self.moment.clock(until))
        };
        match reason {
            Reason::Ready if share == 0.0 => "ready, but a better priority is used".to_owned(),
            Reason::Ready if member.is_probe_due(self.moment.now) => {
                "ready: the next request finds out whether its breaker may close".to_owned()
            }
            Reason::Ready => "ready".to_owned(),
            Reason::Recovering { percent } => {
                format!("its breaker was open: it gets {percent} % of its share for now")
            }
            Reason::BreakerOpen { until: at } => {
                let because = self.because(pool, place, None);
                let used = if share > 0.0 {
                    ", used all the same because nobody else is left"
                } else {
                    ""
                };
                format!("breaker open {}{because}{used}", until(at))
            }
            Reason::CoolingDown { until: at, cause } => {
                let because = self.because(pool, place, Some(cause));
                format!("cooling down {}{because}", until(at))
            }
            Reason::Disabled => format!("disabled by an operator{}", self.turned(member)),
            Reason::Drained => format!(
                "drained by an operator{}, requests left: {}",
                self.turned(member),
                member.state.in_flight()
            ),
            Reason::WeightZero => "weight 0 in the configuration".to_owned(),
            Reason::OperationUnavailable => format!(
                "it has no {}",
                self.operation.map_or("such operation", Operation::path)
            ),
            Reason::NoCredential => format!(
                "no token of credential {} can be had, /identity says why",
                endpoint.credential.name
            ),
            Reason::Tried => "tried before".to_owned(),
        }
    }

    /// ` at 12:00:00 UTC`, for a switch.
    fn turned(&self, member: &Member) -> String {
        let since = member.switch.since();
        let at = since.map(|since| format!(" at {}", self.moment.clock(since)));
        at.unwrap_or_default()
    }

    /// ` because of 429 (throttled) at 12:00:00 UTC`. `cause`: of a cool-down; `None`: whatever opened a breaker.
    fn because(&self, pool: &Pool, place: Place, cause: Option<Cause>) -> String {
        let member = pool.member(place);
        let troubles = member.state.troubles.both(&member.endpoint_state.troubles);
        let is_it = |trouble: &&Trouble| match cause {
            Some(cause) => trouble.cause == cause && trouble.wait.is_some(),
            None => trouble.counts,
        };
        match (troubles.iter().find(is_it), cause) {
            (Some(trouble), _) => {
                let word = trouble.cause.as_str();
                let what = match trouble.status {
                    Some(status) => format!("{status} ({word})"),
                    None => word.to_owned(),
                };
                format!(" because of {what} at {}", self.moment.clock(trouble.at))
            }
            (None, Some(cause)) => format!(" because of {}", cause.as_str()),
            (None, None) => String::new(),
        }
    }
}

/// Whoever gets something, and why others of the same or a better priority do not.
pub(super) fn served(model: &str, tier: u32, candidates: &[Candidate<'_>]) -> String {
    let (eligible, others): (Vec<_>, Vec<_>) =
        candidates.iter().partition(|candidate| candidate.eligible);
    let share = |candidate: &&Candidate<'_>| {
        let percent = (candidate.share * 1e3).round() / 10.0;
        format!("{} ({percent} %)", candidate.endpoint)
    };
    let mut sentence = format!(
        "requests for {model} go to {}",
        listed(eligible.iter().map(share), ", ")
    );
    let left_out = others
        .into_iter()
        .filter(|candidate| candidate.priority <= Some(tier));
    let left_out = listed(left_out.map(because), "; ");
    if !left_out.is_empty() {
        sentence += &format!("; not to {left_out}");
    }
    sentence
}

pub(super) fn nobody(model: &str, candidates: &[Candidate<'_>]) -> String {
    let reasons = listed(candidates.iter().map(because), "; ");
    format!("nobody serves {model} now: {reasons}")
}

fn because(candidate: &Candidate<'_>) -> String {
    format!("{}: {}", candidate.endpoint, candidate.detail)
}

pub(super) fn listed(items: impl Iterator<Item = String>, between: &str) -> String {
    let mut items: Vec<_> = items.collect();
    let more = items.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        items.truncate(NAMED_MAX);
        items.push(format!("and {more} more"));
    }
    items.join(between)
}
