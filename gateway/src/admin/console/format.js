// Numbers, durations and times as people read them.

/** A number and its unit stay on one line. */
const NBSP = "\u00a0";

/** 0.4, 12, 1.2k, 3.4M: at most four characters. */
export function count(value) {
  if (value === null || value === undefined) return "–";
  if (value < 10 && !Number.isInteger(value)) return value < 0.05 ? "0" : value.toFixed(1);
  if (value < 999.5) return String(Math.round(value));
  let unit = -1;
  let scaled = value;
  do {
    scaled /= 1000;
    unit += 1;
  } while (scaled >= 999.5 && unit < 3);
  return `${scaled < 9.95 ? scaled.toFixed(1) : Math.round(scaled)}${"kMGT"[unit]}`;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
/** 1,234,567 */
export const exact = (value) => whole.format(value);

export const percent = (share) =>
  share > 0 && share < 0.01 ? `<1${NBSP}%` : `${Math.round(share * 100)}${NBSP}%`;

export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 1000 ? `${Math.round(value)}${NBSP}ms` : `${(value / 1000).toFixed(1)}${NBSP}s`;
}

/** 12 s, 2 min 05 s, 1 h 12 min, 3 d 4 h. */
export function duration(seconds) {
  const all = Math.max(0, Math.ceil(seconds));
  const pair = (big, small, bigUnit, smallUnit) => {
    const rest = String(Math.floor((all % big) / small)).padStart(2, "0");
    return [Math.floor(all / big), bigUnit, rest, smallUnit].join(NBSP);
  };
  if (all < 60) return `${all}${NBSP}s`;
  if (all < 3600) return pair(60, 1, "min", "s");
  if (all < 86400) return pair(3600, 60, "h", "min");
  return pair(86400, 3600, "d", "h");
}

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const dated = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const DAY_S = 86400;

/** The time of day here, with the date when it is long ago. */
export function time(unix, now) {
  const form = Math.abs(now - unix) < DAY_S ? clock : dated;
  return form.format(unix * 1000);
}

/** For a title: logs and explanations of the gateway are in UTC. */
export const utc = (unix) =>
  new Date(unix * 1000)
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+Z$/, " UTC");

const currencies = new Map();
export function money(value, currency) {
  if (value === null || value === undefined) return "–";
  if (!currencies.has(currency)) currencies.set(currency, moneyFormat(currency));
  return currencies.get(currency)(value);
}

function moneyFormat(currency) {
  try {
    const format = new Intl.NumberFormat("en", { style: "currency", currency });
    return (value) => format.format(value);
  } catch {
    // The operator may have named a unit that is no currency of the world.
    return (value) => `${value.toFixed(2)} ${currency ?? ""}`.trim();
  }
}

export const plural = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

/** "a", "a and b", "a, b and 3 more". */
export function listed(names, most = 3) {
  if (names.length > most)
    return `${names.slice(0, most - 1).join(", ")} and ${names.length - most + 1} more`;
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
