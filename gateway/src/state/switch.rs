//! Where an operator has put the switch of an endpoint, and when: one atomic, read at every selection.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{clock::Timestamp, policy::reason::Switch};

/// In the order of their numbers in the atomic.
const POSITIONS: [Switch; 3] = [Switch::Enabled, Switch::Disabled, Switch::Drained];
/// The position is kept in the low bits of the time, so that the two are never of different orders.
const POSITION_BITS: u32 = 2;

/// When it was turned, in microseconds, 0 = never; then its position.
#[derive(Debug, Default)]
pub struct SwitchState(AtomicU64);

impl SwitchState {
    #[must_use]
    pub fn position(&self) -> Switch {
        position(self.0.load(Ordering::Relaxed))
    }

    /// Since when it stands there; `None` if nobody has put it there.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        let micros = self.0.load(Ordering::Relaxed) >> POSITION_BITS;
        (micros > 0).then(|| Timestamp::from_micros(micros))
    }

    /// Returns where it was. To turn it to where it is changes nothing.
    pub fn turn(&self, to: Switch, now: Timestamp) -> Switch {
        let number = POSITIONS.iter().position(|&position| position == to);
        let number = number.expect("every position is in POSITIONS") as u64;
        let turned = (now.as_micros() << POSITION_BITS) | number;
        let turn = |packed| (position(packed) != to).then_some(turned);
        let (Ok(before) | Err(before)) =
            self.0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, turn);
        position(before)
    }
}

fn position(packed: u64) -> Switch {
    let number = usize::try_from(packed & ((1 << POSITION_BITS) - 1)).expect("two bits");
    POSITIONS[number]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn it_stays_where_it_was_put_and_says_since_when_and_where_it_was() {
        let state = SwitchState::default();
        assert_eq!(state.since(), None);
        let mut before = Switch::Enabled;
        for (second, to, since) in [
            (1, Switch::Enabled, None),
            (2, Switch::Drained, Some(2)),
            (3, Switch::Disabled, Some(3)),
            (4, Switch::Disabled, Some(3)),
            (5, Switch::Enabled, Some(5)),
        ] {
            assert_eq!(state.turn(to, at(second)), before);
            assert_eq!((state.position(), state.since()), (to, since.map(at)));
            before = to;
        }
    }
}
