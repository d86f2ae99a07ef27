// Building and changing nodes. Everything that comes from the gateway becomes text or an attribute's value, never
// markup: names are chosen by whoever writes the configuration.

const SVG = "http://www.w3.org/2000/svg";

/** `element("p", { class: "quiet" }, "text", child)`; functions among the attributes are event listeners. */
export function element(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

function dress(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** A symbol of the page. The word beside it says the same, so it is hidden from screen readers. */
export function icon(name) {
  const use = svg("use", { href: `#icon-${name}` });
  const node = svg("svg", { class: "icon", "aria-hidden": "true" }, use);
  return { node, show: attribute(use, "href", (value) => `#icon-${value}`) };
}

/** Sets a property only when the value differs from the last: an unchanged node costs the browser nothing. */
function binder(write) {
  let last;
  return (value) => {
    if (value === last) return;
    last = value;
    write(value);
  };
}

/** The text of a node that has nothing else in it. */
export function text(node) {
  const only = document.createTextNode(node.textContent);
  node.replaceChildren(only);
  return binder((value) => (only.data = value));
}

export const hidden = (node) => binder((value) => (node.hidden = value));
export const disabled = (node) => binder((value) => (node.disabled = value));
/** Through the style object, which the content security policy allows, unlike a style attribute. */
export const style = (node, property) => binder((value) => node.style.setProperty(property, value));

export function attribute(node, name, form = String) {
  return binder((value) => {
    if (value === null || value === undefined) node.removeAttribute(name);
    else node.setAttribute(name, form(value));
  });
}

/**
 * Keeps the children of `parent`, which has no others, in line with a list: one node for each key, made once, moved
 * only when its place changed. `make(item)` returns `{ node, update(item, ...context) }`.
 */
export function keyed(parent, keyOf, make) {
  let rows = new Map();
  return (items, ...context) => {
    const next = new Map();
    for (const item of items) {
      const key = keyOf(item);
      next.set(key, rows.get(key) ?? make(item));
    }
    for (const [key, row] of rows) if (!next.has(key)) row.node.remove();
    let place = parent.firstChild;
    for (const item of items) {
      const row = next.get(keyOf(item));
      if (row.node === place) place = place.nextSibling;
      else parent.insertBefore(row.node, place);
      row.update(item, ...context);
    }
    rows = next;
  };
}

/** A list of plain texts as list items. */
export function texts(parent) {
  const list = keyed(
    parent,
    (item) => item.index,
    () => {
      const node = element("li");
      const say = text(node);
      return { node, update: (item) => say(item.value) };
    },
  );
  return (values) => list(values.map((value, index) => ({ value, index })));
}

export const byId = (id) => document.getElementById(id);
