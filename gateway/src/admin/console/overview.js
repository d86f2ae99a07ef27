// What stands on top of every view: the headline, what else must be known, and the regions.

import { gatewayNow } from "./countdown.js";
import { attribute, byId, element, icon, keyed, style, text, texts } from "./dom.js";
import { count, duration, time } from "./format.js";
import { headline, trouble } from "./summary.js";
import { STATE_WORDS } from "./words.js";

export class Overview {
  #mark = icon("healthy");
  #showLevel = attribute(byId("headline"), "data-state");
  #sayTitle = text(byId("headline-title"));
  #showLines = keyed(byId("headline-lines"), (line) => line.index, headlineLine);
  #notices = texts(byId("notices"));
  #facts = text(byId("facts"));
  #nameOfPlaces = text(byId("places-title"));
  #places;
  #summary = null;

  constructor(onPlace) {
    byId("headline").prepend(this.#mark.node);
    this.#places = keyed(
      byId("place-list"),
      (place) => place.name,
      (place) => placeButton(place, onPlace),
    );
  }

  update(summary, { history, filter }) {
    this.#summary = summary;
    const { status, level, noun } = summary;
    this.#mark.show(level);
    this.#showLevel(level);
    this.#nameOfPlaces(`${noun[0].toUpperCase()}${noun.slice(1)}s`);
    this.#notices(notices(status));
    const up = duration(status.now - status.started);
    this.#facts(`Version ${status.version} · up ${up} · configuration ${status.config.hash}`);
    this.tick();
    this.#places(summary.places, { history, chosen: filter.place });
  }

  /** Counts down between two states. */
  tick() {
    if (!this.#summary) return;
    const { title, lines } = headline(this.#summary, gatewayNow());
    this.#sayTitle(title);
    this.#showLines(lines.map((line, index) => ({ ...line, index })));
  }
}

function headlineLine() {
  const name = element("strong");
  const words = element("span");
  const node = element("li", {}, name, words);
  const [sayName, sayWords] = [name, words].map(text);
  const showState = attribute(node, "data-state");
  return {
    node,
    update({ name, state, text }) {
      sayName(name && `${name}: `);
      sayWords(text);
      showState(state);
    },
  };
}

const TITLE_MARKS = { healthy: "✓", recovering: "↻", degraded: "⚠", error: "✕" };

/** Of the tab, which may be all that is seen of the page. */
export function tabTitle({ level, trouble, unserved }) {
  const parts = [
    trouble
      .map((place) => place.name)
      .slice(0, 2)
      .join(", "),
    "Tokenweir",
  ];
  if (unserved.length > 0) parts[0] = `${unserved.length} not served`;
  return `${TITLE_MARKS[level]} ${parts.filter(Boolean).join(" · ")}`;
}

function notices({ draining, config: { last_reload, hash }, now }) {
  const notices = [];
  if (draining) notices.push("This gateway is draining: it ends what is in progress and takes nothing new.");
  if (last_reload && !last_reload.ok) {
    const when = time(last_reload.at, now);
    notices.push(
      `The reload at ${when} was refused, and configuration ${hash} is still in use: ${last_reload.error}`,
    );
  }
  return notices;
}

/** Pressing it shows only this place. */
function placeButton({ name }, onPlace) {
  const mark = icon("healthy");
  const word = element("span", { class: "word" });
  const usable = element("span", { class: "usable" });
  const fill = element("span", { class: "fill" });
  const detail = element("span", { class: "detail" });
  const title = element(
    "span",
    { class: "who" },
    element("strong", {}, name),
    " ",
    element("span", { class: "state" }, mark.node, word),
  );
  const bar = element("span", { class: "bar", "aria-hidden": "true" }, fill);
  const button = element(
    "button",
    { type: "button", class: "place", click: () => onPlace(name) },
    title,
    " ",
    usable,
    bar,
    detail,
  );
  const showState = attribute(button, "data-state");
  const showPressed = attribute(button, "aria-pressed");
  const [sayWord, sayUsable, sayDetail] = [word, usable, detail].map(text);
  const scale = style(fill, "transform");
  return {
    node: element("li", {}, button),
    update(place, { history, chosen }) {
      mark.show(place.state);
      showState(place.state);
      showPressed(place.name === chosen);
      sayWord(STATE_WORDS[place.state]);
      const rates = place.members.map(
        ({ pool, deployment }) => history.deployment(pool, deployment).requests,
      );
      const rate = rates.reduce((sum, rate) => sum + (rate ?? 0), 0);
      sayUsable(`${place.usable} of ${place.members.length} usable · ${count(rate)} req/s`);
      scale(`scaleX(${(place.usable / place.members.length).toFixed(3)})`);
      sayDetail(trouble(place));
    },
  };
}
