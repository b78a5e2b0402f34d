// Talking to the updater. Changes carry the token that the person typed; it stays in this tab.

const TOKEN = "lucir-token";
const PATIENCE_MS = 60000;

export const token = () => sessionStorage.getItem(TOKEN) || "";
export function keepToken(text) {
  if (text) sessionStorage.setItem(TOKEN, text);
  else sessionStorage.removeItem(TOKEN);
}

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function headers(extra) {
  return token() ? {...extra, authorization: "Bearer " + token()} : extra;
}

async function answerOf(answer) {
  const text = await answer.text();
  let content;
  try { content = text ? JSON.parse(text) : {}; } catch { content = {error: text.slice(0, 200)}; }
  if (!answer.ok) throw new ApiError(answer.status, content.error || answer.statusText);
  return content;
}

async function ask(path, options) {
  const gone = new AbortController();
  const timer = setTimeout(() => gone.abort(), PATIENCE_MS);
  try {
    return await answerOf(await fetch(path, {...options, signal: gone.signal}));
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(0, error.name === "AbortError" ? "the updater did not answer in time" : "the updater does not answer");
  } finally {
    clearTimeout(timer);
  }
}

// A file that only whoever has the token may see; an address in a page cannot carry one.
export async function blob(path) {
  const answer = await fetch(path, {cache: "no-store", headers: headers({}), signal: AbortSignal.timeout(PATIENCE_MS)});
  if (!answer.ok) throw new ApiError(answer.status, answer.statusText);
  return answer.blob();
}

// "no-cache": the browser asks whether what it has is still the same, and gets 304 where it is.
export const get = (path) => ask(path, {cache: "no-cache", headers: headers({})});

let authorize = async () => false;
export function askTokenBy(handler) { authorize = handler; }

async function change(path, options) {
  try {
    return await ask(path, {...options, headers: headers(options.headers)});
  } catch (error) {
    if (error.status !== 401 || !(await authorize())) throw error;
    return ask(path, {...options, headers: headers(options.headers)});
  }
}

export const post = (path, body) =>
  change(path, {method: "POST", body: JSON.stringify(body), headers: {"content-type": "application/json"}});
export const sendFile = (method, path, file) =>
  change(path, {method, body: file, headers: {"content-type": "application/octet-stream"}});
export const remove = (path) => change(path, {method: "DELETE", headers: {}});

export const segment = encodeURIComponent;
export function query(values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return new URLSearchParams(pairs.flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)]))).toString();
}
export const exemplar = (version, name, rank) => `api/versions/${version}/exemplar?` + query({class: name, rank: String(rank)});
