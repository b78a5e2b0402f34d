// The classes as cards, a page of them at a time.

import {exemplar, get, query} from "./api.js";
import {openClass} from "./class_dialog.js";
import {notice} from "./dialogs.js";
import {byId, count, interval, keyedOr, make, percent, setHidden, setText} from "./dom.js";
import {onChange, state} from "./live.js";
import {thumb} from "./try.js";

const PAGE = 24, TYPICAL = 4, PAUSE_MS = 250;
let cards = [], version = null, found = 0, timer = 0;

function card() {
  const thumbs = make("div", {class: "thumbs"});
  const open = make("button", {type: "button", class: "name"});
  open.addEventListener("click", () => openClass(version, open.textContent));
  return make("li", {class: "card"}, thumbs, make("h3", {}, open), make("p", {}), make("p", {class: "soft"}));
}

function fill(node, one) {
  const [thumbs, title, images, accuracy] = node.children;
  const wanted = `${version} ${one.name} ${one.exemplars}`;
  if (thumbs.dataset.shows !== wanted) {
    thumbs.dataset.shows = wanted;
    thumbs.replaceChildren(...Array.from({length: Math.min(TYPICAL, one.exemplars)}, (_, rank) => thumb(exemplar(version, one.name, rank))));
  }
  setText(title.firstChild, one.name);
  setText(images, count(one.images, "image") + (one.is_new ? ", new" : ""));
  setText(accuracy, one.interval ? `accuracy ${percent(one.accuracy)} (${interval(one.interval, one.measured)})` : "accuracy not measured");
}

function draw() {
  keyedOr(byId("class-cards"), cards, found === 0 && byId("class-text").value ? "No class has these letters." : "No class yet: teach at least two.",
    (one) => one.name, card, fill);
  setText(byId("class-count"), version ? `${count(found, "class")} in version ${version}` : "");
  setHidden(byId("class-more"), cards.length >= found);
}

async function load(more) {
  const limit = more ? PAGE : Math.max(PAGE, cards.length);
  try {
    const answer = await get("api/classes?" + query({search: byId("class-text").value, order: byId("class-order").value,
      limit, offset: more ? cards.length : 0}));
    cards = more ? [...cards, ...answer.classes] : answer.classes;
    ({version, found} = answer);
    draw();
  } catch (error) {
    notice("classes: " + error.message, "bad");
  }
}

export function showClasses() {
  return load(false);
}

export function startClasses() {
  byId("class-search").addEventListener("submit", (event) => event.preventDefault());
  byId("class-search").addEventListener("input", () => {
    clearTimeout(timer);
    cards = [];
    timer = setTimeout(() => load(false), PAUSE_MS);
  });
  byId("class-more").addEventListener("click", () => load(true));
  onChange(() => { if (!byId("view-classes").hidden && state.status.current_version !== version) load(false); });
}
