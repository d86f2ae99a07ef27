// What a state means as a whole: which region or endpoint is in trouble, who serves each model, and one sentence
// that says it. Pure: the time is an argument, so that the sentence can count down between two states.

import { duration, listed, plural, time } from "./format.js";
import { STATES, isLastResort, isTrouble, isUsable, short } from "./words.js";

/** Of a model and of everything, worst first: nobody serves; some are in trouble; some come back; all is well. */
const LEVELS = ["error", "degraded", "recovering", "healthy"];
/** Regions or models named one by one in the headline. */
const NAMED_MAX = 3;

/** `{ status, places, pools, level, noun }`; a place is a region, or an endpoint that has none. */
export function summarize(status) {
  const places = new Map();
  const pools = status.pools.map((pool) => summarizePool(pool, places));
  // In the order of the configuration, whichever models they have.
  const order = status.endpoints.map((endpoint) => endpoint.region ?? endpoint.name);
  const all = [...places.values()].map(finishPlace);
  all.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
  const unserved = pools.filter((pool) => pool.usable.length === 0);
  const trouble = all.filter((place) => place.troubled.length > 0);
  const level = LEVELS.find((level) => pools.some((pool) => pool.state === level)) ?? "healthy";
  return { status, places: all, pools, unserved, trouble, level, noun: noun(all) };
}

function summarizePool(pool, places) {
  const usable = [];
  const troubled = [];
  for (const deployment of pool.deployments) {
    if (isUsable(deployment)) usable.push(deployment);
    if (isTrouble(deployment)) troubled.push(deployment);
    placeOf(places, deployment).members.push({ pool, deployment });
  }
  const tier = usable.length > 0 ? Math.min(...usable.map((deployment) => deployment.priority)) : null;
  const preferred = Math.min(...pool.deployments.map((deployment) => deployment.priority));
  return { pool, usable, troubled, tier, preferred, state: level(usable, troubled) };
}

function level(usable, troubled) {
  if (usable.length === 0) return "error";
  if (troubled.length === 0) return "healthy";
  return troubled.every(isUsable) ? "recovering" : "degraded";
}

function placeOf(places, { region, endpoint }) {
  const name = region ?? endpoint;
  const place = places.get(name) ?? { name, isRegion: region !== null, members: [] };
  places.set(name, place);
  return place;
}

function finishPlace(place) {
  const deployments = place.members.map((member) => member.deployment);
  const states = new Set(deployments.map((deployment) => deployment.state));
  const troubled = place.members.filter(({ deployment }) => isTrouble(deployment));
  return {
    ...place,
    state: STATES.find((state) => states.has(state)) ?? "disabled",
    usable: deployments.filter(isUsable).length,
    active: deployments.filter((deployment) => deployment.state !== "disabled").length,
    groups: groups(troubled),
    troubled,
  };
}

function noun(places) {
  if (places.every((place) => place.isRegion)) return "region";
  return places.some((place) => place.isRegion) ? "place" : "endpoint";
}

/** What is in trouble in one place, by what is wrong, worst first. */
function groups(troubled) {
  const found = new Map();
  for (const { pool, deployment } of troubled) {
    const what = short(deployment);
    const group = found.get(what) ?? {
      what,
      state: deployment.state,
      isLastResort: isLastResort(deployment),
      models: new Set(),
      count: 0,
      since: null,
      until: null,
    };
    group.count += 1;
    group.models.add(pool.model);
    // Both are for the whole group: when it began, and when all of it is over.
    if (deployment.since !== null) group.since = Math.min(group.since ?? Infinity, deployment.since);
    if (deployment.until !== null) group.until = Math.max(group.until ?? 0, deployment.until);
    found.set(what, group);
  }
  return [...found.values()].sort(
    (a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state) || b.count - a.count,
  );
}

/** "throttled; gpt-4o-mini failing"; `times` says how long for each of them. */
export function trouble(place, times = () => "") {
  const parts = place.groups.slice(0, 2).map((group) => `${scope(group, place)}${group.what}${times(group)}`);
  if (place.groups.length > 2) parts.push("and more");
  return parts.join("; ");
}

/** Which part of the place it is about, if it is not all of it. */
function scope({ models, count }, { members, active }) {
  if (count === active) return "";
  if (models.size > 2) return `${count} of ${plural(active, "deployment")} `;
  const isMeant = ({ pool, deployment }) => models.has(pool.model) && deployment.state !== "disabled";
  const meant = members.filter(isMeant).length;
  const names = listed([...models]);
  return count === meant ? `${names} ` : `${count} of ${meant} ${names} deployments `;
}

/** " for another 12 s (since 12:00:07)". */
function times({ state, isLastResort, since, until }, now) {
  let end = "";
  if (until > now && state === "throttling") end = ` for another ${duration(until - now)}`;
  else if (until > now && isLastResort) end = `, only a last resort for another ${duration(until - now)}`;
  else if (until > now && state !== "recovering") end = `, asked again in ${duration(until - now)}`;
  return since === null ? end : `${end} (since ${time(since, now)})`;
}

/** The headline: a title, and lines below it; `name` is the place that a line is about. */
export function headline(summary, now) {
  const { status, places, pools, trouble: troubled } = summary;
  if (pools.length === 0) return { title: "No model is configured.", lines: [] };
  const lines = troubled.slice(0, NAMED_MAX).map((place) => {
    return { name: place.name, state: place.state, text: `${trouble(place, (group) => times(group, now))}.` };
  });
  const say = (text) => lines.push({ name: "", state: null, text });
  const rest = troubled.length - NAMED_MAX;
  if (rest > 0) say(`${plural(rest, `more ${summary.noun}`)} in trouble.`);
  [...back(summary, now), ...served(pools), ...switched(status)].forEach(say);
  if (lines.length === 0) {
    const deployments = places.reduce((sum, place) => sum + place.members.length, 0);
    const where = plural(places.length, summary.noun);
    say(`${plural(pools.length, "model")} by ${plural(deployments, "deployment")} in ${where}.`);
  }
  return { title: title(summary), lines };
}

function title({ pools, unserved, places, level, noun }) {
  if (unserved.length === pools.length) return "Nothing is served.";
  if (unserved.length > 0) {
    const names = listed(unserved.map(({ pool }) => pool.model));
    return `${names} ${unserved.length === 1 ? "is" : "are"} not served.`;
  }
  if (level === "healthy") return "Everything is served.";
  const healthy = places.filter((place) => place.state === "healthy").length;
  return `${healthy} of ${plural(places.length, noun)} healthy; every model is served.`;
}

/** When the first model that nobody serves may be served again. */
function back({ unserved }, now) {
  const left = unserved.flatMap(({ pool }) => pool.deployments);
  if (left.some(isLastResort)) return ["Requests are still tried, as a last resort."];
  const ends = left.map((deployment) => deployment.until);
  const next = Math.min(...ends.filter((until) => until !== null));
  return next > now && next < Infinity ? [`The first may be asked again in ${duration(next - now)}.`] : [];
}

/** Who serves the models that are in trouble; models served alike share a sentence. */
function served(pools) {
  const alike = new Map();
  for (const { pool, usable, troubled, tier, preferred } of pools) {
    if (troubled.length === 0 || usable.length === 0) continue;
    const serving = usable.filter((deployment) => deployment.priority === tier);
    const names = [...new Set(serving.map(({ region, endpoint }) => region ?? endpoint))];
    const by = `${listed(names)}${tier === preferred ? "" : ` (priority ${tier})`}`;
    alike.set(by, [...(alike.get(by) ?? []), pool.model]);
  }
  const sentences = [...alike].map(
    ([by, models]) => `${listed(models)} ${models.length === 1 ? "is" : "are"} served by ${by}.`,
  );
  if (sentences.length <= NAMED_MAX) return sentences;
  const rest = [...alike.values()].slice(NAMED_MAX).flat().length;
  return [...sentences.slice(0, NAMED_MAX), `${plural(rest, "more model")} in part in trouble, but served.`];
}

/** What operators took out themselves is no trouble, but must not be forgotten. */
function switched({ endpoints }) {
  return ["disabled", "drained"].flatMap((state) => {
    const names = endpoints.filter((endpoint) => endpoint.switch === state).map((endpoint) => endpoint.name);
    return names.length > 0
      ? [`${listed(names)} ${names.length === 1 ? "is" : "are"} ${state} by an operator.`]
      : [];
  });
}
