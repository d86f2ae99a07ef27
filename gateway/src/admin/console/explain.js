// Asks the gateway who would serve a request, and why nobody else.

import { attribute, byId, element, hidden, icon, keyed, text } from "./dom.js";
import { percent, time } from "./format.js";
import { CANDIDATE_WORDS, candidateState } from "./words.js";

export class ExplainView {
  #feed;
  #form = byId("explain-form");
  #mark = icon("healthy");
  #showState = attribute(byId("explain-answer"), "data-state");
  #hideAnswer = hidden(byId("explain-answer"));
  #hideTable = hidden(byId("explain-table"));
  #saySentence = text(byId("explain-sentence"));
  #sayNote = text(byId("explain-note"));
  #showRows = keyed(byId("explain-rows"), (candidate) => candidate.endpoint, candidateRow);
  #models = options(byId("explain-models"));
  #clients = options(byId("explain-clients"));
  /** Only the answer to the last question is shown. */
  #question = 0;

  constructor(feed) {
    this.#feed = feed;
    byId("explain-answer").prepend(this.#mark.node);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const fields = [...new FormData(this.#form)].filter(([, value]) => value.trim());
      const query = fields.map(([name, value]) => `${name}=${encodeURIComponent(value.trim())}`).join("&");
      // In the address, so that the question can be sent to somebody.
      const address = `#explain?${query}`;
      if (location.hash === address) this.#ask(query);
      else location.hash = address;
    });
  }

  /** The view was opened with these fields filled in. */
  open(query) {
    const values = new URLSearchParams(query);
    if (!values.get("model")) return;
    for (const field of this.#form.elements) if (field.name) field.value = values.get(field.name) ?? "";
    this.#ask(query);
  }

  update({ status }) {
    this.#models(status.pools.flatMap((pool) => [pool.model, ...pool.aliases]));
    this.#clients(status.clients.map((client) => client.name));
  }

  async #ask(query) {
    const question = (this.#question += 1);
    let answer;
    try {
      answer = await this.#feed.ask(`explain?${query}`);
    } catch {
      answer = { ok: false, error: "The gateway cannot be reached." };
    }
    if (question !== this.#question || answer.status === 401) return;
    this.#hideAnswer(false);
    this.#hideTable(!answer.ok);
    if (answer.ok) this.#answered(answer.body);
    else this.#failed(answer.error ?? `The gateway answered ${answer.status}.`);
  }

  #answered({ verdict, sentence, asked, model, at, retry_after_seconds, candidates }) {
    const state = verdict === "served" ? "healthy" : "error";
    this.#mark.show(state);
    this.#showState(state);
    this.#saySentence(sentence);
    const notes = [`As of ${time(at, at)}`];
    if (model !== null && model !== asked) notes.push(`${asked} is another name of ${model}`);
    if (retry_after_seconds !== null)
      notes.push(`a client is told to wait ${Math.ceil(retry_after_seconds)} s`);
    this.#sayNote(notes.join(" · "));
    this.#showRows(candidates);
  }

  #failed(message) {
    this.#mark.show("error");
    this.#showState("error");
    this.#saySentence(message);
    this.#sayNote("");
    this.#showRows([]);
  }
}

function candidateRow({ endpoint }) {
  const mark = icon("healthy");
  const word = element("span");
  const reason = element("td", {}, element("span", { class: "state" }, mark.node, word));
  const name = element("th", { scope: "row" });
  const cells = ["region", "deployment", "priority", "weight", "share"].map((column) =>
    element("td", { "data-column": column }),
  );
  const detail = element("td", { class: "detail" });
  const node = element("tr", { "data-endpoint": endpoint }, name, reason, detail, ...cells);
  const showState = attribute(node, "data-state");
  const showEligible = attribute(node, "data-eligible");
  const [sayName, sayWord, sayDetail] = [name, word, detail].map(text);
  const says = cells.map(text);
  return {
    node,
    update(candidate) {
      const state = candidateState(candidate);
      mark.show(state);
      showState(state);
      showEligible(candidate.eligible);
      sayName(candidate.endpoint);
      sayWord(CANDIDATE_WORDS[candidate.reason] ?? candidate.reason);
      sayDetail(candidate.detail);
      const { region, deployment, priority, weight, share } = candidate;
      const values = [region, deployment, priority, weight, share > 0 ? percent(share) : null];
      values.forEach((value, index) => says[index](value ?? "–"));
    },
  };
}

/** Suggestions of a field. */
function options(list) {
  const show = keyed(
    list,
    (value) => value,
    (value) => ({ node: element("option", { value }), update() {} }),
  );
  let last = "";
  return (values) => {
    const all = [...new Set(values)];
    const joined = all.join("\n");
    if (joined !== last) show(all);
    last = joined;
  };
}
