//! What the demo shows: on a terminal a block that is drawn again in place, elsewhere one at the end of each part.

use std::io::IsTerminal as _;

use parking_lot::Mutex;

use super::{fleet::Fleet, story::Promise, traffic::Tally};
use crate::{cli::print, clock, pool::Condition};

const BAR_WIDTH: u64 = 12;
/// A line that wraps would spoil the drawing over it; terminals are seldom narrower.
const COLUMNS: usize = 79;

/// One part of the story on the screen.
pub(super) struct Screen {
    live: bool,
    /// Lines drawn last, to go back over.
    drawn: Mutex<usize>,
}

impl Screen {
    pub(super) fn new(title: &str) -> Self {
        print(&format!("\n{title}\n\n"));
        Self {
            live: std::io::stdout().is_terminal(),
            drawn: Mutex::new(0),
        }
    }

    pub(super) fn draw(&self, fleet: &Fleet, tally: &Tally) {
        if self.live {
            self.paint(fleet, tally);
        }
    }

    pub(super) fn finish(&self, fleet: &Fleet, tally: &Tally) {
        self.paint(fleet, tally);
    }

    fn paint(&self, fleet: &Fleet, tally: &Tally) {
        let mut drawn = self.drawn.lock();
        let lines = frame(fleet, tally);
        if *drawn > 0 {
            print(&format!("\x1b[{}A", *drawn));
        }
        *drawn = lines.len();
        for line in lines {
            print(&if self.live {
                format!("\x1b[2K{line:.COLUMNS$}\n")
            } else {
                format!("{line}\n")
            });
        }
    }
}

/// A deployment as the demo shows it.
pub(super) struct Lane {
    pub(super) model: String,
    pub(super) endpoint: String,
    pub(super) priority: u32,
    pub(super) is_preferred: bool,
    /// The operator's word for its state, with its reason and what is left of it.
    state: String,
}

/// Every deployment, by model and priority.
pub(super) fn lanes(fleet: &Fleet) -> Vec<Lane> {
    let shared = &fleet.gateway.shared;
    let snapshot = shared.snapshot.load();
    let now = clock::now();
    let mut lanes = Vec::new();
    for pool in &snapshot.pools {
        for place in pool.places() {
            let tier = &pool.tiers[place.tier];
            let member = pool.member(place);
            let reason = pool.reason(place, &snapshot.anything(now));
            let Condition { state, until, .. } = pool.condition(place, reason, now);
            let left =
                until.map(|until| format!(", {:.0} s left", until.since(now).as_secs_f64().ceil()));
            lanes.push(Lane {
                model: pool.model.name.as_str().to_owned(),
                endpoint: snapshot.upstreams[member.endpoint]
                    .endpoint
                    .name
                    .as_str()
                    .to_owned(),
                priority: tier.priority,
                is_preferred: place.tier == 0 && pool.weight(place) > 0,
                state: format!("{state}{}", left.unwrap_or_default()),
            });
        }
    }
    lanes
}

fn frame(fleet: &Fleet, tally: &Tally) -> Vec<String> {
    let lanes = lanes(fleet);
    let most = tally.served.values().copied().max().unwrap_or(1).max(1);
    let mut lines: Vec<String> = lanes
        .iter()
        .enumerate()
        .map(|(index, lane)| {
            let first = index == 0 || lanes[index - 1].model != lane.model;
            let count = tally.of(&lane.model, &lane.endpoint);
            let bar = "#".repeat(usize::try_from(count * BAR_WIDTH / most).unwrap_or_default());
            format!(
                "   {:<18} {:<9} prio {:<2} {count:>5} {bar:<12} {}",
                if first { lane.model.as_str() } else { "" },
                lane.endpoint,
                lane.priority,
                lane.state,
            )
        })
        .collect();
    lines.push(format!(
        "   {} requests, {} errors seen, {} moved to another endpoint",
        tally.requests(),
        tally.failed,
        tally.failed_over
    ));
    lines
}

pub(super) fn introduction(fleet: &Fleet) -> String {
    let (at, resources) = (fleet.address, fleet.resources.len());
    let snapshot = fleet.gateway.shared.snapshot.load();
    let model = snapshot
        .config
        .models
        .iter()
        .map(|model| model.name.as_str());
    let model = model
        .clone()
        .find(|name| !name.contains("embedding"))
        .or(model.into_iter().next())
        .unwrap_or("auto");
    let admin = fleet
        .gateway
        .admin
        .map(|admin| admin.to_string())
        .unwrap_or_default();
    format!(
        r#"Tokenweir in front of {resources} simulated Azure OpenAI resources. One address for all of them:

   http://{at}        (its console: http://{admin}/)

The pools that follow from the configuration:

{pools}
Try it from another terminal; any key will do here.

   # as an Azure OpenAI resource
   curl -s 'http://{at}/openai/deployments/{model}/chat/completions?api-version=2024-10-21' \
     -H 'api-key: demo' -H 'content-type: application/json' \
     -d '{{"messages":[{{"role":"user","content":"hello"}}]}}'

   # the Azure v1 API
   curl -s http://{at}/openai/v1/responses \
     -H 'api-key: demo' -H 'content-type: application/json' \
     -d '{{"model":"{model}","input":"hello"}}'

   # the OpenAI API, streamed
   curl -sN http://{at}/v1/chat/completions \
     -H 'authorization: Bearer demo' -H 'content-type: application/json' \
     -d '{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"hello"}}]}}'

   # Python, with the SDK you have
   from openai import AzureOpenAI
   client = AzureOpenAI(azure_endpoint="http://{at}", api_key="demo", api_version="2024-10-21")
   print(client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "hello"}}]))
"#,
        pools = fleet.pools,
    )
}

pub(super) fn verdict(promises: &[Promise]) -> String {
    let mut text = String::from("\nWhat was promised, and what was seen:\n\n");
    for Promise { words, kept, seen } in promises {
        text += &format!(
            "   {} {words}: {seen}\n",
            if *kept { "kept  " } else { "BROKEN" }
        );
    }
    text
}

pub(super) fn invitation(fleet: &Fleet) -> String {
    let controls: String = fleet
        .resources
        .iter()
        .map(|(name, running)| format!("   {name:<10} {}\n", running.url()))
        .collect();
    format!(
        "\nMake something fail yourself, and watch. The simulated resources take orders:\n\n{controls}\n   \
         curl -X POST ADDRESS/_sim/faults -d '{{\"count\":50,\"action\":{{\"status\":{{\"status\":500}}}}}}'\n   \
         curl -X DELETE ADDRESS/_sim/faults\n"
    )
}
