//! Decides whether there may be one more retry. In an outage every request fails, and a gateway that retries
//! them all sends the dying service a multiple of its load; so retries are a share of the requests.
//!
//! Counted over the last ten seconds, as linkerd and Finagle do, so that a quiet hour saves up nothing.

use super::params::RetryParams;
use crate::clock::Timestamp;

const WINDOW_SECS: usize = 10;

#[derive(Debug, Clone, Default)]
pub struct Budget {
    seconds: [Second; WINDOW_SECS],
}

#[derive(Debug, Clone, Copy, Default)]
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
        let oldest = (now.as_secs() + 1).saturating_sub(WINDOW_SECS as u64);
        let (mut requests, mut retries) = (0_u64, 0_u64);
        for second in self.seconds.iter().filter(|second| second.number >= oldest) {
            requests += u64::from(second.requests);
            retries += u64::from(second.retries);
        }
        let floor = u64::from(params.budget_min_per_second) * WINDOW_SECS as u64;
        let allowed = (requests * u64::from(params.budget_percent) / 100).max(floor);
        let granted = retries < allowed;
        if granted {
            self.second(now).retries += 1;
        }
        granted
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
