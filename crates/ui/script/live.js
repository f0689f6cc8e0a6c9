// The page stays true by events: each patch replaces one element by its id. A patch that is older than what stands
// is dropped; focus, open parts and scroll inside the element survive it.
import { localise } from "./time.js";

// All markup from events comes from our own server, already escaped there; the one script is ours.
const policy = window.trustedTypes?.createPolicy("pilotage", { createHTML: (html) => html, createScriptURL: (url) => url });

export function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = policy ? policy.createHTML(html) : html;
  return template.content;
}

export const element = (html) => parse(html).firstElementChild;

export function patch({ id, rev, html }) {
  const old = document.getElementById(id);
  if (!old || Number(old.dataset.rev ?? 0) >= rev) return;
  const fresh = element(html);
  if (!fresh) return;
  fresh.dataset.rev = rev;
  localise(fresh);
  keep(old, fresh);
  const focus = old.contains(document.activeElement) ? document.activeElement : null;
  const selection = focus && "selectionStart" in focus ? [focus.selectionStart, focus.selectionEnd] : null;
  const scroll = [...old.querySelectorAll("[id]")].filter((e) => e.scrollTop || e.scrollLeft).map((e) => [e.id, e.scrollTop, e.scrollLeft]);
  old.replaceWith(fresh);
  for (const [inner, top, left] of scroll) document.getElementById(inner)?.scrollTo(left, top);
  if (focus) {
    const again = focus.id ? document.getElementById(focus.id) : fresh.querySelector(same(focus));
    // Scripts made it reachable, and will make its successor so.
    if (again && focus.hasAttribute("tabindex")) again.tabIndex = focus.tabIndex;
    again?.focus({ preventScroll: true });
    if (again && selection?.[0] != null) again.setSelectionRange(...selection);
  }
  document.dispatchEvent(new CustomEvent("patched", { detail: { element: fresh } }));
}

// What the reader did to the element: open parts, and what is written in its fields.
function keep(old, fresh) {
  for (const part of old.querySelectorAll("details[id]")) {
    fresh.querySelector(`#${CSS.escape(part.id)}`)?.toggleAttribute("open", part.open);
  }
  for (const field of old.querySelectorAll("input[id], textarea[id], select[id]")) {
    const again = fresh.querySelector(`#${CSS.escape(field.id)}`);
    if (!again || field.type === "hidden") continue;
    if (field.type === "checkbox") again.checked = field.checked;
    else if (field.value !== field.defaultValue) again.value = field.value;
  }
}

function same(e) {
  const href = e.getAttribute("href");
  const name = e.getAttribute("name");
  return e.localName + (href ? `[href="${CSS.escape(href)}"]` : "") + (name ? `[name="${CSS.escape(name)}"]` : "");
}

// While a button is pressed nothing is replaced: a click counts only where it began and ended on one element. Lists
// whose rows would jump under the pointer wait until it has left them.
let held = null;
const still = new Map();

function take(change) {
  if (held) return held.push(change);
  const old = document.getElementById(change.id);
  if (old?.dataset.still !== undefined && old.matches(":hover") && matchMedia("(hover: hover)").matches) {
    if (!still.has(change.id)) old.addEventListener("pointerleave", settle, { once: true });
    const { count = 0 } = still.get(change.id) ?? {};
    still.set(change.id, { change, count: count + 1 });
    return waiting(old, count + 1);
  }
  patch(change);
}

// Said where a list waits: how much, and a button for who does not want to wait.
function waiting(list, count) {
  const said = list.querySelector(".updates") ?? document.createElement("button");
  said.className = "btn updates";
  said.type = "button";
  said.textContent = `${count} ${count === 1 ? "update" : "updates"}`;
  said.onclick = settle;
  if (!said.isConnected) list.prepend(said);
}

function settle() {
  const changes = [...still.values()];
  still.clear();
  changes.forEach(({ change }) => patch(change));
}

function release() {
  const changes = held ?? [];
  held = null;
  changes.forEach(take);
}

addEventListener("pointerdown", () => (held ??= []), true);
for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, () => setTimeout(release), true);

const topics = document.body.dataset.topics?.split("\n");
let stop = null;
let retry = () => {};

function hear(message) {
  if (message.kind === "patch") take(message);
  else if (message.kind === "log") document.dispatchEvent(new CustomEvent("log", { detail: message }));
  else if (message.kind === "gone") say("This is not there any more, or not for you.", "Load again", () => location.reload());
  else if (message.kind === "out") say("You are signed out.", "Sign in", () => location.reload());
  else if (message.kind === "offline") {
    const at = new Date(message.since).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
    say(`Offline since ${at}, retrying. What you see is from then.`, "Try now", retry);
  } else document.getElementById("offline").replaceChildren();
}

function say(words, action, act) {
  const note = document.createElement("p");
  note.className = "note";
  const button = document.createElement("button");
  button.className = "btn";
  button.type = "button";
  button.textContent = action;
  button.addEventListener("click", () => act());
  note.append(words, button);
  document.getElementById("offline").replaceChildren(note);
}

async function alone() {
  const stream = await import("./stream.js");
  retry = stream.retry;
  stop = stream.listen(topics, hear);
}

function connect() {
  if (!topics || stop) return;
  stop = () => {};
  if (!window.SharedWorker) return alone();
  const url = new URL("./stream.js", import.meta.url).href;
  const worker = new SharedWorker(policy ? policy.createScriptURL(url) : url, { type: "module", name: "pilotage" });
  worker.addEventListener("error", alone);
  const { port } = worker;
  port.onmessage = ({ data }) => hear(data);
  port.postMessage({ topics });
  retry = () => port.postMessage({ kind: "retry" });
  stop = () => {
    port.postMessage({});
    port.close();
  };
}

// A page in the back/forward cache must hold no connection, and is right again at once when it comes back.
addEventListener("pagehide", () => {
  stop?.();
  stop = null;
});
addEventListener("pageshow", (event) => event.persisted && connect());
connect();
