// What the gateway's own words mean to people.

/** Worst first. */
export const STATES = ["error", "throttling", "recovering", "healthy", "disabled"];

export const STATE_WORDS = {
  error: "Error",
  throttling: "Throttling",
  recovering: "Recovering",
  healthy: "Healthy",
  disabled: "Disabled",
};

export const isUsable = (deployment) => deployment.state === "healthy" || deployment.state === "recovering";
export const isTrouble = (deployment) => deployment.state !== "healthy" && deployment.state !== "disabled";

/** Held back by its breaker alone: it is asked all the same when nobody else is left. */
export const isLastResort = ({ state, reason }) => state === "error" && reason === "breaker";

/** `text`: why, on a card. `short`: what a region does, in the headline. */
const REASONS = {
  throttled: { text: "Answered 429: it is to be left alone for a while", short: "throttled" },
  breaker: { text: "Circuit breaker open after repeated failures", short: "failing" },
  credential: {
    text: "No credential to show to it: no token could be fetched",
    short: "without a credential",
  },
  auth: { text: "Refuses the gateway's credential", short: "refusing the gateway's credential" },
  absent: { text: "Says that the deployment does not exist", short: "missing the deployment" },
  server: { text: "Answers with server errors", short: "answering with errors" },
  connect: { text: "Cannot be connected to", short: "unreachable" },
  tls: { text: "No TLS session can be made", short: "unreachable over TLS" },
  dns: { text: "Its name has no address", short: "without an address" },
  timeout: { text: "Does not answer in time", short: "not answering in time" },
  stall: { text: "Breaks connections off", short: "breaking connections off" },
  "weight 0": { text: "Weight 0: gets no requests", short: "disabled" },
  "disabled by operator": { text: "Disabled by an operator", short: "disabled" },
  "drained by operator": { text: "Drained by an operator: requests in progress may end", short: "drained" },
  "probe due": { text: "Its time is over: the next request decides", short: "recovering" },
};

/** Why a deployment is not healthy; nothing for one that is. */
export function reason({ state, reason }) {
  if (state === "healthy") return "";
  if (state === "recovering" && reason === "breaker") return "Circuit breaker lets single requests through";
  return REASONS[reason]?.text ?? reason ?? STATE_WORDS[state];
}

export function short({ state, reason }) {
  if (state === "recovering") return "recovering";
  return REASONS[reason]?.short ?? (state === "throttling" ? "throttled" : "in error");
}

/** Of `/explain`: why a candidate would or would not be asked. */
export const CANDIDATE_WORDS = {
  ready: "Ready",
  recovering: "Recovering",
  last_resort: "Last resort",
  lower_priority: "Lower priority",
  cooling_down: "Cooling down",
  breaker_open: "Breaker open",
  no_credential: "No credential",
  operation_unavailable: "Operation not available",
  weight_zero: "Weight 0",
  disabled: "Disabled",
  drained: "Drained",
  tried: "Already tried",
  no_deployment: "No such deployment",
};

/** The state whose colour and icon a candidate wears. */
export function candidateState({ eligible, reason }) {
  if (reason === "ready" || reason === "lower_priority") return "healthy";
  if (reason === "cooling_down") return "throttling";
  if (reason === "recovering" || reason === "last_resort") return "recovering";
  if (reason === "breaker_open" || reason === "no_credential") return "error";
  return eligible ? "healthy" : "disabled";
}

export const SWITCH_WORDS = { enabled: "Enabled", disabled: "Disabled", drained: "Drained" };
