// Words for whoever listens to the page: what happened and how far it is, without reading all that was drawn.

import {byId, setText} from "./dom.js";

export function say(text) {
  const box = byId("said");
  setText(box, box.textContent === text ? text + "\u00a0" : text); // the same words twice are a change too
}
