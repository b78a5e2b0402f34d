// The start: views, then each part, then the first look at the updater.

import {startChart} from "./chart.js";
import {showClasses, startClasses} from "./classes.js";
import {startDialogs} from "./dialogs.js";
import {byId} from "./dom.js";
import {showFiles, startFiles} from "./files.js";
import {refresh} from "./live.js";
import {startNow} from "./now.js";
import {startRequests} from "./requests.js";
import {startTeach} from "./teach.js";
import {startTry} from "./try.js";
import {showUnsure, startUnsure} from "./unsure.js";
import {startVersions} from "./versions.js";

const VIEWS = {home: null, classes: showClasses, versions: null, files: () => { showUnsure(); showFiles(); }};

function showView() {
  const name = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "home";
  if (location.hash === "#main") return;
  for (const view of Object.keys(VIEWS)) byId("view-" + view).hidden = view !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === "#" + name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  VIEWS[name]?.();
}

window.addEventListener("hashchange", showView);
showView();
startNow();
startChart();
startTry();
startTeach();
startClasses();
startVersions();
startFiles();
startUnsure();
startRequests();
refresh().then(startDialogs);
