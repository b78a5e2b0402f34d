// Building and updating the document. Everything that comes from outside becomes text here, never markup.

import {handOver, removeNode} from "./focus.js";

export const byId = (id) => document.getElementById(id);

export function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined).map((child) => child instanceof Node ? child : String(child)));
  return node;
}

// Only a change touches the document, so that selected text stays selected.
export function setText(node, text) {
  if (node.textContent !== String(text)) node.textContent = String(text);
}

export function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

export function setHidden(node, hidden) {
  if (node.hidden === hidden) return;
  if (hidden) handOver(node);
  node.hidden = hidden;
}

// Make the children of a box those of the items. A node stays the same for as long as its key is there: the focus, an
// open fold and half-typed text survive. `create(item)` gives a node, `update(node, item)` brings it up to date.
export function keyed(box, items, key, create, update = () => {}) {
  const before = new Map([...box.children].map((node) => [node.dataset.key, node]));
  let place = box.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let node = before.get(name);
    if (node) before.delete(name);
    else {
      node = create(item);
      node.dataset.key = name;
    }
    if (node === place) place = place.nextElementSibling;
    else box.insertBefore(node, place);
    update(node, item);
  }
  for (const node of before.values()) removeNode(node);
}

// The same for a list that says something while it is empty.
export function keyedOr(box, items, empty, key, create, update) {
  const rows = items.length ? items : [null];
  keyed(box, rows, (item) => item === null ? "(empty)" : "- " + key(item),
    (item) => item === null ? make(box.tagName === "DL" ? "div" : "li", {class: "empty"}, empty) : create(item),
    (node, item) => { if (item !== null && update) update(node, item); });
}

export const percent = (value) => value === null || value === undefined ? "–" : (100 * value).toFixed(1) + "\u00a0%"; // the sign stays beside its number
export const time = (iso) => iso ? new Date(iso).toLocaleString() : "–";

export function interval(bounds, images) {
  if (!bounds) return "";
  return `${(100 * bounds[0]).toFixed(0)} to ${(100 * bounds[1]).toFixed(0)} % on ${count(images, "image")}`;
}

export function count(number, noun) {
  const plural = /(s|x|ch)$/.test(noun) ? noun + "es" : noun + "s";
  return `${number} ${number === 1 ? noun : plural}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
