// One class: its stored images, and everything that can be changed about it.

import {get, post, query, remove, segment} from "./api.js";
import {closeButton, confirm, during, notice, showDialog} from "./dialogs.js";
import {byId, keyedOr, make, setHidden} from "./dom.js";
import {handOver} from "./focus.js";
import {offerNames} from "./names.js";
import {follow} from "./requests.js";
import {teachMore} from "./teach.js";

const PAGE = 24;

function form(label, action, list, work) {
  const input = make("input", {type: "text", required: true, maxlength: 100, autocomplete: "off", list: list ? "class-names" : null});
  if (list) offerNames(input);
  const button = make("button", {type: "submit"}, action);
  return make("form", {class: "bar", submit: (event) => {
    event.preventDefault();
    during(button, () => work(input.value.trim()));
  }}, make("label", {}, label + " ", input), button);
}

function changes(name, dialog) {
  const ask = async (answer) => { follow(await answer); dialog.close(); };
  const rename = form("New name", "Rename", false, (to) => ask(post(`api/classes/${segment(name)}/rename`, {to})));
  const merge = form("Merge into", "Merge …", true, async (into) => {
    if (await confirm(`Merge “${name}” into “${into}”?`, "Both become one class. The joint class is measured before it is served; a rollback undoes it.", "Merge")) {
      await ask(post("api/classes/merge", {classes: [name, into], into}));
    }
  });
  const gone = make("button", {type: "button", class: "danger"}, "Remove the class …");
  gone.addEventListener("click", () => during(gone, async () => {
    const originals = make("input", {type: "checkbox"});
    if (await confirm(`Remove “${name}”?`, "No version from now on knows this class; a rollback undoes it.", "Remove",
      make("label", {}, originals, " delete its stored images as well: that cannot be undone"))) {
      await ask(remove(`api/classes/${segment(name)}?` + query({originals: originals.checked ? "delete" : ""})));
    }
  }));
  const more = make("button", {type: "button", click: () => { dialog.close(); teachMore(name); }}, "Add images …");
  return make("div", {class: "changes"}, make("p", {class: "bar"}, more, gone), rename, merge);
}

function original(name, image) {
  const file = image.key.split("/").pop();
  const button = make("button", {type: "button", "aria-label": `Delete ${file}`}, "Delete");
  button.addEventListener("click", () => during(button, async () => {
    if (await confirm(`Delete ${file}?`, `The image of “${name}” is deleted from the store, and no version from now on holds it. That cannot be undone.`, "Delete")) {
      follow(await remove("api/images/" + image.sha256));
      button.closest("li").classList.add("gone");
      handOver(button.closest("li"));
      button.replaceWith(make("span", {class: "soft"}, "being deleted"));
    }
  }));
  return make("li", {}, make("img", {src: "api/thumbnail?" + query({key: image.key}), alt: file, loading: "lazy", width: 84, height: 84}), button);
}

function images(name) {
  const list = make("ul", {class: "originals"}), more = make("button", {type: "button", hidden: true}, "Show more");
  let shown = [], next = null;
  const load = async () => {
    const page = await get(`api/classes/${segment(name)}/images?` + query({limit: PAGE, before: next}));
    shown = [...shown, ...page.images];
    next = page.next;
    keyedOr(list, shown, "None of its images is stored any more.", (image) => image.key, (image) => original(name, image));
    setHidden(more, next === null);
  };
  more.addEventListener("click", () => during(more, load));
  load().catch((error) => notice(error.message, "bad"));
  return make("div", {}, make("h3", {}, "Stored images"), list, more);
}

export function openClass(version, name) {
  const dialog = byId("class-dialog");
  dialog.replaceChildren(closeButton(dialog), make("h2", {id: "class-dialog-title"}, name), changes(name, dialog), images(name));
  showDialog(dialog);
}
