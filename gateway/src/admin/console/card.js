// One deployment: how it is, why, since when, and how much it does.

import { countdown, gatewayNow } from "./countdown.js";
import { attribute, element, hidden, icon, keyed, style, text } from "./dom.js";
import { count, milliseconds, percent, plural, time, utc } from "./format.js";
import { latency } from "./history.js";
import { sparkline } from "./sparkline.js";
import { STATE_WORDS, reason } from "./words.js";

/** Of the attempts of the last seconds; below it, single failures are no matter. */
const FAILING_SHARE_MIN = 0.01;

export function card(deployment) {
  const head = stateLine(deployment.endpoint);
  const facts = element("p", { class: "facts" });
  const why = element("p", { class: "why" });
  const figures = figureList();
  const line = sparkline();
  const quota = quotaLine();
  const errors = errorList();
  const node = element(
    "li",
    { class: "card", "data-endpoint": deployment.endpoint },
    head.node,
    facts,
    why,
    figures.node,
    line.node,
    quota.node,
    errors.node,
  );
  const showState = attribute(node, "data-state");
  const sayFacts = text(facts);
  const sayWhy = text(why);
  const hideWhy = hidden(why);
  return {
    node,
    update(deployment, { pool, history }) {
      const now = history.deployment(pool, deployment);
      showState(deployment.state);
      head.update(deployment);
      sayFacts(factsOf(deployment, pool));
      const because = reason(deployment);
      sayWhy(
        because && deployment.since !== null
          ? `${because}, since ${time(deployment.since, gatewayNow())}`
          : because,
      );
      hideWhy(because === "");
      figures.update(deployment, now);
      line.update(now.trace);
      quota.update(deployment);
      errors.update(deployment, now);
    },
  };
}

/** Region, the provider's name where it is another, and the weight. */
function factsOf({ region, deployment, weight }, pool) {
  const facts = [region, deployment === pool.model ? null : deployment, `weight\u00a0${weight}`];
  return facts.filter((fact) => fact !== null).join(" · ");
}

function stateLine(name) {
  const mark = icon("healthy");
  const word = element("span", { class: "word" });
  const left = element("span", { class: "left" });
  const state = element("span", { class: "state" }, mark.node, word, left);
  const node = element("p", { class: "who" }, element("strong", {}, name), " ", state);
  const sayWord = text(word);
  const showLeft = countdown(left);
  return {
    node,
    update({ state, until }) {
      mark.show(state);
      sayWord(STATE_WORDS[state] ?? state);
      showLeft(until);
    },
  };
}

function figureList() {
  const figure = (name, title) => {
    const value = element("dd");
    return { pair: element("div", {}, element("dt", { title }, name), value), say: text(value) };
  };
  const inFlight = figure("in flight", "Requests at it now");
  const requests = figure("req/s", "Attempts per second over the last 10 seconds");
  const tokens = figure("tok/s", "Prompt and completion tokens per second over the last 10 seconds");
  const delay = figure(
    "latency",
    "To the first byte, a moving average; the line below is of the last five minutes",
  );
  const all = [inFlight, requests, tokens, delay];
  return {
    node: element("dl", { class: "figures" }, ...all.map((figure) => figure.pair)),
    update(deployment, now) {
      inFlight.say(count(deployment.in_flight));
      requests.say(count(now.requests));
      tokens.say(count(now.tokens));
      delay.say(milliseconds(latency(deployment)));
    },
  };
}

/** What the provider said is left, or how full provisioned units are. */
function quotaLine() {
  const words = element("span");
  const fill = element("span", { class: "fill" });
  const bar = element("span", { class: "bar", "aria-hidden": "true" }, fill);
  const node = element("p", { class: "quota" }, words, bar);
  const say = text(words);
  const [hide, hideBar] = [hidden(node), hidden(bar)];
  const scale = style(fill, "transform");
  const showLevel = attribute(bar, "data-level");
  return {
    node,
    update({ quota, utilization }) {
      const left = [
        quota.requests === null ? null : `${count(quota.requests)} req`,
        quota.tokens === null ? null : `${count(quota.tokens)} tok`,
      ].filter((part) => part !== null);
      hide(left.length === 0 && utilization === null);
      hideBar(utilization === null);
      if (utilization === null) return say(`Quota left: ${left.join(" · ")}`);
      say(`Provisioned units ${percent(utilization)} used`);
      showLevel(utilization >= 0.9 ? "high" : "usual");
      scale(`scaleX(${Math.min(1, utilization).toFixed(2)})`);
    },
  };
}

function errorList() {
  const title = element("summary");
  const list = element("ol");
  const node = element("details", { class: "errors" }, title, list);
  const sayTitle = text(title);
  const hide = hidden(node);
  const show = keyed(list, (error) => `${error.at} ${error.cause}`, errorItem);
  return {
    node,
    update({ last_errors }, now) {
      hide(last_errors.length === 0);
      if (last_errors.length === 0) return;
      const share = now.requests > 0 ? now.failed / now.requests : 0;
      const failing = share >= FAILING_SHARE_MIN ? ` · ${percent(share)} failing` : "";
      sayTitle(`${plural(last_errors.length, "recent error")}${failing}`);
      show(last_errors);
    },
  };
}

function errorItem({ at, cause, status, code, wait_seconds }) {
  const when = element(
    "time",
    { datetime: new Date(at * 1000).toISOString(), title: utc(at) },
    time(at, gatewayNow()),
  );
  const parts = [cause.replaceAll("_", " ")];
  if (status !== null) parts.push(`status ${status}`);
  if (code !== null && code !== String(status)) parts.push(code);
  if (wait_seconds !== null) parts.push(`asked for ${count(wait_seconds)} s`);
  return { node: element("li", {}, when, ` ${parts.join(" · ")}`), update() {} };
}
