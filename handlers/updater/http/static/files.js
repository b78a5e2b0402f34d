// What waits, what was rejected and why, what failed; and trying it again.

import {get, post, query, segment} from "./api.js";
import {during, notice} from "./dialogs.js";
import {byId, count, keyedOr, make, setHidden, setText, time} from "./dom.js";
import {onChange, refresh} from "./live.js";
import {offerNames} from "./names.js";

const PAGE = 20;
let rejected = [], next = null, seen = "";

function waitingRow(folder) {
  const again = make("button", {type: "button", "aria-label": `Try ${folder.class} again`}, "Try again");
  again.addEventListener("click", () => during(again, async () => {
    await post(`api/incoming/${segment(folder.class)}/retry`, {});
    notice(`${folder.class} is tried again.`, "good");
    refresh();
  }));
  return make("li", {}, make("b", {}, folder.class), " ", make("span", {}), " ", make("span", {class: "soft"}), " ", again);
}

function fillWaiting(node, folder) {
  const [, images, reason, again] = node.children;
  setText(images, count(folder.images, "image"));
  setText(reason, folder.reason || "ready");
  setHidden(again, folder.state !== "failed");
}

function rejectedRow(file) {
  const name = file.file.split("/").slice(1).join("/");
  const input = make("input", {type: "text", list: "class-names", required: true, maxlength: 100, value: file.class || "", autocomplete: "off"});
  offerNames(input);
  const again = make("button", {type: "submit", "aria-label": `Try ${name} again`}, "Try again");
  const thumbnail = file.image ? make("img", {src: "api/thumbnail?" + query({key: file.key}), alt: "", loading: "lazy", width: 56, height: 56}) : null;
  thumbnail?.addEventListener("error", () => thumbnail.remove());
  const form = make("form", {class: "bar", submit: (event) => {
    event.preventDefault();
    during(again, async () => {
      await post("api/rejected/retry", {key: file.key, class_name: input.value.trim()});
      notice(`${name} is tried again as ${input.value.trim()}.`, "good");
      rejected = rejected.filter((one) => one.key !== file.key);
      drawRejected();
      refresh();
    });
  }}, make("label", {}, "Class ", input), again);
  return make("li", {class: "file"}, thumbnail, make("div", {}, make("b", {}, name), make("p", {class: "soft"}, file.reason)), form);
}

function drawRejected() {
  keyedOr(byId("rejected"), rejected, "None.", (file) => file.key, rejectedRow);
  setHidden(byId("rejected-more"), next === null);
}

async function loadRejected(more) {
  const page = await get("api/rejected?" + query({limit: PAGE, before: more ? next : null}));
  rejected = more ? [...rejected, ...page.images] : page.images;
  next = page.next;
  drawRejected();
}

export function showFiles() {
  return loadRejected(false).catch((error) => notice("rejected files: " + error.message, "bad"));
}

function drawErrors({status}) {
  const errors = status.errors.map((one) => ({key: one.at + one.message, when: time(one.at) + (one.count > 1 ? ` (${one.count} times)` : ""), what: `${one.where}: ${one.message}`}));
  if (status.server_error) errors.unshift({key: "now " + status.server_error, when: "now", what: "serving: " + status.server_error});
  keyedOr(byId("errors"), errors, "None since the updater started.", (one) => one.key,
    (one) => make("li", {}, make("span", {class: "soft"}), " ", make("span", {}, one.what)), (node, one) => setText(node.children[0], one.when));
}

export function startFiles() {
  byId("rejected-more").addEventListener("click", () => during(byId("rejected-more"), () => loadRejected(true)));
  onChange(({status}) => keyedOr(byId("waiting"), status.waiting, "Nothing waits.", (folder) => folder.class, waitingRow, fillWaiting));
  onChange(drawErrors);
  onChange(({status}) => {
    const now = JSON.stringify([status.last_update?.id, status.rejected.length]);
    if (now !== seen && !byId("view-files").hidden) showFiles();
    seen = now;
  });
}
