"use strict";
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
const percent = (value) => value === null || value === undefined ? "\u2013" : (100 * value).toFixed(1) + " %";
const range = (v) => v.interval ? `${(100 * v.interval[0]).toFixed(1)}\u2013${(100 * v.interval[1]).toFixed(1)} %, ${v.images} images` : "";
const time = (iso) => iso ? new Date(iso).toLocaleString() : "\u2013";
const seconds = (value) => value === undefined ? "\u2013" : value >= 90 ? (value / 60).toFixed(1) + " min" : value.toFixed(1) + " s";

// Everything that comes from outside becomes text through here, never markup.
function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  for (const child of children) node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  return node;
}
function draw(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
function show(id, ...nodes) { byId(id).replaceChildren(...nodes); }
function empty(text) { return make("p", {class: "empty"}, text); }
function table(heads, rows) {
  const head = make("tr", {}, ...heads.map(([text, kind]) => make("th", {scope: "col", class: kind || ""}, text)));
  const body = rows.map((row) => make("tr", {}, ...row.map((cell, i) => make("td", {class: heads[i][1] || ""}, cell))));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
}
function bar(ratio) {
  const fill = make("div", {class: "fill"});
  fill.style.width = (100 * Math.max(0, Math.min(1, ratio))) + "%";
  return make("div", {class: "track"}, fill);
}
function chip(id, text, kind) { const node = byId(id); node.textContent = text; node.className = "chip " + kind; }

function chart(versions) {
  const good = versions.filter((v) => !v.error);
  if (!good.length) return empty("No version yet: drop at least two class folders into incoming/.");
  const W = 760, H = 250, L = 44, R = 14, T = 12, B = 28;
  const svg = draw("svg", {viewBox: `0 0 ${W} ${H}`, role: "img"});
  svg.append(draw("title", {}, "Accuracy of each version over all, old and new classes"));
  const x = (i) => good.length === 1 ? (L + W - R) / 2 : L + i * (W - L - R) / (good.length - 1);
  const y = (value) => T + (1 - value) * (H - T - B);
  for (const tick of [0, .25, .5, .75, 1]) {
    svg.append(draw("line", {x1: L, x2: W - R, y1: y(tick), y2: y(tick), class: "grid"}));
    svg.append(draw("text", {x: L - 8, y: y(tick) + 4, "text-anchor": "end"}, (100 * tick) + " %"));
  }
  const step = Math.ceil(good.length / 16);
  good.forEach((v, i) => { if (i % step === 0) svg.append(draw("text", {x: x(i), y: H - 8, "text-anchor": "middle"}, "v" + v.version)); });
  for (const scope of ["old", "new", "all"]) {
    let path = "", pen = "M";
    good.forEach((v, i) => {
      const value = v.accuracy.cnn[scope];
      if (value === null || !v.gate.passed || v.kind === "provisional") return;
      path += `${pen}${x(i).toFixed(1)} ${y(value).toFixed(1)}`; pen = "L";
    });
    svg.append(draw("path", {d: path || "M0 0", class: "s-" + scope}));
    good.forEach((v, i) => {
      const value = v.accuracy.cnn[scope];
      if (value === null) return;
      const kind = v.gate.passed ? v.kind === "provisional" ? "d-provisional" : "d-" + scope : "d-refused";
      const dot = draw("circle", {cx: x(i), cy: y(value), r: v.kind === "provisional" ? 3 : 4, class: kind});
      dot.append(draw("title", {}, `version ${v.version} (${v.kind}), ${scope} classes: ${percent(value)}`));
      svg.append(dot);
    });
  }
  return svg;
}

function lossCurve(points) {
  if (points.length < 2) return make("span", {});
  const W = 320, H = 90, top = Math.max(...points.map((p) => p[1])) || 1;
  const d = points.map((p, i) => `${i ? "L" : "M"}${(p[0] * W).toFixed(1)} ${(H - 4 - p[1] / top * (H - 8)).toFixed(1)}`).join("");
  const svg = draw("svg", {viewBox: `0 0 ${W} ${H}`, role: "img"});
  svg.append(draw("title", {}, "Loss of the running phase"), draw("line", {x1: 0, x2: W, y1: H - 1, y2: H - 1, class: "grid"}), draw("path", {d, class: "s-loss"}));
  return svg;
}

function fact(name, value) { return make("span", {}, make("span", {class: "soft"}, name + " "), make("b", {}, value)); }

function phase(status) {
  const p = status.phase;
  if (!p) {
    const last = status.last_update;
    return [empty("None runs."), ...(last ? [make("p", {class: "soft"}, `Last: update ${last.id}, ${last.result}${last.version ? ", version " + last.version : ""}, ${time(last.finished_at)}${last.reason ? ". " + last.reason : ""}`)] : [])];
  }
  const what = [...p.new_classes.map((c) => "+ " + c), ...p.updated_classes.map((c) => "\u21bb " + c)];
  const facts = make("div", {class: "facts"}, fact("update", p.update), fact("step", p.step + (p.stage ? " / " + p.stage : "")), fact("images", p.images));
  if (p.epochs) facts.append(fact("epoch", `${p.epoch} of ${p.epochs}`));
  for (const [name, value] of Object.entries(p.losses)) facts.append(fact(name.replaceAll("_", " "), value.toFixed(3)));
  if (p.lambda !== null) facts.append(fact("\u03bb", p.lambda.toFixed(2)));
  if (p.eta !== null) facts.append(fact("\u03b7", p.eta.toFixed(2)));
  if (p.provisional) facts.append(fact("until then", `version ${p.provisional} (provisional)`));
  if (p.attempt > 1) facts.append(fact("attempt", p.attempt));
  const shown = what.slice(0, 20).join("  ") + (what.length > 20 ? ` and ${what.length - 20} more` : "");
  return [make("div", {}, shown), bar(p.progress), facts, lossCurve(p.loss_history)];
}

function tiles(status, versions) {
  const v = versions.find((one) => one.version === status.current_version && !one.error);
  const tile = (name, value) => make("div", {class: "tile"}, make("b", {}, value), make("span", {}, name));
  return [
    tile(v ? `accuracy, all classes (${range(v)})` : "accuracy, all classes", percent(v?.accuracy.cnn.all)), tile("accuracy, old classes", percent(v?.accuracy.cnn.old)),
    tile("accuracy, new classes", percent(v?.accuracy.cnn.new)), tile("average over versions", percent(v?.average_incremental_accuracy)),
    tile("forgetting", percent(v?.forgetting)), tile("old taken for new", percent(v?.old_as_new)),
    tile("classes", v ? v.classes.length : "\u2013"), tile("exemplars", v ? Object.values(v.counts.exemplars).reduce((a, b) => a + b, 0) : "\u2013"),
  ];
}

function classes(status, versions) {
  const v = versions.find((one) => one.version === status.current_version && !one.error);
  if (!v) return [empty("None yet.")];
  return v.classes.map((name) => {
    const value = v.class_accuracy[name];
    return make("div", {class: "class"}, make("span", {class: "name", title: name}, name), make("span", {class: "soft"}, percent(value)), bar(value || 0));
  });
}

function versionRows(status, versions) {
  return versions.slice().reverse().map((v) => {
    if (v.error) return [v.version, v.error, "", "", "", "", "", ""];
    const state = v.version === status.current_version ? make("span", {class: "chip good"}, v.version === status.served_version ? "served" : "current")
      : v.gate.passed ? make("span", {class: "chip"}, "passed") : make("span", {class: "chip bad"}, "refused");
    const added = [...v.new_classes.map((c) => "+ " + c), ...v.updated_classes.map((c) => "\u21bb " + c)].join("  ");
    const kind = v.kind === "learnt" ? "" : make("span", {class: v.kind === "provisional" ? "chip warn" : "chip"}, v.kind);
    const number = v.report ? make("a", {href: `versions/${v.version}/report`, title: "report"}, v.version) : v.version;
    return [number, make("div", {}, state, " ", kind, v.gate.passed ? "" : make("div", {class: "soft"}, v.gate.reasons.join("; "))), added,
      make("div", {title: "95 % interval and number of images"}, percent(v.accuracy.cnn.all), make("div", {class: "soft"}, range(v))), percent(v.accuracy.cnn.old), percent(v.accuracy.cnn.new), seconds(v.timings.learn), time(v.created_at)];
  });
}

function render(status, versions) {
  const wanted = versions.find((v) => v.version === status.current_version && !v.error);
  const provisional = wanted?.kind === "provisional" ? " (provisional)" : "";
  chip("current", status.current_version ? "current version " + status.current_version + provisional : "nothing learnt yet", provisional ? "warn" : status.current_version ? "good" : "");
  const same = status.served_version === status.current_version && status.current_version;
  chip("served", status.served_version ? "served: version " + status.served_version : "no version is served", same ? "good" : status.current_version ? "warn" : "");
  byId("served").title = status.server_error || "";
  chip("store", (status.store.ok ? "store " : "store not reached: ") + status.store.url, status.store.ok ? "" : "bad");
  const standby = status.lease.state === "standby";
  chip("lease", standby ? "standby: updater " + (status.lease.holder || "(unknown)") + " is active" : status.lease.state, standby ? "warn" : "");
  show("tiles", ...tiles(status, versions));
  show("chart", chart(versions));
  show("phase", ...phase(status));
  show("classes", ...classes(status, versions));
  show("waiting", status.waiting.length ? table([["Class"], ["Images", "number"], ["Why"]], status.waiting.map((w) => [w.class, w.images, w.reason || "ready"]))
    : empty("Nothing waits. Drop a folder of images named after its class."));
  show("rejected", status.rejected.length ? table([["File"], ["Why"]], status.rejected.map((r) => [r.key, r.reason])) : empty("None since the updater started."));
  const errors = status.errors.map((e) => [time(e.at) + (e.count > 1 ? ` (${e.count} times)` : ""), `${e.where}: ${e.message}`]);
  if (status.server_error) errors.unshift(["now", "serving: " + status.server_error]);
  show("errors", errors.length ? table([["When"], ["What"]], errors) : empty("None since the updater started."));
  show("versions", versions.length ? table([["Version", "number"], ["State"], ["Learnt"], ["All", "number"], ["Old", "number"], ["New", "number"], ["Learning", "number"], ["Made"]], versionRows(status, versions)) : empty("None yet."));
}

async function get(path) {
  const answer = await fetch(path, {cache: "no-store"});
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error || answer.statusText);
  return content;
}
let known = [];
async function refresh() {
  try {
    const status = await get("api/status");
    let problem = "";
    try { known = (await get("api/versions")).versions; } catch (error) { problem = " \u00b7 versions: " + error.message; }
    render(status, known);
    byId("clock").textContent = "updated " + new Date().toLocaleTimeString() + problem;
  } catch (error) {
    byId("clock").textContent = "the updater does not answer: " + error.message;
  }
  setTimeout(refresh, document.hidden ? 10000 : 2000);
}
refresh();
