// Known class names, offered while a person types one.

import {get, query} from "./api.js";
import {byId, keyed, make} from "./dom.js";

const OFFERED = 20;

async function offer(text) {
  const found = await get("api/classes?" + query({search: text, limit: OFFERED}));
  keyed(byId("class-names"), found.classes, (one) => one.name, (one) => make("option", {value: one.name}));
}

export function offerNames(input) {
  input.addEventListener("input", () => offer(input.value).catch(() => byId("class-names").replaceChildren()));
  input.addEventListener("focus", () => offer(input.value).catch(() => byId("class-names").replaceChildren()));
}

export async function isKnown(name) {
  const found = await get("api/classes?" + query({name}));
  return found.classes.length > 0;
}
