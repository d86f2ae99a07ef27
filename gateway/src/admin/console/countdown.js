// The gateway's time between two of its messages, and the counters that run toward a moment of it.

import { text } from "./dom.js";
import { duration } from "./format.js";

let ahead_s = 0;
/** Once the connection is lost, time stands still: a number that moves would look true. */
let frozen = null;
const running = new Set();

export function synchronize(now) {
  ahead_s = now - Date.now() / 1000;
  frozen = null;
}

export function freeze() {
  frozen ??= gatewayNow();
}

export const gatewayNow = () => frozen ?? Date.now() / 1000 + ahead_s;

/** Shows in `node` how long it is until a moment; empty for `null`. */
export function countdown(node) {
  const say = text(node);
  const one = {
    node,
    until: null,
    tick(now) {
      say(one.until > now ? duration(one.until - now) : "due");
    },
  };
  return (until) => {
    one.until = until;
    if (until === null) {
      running.delete(one);
      say("");
    } else {
      running.add(one);
      one.tick(gatewayNow());
    }
  };
}

export function tickAll() {
  const now = gatewayNow();
  for (const one of running) {
    if (one.node.isConnected) one.tick(now);
    else running.delete(one);
  }
}
