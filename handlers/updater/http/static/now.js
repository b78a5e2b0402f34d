// The head of the page, the figures of the current version, and the running update.

import {draw} from "./chart.js";
import {byId, count, duration, interval, keyed, make, percent, setClass, setHidden, setText, time} from "./dom.js";
import {current, onChange} from "./live.js";
import {say} from "./say.js";

const SHOWN = 20, CURVE_W = 320, CURVE_H = 90, TOLD = 4;
// The steps of an update as a newcomer understands them.
const STEPS = {
  "ingest": "looks through the files", "gather": "gathers the images", "resolve": "looks for what it is about", "reject": "sets rejected files aside",
  "prepare": "reads the images", "imprint": "makes a provisional version", "evaluate-provisional": "measures the provisional version",
  "store-provisional": "stores the provisional version", "point-provisional": "serves the provisional version", "learn": "learns",
  "apply": "changes the version", "evaluate": "measures the accuracy", "store": "stores the version", "point": "makes it the current version",
  "fall-back": "goes back to the version before", "swap": "waits until it is served", "archive": "files the images", "account": "notes what was done", "finish": "finishes",
};
let told = null;

function chip(id, text, kind = "", title = "") {
  const node = byId(id);
  setText(node, text);
  setClass(node, "chip " + kind);
  setHidden(node, !text);
  if (node.title !== title) node.title = title;
}

function head({status}) {
  const wanted = status.current_version, served = status.served_version;
  const provisional = current()?.kind === "provisional";
  setHidden(byId("try-hint"), Boolean(wanted));
  chip("current", wanted ? `current version ${wanted}${provisional ? " (provisional)" : ""}` : "nothing learnt yet", provisional ? "warn" : wanted ? "good" : "");
  const other = wanted ? "warn" : "";
  chip("served", served ? `served: version ${served}` : "no version is served", served && served === wanted ? "good" : other, status.server_error || "");
  chip("store", status.store.ok ? "" : "store not reached: " + status.store.url, "bad", status.store.error || "");
  const standby = status.lease.state === "standby";
  chip("lease", standby ? `standby: updater ${status.lease.holder || "(unknown)"} is active` : "", "warn");
}

function tiles() {
  const version = current();
  const measured = version?.accuracy.cnn;
  const rows = [
    ["accuracy, all classes", percent(measured?.all), version ? interval(version.interval, version.images) : ""],
    ["accuracy, old classes", percent(measured?.old), ""],
    ["accuracy, new classes", percent(measured?.new), ""],
    ["average over versions", percent(version?.average_incremental_accuracy), ""],
    ["forgetting", percent(version?.forgetting), ""],
    ["old taken for new", percent(version?.old_as_new), ""],
    ["classes", version?.class_count ?? "–", ""],
    ["exemplars", version?.exemplar_count ?? "–", ""],
  ];
  keyed(byId("tiles"), rows, (row) => row[0],
    ([name]) => make("div", {class: "tile"}, make("dt", {}, name), make("dd", {}), make("dd", {class: "soft"})),
    (node, [, value, note]) => { setText(node.children[1], value); setText(node.children[2], note); });
}

const stepOf = ({step}) => STEPS[step] || step;

function facts(phase) {
  const found = [["update", phase.update], ["step", stepOf(phase) + (phase.stage ? ": " + phase.stage : "")], ["images", phase.images],
    ["time left", phase.seconds_left === null ? "not known yet" : "about " + duration(phase.seconds_left)]];
  if (phase.provisional) found.push(["until then", `version ${phase.provisional} (provisional)`]);
  if (phase.attempt > 1) found.push(["attempt", phase.attempt]);
  return found;
}

// Stages of learning in which what is counted are images.
const IMAGE_STAGES = ["features", "maps"];

function expertFacts({stage, epoch, epochs, expert}) {
  const found = epochs ? [[IMAGE_STAGES.includes(stage) ? "image" : "epoch", `${epoch} of ${epochs}`]] : [];
  for (const [name, value] of Object.entries(expert.losses)) found.push(["loss: " + name.replaceAll("_", " "), value.toFixed(3)]);
  if (expert.less_forget_weight !== null) found.push(["weight of the less-forget loss", expert.less_forget_weight.toFixed(2)]);
  if (expert.cosine_scale !== null) found.push(["scale of the cosines", expert.cosine_scale.toFixed(2)]);
  return found;
}

function factList(node, rows) {
  keyed(node, rows, (fact) => fact[0],
    ([name]) => make("div", {}, make("dt", {}, name), make("dd", {})), (row, [, value]) => setText(row.children[1], value));
}

// How an update ended, as a newcomer understands it.
const RESULTS = {
  published: "published", refused: "refused by the gate", rejected: "nothing in it could be learnt (Files says why)", failed: "failed",
  superseded: "gave way to a newer one",
};

function lastUpdate(last) {
  if (!last) return "No update has run yet.";
  const version = last.version ? `, version ${last.version}` : "";
  const result = last.refined && last.result === "refused" ? "refined and kept" : RESULTS[last.result] || last.result;
  return `None runs. Last: update ${last.id}, ${result}${version}, ${time(last.finished_at)}${last.reason ? ". " + last.reason : ""}`;
}

// Points of (progress, loss) as the path of a curve that fills its box.
function curve(points) {
  const top = Math.max(...points.map(([, loss]) => loss)) || 1;
  return points.map(([progress, loss], place) =>
    `${place ? "L" : "M"}${(progress * CURVE_W).toFixed(1)} ${(CURVE_H - 4 - loss / top * (CURVE_H - 8)).toFixed(1)}`).join("");
}

function lossCurve() {
  const svg = draw("svg", {viewBox: `0 0 ${CURVE_W} ${CURVE_H}`, role: "img", class: "loss", "aria-label": "Loss of the running update"});
  svg.append(draw("line", {x1: 0, x2: CURVE_W, y1: CURVE_H - 1, y2: CURVE_H - 1, class: "grid"}), draw("path", {class: "s-all"}));
  return svg;
}

function runningPhase() {
  return make("div", {}, make("p", {}), make("progress", {max: 1, "aria-label": "Progress of the update"}), make("dl", {class: "facts"}),
    make("details", {}, make("summary", {}, "For experts"), make("dl", {class: "facts"}), lossCurve()));
}

function fillPhase(node, running) {
  const [what, bar, list, expert] = node.children;
  const classes = [...running.new_classes.map((name) => "new: " + name), ...running.updated_classes.map((name) => "more of " + name)];
  const rest = classes.length - SHOWN;
  setText(what, running.refines ? "Refines the last stages of the network, and gives way to whatever is dropped or asked for." : classes.slice(0, SHOWN).join(", ") + (rest > 0 ? ` and ${count(rest, "class")} more` : ""));
  bar.value = running.progress;
  factList(list, facts(running));
  const inner = expertFacts(running), history = running.expert.loss_history;
  setHidden(expert, !inner.length);
  factList(expert.children[1], inner);
  setHidden(expert.children[2], history.length < 2);
  expert.children[2].lastChild.setAttribute("d", history.length > 1 ? curve(history) : "M0 0");
}

function phase({status}) {
  const running = status.phase;
  keyed(byId("phase"), [running ? "running" : "idle"], (kind) => kind,
    (kind) => kind === "idle" ? make("p", {class: "empty"}) : runningPhase(),
    (node, kind) => kind === "idle" ? setText(node, lastUpdate(status.last_update)) : fillPhase(node, running));
}

// Each step and each quarter of an update, and how it ended, for whoever listens; what stood there at the start is not news.
function tell({status}) {
  const running = status.phase;
  const part = running ? Math.floor(TOLD * running.progress) : 0;
  const words = running ? `Update ${running.update}: ${stepOf(running)}${part ? `, ${100 * part / TOLD} % done` : ""}`
    : `${lastUpdate(status.last_update)} ${status.served_version ? `Served: version ${status.served_version}.` : ""}`;
  if (told !== null && words !== told) say(words);
  told = words;
}

export function startNow() {
  onChange(head);
  onChange(tiles);
  onChange(phase);
  onChange(tell);
}
