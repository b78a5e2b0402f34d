// Files from a person: dropped, or chosen.

export function dropZone(box, take) {
  const stop = (event) => { event.preventDefault(); box.classList.toggle("over", event.type === "dragover"); };
  box.addEventListener("dragover", stop);
  box.addEventListener("dragleave", stop);
  box.addEventListener("drop", (event) => { stop(event); take(event.dataTransfer); });
}

// A file that misses its box must not replace the page.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

async function readFolder(folder) {
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
    for (const inner of await readFolder(entry)) await walk(inner, here + "/", found);
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

// The rules of `lucir drop`: a folder that holds images is a class, else each folder in it is one; hidden files and
// files that are not images are left out. `name` is the class of everything, where a person gave one.
const IMAGE = /[^/]\.(jpe?g|png|webp|bmp|gif|tiff?)$/i;

export function planClasses(files, name) {
  const hidden = files.filter(({path}) => path.split("/").some((part) => part.startsWith(".")));
  const images = files.filter((one) => !hidden.includes(one) && IMAGE.test(one.path));
  const direct = new Set(images.map(({path}) => path.split("/")).filter((parts) => parts.length === 2).map(([folder]) => folder));
  const classes = new Map(), unnamed = [];
  for (const {path, file} of images) {
    const parts = path.split("/");
    const depth = parts.length < 2 ? 0 : direct.has(parts[0]) ? 1 : 2;
    const label = (name || (depth ? parts[depth - 1] : "")).normalize("NFC");
    const inside = name ? path : parts.slice(depth).join("/");
    if (!label) unnamed.push(path);
    else classes.set(label, [...(classes.get(label) || []), {path: inside, file}]);
  }
  return {classes, unnamed, others: files.length - images.length - hidden.length, hidden: hidden.length};
}
