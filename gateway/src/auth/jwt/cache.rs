//! Verdicts on tokens that were verified, found by the whole SHA-256 of the token. Only good tokens get in, so nobody
//! without one can push another's out. A verdict ends with its token, and with the key that it was verified with.

use parking_lot::Mutex;

use super::Verified;

/// A bucket has its own lock, and the buckets share the hashes evenly: two requests hardly ever meet.
const BUCKETS: usize = 1024;
const BUCKET_VERDICTS_MAX: usize = 10;

/// Where a bucket is full, what expires first makes room.
pub(super) struct Cache {
    buckets: Box<[Mutex<Vec<Verdict>>]>,
}

#[derive(Clone, Copy)]
pub(super) struct Verdict {
    pub(super) sha256: [u8; 32],
    /// Seconds since 1970 from which on it does not count.
    pub(super) until: u64,
    /// Place of the issuer whose key verified it, and the [generation](super::keys::Keys::generation) of its keys.
    pub(super) issuer: usize,
    pub(super) generation: u64,
    pub(super) verified: Verified,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Mutex::default()).collect(),
        }
    }

    pub(super) fn find(&self, sha256: &[u8; 32], unix_secs: u64) -> Option<Verdict> {
        let bucket = self.bucket(sha256).lock();
        let verdict = bucket.iter().find(|verdict| verdict.sha256 == *sha256)?;
        (unix_secs < verdict.until).then_some(*verdict)
    }

    pub(super) fn insert(&self, verdict: Verdict, unix_secs: u64) {
        if verdict.until <= unix_secs {
            return;
        }
        let mut bucket = self.bucket(&verdict.sha256).lock();
        let same = |other: &Verdict| other.sha256 == verdict.sha256;
        bucket.retain(|other| !same(other) && unix_secs < other.until);
        if bucket.len() == BUCKET_VERDICTS_MAX {
            let soonest = (0..bucket.len()).min_by_key(|place| bucket[*place].until);
            bucket.swap_remove(soonest.expect("the bucket is full"));
        }
        bucket.push(verdict);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.lock().len()).sum()
    }

    fn bucket(&self, sha256: &[u8; 32]) -> &Mutex<Vec<Verdict>> {
        let place = usize::from(u16::from_be_bytes([sha256[0], sha256[1]]));
        &self.buckets[place % BUCKETS]
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn verdict(number: u32, until: u64) -> Verdict {
        Verdict {
            sha256: Sha256::digest(number.to_be_bytes()).into(),
            until,
            issuer: 0,
            generation: 0,
            verified: Verified {
                client: usize::try_from(number).unwrap(),
                for_azure: false,
            },
        }
    }

    #[test]
    fn a_verdict_counts_until_its_time_and_not_at_it() {
        let cache = Cache::new();
        let good = verdict(1, 100);
        cache.insert(good, 10);
        let found = |at| {
            cache
                .find(&good.sha256, at)
                .map(|found| found.verified.client)
        };
        assert_eq!([found(10), found(99), found(100)], [Some(1), Some(1), None]);
        cache.insert(verdict(2, 100), 100);
        assert!(cache.find(&verdict(2, 100).sha256, 99).is_none(), "over");
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_lives_longest() {
        let cache = Cache::new();
        for number in 0..50_000 {
            cache.insert(verdict(number, 1_000 + u64::from(number)), 10);
        }
        let held = cache.len();
        assert!(held <= BUCKETS * BUCKET_VERDICTS_MAX, "{held}");
        assert!(held > BUCKETS * BUCKET_VERDICTS_MAX / 2, "{held}");
        let newest = verdict(49_999, 50_999);
        assert!(cache.find(&newest.sha256, 10).is_some());
        // Every token has expired: the room is there again.
        cache.insert(verdict(60_000, 200_000), 100_000);
        let bucket = cache.bucket(&verdict(60_000, 0).sha256).lock();
        assert_eq!(bucket.len(), 1);
    }
}
