//! Where an operator has put the switch of an endpoint: one atomic, read at every selection.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::policy::reason::Switch;

/// In the order of their numbers in the atomic.
const POSITIONS: [Switch; 3] = [Switch::Enabled, Switch::Disabled, Switch::Drained];

#[derive(Debug, Default)]
pub struct SwitchState(AtomicU8);

impl SwitchState {
    #[must_use]
    pub fn position(&self) -> Switch {
        POSITIONS[usize::from(self.0.load(Ordering::Relaxed))]
    }

    /// Returns where it was.
    pub fn turn(&self, to: Switch) -> Switch {
        let number = POSITIONS.iter().position(|&position| position == to);
        let number = number.and_then(|number| u8::try_from(number).ok());
        let number = number.expect("every position is in POSITIONS");
        POSITIONS[usize::from(self.0.swap(number, Ordering::Relaxed))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_where_it_was_put_and_says_where_it_was() {
        let state = SwitchState::default();
        let mut before = Switch::Enabled;
        for to in [Switch::Drained, Switch::Disabled, Switch::Enabled] {
            assert_eq!(state.turn(to), before);
            assert_eq!(state.position(), to);
            before = to;
        }
    }
}
