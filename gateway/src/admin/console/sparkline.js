// A line without words beside a number that has them; it is drawn anew only when a point was added.

import { svg } from "./dom.js";

const WIDTH = 100;
const HEIGHT = 20;

export function sparkline() {
  const path = svg("path", { "vector-effect": "non-scaling-stroke" });
  const view = {
    class: "sparkline",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    "aria-hidden": "true",
  };
  const node = svg("svg", view, path);
  let drawn = null;
  return {
    node,
    update(trace) {
      if (trace.bucket === drawn) return;
      drawn = trace.bucket;
      path.setAttribute("d", outline(trace.points));
    },
  };
}

/** Gaps stay gaps; the highest point touches the top. */
function outline(points) {
  const seen = points.filter((point) => point !== null);
  if (seen.length < 2) return "";
  const top = Math.max(...seen, 1);
  const step = WIDTH / (points.length - 1);
  let command = "M";
  let out = "";
  points.forEach((point, index) => {
    if (point === null) {
      command = "M";
      return;
    }
    const y = HEIGHT - 1 - (point / top) * (HEIGHT - 2);
    out += `${command}${(index * step).toFixed(1)} ${y.toFixed(1)}`;
    command = "L";
  });
  return out;
}
