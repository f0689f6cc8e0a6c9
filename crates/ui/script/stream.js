// The one line to the server on which everything live comes. All tabs of a browser share it, as a shared worker, since
// a browser opens only six connections to a server; where there is no such worker, a tab has its own.
const waits = [200, 500, 1000, 2000, 5000, 10000];
const most = 32;
const listeners = new Set();
// The newest message about each thing, for tabs that begin to listen to what is heard already.
const known = new Map();
let source = null;
let heard = "";
let timer = 0;
let tries = 0;
let since = null;

export function listen(topics, tell) {
  const listener = { topics, tell };
  listeners.add(listener);
  if (since) tell({ kind: "offline", since });
  for (const message of known.values()) if (source && topics.includes(message.topic)) tell(message);
  later(topics.every((topic) => heard.split("\n").includes(topic)) ? 5000 : 20);
  return () => {
    listeners.delete(listener);
    // The next page of the same tab may want the same.
    later(listeners.size ? 5000 : 1000);
  };
}

export const retry = () => later(0);

function later(ms) {
  clearTimeout(timer);
  timer = setTimeout(connect, ms);
}

function connect() {
  const topics = [...new Set([...listeners].flatMap((listener) => listener.topics))].slice(-most);
  if (!topics.length) return close();
  const wanted = topics.sort().join("\n");
  if (source && heard === wanted) return;
  close();
  heard = wanted;
  for (const [key, { topic }] of known) if (!topics.includes(topic)) known.delete(key);
  source = new EventSource(`/-/events?topics=${encodeURIComponent(wanted)}`);
  source.addEventListener("open", () => {
    tries = 0;
    if (since) all({ kind: "online" });
    since = null;
  });
  for (const kind of ["patch", "log", "gone"]) source.addEventListener(kind, (event) => take(kind, JSON.parse(event.data)));
  source.addEventListener("error", lost);
}

function take(kind, message) {
  const key = `${message.topic}\n${kind}\n${message.id ?? ""}`;
  // A line that begins again says everything again.
  if (kind === "patch" && known.get(key)?.html === message.html) return;
  known.set(key, { ...message, kind });
  all(known.get(key));
}

const all = (message) => listeners.forEach(({ topics, tell }) => (!message.topic || topics.includes(message.topic)) && tell(message));

async function lost() {
  close();
  later(waits[Math.min(tries++, waits.length - 1)] * (0.8 + Math.random() * 0.4));
  if (tries < 2) return;
  if (!since) all({ kind: "offline", since: (since = Date.now()) });
  try {
    const answer = await fetch("/-/palette", { method: "HEAD", redirect: "manual" });
    if (answer.type === "opaqueredirect") all({ kind: "out" });
  } catch {
    // Still offline.
  }
}

function close() {
  source?.close();
  source = null;
}

// In a worker each tab has a port.
if ("onconnect" in globalThis) {
  globalThis.onconnect = ({ ports: [port] }) => {
    let end = () => {};
    port.onmessage = ({ data }) => {
      if (data.kind === "retry") return retry();
      end();
      end = data.topics ? listen(data.topics, (message) => port.postMessage(message)) : () => {};
    };
    // A tab that died says nothing.
    port.addEventListener("close", () => end());
  };
}
