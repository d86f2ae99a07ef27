// The page as a whole: which view is shown, what happens when the gateway says something, and when it is silent.

import { Announcer } from "./announce.js";
import { ClientsView } from "./clients.js";
import { ConfigView } from "./config.js";
import { freeze, gatewayNow, synchronize, tickAll } from "./countdown.js";
import { attribute, byId, hidden, text } from "./dom.js";
import { EndpointsView } from "./endpoints.js";
import { ExplainView } from "./explain.js";
import { Feed } from "./feed.js";
import { Filter } from "./filter.js";
import { duration, time } from "./format.js";
import { History } from "./history.js";
import { Overview, tabTitle } from "./overview.js";
import { PoolsView } from "./pools.js";
import { summarize } from "./summary.js";

const TICK_MS = 500;
/** From then on it is said that nothing comes. */
const SILENT_S = 3;

const feed = new Feed(received, linked);
const history = new History();
const announcer = new Announcer();
const filter = new Filter(soon);
const overview = new Overview((place) => filter.toggle(place));
const views = {
  pools: new PoolsView(),
  clients: new ClientsView(soon),
  endpoints: new EndpointsView(feed, announcer),
  explain: new ExplainView(feed),
  config: new ConfigView(feed),
};

let summary = null;
let shown = "pools";
let link = { state: "connecting" };
let drawing = false;

function received(status) {
  synchronize(status.now);
  history.record(status);
  summary = summarize(status);
  announcer.update(summary);
  // Also while nobody looks, when nothing is drawn.
  document.title = tabTitle(summary);
  soon();
}

/** Draws the newest state with the next frame, however many came before it; not at all while nobody looks. */
function soon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (!summary) return;
    const context = { history, filter };
    overview.update(summary, context);
    views[shown].update(summary, context);
    tickAll();
  });
}

const markLink = attribute(document.documentElement, "data-link");
const sayLink = text(byId("link-text"));
const sayLost = text(byId("lost-text"));
const hideLost = hidden(byId("lost"));
const hideDenied = hidden(byId("token-form"));
const hideContent = hidden(byId("content"));
const sayRefused = text(byId("token-error"));
const hideForget = hidden(byId("forget"));

function linked(next) {
  if (next.state === "lost" && link.state !== "lost") announcer.say("Connection to the gateway lost.");
  if (next.state === "live" && link.state === "lost") announcer.say("Connection to the gateway is back.");
  if (next.state !== "live") freeze();
  const asks = next.state === "denied" && link.state !== "denied";
  link = next;
  markLink(link.state);
  hideDenied(link.state !== "denied");
  hideForget(!feed.hasToken || link.state === "denied");
  sayRefused(link.state === "denied" && link.refused ? "The gateway does not accept this token." : "");
  if (asks) byId("token").focus();
  showLink();
}

/** What is known of the connection; stale figures must not look alive. */
function showLink() {
  hideContent(!summary);
  hideLost(link.state !== "lost");
  if (link.state === "live" && summary) sayLink(fresh());
  else if (link.state === "lost") sayLink("Connection lost");
  else if (link.state === "denied") sayLink("Token needed");
  else sayLink("Connecting…");
  if (link.state !== "lost") return;
  const seconds = (link.retryAt - Date.now()) / 1000;
  const since = time(link.since / 1000, Date.now() / 1000);
  const why = link.why ? ` (${link.why})` : "";
  const old = summary ? ` What is shown is of ${time(summary.status.now, summary.status.now)}.` : "";
  const next = seconds > 0 ? `Next try in ${duration(seconds)}.` : "Trying now…";
  sayLost(`Connection lost since ${since}${why}.${old} ${next}`);
}

function fresh() {
  const { now } = summary.status;
  const age_s = gatewayNow() - now;
  return age_s < SILENT_S ? `Live · ${time(now, now)}` : `Silent for ${duration(age_s)}`;
}

setInterval(() => {
  showLink();
  if (link.state !== "live") return;
  overview.tick();
  tickAll();
}, TICK_MS);

byId("retry").addEventListener("click", () => feed.retry());
byId("forget").addEventListener("click", () => {
  feed.setToken("");
  location.reload();
});
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = byId("token");
  feed.setToken(field.value.trim());
  field.value = "";
});

/** The address says which view is shown: `#explain?model=gpt-4o`. */
function navigate() {
  const [name, query] = location.hash.slice(1).split("?");
  const next = name in views ? name : "pools";
  for (const id of Object.keys(views)) byId(id).hidden = id !== next;
  for (const anchor of document.querySelectorAll("nav a")) {
    if (anchor.hash === `#${next}`) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  document.documentElement.dataset.view = next;
  shown = next;
  views[next].open?.(query);
  soon();
}

byId("skip").addEventListener("click", (event) => {
  // The address is for the views.
  event.preventDefault();
  byId("main").focus();
});
addEventListener("hashchange", navigate);
navigate();
feed.follow();
