// Files from a person: dropped, or chosen.

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

// The rules of `lucir drop`: a folder of images is a class; without images of its own, each folder in it is one. What can
// be read in two ways is not guessed. Hidden files and files of another kind are left out; the updater looks into the rest.
const IMAGE = /[^/]\.(jpe?g|png|webp|bmp|gif|tiff?|heic|avif)$/i;
const SPLITS = new Set(["train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval", "evaluation", "holdout"]);
const looksLikeImage = ({path, file}) => IMAGE.test(path) || file.type.startsWith("image/") || !path.split("/").pop().includes(".");

function group(items, key) {
  const groups = new Map();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) || []), item]);
  return groups;
}

// The classes of one folder, as [[class, files]], with paths below the class; or a string that says what is unclear.
function readFolder(name, files) {
  const inside = files.map(({path, file}) => ({path: path.slice(name.length + 1), file}));
  const loose = inside.filter(({path}) => !path.includes("/"));
  const folders = group(inside.filter(({path}) => path.includes("/")), ({path}) => path.split("/")[0]);
  if (loose.length && folders.size > 1) return `${name} holds images beside folders with images: type the class if all are one, or choose the folders alone`;
  if (loose.length) return [[name, inside]];
  if ([...folders.keys()].every((folder) => SPLITS.has(folder.toLowerCase()))) return `${name} holds parts of a data set (${[...folders.keys()].join(", ")}): choose one of them, or type the class`;
  const only = folders.size === 1 ? [...folders.keys()][0] : "";
  const deeper = only && group(folders.get(only).filter(({path}) => path.split("/").length > 2), ({path}) => path.split("/")[1]);
  if (deeper && deeper.size > 1 && folders.get(only).every(({path}) => path.split("/").length > 2)) return `${name} holds ${only}, which holds folders: choose ${only}, or type the class`;
  return [...folders].map(([folder, found]) => [folder, found.map(({path, file}) => ({path: path.slice(folder.length + 1), file}))]);
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
export function planClasses(files, name) {
  const seen = files.filter(({path}) => !path.split("/").some((part) => part.startsWith(".")));
  const images = seen.filter(looksLikeImage);
  const classes = new Map(), unclear = [];
  const add = (label, found) => classes.set(label.normalize("NFC"), [...(classes.get(label.normalize("NFC")) || []), ...found]);
  if (name) { if (images.length) add(name, images); } else {
    const loose = images.filter(({path}) => !path.includes("/"));
    if (loose.length) unclear.push(`${loose.length} of the files lie in no folder: type the class that they are of`);
    for (const [folder, found] of group(images.filter(({path}) => path.includes("/")), ({path}) => path.split("/")[0])) {
      const read = readFolder(folder, found);
      if (typeof read === "string") unclear.push(read);
      else for (const [label, some] of read) add(label, some);
    }
  }
  for (const [label, found] of classes) classes.set(label, apart(found));
  return {classes, unclear, others: seen.length - images.length, hidden: files.length - seen.length};
}
