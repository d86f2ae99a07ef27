// Who spends what.

import { attribute, byId, element, keyed, style, text } from "./dom.js";
import { count, exact, money, percent, plural } from "./format.js";

/** Rows whose figures change all the time change places only so often, or nobody could read them. */
const SORT_MS = 5000;

const COLUMNS = [
  { id: "name", name: "Client", value: (row) => row.client.name, show: (row) => row.client.name },
  {
    id: "request-rate",
    name: "Requests/s",
    value: (row) => row.requestRate ?? 0,
    show: (row) => count(row.requestRate),
  },
  {
    id: "token-rate",
    name: "Tokens/s",
    value: (row) => row.tokenRate ?? 0,
    show: (row) => count(row.tokenRate),
  },
  {
    id: "requests",
    name: "Requests",
    value: (row) => row.client.requests,
    show: (row) => exact(row.client.requests),
  },
  {
    id: "prompt",
    name: "Prompt tokens",
    value: (row) => row.client.prompt_tokens,
    show: (row) => exact(row.client.prompt_tokens),
  },
  {
    id: "completion",
    name: "Completion tokens",
    value: (row) => row.client.completion_tokens,
    show: (row) => exact(row.client.completion_tokens),
  },
  { id: "share", name: "Share of tokens", value: (row) => row.share, show: (row) => percent(row.share) },
  {
    id: "cost",
    name: "Cost",
    value: (row) => row.client.cost ?? 0,
    show: (row) => money(row.client.cost, row.currency),
  },
];

export class ClientsView {
  #by = COLUMNS.find((column) => column.id === "share");
  #down = true;
  #order = new Map();
  #sortedAt = 0;
  #headers = new Map();
  #show = keyed(byId("client-rows"), (row) => row.client.name, clientRow);
  #sayCount = text(byId("client-count"));

  constructor(onSort) {
    for (const column of COLUMNS) {
      const button = element(
        "button",
        { type: "button", click: () => this.#sortBy(column, onSort) },
        column.name,
      );
      const cell = element("th", { scope: "col", "data-column": column.id }, button);
      this.#headers.set(column.id, attribute(cell, "aria-sort"));
      byId("client-columns").append(cell);
    }
    this.#showSort();
  }

  #sortBy(column, onSort) {
    this.#down = this.#by === column ? !this.#down : column.id !== "name";
    this.#by = column;
    this.#sortedAt = 0;
    this.#showSort();
    onSort();
  }

  #showSort() {
    for (const [id, show] of this.#headers) {
      show(id === this.#by.id ? (this.#down ? "descending" : "ascending") : null);
    }
  }

  update({ status }, { history, filter }) {
    const tokens = (client) => client.prompt_tokens + client.completion_tokens;
    const all = status.clients.reduce((sum, client) => sum + tokens(client), 0);
    const rows = status.clients
      .filter((client) => filter.wantsName(client.name))
      .map((client) => {
        const { requests, tokens: tokenRate } = history.client(client);
        const share = all > 0 ? tokens(client) / all : 0;
        return { client, requestRate: requests, tokenRate, share, currency: status.currency };
      });
    this.#show(this.#sorted(rows));
    this.#sayCount(
      rows.length > 0
        ? plural(rows.length, "client")
        : "No client has sent anything that is to be shown here.",
    );
  }

  #sorted(rows) {
    const { value } = this.#by;
    const turn = this.#down ? -1 : 1;
    const compare = (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * turn;
    if (performance.now() - this.#sortedAt > SORT_MS || this.#sortedAt === 0) {
      this.#sortedAt = performance.now();
      const sorted = rows.toSorted((a, b) => compare(a, b) || a.client.name.localeCompare(b.client.name));
      this.#order = new Map(sorted.map((row, index) => [row.client.name, index]));
      return sorted;
    }
    const place = (row) => this.#order.get(row.client.name) ?? Infinity;
    return rows.toSorted((a, b) => place(a) - place(b) || 0);
  }
}

function clientRow() {
  const cells = COLUMNS.map((column, index) =>
    index === 0 ? element("th", { scope: "row" }) : element("td", { "data-column": column.id }),
  );
  const says = cells.map(text);
  const share = cells[COLUMNS.findIndex((column) => column.id === "share")];
  const fill = style(share, "--share");
  return {
    node: element("tr", {}, ...cells),
    update(row) {
      COLUMNS.forEach((column, index) => says[index](column.show(row)));
      fill(row.share.toFixed(3));
    },
  };
}
