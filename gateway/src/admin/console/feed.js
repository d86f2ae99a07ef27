// The talk with the gateway: requests with the admin token, and the stream of states. `EventSource` can send no
// header, so the stream is read by fetch.

const TOKEN_KEY = "tokenweir-admin-token";
/** The gateway sends a state every second; a connection that is silent for so long is dead. */
const SILENCE_MS = 10000;
const BACKOFF_MS = [500, 1000, 2000, 4000, 8000, 15000];

/** The listener wants the admin token, or another one than it got. */
class Denied extends Error {}
class Unexpected extends Error {}

export class Feed {
  /** Gone with the tab; where the browser allows no storage, with the page. */
  #token = stored();
  #onStatus;
  #onLink;
  #wake = () => {};
  /** Of the stream. */
  #stop = new AbortController();

  /** `onLink` gets what is known of the connection: `{ state, since, retryAt, why, refused }`. */
  constructor(onStatus, onLink) {
    this.#onStatus = onStatus;
    this.#onLink = onLink;
    addEventListener("online", () => this.retry());
  }

  get hasToken() {
    return this.#token !== "";
  }

  setToken(token) {
    this.#token = token;
    try {
      if (token) sessionStorage.setItem(TOKEN_KEY, token);
      else sessionStorage.removeItem(TOKEN_KEY);
    } catch {
      // Kept in memory then.
    }
    this.#wake();
  }

  /** Tries again at once. */
  retry() {
    this.#wake();
  }

  /** One request; paths are relative to the page, which may lie behind a prefix. */
  async ask(path, method = "GET") {
    const response = await this.#fetch(path, { method });
    const body = await response.json().catch(() => ({}));
    // The stream was begun with another token: it finds out for itself.
    if (response.status === 401) this.#stop.abort();
    return { status: response.status, ok: response.ok, body, error: body.error ?? body.reason };
  }

  /** Never ends. */
  async follow() {
    let failures = 0;
    let since = null;
    for (;;) {
      let why = "";
      const woken = new Promise((resolve) => (this.#wake = resolve));
      try {
        await this.#stream(() => {
          failures = 0;
          since = null;
        });
      } catch (error) {
        if (error instanceof Denied) {
          this.#onLink({ state: "denied", refused: this.hasToken });
          await woken;
          continue;
        }
        why = error instanceof Unexpected ? error.message : "";
      }
      since ??= Date.now();
      const wait = BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)] * (0.8 + Math.random() * 0.4);
      failures += 1;
      this.#onLink({ state: "lost", since, retryAt: Date.now() + wait, why });
      await Promise.race([woken, new Promise((resolve) => setTimeout(resolve, wait))]);
    }
  }

  #fetch(path, options) {
    const headers = this.#token ? { authorization: `Bearer ${this.#token}` } : {};
    return fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  }

  /** Until the connection ends or is silent for too long. */
  async #stream(onFirst) {
    const stop = (this.#stop = new AbortController());
    let timer;
    const patience = () => {
      clearTimeout(timer);
      timer = setTimeout(() => stop.abort(), SILENCE_MS);
    };
    patience();
    try {
      const response = await this.#fetch("events", { signal: stop.signal });
      if (response.status === 401) throw new Denied();
      if (!response.ok) {
        const { reason } = await response.json().catch(() => ({}));
        throw new Unexpected(reason ?? `/events answered ${response.status}`);
      }
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const events = new Events((data) => {
        onFirst();
        try {
          this.#onStatus(JSON.parse(data));
        } catch (error) {
          // A mistake of the page is no lost connection.
          reportError(error);
        }
        this.#onLink({ state: "live" });
      });
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        patience();
        events.read(value);
      }
    } finally {
      clearTimeout(timer);
      stop.abort();
    }
  }
}

/** Server-sent events out of pieces of text: the data of each event named `status`. */
class Events {
  #rest = "";
  #name = "";
  #data = [];
  #onData;

  constructor(onData) {
    this.#onData = onData;
  }

  read(piece) {
    const lines = (this.#rest + piece).split("\n");
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  #line(line) {
    if (line === "") {
      if (this.#name === "status" && this.#data.length > 0) this.#onData(this.#data.join("\n"));
      this.#name = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#name = value;
    if (field === "data") this.#data.push(value);
  }
}

function stored() {
  try {
    return sessionStorage.getItem(TOKEN_KEY) ?? "";
  } catch {
    return "";
  }
}
