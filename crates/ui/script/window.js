// A window of a log: it grows at both ends while the reader comes near, and far from the reader it is taken away
// again, so that a log of a million lines is as light as one of a thousand. What is read stays where it is.
import { element } from "./live.js";

const BLOCKS = 40;
const LINES = 200;
const still = { behavior: "instant" };

export const list = () => document.getElementById("lines");
export const number = (name) => Number(list().dataset[name]);
export const rows = () => list().querySelectorAll("li[id]");
export const lineOf = (row) => Number(row.id.split(":")[1]);
export const atEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - 40;
// Where the page stood when it was last asked, moved by what we did to it since.
let stood = 0;

export function toEnd() {
  scrollTo({ top: document.documentElement.scrollHeight, ...still });
  stood = scrollY;
}

// Whether the reader has gone up since it was last asked. A page that got shorter at its end has moved no reader.
export function wentUp() {
  const up = scrollY < stood - 4 && innerHeight + scrollY < document.documentElement.scrollHeight - 2;
  stood = scrollY;
  return up;
}

const blocks = (root) => [...root.querySelectorAll("section > ol")];
let dress = () => {};
let focus = "";

// Asks for a window; `fresh` is called for what came, before it is shown.
async function get(query) {
  const { path, q } = list().dataset;
  const words = new URLSearchParams(query);
  if (focus && !words.has("line")) words.set("line", focus);
  if (q) words.set("q", q);
  const answer = await fetch(`${path}/lines?${words}`, { redirect: "error" });
  if (!answer.ok) throw new Error(answer.statusText);
  const fresh = element(await answer.text());
  dress(fresh);
  return fresh;
}

export function onFresh(act) {
  dress = act;
}

// Which lines the reader wants to see: their group stays open.
export function setFocus(lines) {
  focus = String(lines);
}

// Does something to the window without moving what is on the screen.
function keeping(work) {
  const all = blocks(list());
  const block = all.find((block) => block.getBoundingClientRect().bottom > 60) ?? all[0];
  const row = [...(block?.querySelectorAll("li[id]") ?? [])].find((row) => row.getBoundingClientRect().bottom > 60);
  const top = row?.getBoundingClientRect().top;
  work();
  const moved = row?.isConnected ? row.getBoundingClientRect().top - top : 0;
  if (!moved) return;
  scrollBy({ top: moved, ...still });
  stood += moved;
}

// Takes away the blocks that are too many at one end.
function trim(last) {
  const all = blocks(list());
  const over = all.length - BLOCKS;
  if (over <= 0) return;
  for (const block of last ? all.slice(-over) : all.slice(0, over)) {
    const section = block.parentElement;
    block.remove();
    if (!section.querySelector("ol")) section.remove();
  }
  const left = blocks(list());
  if (last) list().dataset.until = left[left.length - 1].dataset.until;
  else list().dataset.from = left[0].dataset.from;
}

// What is here already is not added twice.
function without(fresh) {
  for (const row of fresh.querySelectorAll("li[id]")) if (document.getElementById(row.id)) row.remove();
  fresh.querySelector(".none")?.remove();
  return fresh;
}

// Puts together the last block and what follows it, while they are small.
function merge(last, next) {
  const lines = last.querySelectorAll(".n").length + next.querySelectorAll(".n").length;
  if (lines > LINES) return;
  const open = last.lastElementChild?.querySelector("details");
  const more = next.firstElementChild?.querySelector("details");
  if (open && more && open.dataset.group === more.dataset.group) {
    open.querySelector("ol").append(...more.querySelector("ol").children);
    open.querySelector(".end").replaceWith(more.querySelector(".end"));
    next.firstElementChild.remove();
  }
  last.append(...next.children);
  last.dataset.until = next.dataset.until;
  next.remove();
}

function append(fresh) {
  const last = list().querySelector(":scope > section:last-of-type");
  const next = fresh.querySelector(":scope > section");
  list().querySelector(":scope > .none")?.remove();
  if (last && next && last.dataset.step === next.dataset.step) {
    next.querySelector(".cmd")?.remove();
    const [a, b] = [blocks(list()).at(-1), next.querySelector("ol")];
    if (a && b) merge(a, b);
    last.append(...next.children);
    next.remove();
  }
  list().append(...fresh.children);
  list().dataset.until = fresh.dataset.until;
}

function prepend(fresh) {
  const last = fresh.querySelector(":scope > section:last-of-type");
  const next = list().querySelector(":scope > section");
  if (last && next && last.dataset.step === next.dataset.step) {
    next.querySelector(".cmd")?.after(...last.querySelectorAll(":scope > ol"));
    last.remove();
  }
  fresh.querySelector(".lost")?.remove();
  list().prepend(...fresh.children);
  list().dataset.from = fresh.dataset.from;
}

// The lines behind the window; tells whether any came. `stick` is for who reads the end.
export async function after(stick) {
  const until = number("until");
  const fresh = await get(`from=${until}`);
  if (until !== number("until")) return false;
  without(fresh);
  const end = stick && atEnd();
  const add = () => {
    append(fresh);
    trim(false);
  };
  if (end) {
    add();
    toEnd();
  } else keeping(add);
  return number("until") > until;
}

export async function before() {
  const from = number("from");
  const fresh = await get(`before=${from}`);
  if (from !== number("from")) return;
  keeping(() => {
    prepend(without(fresh));
    trim(true);
  });
}

// Another window in place of this one.
export async function replace(query) {
  list().replaceWith(await get(query));
}
