// Files from a person: dropped, or chosen.

import {post} from "./api.js";

export function dropZone(box, take) {
  const stop = (event) => { event.preventDefault(); box.classList.toggle("over", event.type === "dragover"); };
  box.addEventListener("dragover", stop);
  box.addEventListener("dragleave", stop);
  box.addEventListener("drop", (event) => { stop(event); take(event.dataTransfer); });
}

// A file that misses its box must not replace the page.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

async function entriesOf(folder) {
  const reader = folder.createReader(), found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // at most 100 a time
    if (!some.length) return found;
    found.push(...some);
  }
}

async function walk(entry, path, found) {
  const here = path + entry.name;
  if (entry.isDirectory) {
    for (const inner of await entriesOf(entry)) await walk(inner, here + "/", found);
  } else {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({path: here, file});
  }
}

// [{path: "birds/owl/1.jpg", file}] of everything that was dropped.
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const loose = [...transfer.files]; // both have to be read before the first pause
  const found = [];
  for (const entry of entries) await walk(entry, "", found);
  return entries.length ? found : loose.map((file) => ({path: file.name, file}));
}

export const chosenFiles = (input) => [...input.files].map((file) => ({path: file.webkitRelativePath || file.name, file}));

// What the paths of chosen files mean; the rules are the server's, those of `lucir drop`.
export async function readFolders(files) {
  return {files, ...await post("api/layout", {paths: files.map(({path}) => path)})};
}

// A camera gives each photograph the same name: the second one must not replace the first.
function apart(files) {
  const used = new Set();
  return files.map(({path, file}) => {
    let free = path;
    for (let number = 2; used.has(free); number++) free = path.replace(/(\.[^./]*)?$/, `-${number}$1`);
    used.add(free);
    return {path: free, file};
  });
}

// `name` is the class of everything, where a person gave one.
export function planClasses(reading, name) {
  const left = new Set([...reading.hidden, ...reading.others]);
  const images = reading.files.filter((_, place) => !left.has(place));
  const classes = new Map();
  for (const found of name ? [{class: name.normalize("NFC"), folder: ""}] : reading.classes) {
    const inside = images.filter(({path}) => path.startsWith(found.folder));
    const below = inside.map(({path, file}) => ({path: path.slice(found.folder.length), file}));
    if (below.length) classes.set(found.class, [...(classes.get(found.class) || []), ...below]);
  }
  for (const [label, found] of classes) classes.set(label, apart(found));
  return {classes, unclear: name ? [] : reading.unclear, others: reading.others.length, hidden: reading.hidden.length};
}
