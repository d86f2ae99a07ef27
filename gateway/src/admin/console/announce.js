// Tells people who do not see the page what changed: only changes of state, several at once in one sentence, and not
// more often than somebody can listen.

import { byId } from "./dom.js";
import { plural } from "./format.js";
import { STATE_WORDS } from "./words.js";

const PAUSE_MS = 5000;
/** More changes than that are counted. */
const NAMED_MAX = 3;

export class Announcer {
  #region = byId("announcements");
  #states = null;
  #changes = new Map();
  #messages = [];
  #timer = null;

  update({ pools }) {
    const states = new Map();
    for (const { pool, usable } of pools) {
      states.set(pool.model, usable.length > 0 ? "served again" : "not served");
      for (const { endpoint, state } of pool.deployments) {
        states.set(`${pool.model} on ${endpoint}`, STATE_WORDS[state] ?? state);
      }
    }
    // Of the first state nothing is new.
    for (const [what, state] of this.#states ? states : []) {
      const before = this.#states.get(what);
      if (before !== undefined && before !== state) this.#changes.set(what, state);
    }
    this.#states = states;
    this.#soon();
  }

  say(message) {
    this.#messages.push(message);
    this.#soon();
  }

  #soon() {
    if (this.#timer !== null || (this.#changes.size === 0 && this.#messages.length === 0)) return;
    this.#flush();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#soon();
    }, PAUSE_MS);
  }

  #flush() {
    const changes = [...this.#changes].map(([what, state]) => `${what}: ${state.toLowerCase()}.`);
    const shown =
      changes.length > NAMED_MAX
        ? [`${plural(changes.length, "change")} of state.`, ...changes.slice(0, NAMED_MAX)]
        : changes;
    this.#region.textContent = [...this.#messages, ...shown].join(" ");
    this.#messages = [];
    this.#changes.clear();
  }
}
