// The console as operators use it, against a gateway whose one endpoint throttles the first request.

import assert from "node:assert/strict";
import { Visit, launch } from "./browser.mjs";

const settings = JSON.parse(process.argv[2]);
const { token, model, throttled, standby } = settings;
// A script that hangs ends all the same.
setTimeout(() => {
  console.log(`hangs in ${running}`);
  process.exit(1);
}, 150_000).unref();

const CARD = (endpoint) => `.pool[aria-label="${model}"] .card[data-endpoint="${endpoint}"]`;
const ENDPOINT = (endpoint) => `.endpoint[data-endpoint="${endpoint}"]`;

async function signIn(visit) {
  await visit.page.waitForSelector("#token-form:not([hidden])");
  await visit.page.type("#token", token);
  await visit.page.keyboard.press("Enter");
  await visit.until(".link", "Live");
}

/** Presses a button of an endpoint, and the one of the dialog that names it. */
async function order(visit, name, endpoint) {
  await visit.click(`${ENDPOINT(endpoint)} ::-p-aria(${name} ${endpoint})`);
  await visit.until("#switch-title", `${name} ${endpoint}?`);
  await visit.click("#switch-yes");
}

const checks = {
  async theTokenIsAskedForAndStaysInTheTab(visit) {
    const { page } = visit;
    await page.waitForSelector("#token-form:not([hidden])");
    assert.equal(await page.evaluate(() => document.activeElement.id), "token");
    assert.equal(await page.$("#content:not([hidden])"), null, "something is shown without the token");
    await page.type("#token", "wrong");
    await page.keyboard.press("Enter");
    await visit.until("#token-error", "does not accept");
    await page.type("#token", token);
    await page.keyboard.press("Enter");
    await visit.until("#headline", "Everything is served.");
    const places = () => [
      document.cookie,
      location.href,
      JSON.stringify(localStorage),
      document.documentElement.outerHTML,
    ];
    for (const place of await page.evaluate(places))
      assert.ok(!place.includes(token), `the token is in ${place}`);
  },

  async aThrottledRegionIsSeenExplainedAndComesBack(visit) {
    const { page } = visit;
    await signIn(visit);
    await visit.until("#headline-title", "Everything is served.");
    await visit.until(CARD(throttled.endpoint), "Healthy", throttled.region);
    const answer = await fetch(settings.chat_url, settings.chat);
    assert.equal(answer.status, 200, "the client notices nothing");

    await visit.until(CARD(throttled.endpoint), "Throttling", "429", "1 recent error");
    await visit.until("#headline-title", "2 of 3 regions healthy");
    await visit.until("#headline-lines", `${throttled.region}: `, "throttled for another", "since");
    await visit.until("#headline-lines", `${model} is served by ${standby.region}`);
    await visit.until("#announcements", `${model} on ${throttled.endpoint}: throttling.`);
    assert.match(await page.title(), new RegExp(throttled.region));
    const left = () =>
      page.$eval(`${CARD(throttled.endpoint)} .left`, (node) => Number.parseInt(node.innerText));
    const first = await left();
    const runs = (selector, first) => Number.parseInt(document.querySelector(selector)?.innerText) < first;
    await page.waitForFunction(runs, {}, `${CARD(throttled.endpoint)} .left`, first);

    await visit.click(`.pool[aria-label="${model}"] ::-p-aria(Explain ${model})`);
    await visit.until("#explain-answer", standby.endpoint);
    const row = (endpoint) => `#explain-rows tr[data-endpoint="${endpoint}"]`;
    await visit.until(row(throttled.endpoint), "Cooling down", "429");
    await visit.until(row(standby.endpoint), "Ready", "100 %");

    await visit.view("pools");
    await visit.until(CARD(throttled.endpoint), "Healthy");
    await visit.until("#headline-title", "Everything is served.");
  },

  async anEndpointIsDisabledOnlyAfterADialogAndEnabledAgain(visit) {
    const { page } = visit;
    await signIn(visit);
    await visit.view("endpoints");
    const name = standby.endpoint;
    await visit.click(`${ENDPOINT(name)} ::-p-aria(Disable ${name})`);
    await visit.until("#switch-dialog", `Disable ${name}?`, model);
    assert.equal(await page.evaluate(() => document.activeElement.id), "switch-no");
    await page.keyboard.press("Escape");
    await page.waitForSelector("#switch-dialog:not([open])");
    await visit.until(`${ENDPOINT(name)} .switch`, "Enabled");

    await order(visit, "Disable", name);
    await visit.until(`${ENDPOINT(name)} .switch`, "Disabled");
    await visit.until("#switch-result", `${name} is disabled.`);
    await visit.until("#headline-lines", `${name} is disabled by an operator.`);
    await visit.view("pools");
    await visit.until(CARD(name), "Disabled by an operator");
    await visit.view("endpoints");
    await order(visit, "Enable", name);
    await visit.until(`${ENDPOINT(name)} .switch`, "Enabled");
    await visit.view("pools");
    await visit.until(CARD(name), "Healthy");
  },

  async whatSomebodyWroteIsNeverMarkup(visit) {
    await signIn(visit);
    await visit.view("explain");
    await visit.page.type("#explain-form [name=model]", "<b>north</b>");
    await visit.page.keyboard.press("Enter");
    await visit.until("#explain-sentence", "<b>north</b>");
    assert.equal(await visit.page.$("#content b"), null);
  },

  async theFilterShowsWhatIsAskedFor(visit) {
    const { page } = visit;
    const endpoints = (count) => {
      const shown = [...document.querySelectorAll(".card")].map((card) => card.dataset.endpoint);
      return new Set(shown).size === count;
    };
    const shows = (count) => page.waitForFunction(endpoints, {}, count);
    await signIn(visit);
    await shows(3);
    await page.type("#filter-text", standby.endpoint);
    await shows(1);
    await visit.click("#filter-clear");
    await shows(3);
    await visit.click("#filter-trouble");
    await shows(0);
    await page.waitForSelector("#pool-none:not([hidden])");
    await visit.click("#filter-clear");
    await visit.click(`#place-list ::-p-text(${standby.region})`);
    await visit.until("#filter-place", `Only ${standby.region}`);
    await shows(1);
  },

  async theConfigurationIsShownWithoutSecrets(visit) {
    await signIn(visit);
    await visit.view("config");
    await visit.until("#config-text", throttled.endpoint, "<redacted>");
    assert.ok(!(await visit.text("#config-text")).includes(token));
  },

  async whoSpendsWhatCanBeSorted(visit) {
    await signIn(visit);
    await visit.view("clients");
    await visit.until("#client-rows", settings.client);
    const requests = '#client-columns [data-column="requests"] button';
    await visit.click(requests);
    const sorted = () =>
      visit.page.$$eval("#client-columns th", (cells) => cells.map((cell) => cell.ariaSort).filter(Boolean));
    assert.deepEqual(await sorted(), ["descending"]);
    await visit.click(requests);
    assert.deepEqual(await sorted(), ["ascending"]);
  },

  async aLostConnectionLooksLost(visit) {
    await signIn(visit);
    visit.expected.push(
      "ERR_CONNECTION",
      "ERR_EMPTY_RESPONSE",
      "ERR_INCOMPLETE_CHUNKED_ENCODING",
      "ERR_SOCKET",
    );
    visit.line.cut();
    await visit.until("#lost:not([hidden])", "Connection lost since", "What is shown is of", "Next try in");
    await visit.until(".link", "Connection lost");
    const look = () => getComputedStyle(document.querySelector("#content")).filter;
    assert.match(await visit.page.evaluate(look), /grayscale/);
    visit.line.mend();
    await visit.until(".link", "Live");
    assert.equal(await visit.page.$("#lost:not([hidden])"), null);
  },

  async theKeyboardReachesEverythingAndIsNowhereTrapped(visit) {
    const { page } = visit;
    await signIn(visit);
    await visit.view("endpoints");
    const focused = () =>
      page.evaluate(() => {
        const node = document.activeElement;
        const isSeen = node === document.body || getComputedStyle(node).outlineStyle !== "none";
        return {
          name: node.id || node.ariaLabel || node.textContent.trim(),
          isSeen,
          isBody: node === document.body,
        };
      });
    // The browser goes on from the last click otherwise.
    await page.reload();
    await visit.until(".link", "Live");
    const names = [];
    for (;;) {
      await page.keyboard.press("Tab");
      const { name, isSeen, isBody } = await focused();
      if (isBody || names.includes(name)) break;
      assert.ok(isSeen, `the focus on ${name} is not seen`);
      names.push(name);
      assert.ok(names.length < 100, `no end: ${names.join(", ")}`);
    }
    const all = () =>
      [...document.querySelectorAll("a, button, input, select, summary, [tabindex='0']")]
        .filter((node) => node.checkVisibility() && !node.disabled)
        .map((node) => node.id || node.ariaLabel || node.textContent.trim());
    const missed = (await page.evaluate(all)).filter((name) => !names.includes(name));
    assert.deepEqual(missed, [], "not reached");
    assert.equal(names[0], "skip");
    await page.focus("#skip");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  },

  async nobodyIsKeptOutInAnyViewSizeOrColour(visit) {
    const { page } = visit;
    const found = [];
    const look = async (what) => {
      for (const width of [360, 1280]) {
        await page.setViewport({ width, height: 900 });
        for (const value of ["light", "dark"]) {
          await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]);
          found.push(...(await visit.barriers()).map((barrier) => `${what} ${width} ${value}: ${barrier}`));
        }
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (overflow > 0) found.push(`${what} ${width}: ${overflow} px too wide`);
      }
    };
    await page.waitForSelector("#token-form:not([hidden])");
    await look("token");
    await signIn(visit);
    await fetch(settings.chat_url, settings.chat);
    await visit.until(CARD(throttled.endpoint), "Throttling");
    for (const view of ["pools", "clients", "endpoints", "config"]) {
      await visit.view(view);
      await look(view);
    }
    await page.goto(`${visit.origin}/#explain?model=${model}`);
    await visit.until("#explain-rows", standby.endpoint);
    await look("explain");
    await visit.view("endpoints");
    await visit.click(`${ENDPOINT(standby.endpoint)} ::-p-aria(Disable ${standby.endpoint})`);
    await look("dialog");
    assert.deepEqual(found, []);
  },
};

/** Against the gateway without `admin.token`. */
const readOnlyChecks = {
  async withoutATokenEverythingIsReadAndNothingChanged(visit) {
    await visit.until(".link", "Live");
    assert.equal(await visit.page.$("#token-form:not([hidden])"), null);
    await visit.view("endpoints");
    await visit.until("#read-only", "Read-only", "admin.token");
    const free = await visit.page.$$eval(
      ".endpoint button",
      (buttons) => buttons.filter((button) => !button.disabled).length,
    );
    assert.equal(free, 0, "a button can be pressed");
  },
};

let running = "nothing";
const failed = [];
let passed = 0;

async function check(browser, [name, call], url, expected) {
  running = name;
  const visit = await Visit.open(browser, url, expected);
  try {
    await call(visit);
    assert.deepEqual(visit.complaints, []);
    for (const rule of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]) {
      assert.ok(visit.policy.includes(rule), `the policy lacks ${rule}: ${visit.policy}`);
    }
    passed += 1;
  } catch (error) {
    failed.push(name);
    console.log(`FAILED ${name}\n${error.stack}`);
    if (settings.screenshots) await visit.page.screenshot({ path: `${settings.screenshots}/${name}.png` });
    if (visit.complaints.length > 0) console.log(visit.complaints.join("\n"));
  }
  await visit.close();
}

const browser = await launch();
try {
  const wanted = ([name]) => !settings.only || name.includes(settings.only);
  // The first requests are made without a token, and the browser logs every 401.
  for (const one of Object.entries(checks).filter(wanted))
    await check(browser, one, settings.url, ["status of 401"]);
  for (const one of Object.entries(readOnlyChecks).filter(wanted))
    await check(browser, one, settings.read_only_url, []);
} finally {
  await browser.close();
}
console.log(`${passed} checks passed, ${failed.length} failed`);
process.exitCode = failed.length > 0 || passed === 0 ? 1 : 0;
