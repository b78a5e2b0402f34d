// The views of the page: one is shown at a time, and the address says which.

import {byId} from "./dom.js";

const HOME = "home";
let loaders = {};

function showView() {
  const wanted = location.hash.slice(1);
  if (wanted === "main") return; // the link that skips to the content
  const name = wanted in loaders ? wanted : HOME;
  for (const view of Object.keys(loaders)) byId("view-" + view).hidden = view !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") !== "#" + name) link.removeAttribute("aria-current");
    else {
      link.setAttribute("aria-current", "page");
      document.title = `${link.textContent} - LUCIR`;
    }
  }
  loaders[name]?.();
}

// At once, unlike a changed address: what is in the view can take the focus next.
export function goTo(name) {
  history.pushState(null, "", "#" + name);
  showView();
}

// `found` has for each view what loads it, or null.
export function startViews(found) {
  loaders = found;
  window.addEventListener("hashchange", showView);
  showView();
}
