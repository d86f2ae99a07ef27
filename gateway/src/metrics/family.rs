//! How a metric is declared: one entry of [`families!`], whose doc comment is the HELP text. Knows Prometheus, and
//! nothing of what is measured.

use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter,
    IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
};

/// What a family is called and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    pub(super) buckets: &'static [f64],
}

pub(super) trait Family: Collector + Clone + Sized + 'static {
    const KIND: &'static str;

    fn new(description: &Description) -> prometheus::Result<Self>;

    /// # Panics
    /// A constant of this program is wrong: a name that is used twice, or that Prometheus does not allow.
    fn register(description: &Description, registry: &Registry) -> Self {
        let family = Self::new(description).expect("constant names are valid");
        registry
            .register(Box::new(family.clone()))
            .expect("names are unique");
        family
    }
}

macro_rules! family {
    ($($kind:ty = $word:literal, |$description:ident| $new:expr;)*) => {
        $(impl Family for $kind {
            const KIND: &'static str = $word;

            fn new($description: &Description) -> prometheus::Result<Self> {
                $new
            }
        })*
    };
}

family! {
    IntCounter = "counter", |d| Self::new(d.name, d.help);
    Counter = "counter", |d| Self::new(d.name, d.help);
    IntCounterVec = "counter", |d| Self::new(Opts::new(d.name, d.help), d.labels);
    CounterVec = "counter", |d| Self::new(Opts::new(d.name, d.help), d.labels);
    IntGauge = "gauge", |d| Self::new(d.name, d.help);
    Gauge = "gauge", |d| Self::new(d.name, d.help);
    IntGaugeVec = "gauge", |d| Self::new(Opts::new(d.name, d.help), d.labels);
    GaugeVec = "gauge", |d| Self::new(Opts::new(d.name, d.help), d.labels);
    Histogram = "histogram", |d| {
        Self::with_opts(HistogramOpts::new(d.name, d.help).buckets(d.buckets.to_vec()))
    };
    HistogramVec = "histogram", |d| {
        Self::new(HistogramOpts::new(d.name, d.help).buckets(d.buckets.to_vec()), d.labels)
    };
}

/// Declares a struct of families: `/// HELP`, then `field: Type = "name" ["label", …] in BUCKETS;`.
macro_rules! families {
    ($(#[$meta:meta])* pub(super) struct $name:ident {
        $(
            $(#[doc = $help:literal])+
            $field:ident: $kind:ty = $metric:literal $([$($label:literal),+])? $(in $buckets:expr)?;
        )*
    }) => {
        $(#[$meta])*
        pub(super) struct $name {
            $($(#[doc = $help])+ pub(super) $field: $kind,)*
        }

        impl $name {
            /// In the order of their declaration.
            pub(super) const DESCRIPTIONS: &'static [$crate::metrics::family::Description] = &[
                $($crate::metrics::family::Description {
                    name: $metric,
                    help: concat!($($help),+).trim_ascii(),
                    kind: <$kind as $crate::metrics::family::Family>::KIND,
                    labels: &[$($($label),+)?],
                    buckets: {
                        const NONE: &[f64] = &[];
                        let buckets = NONE;
                        $(let _ = buckets; let buckets = $buckets;)?
                        buckets
                    },
                },)*
            ];

            pub(super) fn register(registry: &prometheus::Registry) -> Self {
                let mut descriptions = Self::DESCRIPTIONS.iter();
                Self {
                    $($field: <$kind as $crate::metrics::family::Family>::register(
                        descriptions.next().expect("there is one for each field"),
                        registry,
                    ),)*
                }
            }
        }
    };
}

pub(super) use families;
