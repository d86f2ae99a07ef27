//! Makes answers that take milliseconds in a large fleet beside the workers, which have requests to serve. One at a time:
//! however many ask, they take one core.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::spawn_blocking};

#[derive(Debug)]
pub(super) struct Aside(Arc<Semaphore>);

impl Aside {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Waits for its turn. `None` if the making failed.
    pub(super) async fn make<T: Send + 'static>(
        &self,
        make: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turn = self.0.clone().acquire_owned().await.ok()?;
        let made = spawn_blocking(move || {
            // Its turn lasts as long as it takes, also when nobody waits for it any more.
            let _turn = turn;
            make()
        });
        made.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use futures_util::poll;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// On one thread: were anything made by it, nothing would go on here.
    #[tokio::test]
    async fn one_thing_is_made_at_a_time_and_the_worker_goes_on() {
        let aside = Aside::new();
        let (finish, told_to) = mpsc::channel();
        let mut first = Box::pin(aside.make(move || told_to.recv_timeout(PATIENCE)));
        assert!(poll!(&mut first).is_pending());
        // Whoever asked for it has gone; it is made all the same.
        drop(first);
        assert_eq!(aside.0.available_permits(), 0);
        let mut second = Box::pin(aside.make(|| 2));
        assert!(poll!(&mut second).is_pending());
        finish.send(()).unwrap();
        assert_eq!(second.await, Some(2));
    }

    #[tokio::test]
    async fn what_fails_keeps_nobody_waiting() {
        let aside = Aside::new();
        assert_eq!(aside.make(|| "x".parse::<u8>().unwrap()).await, None);
        assert_eq!(aside.make(|| 1).await, Some(1));
    }
}
