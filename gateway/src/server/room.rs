//! Room for so many. Whoever comes when it is full takes the place of who has been there longest, so those who keep a
//! place for nothing, or are gone without a word, shut nobody out.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
pub struct Room {
    seats_max: usize,
    /// Oldest first.
    taken: Mutex<VecDeque<CancellationToken>>,
}

/// Given back on drop.
#[derive(Debug)]
pub struct Seat {
    room: Arc<Room>,
    lost: CancellationToken,
}

impl Room {
    #[must_use]
    pub fn new(seats_max: usize) -> Arc<Self> {
        Arc::new(Self {
            seats_max,
            taken: Mutex::default(),
        })
    }

    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Seat {
        let lost = CancellationToken::new();
        let mut taken = self.taken.lock();
        taken.push_back(lost.clone());
        let oldest = (taken.len() > self.seats_max).then(|| taken.pop_front());
        drop(taken);
        if let Some(oldest) = oldest.flatten() {
            oldest.cancel();
        }
        Seat {
            room: self.clone(),
            lost,
        }
    }
}

impl Seat {
    /// Returns when somebody else has it.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.taken.lock().retain(|taken| *taken != self.lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_and_a_seat_that_was_left_is_free() {
        let room = Room::new(2);
        let [first, second] = [(); 2].map(|()| room.enter());
        let third = room.enter();
        let lost = |seats: &[&Seat]| -> Vec<bool> {
            seats.iter().map(|seat| seat.lost.is_cancelled()).collect()
        };
        assert_eq!(lost(&[&first, &second, &third]), [true, false, false]);
        drop((first, third));
        let fourth = room.enter();
        assert_eq!(lost(&[&second, &fourth]), [false, false]);
        let fifth = room.enter();
        assert_eq!(lost(&[&second, &fourth, &fifth]), [true, false, false]);
    }
}
