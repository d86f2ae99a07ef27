//! The table itself.

use std::time::{Duration, SystemTime};

use gateway::clock;
use simulator::Action;

use super::{Ending, Observed, Row, World, status};

const BREAKER: &str = "error breaker 30";

/// A fault at the first resource that the second one makes good.
fn retried(name: &'static str, action: Action, cause: &str) -> Row {
    Row {
        name,
        faults: vec![(1, action)],
        world: World::Fine,
        stream: false,
        expected: Observed {
            outcomes: vec![cause.to_owned(), "ok".to_owned()],
            requests: [1, 1, 0],
            status: 200,
            code: String::new(),
            exact: false,
            ending: Ending::Complete,
            wait: None,
            standing: "healthy".to_owned(),
            whole_endpoint: false,
            trips: 0,
        },
    }
}

/// An answer of the first resource that goes to the client as it is.
fn relayed(name: &'static str, number: u16, code: &'static str, cause: &str) -> Row {
    let row = retried(name, status(number, &[], code), cause);
    row.only().sees(number, code).exact()
}

/// A 429 with these headers, and for how long it counts.
fn throttled(name: &'static str, headers: &[(&str, &str)], seconds: u32) -> Row {
    let row = retried(name, status(429, headers, "429"), "throttled");
    row.out(&format!("throttling throttled {seconds}"))
}

impl Row {
    /// The first attempt is the last.
    fn only(mut self) -> Self {
        self.expected.outcomes.truncate(1);
        self.expected.requests = [1, 0, 0];
        self
    }

    fn sees(mut self, status: u16, code: &str) -> Self {
        self.expected.status = status;
        code.clone_into(&mut self.expected.code);
        self
    }

    fn exact(mut self) -> Self {
        self.expected.exact = true;
        self
    }

    /// The deployment is taken out by something else than its breaker.
    fn out(mut self, standing: &str) -> Self {
        standing.clone_into(&mut self.expected.standing);
        self
    }

    /// It counts as a failure.
    fn trips(mut self) -> Self {
        self.expected.trips = 1;
        if self.expected.standing == "healthy" {
            BREAKER.clone_into(&mut self.expected.standing);
        }
        self
    }

    fn whole_endpoint(mut self) -> Self {
        self.expected.whole_endpoint = true;
        self
    }

    fn in_world(mut self, world: World) -> Self {
        self.world = world;
        self
    }

    fn requests(mut self, requests: [u64; 3]) -> Self {
        self.expected.requests = requests;
        self
    }

    fn waits(mut self, seconds: u32) -> Self {
        self.expected.wait = Some(seconds);
        self
    }

    /// Another deployment is ready: come back at once.
    fn waits_now(self) -> Self {
        self.waits(5)
    }

    /// So many breakers opened, perhaps not that of the first deployment.
    fn trips_in_all(mut self, trips: u32) -> Self {
        self.expected.trips = trips;
        self
    }

    fn streamed(mut self, ending: Ending) -> Self {
        self.stream = true;
        self.expected.ending = ending;
        self
    }

    fn cut(mut self) -> Self {
        self.expected.ending = Ending::Cut;
        self
    }

    /// The same fault, or these, at the other resources too.
    fn everywhere(mut self, second: Action, third: Action, outcomes: [&str; 3]) -> Self {
        self.faults.extend([(2, second), (3, third)]);
        self.expected.outcomes = outcomes.map(str::to_owned).to_vec();
        self.expected.requests = [1, 1, 1];
        self
    }
}

pub(super) fn rows() -> Vec<Row> {
    [
        throttling(),
        answers(),
        connections(),
        streams(),
        exhausted(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn throttling() -> Vec<Row> {
    let in_half_a_minute = SystemTime::UNIX_EPOCH + clock::unix_now() + Duration::from_secs(30);
    let date = httpdate::fmt_http_date(in_half_a_minute);
    let past = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH);
    let reset = |value| [("x-ratelimit-reset-tokens", value)];
    vec![
        throttled("429 with nothing", &[], 10),
        throttled(
            "429 retry-after-ms",
            &[("retry-after-ms", "15000"), ("retry-after", "40")],
            15,
        ),
        throttled("429 retry-after", &[("retry-after", "20")], 20),
        throttled("429 decimals", &[("retry-after", "24.5")], 25),
        throttled("429 date", &[("retry-after", &date)], 30),
        throttled("429 date in the past", &[("retry-after", &past)], 10),
        throttled(
            "429 reset of requests",
            &[("x-ratelimit-reset-requests", "25")],
            25,
        ),
        throttled("429 reset with units", &reset("35s"), 35),
        throttled("429 reset in minutes, clamped", &reset("6m0s"), 60),
        throttled(
            "429 reset of requests before that of tokens",
            &[
                ("x-ratelimit-reset-tokens", "50"),
                ("x-ratelimit-reset-requests", "20s"),
            ],
            20,
        ),
        throttled("429 negative", &[("retry-after", "-1")], 10),
        throttled(
            "429 negative ms, then seconds",
            &[("retry-after-ms", "-5"), ("retry-after", "15")],
            15,
        ),
        throttled("429 zero", &[("retry-after", "0")], 10),
        throttled("429 garbage", &[("retry-after", "soon")], 10),
        throttled("429 a day, clamped", &[("retry-after", "86400")], 60),
        throttled(
            "429 twenty milliseconds, clamped",
            &[("retry-after-ms", "20")],
            5,
        ),
    ]
}

fn answers() -> Vec<Row> {
    let plain = |number, code| status(number, &[], code);
    let busy = status(503, &[("retry-after", "15")], "ServiceUnavailable");
    let redirect = status(302, &[("location", "http://127.0.0.1:1/")], "302");
    vec![
        retried("408", plain(408, "Timeout"), "server"),
        retried("500", plain(500, "InternalServerError"), "server").trips(),
        retried("502", plain(502, "502"), "server").trips(),
        retried("503", plain(503, "503"), "server").trips(),
        retried("504", plain(504, "504"), "server").trips(),
        retried("503 with retry-after", busy, "server")
            .out("error server 15")
            .trips(),
        retried("401", plain(401, "401"), "auth")
            .out("error auth 60")
            .whole_endpoint(),
        retried("403", plain(403, "403"), "auth")
            .out("error auth 60")
            .whole_endpoint(),
        retried(
            "404 of the deployment",
            plain(404, "DeploymentNotFound"),
            "absent",
        )
        .out("error absent 60"),
        relayed("404 of the path", 404, "404", "bad_request"),
        relayed("400", 400, "context_length_exceeded", "bad_request"),
        relayed(
            "400 of the content filter",
            400,
            "content_filter",
            "content_filter",
        ),
        relayed("409", 409, "409", "bad_request"),
        relayed("413", 413, "413", "bad_request"),
        relayed("415", 415, "415", "bad_request"),
        relayed("422", 422, "422", "bad_request"),
        relayed("424", 424, "FailedDependency", "bad_request"),
        relayed("505", 505, "505", "server").trips().waits_now(),
        relayed("529", 529, "529", "server").trips().waits_now(),
        retried("302", redirect, "server")
            .only()
            .sees(502, "upstream_broken"),
        retried(
            "early status",
            Action::EarlyStatus { status: 503 },
            "server",
        )
        .trips(),
        retried(
            "early 413",
            Action::EarlyStatus { status: 413 },
            "bad_request",
        )
        .only()
        .sees(413, "413"),
    ]
}

fn connections() -> Vec<Row> {
    let reset = || Action::ResetBeforeHeaders;
    let not_sent = [0, 1, 0];
    vec![
        retried("reset before the answer", reset(), "stall").trips(),
        retried("end before the answer", Action::CloseBeforeHeaders, "stall").trips(),
        retried("garbage", Action::Garbage, "stall").trips(),
        retried("hang", Action::HangBeforeHeaders, "timeout").trips(),
        retried("slow first byte", Action::SlowFirstByte { ms: 300 }, "ok").only(),
        retried("kept-alive connection reset", reset(), "ok")
            .only()
            .in_world(World::Warm)
            .requests([2, 0, 0]),
        retried(
            "kept-alive connection ended",
            Action::CloseBeforeHeaders,
            "ok",
        )
        .only()
        .in_world(World::Warm)
        .requests([2, 0, 0]),
        retried("connection refused", reset(), "connect")
            .in_world(World::Stopped)
            .requests(not_sent)
            .trips()
            .whole_endpoint(),
        retried("no such name", reset(), "dns")
            .in_world(World::Url("http://nowhere.invalid"))
            .requests(not_sent)
            .trips()
            .whole_endpoint(),
        retried("TLS at a plain port", reset(), "tls")
            .in_world(World::Url("https://ADDRESS"))
            .requests(not_sent)
            .trips()
            .whole_endpoint(),
    ]
}

fn streams() -> Vec<Row> {
    let after = 4;
    vec![
        retried("stream: 429", status(429, &[], "429"), "throttled")
            .out("throttling throttled 10")
            .streamed(Ending::Done),
        retried("stream: 400", status(400, &[], "400"), "bad_request")
            .only()
            .sees(400, "400")
            .exact()
            .streamed(Ending::Complete),
        retried(
            "stream: reset before the answer",
            Action::ResetBeforeHeaders,
            "stall",
        )
        .trips()
        .streamed(Ending::Done),
        retried("stream: hang", Action::HangBeforeHeaders, "timeout")
            .trips()
            .streamed(Ending::Done),
        retried(
            "stream: slow first byte",
            Action::SlowFirstByte { ms: 300 },
            "ok",
        )
        .only()
        .streamed(Ending::Done),
        retried(
            "stream: cut",
            Action::CutMidStream {
                after_events: after,
            },
            "stall",
        )
        .only()
        .trips()
        .streamed(Ending::Cut),
        retried(
            "stream: stall",
            Action::StallMidStream {
                after_events: after,
            },
            "stall",
        )
        .only()
        .trips()
        .streamed(Ending::Cut),
        retried(
            "stream: error event",
            Action::ErrorEventInStream {
                after_events: after,
            },
            "server",
        )
        .only()
        .trips()
        .streamed(Ending::Complete),
        retried(
            "stall in a body",
            Action::StallMidStream { after_events: 1 },
            "stall",
        )
        .only()
        .trips()
        .cut(),
    ]
}

fn exhausted() -> Vec<Row> {
    let busy = |seconds| status(429, &[("retry-after", seconds)], "429");
    let error = |number| status(number, &[], "x");
    let back = |seconds: u32| status(503, &[("retry-after", &seconds.to_string())], "x");
    let denied = || status(401, &[], "401");
    let absent = || status(404, &[], "DeploymentNotFound");
    vec![
        retried("429 everywhere", busy("30"), "throttled")
            .out("throttling throttled 30")
            .everywhere(busy("15"), busy("50"), ["throttled"; 3])
            .sees(429, "429")
            .exact()
            .waits(15),
        retried("429, 500, then a bad request", busy("30"), "throttled")
            .out("throttling throttled 30")
            .everywhere(
                status(500, &[], "500"),
                status(400, &[], "400"),
                ["throttled", "server", "bad_request"],
            )
            .sees(400, "400")
            .exact()
            .trips_in_all(1),
        retried("500 twice, and a third that is well", error(500), "server")
            .everywhere(
                error(500),
                Action::SlowFirstByte { ms: 0 },
                ["server", "server", "ok"],
            )
            .trips()
            .trips_in_all(2),
        retried(
            "500 everywhere: blamed on the request",
            error(500),
            "server",
        )
        .everywhere(error(500), error(500), ["server"; 3])
        .sees(500, "x")
        .exact()
        .waits_now(),
        retried(
            "503 with retry-after everywhere: each is believed",
            back(15),
            "server",
        )
        .out("error server 15")
        .everywhere(back(30), back(25), ["server"; 3])
        .sees(503, "x")
        .exact()
        .waits(15)
        .trips_in_all(3),
        retried("503, 500, 503: blamed on the request", error(503), "server")
            .everywhere(error(500), error(503), ["server"; 3])
            .sees(503, "x")
            .exact()
            .trips_in_all(1)
            .waits_now(),
        retried(
            "silence everywhere: blamed on the request",
            Action::HangBeforeHeaders,
            "timeout",
        )
        .everywhere(
            Action::HangBeforeHeaders,
            Action::HangBeforeHeaders,
            ["timeout"; 3],
        )
        .sees(504, "upstream_timeout"),
        retried("401 everywhere", denied(), "auth")
            .out("error auth 60")
            .whole_endpoint()
            .everywhere(denied(), denied(), ["auth"; 3])
            .sees(503, "upstream_auth_failed")
            .waits(60),
        retried("404 everywhere", absent(), "absent")
            .out("error absent 60")
            .everywhere(absent(), absent(), ["absent"; 3])
            .sees(404, "DeploymentNotFound")
            .exact(),
    ]
}
