// Endpoints, and the switch of each: enabled, drained, disabled. Nothing is switched without a dialog that names the
// endpoint and says what becomes of its models.

import { attribute, byId, disabled, element, hidden, icon, keyed, text } from "./dom.js";
import { listed, plural } from "./format.js";
import { STATES, STATE_WORDS, SWITCH_WORDS, isUsable } from "./words.js";

const ACTIONS = [
  { word: "enable", name: "Enable", to: "enabled" },
  { word: "drain", name: "Drain", to: "drained" },
  { word: "disable", name: "Disable", to: "disabled" },
];

const MODELS_MAX = 5;

const READ_ONLY =
  "Read-only: this listener takes no orders, because admin.token is not set. " +
  "Set it in the configuration to switch endpoints here, or use the unix socket.";

export class EndpointsView {
  #feed;
  #announcer;
  #summary = null;
  /** A POST was refused although nothing else spoke against it. */
  #refused = false;
  #asked = null;
  #dialog = byId("switch-dialog");
  #show = keyed(
    byId("endpoint-list"),
    ({ endpoint }) => endpoint.name,
    (item) => endpointItem(item, (...all) => this.#ask(...all)),
  );
  #sayReadOnly = text(byId("read-only"));
  #hideReadOnly = hidden(byId("read-only"));
  #sayResult = text(byId("switch-result"));

  constructor(feed, announcer) {
    this.#feed = feed;
    this.#announcer = announcer;
    byId("switch-no").addEventListener("click", () => this.#dialog.close());
    byId("switch-yes").addEventListener("click", () => {
      this.#dialog.close();
      this.#order();
    });
  }

  /** Without a token everything can be read, and then nothing can be switched, unless the gateway says otherwise. */
  #isReadOnly() {
    return this.#refused || !(this.#summary.status.may_act ?? this.#feed.hasToken);
  }

  update(summary, { filter }) {
    this.#summary = summary;
    const readOnly = this.#isReadOnly();
    this.#sayReadOnly(READ_ONLY);
    this.#hideReadOnly(!readOnly);
    const deployments = new Map();
    for (const { pool } of summary.pools) {
      for (const deployment of pool.deployments) {
        const all = deployments.get(deployment.endpoint) ?? [];
        deployments.set(deployment.endpoint, all);
        all.push(deployment);
      }
    }
    const items = summary.status.endpoints
      .map((endpoint) => ({ endpoint, deployments: deployments.get(endpoint.name) ?? [] }))
      .filter((item) => filter.wantsEndpoint(item.endpoint, item.deployments));
    this.#show(items, readOnly);
  }

  #ask(action, endpoint) {
    this.#asked = { action, endpoint };
    byId("switch-title").textContent = `${action.name} ${endpoint.name}?`;
    byId("switch-text").textContent = consequence(action, endpoint, this.#summary);
    byId("switch-yes").textContent = `${action.name} ${endpoint.name}`;
    this.#dialog.showModal();
  }

  async #order() {
    const { action, endpoint } = this.#asked;
    const path = `endpoints/${encodeURIComponent(endpoint.name)}/${action.word}`;
    let result;
    try {
      const answer = await this.#feed.ask(path, "POST");
      if (answer.status === 403) this.#refused = true;
      if (answer.ok) result = `${endpoint.name} is ${action.to}.`;
      else if (answer.status === 403) result = `Refused: admin.token must be set to act here.`;
      else result = `${endpoint.name} was not changed: ${answer.error ?? `status ${answer.status}`}`;
    } catch {
      result = `${endpoint.name} was not changed: the gateway cannot be reached.`;
    }
    this.#sayResult(result);
    this.#announcer.say(result);
  }
}

function consequence({ word }, { name }, { pools }) {
  const members = pools.filter(({ pool }) => pool.deployments.some(({ endpoint }) => endpoint === name));
  const models = listed(
    members.map(({ pool }) => pool.model),
    MODELS_MAX,
  );
  if (word === "enable") return `It gets requests again for ${models || "no model"}.`;
  const sentences = [`It gets nothing new for ${models || "any model"}.`];
  const going = inFlight(
    members.flatMap(({ pool }) => pool.deployments).filter(({ endpoint }) => endpoint === name),
  );
  if (going > 0) sentences.push(`${plural(going, "request")} in progress may end.`);
  const alone = members.filter(
    ({ usable }) => usable.length > 0 && usable.every(({ endpoint }) => endpoint === name),
  );
  if (alone.length > 0) {
    sentences.push(
      `Nobody else can serve ${listed(
        alone.map(({ pool }) => pool.model),
        MODELS_MAX,
      )} now!`,
    );
  }
  sentences.push("This outlives reloads and upgrades, but not a new start.");
  return sentences.join(" ");
}

const inFlight = (deployments) => deployments.reduce((sum, deployment) => sum + deployment.in_flight, 0);

function endpointItem({ endpoint }, onAction) {
  const mark = icon("healthy");
  const word = element("span");
  const state = element("p", { class: "state" }, mark.node, word);
  const usable = element("p", { class: "quiet" });
  const facts = element("p", { class: "quiet url" });
  const switched = element("p", { class: "switch" });
  const buttons = ACTIONS.map((action) => {
    const label = `${action.name} ${endpoint.name}`;
    const node = element(
      "button",
      { type: "button", "aria-label": label, click: () => onAction(action, endpoint) },
      action.name,
    );
    return { node, action, disable: disabled(node) };
  });
  const name = element("h3", {}, endpoint.name);
  const actions = element("div", { class: "actions" }, ...buttons.map((button) => button.node));
  const node = element(
    "li",
    { class: "endpoint", "data-endpoint": endpoint.name },
    name,
    facts,
    state,
    usable,
    switched,
    actions,
  );
  const showState = attribute(node, "data-state");
  const showSwitch = attribute(node, "data-switch");
  const [sayWord, sayUsable, sayFacts, saySwitch] = [word, usable, facts, switched].map(text);
  return {
    node,
    update({ endpoint, deployments }, readOnly) {
      const worst =
        STATES.find((state) => deployments.some((deployment) => deployment.state === state)) ?? "disabled";
      mark.show(worst);
      showState(worst);
      sayWord(deployments.length > 0 ? STATE_WORDS[worst] : "Not in use");
      const usable = `${deployments.filter(isUsable).length} of ${deployments.length} usable`;
      sayUsable(`${usable} · ${inFlight(deployments)} in flight`);
      sayFacts([endpoint.region, endpoint.kind, endpoint.url].filter(Boolean).join(" · "));
      showSwitch(endpoint.switch);
      saySwitch(SWITCH_WORDS[endpoint.switch] ?? endpoint.switch);
      for (const { action, disable } of buttons) disable(readOnly || action.to === endpoint.switch);
    },
  };
}
