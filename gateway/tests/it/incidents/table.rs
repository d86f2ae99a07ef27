//! The table itself.

use simulator::Action;

use super::{
    GPT, Incident, KEY, Standing, Step,
    words::{
        READY, answer, breaker, busy, cooling, fault, incident, left_out, off, refused, skipped,
    },
};

pub(super) fn incidents() -> Vec<Incident> {
    [
        throttled(),
        failed(),
        unreachable(),
        broken_off(),
        clients_own(),
        switched(),
        exhausted(),
        last_resorts(),
        denied(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn throttled() -> Vec<Incident> {
    let because = "because of 429 (throttled) at ";
    let throttled = |name, action, seconds| {
        let standing = cooling("throttled", because, seconds);
        let told = ("aoi-1 throttled 429", "throttled 429");
        left_out(name, fault(action), told, standing)
    };
    let provisioned = [
        ("retry-after-ms", "21500"),
        ("retry-after", "40"),
        ("azure-openai-deployment-utilization", "104.0%"),
    ];
    vec![
        throttled("429 with retry-after", busy("20"), 20.0),
        throttled("429 without retry-after", answer(429, &[], "429"), 25.0),
        throttled(
            "429 of a provisioned deployment",
            answer(429, &provisioned, "429"),
            21.5,
        ),
    ]
}

fn failed() -> Vec<Incident> {
    let error = |status| answer(status, &[], "x");
    let refused = cooling("auth", "because of 401 (auth) at ", 60.0);
    let absent = cooling("absent", "because of 404 (absent) at ", 60.0);
    let back_soon = cooling("server", "because of 503 (server) at ", 30.0);
    let mut until_open = fault(error(500));
    until_open.extend([Step::Ask, Step::Ask]);
    vec![
        left_out(
            "500 until the breaker opens",
            until_open,
            ("aoi-1 server 500", "server 500"),
            breaker("because of 500 (server) at "),
        )
        .configured("failures: 1", "failures: 3")
        .with(|truth| {
            truth.failures = vec!["server 500"; 3];
            truth.counted[0] = ("retries", 3.0);
        }),
        left_out(
            "500 before the breaker opens",
            fault(error(500)),
            ("aoi-1 server 500", "server 500"),
            READY,
        )
        .configured("failures: 1", "failures: 3")
        .with(|truth| truth.usable = 3),
        left_out(
            "503 that says when it is back",
            fault(answer(503, &[("retry-after", "30")], "503")),
            ("aoi-1 server 503", "server 503"),
            back_soon,
        )
        .with(|truth| truth.counted.push(("breaker_trips", 1.0))),
        left_out(
            "401 of the endpoint",
            fault(error(401)),
            ("aoi-1 auth 401", "auth 401"),
            refused,
        ),
        left_out(
            "404 of the deployment",
            fault(answer(404, &[], "DeploymentNotFound")),
            ("aoi-1 absent 404", "absent 404"),
            absent,
        ),
    ]
}

fn unreachable() -> Vec<Incident> {
    let told = |name, steps, attempt, failure, detail| {
        left_out(name, steps, (attempt, failure), breaker(detail))
    };
    let mut no_name = told(
        "a name without an address",
        vec![Step::Ask],
        "aoi-1 dns",
        "dns",
        "because of dns at ",
    );
    no_name.first = "    url: http://nowhere.invalid\n";
    let mut untrusted = told(
        "a certificate that nobody trusts",
        vec![Step::Ask],
        "aoi-1 tls",
        "tls",
        "because of tls at ",
    );
    untrusted.untrusted = true;
    vec![
        told(
            "a refused connection",
            vec![Step::Stop(1), Step::Ask],
            "aoi-1 connect",
            "connect",
            "because of connect at ",
        ),
        no_name,
        untrusted,
        told(
            "no answer in time",
            fault(Action::HangBeforeHeaders),
            "aoi-1 timeout",
            "timeout",
            "because of timeout at ",
        ),
        told(
            "a connection that ends before the answer",
            fault(Action::CloseBeforeHeaders),
            "aoi-1 stall",
            "stall",
            "because of stall at ",
        ),
    ]
}

fn broken_off() -> Vec<Incident> {
    let cut = |name, action| {
        incident(name, vec![Step::Fault(1, action), Step::Stream]).with(|truth| {
            truth.attempts = vec!["aoi-1 stall 200"];
            truth.stopped = Some("committed");
            truth.cut = true;
            truth.failures = vec!["stall 200"];
            truth.standing = breaker("because of 200 (stall) at ");
            truth.usable = 2;
            truth.counted = vec![("answers_cut", 1.0), ("breaker_trips", 1.0)];
        })
    };
    vec![
        cut(
            "a stream that is cut",
            Action::CutMidStream { after_events: 4 },
        ),
        cut(
            "a stream that stalls",
            Action::StallMidStream { after_events: 4 },
        ),
        cut(
            "an error inside a stream",
            Action::ErrorEventInStream { after_events: 4 },
        )
        .with(|truth| {
            truth.attempts = vec!["aoi-1 server 200"];
            truth.cut = false;
            truth.failures = vec!["server 200"];
            truth.standing = breaker("because of 200 (server) at ");
            truth.counted = vec![("breaker_trips", 1.0)];
        }),
        incident("a client that leaves", vec![Step::Leave]).with(|truth| {
            truth.attempts = vec!["aoi-1 client_gone 200"];
            truth.stopped = Some("committed");
            truth.counted = vec![("clients_gone", 1.0)];
        }),
        incident(
            "a client that leaves before the answer",
            vec![Step::Fault(1, Action::HangBeforeHeaders), Step::LeaveEarly],
        )
        .configured("read: 1s", "read: 60s")
        .with(|truth| {
            truth.status = 499;
            truth.attempts = vec!["aoi-1 client_gone"];
            truth.stopped = Some("not_retriable");
            truth.counted = vec![("clients_gone", 1.0)];
        }),
    ]
}

fn clients_own() -> Vec<Incident> {
    let own = |name, code, attempt| {
        incident(name, fault(answer(400, &[], code))).with(|truth| {
            truth.status = 400;
            truth.error = Some(code);
            truth.attempts = vec![attempt];
        })
    };
    vec![
        own(
            "400 of the content filter",
            "content_filter",
            "aoi-1 content_filter 400",
        ),
        own(
            "400 of a bad request",
            "context_length_exceeded",
            "aoi-1 bad_request 400",
        ),
    ]
}

fn switched() -> Vec<Incident> {
    let by_hand = |name, order, decision, standing| {
        skipped(
            name,
            vec![Step::Order(order, "aoi-1"), Step::Ask],
            decision,
            standing,
        )
    };
    let machine: &[_] = &[
        (
            "credentials:\n",
            "credentials:\n  machine: { managed_identity: { url: \"http://127.0.0.1:1\" } }\n",
        ),
        ("credential: aoi-1", "credential: machine"),
    ];
    let mut no_weight = skipped(
        "weight 0",
        vec![Step::Ask],
        "priority 2; skipped aoi-1: weight_zero",
        off("weight 0", "weight_zero", "weight 0 in the configuration"),
    );
    no_weight.first = "    weight: 0\n";
    vec![
        by_hand(
            "disabled by hand",
            "disable",
            "priority 2; skipped aoi-1: disabled",
            off(
                "disabled by operator",
                "disabled",
                "disabled by an operator",
            ),
        ),
        by_hand(
            "drained by hand",
            "drain",
            "priority 2; skipped aoi-1: drained",
            off("drained by operator", "drained", "requests left: 0"),
        ),
        no_weight,
        skipped(
            "a managed identity that is down",
            vec![Step::Replace(machine), Step::Ask],
            "priority 2; skipped aoi-1: no_credential",
            Standing {
                state: "error",
                ..off(
                    "credential",
                    "no_credential",
                    "no token of credential machine can be had",
                )
            },
        ),
    ]
}

fn exhausted() -> Vec<Incident> {
    let everywhere = |action: fn(usize) -> Action| {
        let mut steps: Vec<_> = (1..=3)
            .map(|number| Step::Fault(number, action(number)))
            .collect();
        steps.push(Step::Ask);
        steps
    };
    let error: fn(usize) -> Action = |_| answer(500, &[], "x");
    let orders = ["aoi-1", "aoi-2", "aoi-3"].map(|name| Step::Order("disable", name));
    vec![
        incident(
            "429 everywhere",
            everywhere(|number| busy(["20", "30", "40"][number - 1])),
        )
        .with(|truth| {
            truth.status = 429;
            truth.error = Some("429");
            truth.wait = Some(20.0);
            truth.attempts = vec![
                "aoi-1 throttled 429",
                "aoi-2 throttled 429",
                "aoi-3 throttled 429",
            ];
            truth.stopped = Some("attempts_used");
            truth.decision = Some("priority 3; skipped aoi-1: tried, aoi-2: tried");
            truth.verdict = "nobody";
            truth.standing = cooling("throttled", "because of 429 (throttled) at ", 20.0);
            truth.failures = vec!["throttled 429"];
            truth.usable = 0;
            truth.counted = vec![("retries", 2.0)];
        }),
        incident(
            "404 of the deployment everywhere",
            everywhere(|_| answer(404, &[], "DeploymentNotFound")),
        )
        .with(|truth| {
            truth.status = 404;
            truth.error = Some("DeploymentNotFound");
            truth.attempts = vec!["aoi-1 absent 404", "aoi-2 absent 404", "aoi-3 absent 404"];
            truth.stopped = Some("attempts_used");
            truth.decision = Some("priority 3; skipped aoi-1: tried, aoi-2: tried");
            truth.verdict = "nobody";
            truth.standing = cooling("absent", "because of 404 (absent) at ", 60.0);
            truth.failures = vec!["absent 404"];
            truth.usable = 0;
            truth.counted = vec![("retries", 2.0)];
        }),
        incident("500 everywhere: blamed on the request", everywhere(error)).with(|truth| {
            truth.status = 500;
            truth.error = Some("x");
            truth.wait = Some(0.0);
            truth.attempts = vec!["aoi-1 server 500", "aoi-2 server 500", "aoi-3 server 500"];
            truth.stopped = Some("attempts_used");
            truth.decision = Some("priority 3; skipped aoi-1: tried, aoi-2: tried");
            truth.blamed = true;
            truth.counted = vec![("retries", 2.0), ("requests_blamed", 1.0)];
        }),
        incident("the time is over", fault(Action::HangBeforeHeaders))
            .configured("read: 1s,", "total: 1s,")
            .with(|truth| {
                truth.status = 504;
                truth.error = Some("upstream_timeout");
                truth.attempts = vec!["aoi-1 timeout"];
                truth.stopped = Some("out_of_time");
                truth.standing = breaker("because of timeout at ");
                truth.failures = vec!["timeout"];
                truth.usable = 2;
                truth.counted = vec![("breaker_trips", 1.0)];
            }),
        incident("the retry budget is spent", fault(error(1)))
            .configured(
                "defaults:\n",
                "defaults:\n  retry: { budget: 0%, budget_min_per_second: 0 }\n",
            )
            .with(|truth| {
                truth.status = 500;
                truth.error = Some("x");
                truth.wait = Some(0.0);
                truth.attempts = vec!["aoi-1 server 500"];
                truth.stopped = Some("budget_spent");
                truth.standing = breaker("because of 500 (server) at ");
                truth.failures = vec!["server 500"];
                truth.usable = 2;
                truth.counted = vec![("retry_budget_spent", 1.0), ("breaker_trips", 1.0)];
            }),
        refused("all are disabled by hand", 503, "upstream_unavailable")
            .with(|truth| {
                truth.decision =
                    Some("nobody; skipped aoi-1: disabled, aoi-2: disabled, aoi-3: disabled");
                truth.verdict = "nobody";
                truth.standing = off("disabled by operator", "disabled", "by an operator");
                truth.usable = 0;
            })
            .first(orders),
    ]
}

fn last_resorts() -> Vec<Incident> {
    let error = |status| answer(status, &[], "x");
    let alone = ["aoi-2", "aoi-3"].map(|name| Step::Order("disable", name));
    let last_resort = Standing {
        explained: "last_resort",
        ..breaker("because of 500 (server) at ")
    };
    vec![
        incident(
            "all breakers are open",
            vec![
                Step::Once(1, error(500)),
                Step::Once(2, error(502)),
                Step::Once(3, error(503)),
                Step::Ask,
                Step::Ask,
            ],
        )
        .with(|truth| {
            truth.attempts = vec!["aoi-1 ok 200"];
            truth.decision = None;
            truth.standing = last_resort;
            truth.failures = vec!["server 500"];
            truth.usable = 0;
            truth.counted = vec![("retries", 2.0), ("breaker_trips", 3.0)];
        }),
        left_out(
            "a breaker that may close again",
            vec![
                Step::Once(1, error(500)),
                Step::Ask,
                Step::Until("recovering"),
            ],
            ("aoi-1 server 500", "server 500"),
            Standing {
                state: "recovering",
                reason: Some("probe due"),
                explained: "ready",
                detail: "the next request finds out whether its breaker may close",
                seconds: None,
            },
        )
        .configured("trip: 50s", "trip: 10ms")
        .with(|truth| {
            truth.usable = 3;
            truth.counted.push(("breaker_trips", 1.0));
        }),
        incident(
            "throttled while the breaker is open",
            vec![
                Step::Once(1, error(500)),
                Step::Ask,
                Step::Once(1, busy("20")),
                Step::Ask,
                Step::Until("error"),
            ],
        )
        .configured("min: 5s", "min: 0s, max: 1s")
        .first(alone)
        .with(|truth| {
            truth.status = 429;
            truth.error = Some("429");
            truth.wait = Some(1.0);
            truth.attempts = vec!["aoi-1 throttled 429"];
            truth.stopped = Some("nobody_left");
            truth.decision = Some("nobody; skipped aoi-1: tried, aoi-2: disabled, aoi-3: disabled");
            truth.standing = last_resort;
            truth.failures = vec!["throttled 429", "server 500"];
            truth.usable = 0;
            truth.counted = vec![("breaker_trips", 1.0)];
        }),
        incident(
            "let through while all cool down",
            vec![
                Step::Once(1, busy("20")),
                Step::Once(2, busy("30")),
                Step::Once(3, busy("40")),
                Step::Ask,
                Step::Ask,
            ],
        )
        .with(|truth| {
            truth.attempts = vec!["aoi-1 ok 200"];
            truth.decision = Some("let through, priority 1");
            truth.verdict = "nobody";
            truth.standing = cooling("throttled", "because of 429 (throttled) at ", 20.0);
            truth.failures = vec!["throttled 429"];
            truth.usable = 0;
            truth.counted = vec![("retries", 2.0)];
        }),
    ]
}

fn denied() -> Vec<Incident> {
    let nowhere = Standing {
        explained: "no_deployment",
        detail: "deploys no ",
        ..READY
    };
    let mut unknown = refused("a model that nobody serves", 404, "model_not_found");
    unknown.model = "gpt-5";
    vec![
        unknown.with(|truth| {
            truth.verdict = "model_not_found";
            truth.standing = nowhere;
        }),
        refused("a model that is not the client's", 403, "model_not_allowed")
            .with_clients(KEY, GPT)
            .with(|truth| truth.verdict = "model_not_allowed"),
        refused("a key that nobody has", 401, "invalid_api_key").with_clients("key-of-nobody", GPT),
    ]
}
