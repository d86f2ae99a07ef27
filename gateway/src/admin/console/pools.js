// Models with their deployments, one lane for each priority, preferred first.

import { card } from "./card.js";
import { attribute, byId, element, hidden, icon, keyed, style, text } from "./dom.js";
import { count, listed, plural } from "./format.js";

const SLICE_MS = 6;

export class PoolsView {
  #show = keyed(byId("pool-list"), ({ pool }) => pool.model, poolSection);
  #count = text(byId("pool-count"));
  #none = hidden(byId("pool-none"));

  /** Pools that wait for their figures. */
  #due = new Map();
  #waits = false;

  update(summary, { history, filter }) {
    const chosen = summary.pools
      .map((entry) => ({ ...entry, chosen: entry.pool.deployments.filter(filter.wants(entry.pool)) }))
      .filter((entry) => entry.chosen.length > 0);
    this.#show(chosen, this.#due);
    this.#draw(history);
    const shown = chosen.reduce((sum, entry) => sum + entry.chosen.length, 0);
    const all = summary.pools.reduce((sum, entry) => sum + entry.pool.deployments.length, 0);
    this.#count(shown === all ? plural(all, "deployment") : `${shown} of ${plural(all, "deployment")}`);
    this.#none(shown > 0);
  }

  /** As many pools as fit into a frame, the others with the next ones: thousands of cards must not hold up a click. */
  #draw(history) {
    const end = performance.now() + SLICE_MS;
    for (const [draw, entry] of this.#due) {
      this.#due.delete(draw);
      draw(entry, history);
      if (performance.now() > end) break;
    }
    if (this.#due.size === 0 || this.#waits) return;
    this.#waits = true;
    requestAnimationFrame(() => {
      this.#waits = false;
      this.#draw(history);
    });
  }
}

function poolSection({ pool }) {
  const mark = icon("healthy");
  const name = element("h3", {}, mark.node, element("span", {}, pool.model));
  const aliases = element("p", { class: "quiet" });
  const standing = element("p", { class: "standing" });
  const rates = element("p", { class: "quiet rates" });
  const href = `#explain?model=${encodeURIComponent(pool.model)}`;
  const explain = element("a", { href, "aria-label": `Explain ${pool.model}` }, "Explain");
  const head = element("header", {}, name, aliases, standing, rates, explain);
  const lanes = element("div", { class: "lanes" });
  const node = element("section", { class: "pool", "aria-label": pool.model }, head, lanes);
  const showState = attribute(node, "data-state");
  const [sayAliases, sayStanding, sayRates] = [aliases, standing, rates].map(text);
  const show = keyed(lanes, (tier) => tier.priority, laneSection);
  const draw = (entry, history) => {
    mark.show(entry.state);
    showState(entry.state);
    sayAliases(entry.pool.aliases.length > 0 ? `also ${listed(entry.pool.aliases)}` : "");
    sayStanding(standingOf(entry));
    const { requests, errors } = history.pool(entry.pool);
    sayRates(`${count(requests)} req/s${errors > 0 ? ` · ${count(errors)} errors/s` : ""}`);
    show(tiersOf(entry), { history, pool: entry.pool });
  };
  return { node, update: (entry, due) => due.set(draw, entry) };
}

function standingOf({ pool, usable, tier, preferred }) {
  if (usable.length === 0) return "Served by nobody";
  const all = `${usable.length} of ${pool.deployments.length} usable`;
  return tier === preferred ? all : `${all}, served by priority ${tier}`;
}

function tiersOf({ chosen, tier }) {
  const tiers = new Map();
  for (const deployment of chosen) {
    const { priority } = deployment;
    if (!tiers.has(priority)) tiers.set(priority, { priority, role: role(priority, tier), deployments: [] });
    tiers.get(priority).deployments.push(deployment);
  }
  return [...tiers.values()].sort((a, b) => a.priority - b.priority);
}

function role(priority, serving) {
  if (priority === serving) return "serving";
  return serving === null || priority < serving ? "out" : "standby";
}

function laneSection({ priority }) {
  const role = element("span", { class: "role" });
  const name = element("h4", {}, `Priority ${priority} · `, role);
  const cards = element("ul", { class: "cards" });
  const node = element("div", { class: "lane" }, name, cards);
  const sayRole = text(role);
  const showRole = attribute(node, "data-role");
  const showSize = style(node, "--cards");
  const show = keyed(cards, (deployment) => deployment.endpoint, card);
  return {
    node,
    update(tier, context) {
      sayRole(tier.role);
      showRole(tier.role);
      showSize(String(tier.deployments.length));
      show(tier.deployments, context);
    },
  };
}
