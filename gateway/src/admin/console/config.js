// The configuration in use, and what the last reload changed.

import { attribute, byId, hidden, text, texts } from "./dom.js";
import { plural, time, utc } from "./format.js";

export class ConfigView {
  #feed;
  #shown = null;
  #wanted = null;
  #say = text(byId("config-text"));
  #sayHash = text(byId("config-hash"));
  #sayFile = text(byId("config-file"));
  #sayLoaded = text(byId("config-loaded"));
  #titleLoaded = attribute(byId("config-loaded"), "title");
  #sayReload = text(byId("config-reload"));
  #showReload = attribute(byId("config-reload"), "data-state");
  #showChanges = texts(byId("config-changes"));
  #hideChanges = hidden(byId("config-changes"));

  constructor(feed) {
    this.#feed = feed;
  }

  update({ status }) {
    const { hash, loaded, last_reload } = status.config;
    this.#sayHash(hash);
    this.#sayLoaded(time(loaded, status.now));
    this.#titleLoaded(utc(loaded));
    this.#sayReload(reloaded(last_reload, status.now));
    this.#showReload(last_reload && !last_reload.ok ? "error" : "healthy");
    const changes = last_reload?.changes ?? [];
    this.#hideChanges(changes.length === 0);
    this.#showChanges(changes);
    if (hash !== this.#shown && hash !== this.#wanted) this.#fetch(hash);
  }

  async #fetch(hash) {
    this.#wanted = hash;
    try {
      const { ok, body, error, status } = await this.#feed.ask("config");
      this.#say(ok ? body.text : `The configuration cannot be shown: ${error ?? `status ${status}`}`);
      this.#sayFile(ok ? `${body.file} (${plural(body.text.split("\n").length - 1, "line")})` : "");
      if (ok) this.#shown = hash;
    } catch {
      this.#say("The configuration cannot be shown: the gateway cannot be reached.");
    }
    this.#wanted = null;
  }
}

function reloaded(reload, now) {
  if (!reload) return "None since the start";
  const when = time(reload.at, now);
  if (!reload.ok) return `Refused at ${when}: ${reload.error}`;
  return `Done at ${when}: ${reload.changes.length > 0 ? plural(reload.changes.length, "change") : "nothing changed"}`;
}
