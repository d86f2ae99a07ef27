//! An exponentially weighted moving average: what a deployment's times are like lately, for people to look at. It
//! decides nothing.

/// The weight of a new value. About the last twenty values make the average.
const WEIGHT: f64 = 0.1;

/// `average`: `None` before the first value.
#[must_use]
pub fn next(average: Option<f64>, value: f64) -> f64 {
    average.map_or(value, |average| average + WEIGHT * (value - average))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_with_the_first_value_and_follows_a_change() {
        let first = next(None, 100.0);
        assert_eq!(first, 100.0);
        assert_eq!(next(Some(first), 200.0), 110.0);
        let settled = (0..100).fold(first, |average, _| next(Some(average), 200.0));
        assert!((settled - 200.0).abs() < 0.01, "{settled}");
    }
}
