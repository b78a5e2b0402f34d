// What the updater tells now, asked for every two seconds; whoever draws some of it is called when it has changed.

import {get} from "./api.js";
import {byId, setText} from "./dom.js";

const PAUSE_MS = 2000, HIDDEN_PAUSE_MS = 10000, MORE_VERSIONS = 20;
// The first look asks for few: a version that was never read before costs the updater 50 ms with 1,000 classes.
const FIRST_VERSIONS = 3, SOON_VERSIONS = 12;
const FIELDS = ["version", "kind", "parent", "created_at", "changed", "class_count", "exemplar_count", "new_classes", "updated_classes", "accuracy", "interval",
  "images", "gate", "average_incremental_accuracy", "forgetting", "old_as_new", "timings", "report", "size"].join(",");

export const state = {status: null, versions: [], total: 0};
const drawers = [];
let seen = "", shown = FIRST_VERSIONS, timer = 0, asking = null;

export const onChange = (drawer) => { drawers.push(drawer); };
export const current = () => state.versions.find((one) => one.version === state.status?.current_version && !one.error);

// Versions change with an update, an edit or a rollback: each moves one of these.
function fingerprint(status) {
  return JSON.stringify([status.current_version, status.served_version, status.last_update, status.phase?.step, shown]);
}

async function ask() {
  try {
    state.status = await get("api/status");
    if (fingerprint(state.status) !== seen) {
      const found = await get(`api/versions?limit=${shown}&fields=${FIELDS}`);
      state.versions = found.versions;
      state.total = found.total;
      seen = fingerprint(state.status);
    }
    setText(byId("clock"), "updated " + new Date().toLocaleTimeString());
    for (const draw of drawers) draw(state);
  } catch (error) {
    setText(byId("clock"), error.message);
  }
}

export function refresh() {
  clearTimeout(timer);
  asking ??= ask().finally(() => {
    asking = null;
    const first = shown === FIRST_VERSIONS && state.status !== null;
    if (first) shown = SOON_VERSIONS;
    timer = setTimeout(refresh, first ? 0 : document.hidden ? HIDDEN_PAUSE_MS : PAUSE_MS);
  });
  return asking;
}

export function showOlder() {
  shown += MORE_VERSIONS;
  return refresh();
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
