//! What the benches have in common: a configuration, compiled and linked to fresh state, without any socket.

use std::{fmt::Write as _, path::Path};

use gateway::{
    auth::Auth,
    config::{
        Compiled, compile,
        secrets::{SecretError, SecretSource},
    },
    metrics::Metrics,
    resolve::Resolver,
    secret::Secret,
    snapshot::Snapshot,
    state::Registry,
    traces::Exports,
};

/// A configuration in force. Keep it whole: the snapshot uses the rest.
pub struct World {
    pub snapshot: Snapshot,
    pub registry: Registry,
    pub resolver: Resolver,
    pub auth: Auth,
    pub metrics: Metrics,
    pub exports: Exports,
}

impl World {
    /// Must be called inside a tokio runtime, as [`Snapshot::link`].
    ///
    /// # Panics
    /// The text is no good configuration.
    #[must_use]
    pub fn new(config: &str) -> Self {
        let (registry, resolver, metrics) =
            (Registry::default(), Resolver::default(), Metrics::new());
        let (auth, exports) = (Auth::default(), Exports::new(&metrics));
        Self {
            snapshot: Snapshot::link(
                compiled(config),
                &registry,
                &resolver,
                &auth,
                &metrics,
                &exports,
            ),
            registry,
            resolver,
            auth,
            metrics,
            exports,
        }
    }
}

/// # Panics
/// The text is no good configuration.
#[must_use]
pub fn compiled(config: &str) -> Compiled {
    match compile(config, &AnySecret) {
        Ok((compiled, _warnings)) => compiled,
        Err(errors) => panic!("the bench's configuration is wrong: {errors:?}"),
    }
}

/// `endpoints` resources with every one of `models` models deployed under a name of its own, in three priorities.
///
/// # Panics
/// Never: a String takes every write.
#[must_use]
pub fn fleet(endpoints: usize, models: usize) -> String {
    let mut text = String::from(
        "version: 1\nopen: true\nlisten: [{ address: \"127.0.0.1:0\" }]\n\
         credentials: { fleet: { api_key: { env: KEY } } }\nendpoints:\n",
    );
    for endpoint in 0..endpoints {
        let (high, low, priority) = (endpoint / 250, endpoint % 250 + 1, endpoint % 3 + 1);
        write!(
            text,
            "  aoi-{endpoint}:\n    url: http://10.0.{high}.{low}\n    credential: fleet\n    \
             priority: {priority}\n    deployments:\n"
        )
        .expect("a String takes every write");
        for model in 0..models {
            writeln!(
                text,
                "      model-{model}: {{ deployment: model-{model}-v1 }}"
            )
            .expect("a String takes every write");
        }
    }
    text
}

/// Answers every question with the same secret.
struct AnySecret;

impl SecretSource for AnySecret {
    fn env(&self, _name: &str) -> Result<Secret, SecretError> {
        Ok(Secret::new("0123456789abcdef".to_owned()))
    }

    fn file(&self, _path: &Path) -> Result<Secret, SecretError> {
        self.env("")
    }

    fn credential(&self, _name: &str) -> Result<Secret, SecretError> {
        self.env("")
    }
}
