// What only this page knows: how counters and latencies moved while it watched.

/** Rates are averages over so long, so that they can be read. */
const WINDOW_S = 10;
const BUCKET_S = 5;
/** Five minutes. */
const BUCKETS = 60;

/** Counters of one thing, and how fast they grow. */
class Meter {
  #times = [];
  #rows = [];

  add(at, row) {
    const last = this.#rows.at(-1);
    // A new process counts from zero, and clocks are set.
    if (last && (at <= this.#times.at(-1) || row.some((value, index) => value < last[index]))) {
      this.#times = [];
      this.#rows = [];
    }
    this.#times.push(at);
    this.#rows.push(row);
    while (this.#times.length > 2 && this.#times[0] < at - WINDOW_S) {
      this.#times.shift();
      this.#rows.shift();
    }
  }

  /** Per second; `null` until there are two states. */
  rate(index) {
    if (this.#rows.length < 2) return null;
    return (this.#rows.at(-1)[index] - this.#rows[0][index]) / (this.#times.at(-1) - this.#times[0]);
  }
}

/** Averages of a value over the last minutes; `null` where nothing was seen. */
class Trace {
  #sum = 0;
  #seen = 0;
  points = new Array(BUCKETS).fill(null);
  /** Changes when there is something new to draw. */
  bucket = null;

  add(at, value) {
    const bucket = Math.floor(at / BUCKET_S);
    if (this.bucket !== null && bucket !== this.bucket) {
      const passed = Math.min(Math.max(bucket - this.bucket, 0), BUCKETS);
      const gap = new Array(Math.max(passed - 1, 0)).fill(null);
      this.points = [...this.points, this.#average(), ...gap].slice(-BUCKETS);
      this.#sum = 0;
      this.#seen = 0;
    }
    this.bucket = bucket;
    if (value === null || value === undefined) return;
    this.#sum += value;
    this.#seen += 1;
  }

  #average() {
    return this.#seen > 0 ? this.#sum / this.#seen : null;
  }
}

export class History {
  #meters = new Map();
  #traces = new Map();
  #process = null;

  record(status) {
    if (this.#process !== status.started) {
      this.#process = status.started;
      this.#meters.clear();
    }
    for (const pool of status.pools) {
      this.#meter(poolKey(pool)).add(status.now, [pool.requests, pool.errors]);
      for (const deployment of pool.deployments) {
        const { attempts, tokens } = deployment;
        const all = attempts.ok + attempts.client + attempts.failed;
        const key = deploymentKey(pool, deployment);
        this.#meter(key).add(status.now, [all, attempts.failed, tokens.prompt + tokens.completion]);
        this.#trace(key).add(status.now, latency(deployment));
      }
    }
    for (const client of status.clients) {
      const tokens = client.prompt_tokens + client.completion_tokens;
      this.#meter(clientKey(client)).add(status.now, [client.requests, tokens]);
    }
  }

  pool(pool) {
    const meter = this.#meter(poolKey(pool));
    return { requests: meter.rate(0), errors: meter.rate(1) };
  }

  deployment(pool, deployment) {
    const key = deploymentKey(pool, deployment);
    const meter = this.#meter(key);
    return { requests: meter.rate(0), failed: meter.rate(1), tokens: meter.rate(2), trace: this.#trace(key) };
  }

  client(client) {
    const meter = this.#meter(clientKey(client));
    return { requests: meter.rate(0), tokens: meter.rate(1) };
  }

  #meter(key) {
    return kept(this.#meters, key, () => new Meter());
  }

  #trace(key) {
    return kept(this.#traces, key, () => new Trace());
  }
}

/** To the first byte where that is known: the whole answer takes as long as it is. */
export const latency = ({ latency_ms }) => latency_ms.first_byte ?? latency_ms.total;

const poolKey = (pool) => `pool\n${pool.model}`;
const deploymentKey = (pool, deployment) => `deployment\n${pool.model}\n${deployment.endpoint}`;
const clientKey = (client) => `client\n${client.name}`;

function kept(map, key, make) {
  let value = map.get(key);
  if (!value) map.set(key, (value = make()));
  return value;
}
