// Teaching: a labelled folder goes into incoming/, image by image; then each class is marked as complete.

import {segment, sendFile} from "./api.js";
import {changeNotice, notice} from "./dialogs.js";
import {byId, count, make, setHidden, setText} from "./dom.js";
import {chosenFiles, droppedFiles, dropZone, planClasses, readFolders} from "./drop.js";
import {focusHeading} from "./focus.js";
import {onChange, refresh, state} from "./live.js";
import {offerNames} from "./names.js";
import {say} from "./say.js";
import {goTo} from "./views.js";

const AT_ONCE = 4, TRIES = 4, FIRST_PAUSE_MS = 500;
const FOR_EVER = new Set([400, 401, 403, 409, 413, 415]);
let chosen = [], reading = null, underWay = null;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function dropName() {
  const random = crypto.getRandomValues(new Uint8Array(4)).reduce((text, byte) => text + byte.toString(16).padStart(2, "0"), "");
  return new Date().toISOString().replace(/[-:]|\.\d+Z/g, "") + "-" + random;
}

async function put(address, file) {
  for (let tried = 1; ; tried++) {
    try {
      return await sendFile("PUT", address, file);
    } catch (error) {
      if (FOR_EVER.has(error.status) || tried === TRIES) throw error;
      await pause(FIRST_PAUSE_MS * 2 ** tried);
    }
  }
}

// Send everything, a few at a time; gives what failed. `tell(done)` is called after each file. Whoever gave no token is not
// asked again for each of the files that are left.
async function sendAll(uploads, tell) {
  const waiting = [...uploads], failed = [];
  let done = 0;
  const work = async () => {
    for (let one = waiting.shift(); one; one = waiting.shift()) {
      try { await put(one.address, one.file); } catch (error) {
        const refused = error.status === 401 ? waiting.splice(0) : [];
        failed.push(...[one, ...refused].map((each) => ({...each, reason: error.message})));
        done += refused.length;
      }
      tell(++done);
    }
  };
  await Promise.all(Array.from({length: AT_ONCE}, work));
  return failed;
}

function uploadsOf(plan, drop) {
  return [...plan.classes].flatMap(([name, files]) => files.map(({path, file}) => ({
    name, path, file, address: ["api/incoming", segment(name), drop, ...path.split("/").map(segment)].join("/"),
  })));
}

async function markComplete(names) {
  for (const name of names) await put(`api/incoming/${segment(name)}/_READY`, new Blob([]));
  const list = names.join(", ").slice(0, 200);
  const line = notice(`Everything has arrived: ${list}. It is being learnt; this page shows how far it is.`, "good");
  underWay = {line, list, before: state.status?.last_update?.id};
  byId("teach-class").value = "";
  forget();
  refresh();
}

function showFailed(failed, names) {
  const box = byId("teach-plan");
  const arrived = names.filter((name) => name);
  box.replaceChildren(
    make("p", {class: "bad"}, `${count(failed.length, "file")} did not arrive.`),
    make("ul", {}, ...failed.slice(0, 10).map((one) => make("li", {}, `${one.path}: ${one.reason}`))),
    make("p", {class: "bar"},
      make("button", {type: "button", click: () => send(failed, arrived)}, "Try these again"),
      make("button", {type: "button", click: () => finish(arrived)}, "Learn what has arrived")));
  box.querySelector("button").focus();
}

async function finish(names) {
  try { await markComplete(names); } catch (error) { notice(error.message, "bad"); }
}

async function send(uploads, names) {
  const bar = make("progress", {max: uploads.length, value: 0, "aria-label": "Upload"});
  const words = make("p", {}, `Sending ${count(uploads.length, "image")} …`);
  byId("teach-plan").replaceChildren(words, bar);
  words.tabIndex = -1;
  words.focus();
  const failed = await sendAll(uploads, (done) => {
    bar.value = done;
    if (Math.floor(4 * done / uploads.length) > Math.floor(4 * (done - 1) / uploads.length)) say(`${done} of ${count(uploads.length, "image")} sent`);
  });
  setText(words, `${uploads.length - failed.length} of ${count(uploads.length, "image")} have arrived.`);
  if (failed.length) showFailed(failed, names);
  else await finish(names);
}

function leftOut(plan) {
  const parts = [];
  if (plan.hidden) parts.push(count(plan.hidden, "hidden file"));
  if (plan.others) parts.push(count(plan.others, "file") + " that " + (plan.others === 1 ? "is" : "are") + " not an image");
  return parts.length ? "Left out: " + parts.join("; ") + "." : "";
}

// What a person has to say before these are learnt, too.
const unclear = (plan) => plan.unclear.map((sentence) => sentence + ". ").join("");

// The update after the last drop has ended: its notice says how.
function tellEnd({status}) {
  const last = status.last_update;
  if (!underWay || status.phase || !last || last.id === underWay.before) return;
  if (last.result === "published" && status.served_version !== last.version) return;
  const good = last.result === "published";
  changeNotice(underWay.line, good ? `Learnt: ${underWay.list}. Version ${last.version} answers now: try an image.`
    : `${underWay.list}: ${last.result}. ${last.reason || ""}`, good ? "good" : "warn");
  underWay = null;
}

// What was chosen is over and done with; whoever works by keyboard goes on at the heading.
function forget() {
  chosen = [];
  reading = null;
  byId("teach-plan").replaceChildren();
  focusHeading(byId("teach"));
}

function ask(plan, names) {
  const go = make("button", {type: "button", class: "main", click: () => send(uploadsOf(plan, dropName()), names)}, "Upload and learn");
  byId("teach-plan").replaceChildren(
    make("ul", {class: "plan"}, ...[...plan.classes].slice(0, 30).map(([name, list]) => make("li", {}, `${name}: ${count(list.length, "image")}`))),
    make("p", {class: "soft"}, (names.length > 30 ? `and ${count(names.length - 30, "class")} more. ` : "") + unclear(plan) + leftOut(plan)),
    make("p", {class: "bar"}, go, make("button", {type: "button", click: forget}, "Cancel")));
  return go;
}

// What would be learnt of the chosen files; gives what the person does next.
function propose() {
  const plan = planClasses(reading, byId("teach-class").value.trim());
  const names = [...plan.classes.keys()];
  if (names.length) return ask(plan, names);
  byId("teach-plan").replaceChildren(make("p", {class: plan.unclear.length ? "warn" : "bad"},
    (unclear(plan) || "There is no image to learn yet. ") + leftOut(plan)));
  return byId("teach-class");
}

// Photographs come one at a time: they join what was chosen before.
async function choose(files, more = false) {
  if (!files.length) return;
  const mine = chosen = more ? [...chosen, ...files] : files;
  const read = await readFolders(mine);
  if (mine !== chosen) return; // others have been chosen meanwhile
  reading = read;
  propose().focus();
}

async function chooseFrom(files, more) {
  try { await choose(await files, more); } catch (error) { notice("The files cannot be read: " + error.message, "bad"); }
}

export function teachMore(name) {
  goTo("home");
  byId("teach-class").value = name;
  byId("teach-files").focus();
  byId("teach-drop").scrollIntoView({block: "center"});
}

export function startTeach() {
  offerNames(byId("teach-class"));
  byId("teach-class").addEventListener("input", () => { if (reading) propose(); });
  setHidden(byId("teach-folder").parentElement, !("webkitdirectory" in HTMLInputElement.prototype));
  onChange(tellEnd);
  dropZone(byId("teach-drop"), (transfer) => chooseFrom(droppedFiles(transfer)));
  for (const id of ["teach-files", "teach-folder", "teach-camera"]) {
    byId(id).addEventListener("change", (event) => { chooseFrom(chosenFiles(event.target), id === "teach-camera"); event.target.value = ""; });
  }
}
