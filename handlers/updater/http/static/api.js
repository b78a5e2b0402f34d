// Talking to the updater. Two secrets that a person typed stay in this tab: the token, which changes carry, and the API key
// of predictions, which images to be classified carry. Neither goes where the other belongs.

const PATIENCE_MS = 60000;

class Secret {
  constructor(name, header) {
    this.name = name; // of its dialog
    this.place = "lucir-" + name;
    this.header = header;
  }
  get text() { return sessionStorage.getItem(this.place) || ""; }
  keep(text) {
    if (text) sessionStorage.setItem(this.place, text);
    else sessionStorage.removeItem(this.place);
  }
  headers(extra) { return this.text ? {...extra, ...this.header(this.text)} : extra; }
}

export const token = new Secret("token", (text) => ({authorization: "Bearer " + text}));
export const apiKey = new Secret("api-key", (text) => ({"x-api-key": text}));

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
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
  const answer = await fetch(path, {cache: "no-store", headers: token.headers({}), signal: AbortSignal.timeout(PATIENCE_MS)});
  if (!answer.ok) throw new ApiError(answer.status, answer.statusText);
  return answer.blob();
}

// "no-cache": the browser asks whether what it has is still the same, and gets 304 where it is.
export const get = (path) => ask(path, {cache: "no-cache", headers: token.headers({})});

let askFor = async () => false;
export function askSecretBy(handler) { askFor = handler; }

// Asked for is only what the answer says is missing; what another call was given meanwhile is tried first.
async function send(path, options, secret) {
  const used = secret.text;
  const attempt = () => ask(path, {...options, headers: secret.headers(options.headers)});
  try {
    return await attempt();
  } catch (error) {
    if (error.status !== 401 || (secret.text === used && !(await askFor(secret)))) throw error;
    return attempt();
  }
}

const FILE = {"content-type": "application/octet-stream"};
const change = (path, options) => send(path, options, token);
export const post = (path, body) =>
  change(path, {method: "POST", body: JSON.stringify(body), headers: {"content-type": "application/json"}});
export const sendFile = (method, path, file) =>
  change(path, {method, body: file, headers: FILE});
export const classify = (path, file) => send(path, {method: "POST", body: file, headers: FILE}, apiKey);
export const remove = (path) => change(path, {method: "DELETE", headers: {}});

export const segment = encodeURIComponent;
export function query(values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return new URLSearchParams(pairs.flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)]))).toString();
}
export const exemplar = (version, name, rank) => `api/versions/${version}/exemplar?` + query({class: name, rank: String(rank)});
