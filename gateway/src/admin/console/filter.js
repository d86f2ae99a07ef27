// What of everything is shown: by words, by place, and only what is in trouble.

import { byId, hidden, text } from "./dom.js";
import { STATE_WORDS, isTrouble } from "./words.js";

export class Filter {
  #input = byId("filter-text");
  #trouble = byId("filter-trouble");
  #clear = byId("filter-clear");
  #hideClear = hidden(this.#clear);
  #sayPlace = text(byId("filter-place"));
  place = null;

  constructor(onChange) {
    const changed = () => {
      this.#hideClear(!this.#isSet());
      onChange();
    };
    this.#input.addEventListener("input", changed);
    this.#trouble.addEventListener("change", changed);
    this.#clear.addEventListener("click", () => {
      this.#input.value = "";
      this.#trouble.checked = false;
      this.#setPlace(null);
      changed();
      this.#input.focus();
    });
    byId("filter").addEventListener("submit", (event) => event.preventDefault());
    this.toggle = (place) => {
      this.#setPlace(this.place === place ? null : place);
      changed();
    };
  }

  #setPlace(place) {
    this.place = place;
    this.#sayPlace(place === null ? "" : `Only ${place}`);
  }

  #isSet() {
    return this.#input.value !== "" || this.#trouble.checked || this.place !== null;
  }

  /** Which deployments of a pool are shown. All of the words must be found. */
  wants(pool) {
    const words = this.#words();
    const ofPool = [pool.model, ...pool.aliases].join("\n");
    return (deployment) => {
      const { region, endpoint, state } = deployment;
      if (this.#trouble.checked && !isTrouble(deployment)) return false;
      if (this.place !== null && (region ?? endpoint) !== this.place) return false;
      if (words.length === 0) return true;
      const where = [ofPool, endpoint, region ?? "", deployment.deployment, STATE_WORDS[state] ?? state];
      return matches(words, where.join("\n"));
    };
  }

  /** Whether something with this name is shown. */
  wantsName(name) {
    return matches(this.#words(), name);
  }

  /** Whether an endpoint is shown, by what it is and how its deployments are. */
  wantsEndpoint({ name, region, url }, deployments) {
    if (this.#trouble.checked && !deployments.some(isTrouble)) return false;
    if (this.place !== null && (region ?? name) !== this.place) return false;
    return matches(this.#words(), `${name}\n${region ?? ""}\n${url}`);
  }

  #words() {
    return this.#input.value.toLowerCase().split(/\s+/).filter(Boolean);
  }
}

function matches(words, where) {
  const text = where.toLowerCase();
  return words.every((word) => text.includes(word));
}
