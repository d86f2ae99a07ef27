//! Decides whether there may be one more retry. In an outage every request fails, and a gateway that retries
//! them all sends the dying service a multiple of its load; so retries are a share of the requests.
//!
//! Counted over the last ten seconds, as linkerd and Finagle do, so that a quiet hour saves up nothing.

use serde::{Deserialize, Serialize};

use super::params::RetryParams;
use crate::clock::Timestamp;

const WINDOW_SECS: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Budget {
    seconds: [Second; WINDOW_SECS],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Second {
    /// Which second this slot counts.
    number: u64,
    requests: u32,
    retries: u32,
}

impl Budget {
    /// A client's request arrived.
    pub fn deposit(&mut self, now: Timestamp) {
        let second = self.second(now);
        second.requests = second.requests.saturating_add(1);
    }

    /// Takes one retry out, if there is one.
    pub fn withdraw(&mut self, params: &RetryParams, now: Timestamp) -> bool {
        let (mut requests, mut retries) = (0_u64, 0_u64);
        for second in self.window(now) {
            requests += u64::from(second.requests);
            retries += u64::from(second.retries);
        }
        let floor = u64::from(params.budget_min_per_second) * WINDOW_SECS as u64;
        let allowed = (requests * u64::from(params.budget_percent) / 100).max(floor);
        let granted = retries < allowed;
        if granted {
            let second = self.second(now);
            second.retries = second.retries.saturating_add(1);
        }
        granted
    }

    /// Whether it says the same as a new one at `now`.
    #[must_use]
    pub fn is_spent(&self, now: Timestamp) -> bool {
        self.window(now)
            .all(|second| second.requests == 0 && second.retries == 0)
    }

    /// How a process goes on with the budget of its predecessor: seconds to come count nothing.
    #[must_use]
    pub fn resumed(mut self, now: Timestamp) -> Self {
        for second in &mut self.seconds {
            if second.number > now.as_secs() {
                *second = Second::default();
            }
        }
        self
    }

    fn window(&self, now: Timestamp) -> impl Iterator<Item = &Second> {
        let oldest = (now.as_secs() + 1).saturating_sub(WINDOW_SECS as u64);
        self.seconds
            .iter()
            .filter(move |second| second.number >= oldest)
    }

    fn second(&mut self, now: Timestamp) -> &mut Second {
        let number = now.as_secs();
        let slot = usize::try_from(number % WINDOW_SECS as u64).expect("below ten");
        let second = &mut self.seconds[slot];
        if second.number != number {
            *second = Second {
                number,
                ..Second::default()
            };
        }
        second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn in_a_total_outage_retries_are_a_fifth_of_the_requests() {
        let (mut budget, params) = (Budget::default(), RetryParams::default());
        let mut retries = 0;
        for request in 0..10_000_u64 {
            let now = Timestamp::from_micros(50_000_000 + request * 1_000);
            budget.deposit(now);
            retries +=
                u32::from(budget.withdraw(&params, now)) + u32::from(budget.withdraw(&params, now));
        }
        assert!(
            (1_900..=2_030).contains(&retries),
            "{retries} retries for 10,000 requests"
        );
    }

    #[test]
    fn at_little_traffic_three_a_second_are_allowed() {
        let (mut budget, params) = (Budget::default(), RetryParams::default());
        budget.deposit(at(20));
        let granted = (0..100)
            .filter(|_| budget.withdraw(&params, at(20)))
            .count();
        assert_eq!(granted, 30);
        assert!(!budget.withdraw(&params, at(29)));
        assert!(budget.withdraw(&params, at(30)));
    }

    #[test]
    fn a_busy_hour_ago_saves_up_nothing() {
        let (mut budget, params) = (Budget::default(), RetryParams::default());
        for _ in 0..100_000 {
            budget.deposit(at(100));
        }
        let granted = (0..1_000)
            .filter(|_| budget.withdraw(&params, at(3_700)))
            .count();
        assert_eq!(granted, 30);
    }

    #[test]
    fn a_process_goes_on_with_what_its_predecessor_counted_and_with_no_second_to_come() {
        let (mut old, params) = (Budget::default(), RetryParams::default());
        assert!(old.is_spent(at(20)));
        assert_eq!(
            (0..30).filter(|_| old.withdraw(&params, at(20))).count(),
            30
        );
        assert!(!old.clone().resumed(at(29)).withdraw(&params, at(29)));
        assert!(!old.is_spent(at(29)) && old.is_spent(at(30)));
        assert!(old.resumed(at(10)).withdraw(&params, at(10)));
    }

    #[test]
    fn a_budget_of_nothing_allows_nothing() {
        let params = RetryParams {
            budget_percent: 0,
            budget_min_per_second: 0,
            ..RetryParams::default()
        };
        let mut budget = Budget::default();
        budget.deposit(at(1));
        assert!(!budget.withdraw(&params, at(1)));
    }
}
