// A real browser without a window, and pages that remember whatever a visitor must never meet: errors, requests to
// elsewhere, violations of the content security policy.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { accessSync, constants } from "node:fs";
import { connect, createServer } from "node:net";
import { delimiter, join } from "node:path";
import { createRequire } from "node:module";
import puppeteer from "puppeteer-core";

/** Longer than anything that is waited for. */
export const PATIENCE_MS = 20_000;

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export function launch() {
  // Root may not have a sandbox, and small machines have little shared memory.
  const args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"];
  return puppeteer.launch({ executablePath: program("chromium"), args });
}

function program(name) {
  const isThere = (path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  };
  const found = process.env.PATH.split(delimiter)
    .map((folder) => join(folder, name))
    .find(isThere);
  if (!found) throw new Error(`no ${name} in PATH`);
  return found;
}

export class Visit {
  /** What must not have happened, for people. */
  complaints = [];
  /** Messages of the console that belong to what a check does: a refused token, a network that is off. */
  expected = [];

  /** In a context of its own, so that no visit knows the token of another. */
  static async open(browser, gateway, expected) {
    const visit = new Visit();
    visit.expected.push(...expected);
    visit.line = new Line(new URL(gateway));
    visit.origin = await visit.line.open();
    visit.context = await browser.createBrowserContext();
    visit.page = await visit.context.newPage();
    visit.page.setDefaultTimeout(PATIENCE_MS);
    visit.#watch();
    // The violation itself, also where nothing is logged.
    await visit.page.evaluateOnNewDocument(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`);
      });
    });
    await visit.page.setViewport({ width: 1280, height: 900 });
    visit.policy = (await visit.page.goto(`${visit.origin}/`)).headers()["content-security-policy"] ?? "";
    return visit;
  }

  #watch() {
    this.page.on("pageerror", (error) => this.complaints.push(`exception: ${error.stack ?? error}`));
    this.page.on("console", (message) => {
      if (!["error", "warn"].includes(message.type())) return;
      const text = `${message.type()}: ${message.text()} ${message.location()?.url ?? ""}`;
      if (!this.expected.some((part) => text.includes(part))) this.complaints.push(text);
    });
    this.page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(`${this.origin}/`) && !url.startsWith("data:"))
        this.complaints.push(`asks for ${url}`);
    });
  }

  async close() {
    await this.context.close();
    this.line.close();
  }

  /** Clicks on what may have to come first. */
  click(selector) {
    return this.page.locator(selector).click();
  }

  /** The text of the first element that fits, as it is shown. */
  text(selector) {
    return this.page.$eval(selector, (node) => node.innerText);
  }

  /** Waits until the shown text of an element has these parts. */
  async until(selector, ...parts) {
    const has = (selector, parts) => {
      const text = document.querySelector(selector)?.innerText.replaceAll("\u00a0", " ");
      return text !== undefined && parts.every((part) => text.includes(part));
    };
    try {
      await this.page.waitForFunction(has, { polling: 50 }, selector, parts);
    } catch {
      const text = await this.text(selector).catch(() => "nothing");
      throw new Error(`${selector} does not say ${parts.join(" and ")}, but: ${text}`);
    }
  }

  async view(name) {
    await this.click(`nav a[href="#${name}"]`);
    await this.page.waitForSelector(`#${name}:not([hidden])`);
  }

  /** Serious and critical findings of axe, for people. */
  async barriers() {
    await this.page.evaluate(axe);
    const violations = await this.page.evaluate(async () => (await window.axe.run()).violations);
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .flatMap(({ id, nodes }) =>
        nodes.map((node) => `${id}: ${node.target.join(" ")}: ${node.failureSummary}`),
      );
  }
}

/** A connection to the gateway that can be cut: the browser's own way of being offline spares open streams. */
class Line {
  #sockets = new Set();
  #isCut = false;
  #server;

  constructor({ hostname, port }) {
    this.#server = createServer((near) => {
      if (this.#isCut) return near.destroy();
      const far = connect(Number(port), hostname);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ]) {
        this.#sockets.add(from);
        from.pipe(to);
        from.on("error", () => to.destroy());
        from.on("close", () => {
          this.#sockets.delete(from);
          to.destroy();
        });
      }
    });
  }

  /** Where the browser finds it. */
  async open() {
    await once(this.#server.listen(0, "127.0.0.1"), "listening");
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  cut() {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.#isCut = false;
  }

  close() {
    this.cut();
    this.#server.close();
  }
}
