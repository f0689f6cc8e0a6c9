// A log as a reader uses it: it grows while it is read, and is gone through by errors, hits, numbers and the strip.
// Who reads the end stays at the end; who reads elsewhere is never moved, and is told how many lines came.
import { element } from "./live.js";
import { localise } from "./time.js";
import { after, atEnd, before, lineOf, list, number, onFresh, replace, rows, setFocus, toEnd, wentUp } from "./window.js";

const part = (id) => document.getElementById(id);
const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
const lines = (n) => `${count(n)} ${n === 1 ? "line" : "lines"}`;
const follows = part("follow");
let total = list() ? number("total") : 0;
let read = total;
let at = 0;
let absolute = false;

const whole = () => number("until") >= total;
let queue = Promise.resolve();
// One after another: each begins with what the one before has left.
const one = (work) => (queue = queue.then(work).then(shown, shown));

// What the links at both ends, the strip and the status say.
function shown() {
  const { path, from, until } = list().dataset;
  total = Math.max(total, number("total"));
  for (const [id, hidden, href] of [["earlier", from === "0", `?before=${from}`], ["later", whole(), `?from=${until}`]]) {
    part(id).hidden = hidden;
    part(id).href = path + href;
    near.unobserve(part(id));
    near.observe(part(id));
  }
  if (part("said").textContent !== lines(total)) part("said").textContent = lines(total);
  seen();
}

const near = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) {
    if (isIntersecting) one(() => (target.id === "later" ? after(follows.checked) : before()));
  }
}, { rootMargin: "1500px" });

function seen() {
  const block = [...list().querySelectorAll("section > ol")].find((block) => block.getBoundingClientRect().bottom > 0);
  if (block) {
    const { top, height } = block.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, -top / height));
    const [from, until] = [Number(block.dataset.from), Number(block.dataset.until)];
    const percent = (line) => `${Math.max(0.5, (100 * line) / Math.max(1, total))}%`;
    part("seen")?.setAttribute("y", percent(from + share * (until - from)));
    part("seen")?.setAttribute("height", percent(innerHeight / 20));
  }
  if (whole() && atEnd()) read = total;
  part("below").hidden = read >= total || list().dataset.live === undefined;
  part("below").querySelector("span").textContent = `${count(total - read)} new ${total - read === 1 ? "line" : "lines"}`;
}

// Shows lines, wherever in the log they are.
async function go(step, first, last = first) {
  const id = `s${step}:${first}`;
  setFocus(last > first ? `${first}-${last}` : first);
  if (!part(id)) await replace(`line=${first}`);
  at = first;
  for (const row of list().querySelectorAll(".sel")) row.classList.remove("sel");
  for (const row of rows()) row.classList.toggle("sel", lineOf(row) >= first && lineOf(row) <= last);
  for (let e = part(id); e; e = e.parentElement.closest("details")) if (e.localName === "details") e.open = true;
  part(id)?.scrollIntoView({ block: "center", behavior: "instant" });
}

// The same, so that the address leads there.
function visit(step, first, last = first) {
  const { q } = list().dataset;
  const range = last > first ? `${first}-${last}` : first;
  history.replaceState(history.state, "", `?${q ? `q=${encodeURIComponent(q)}&` : ""}line=${range}#s${step}:${range}`);
  if (last > first) getSelection().removeAllRanges();
  return one(() => go(step, first, last));
}

// `#s3:4182-4190`
function anchor(hash) {
  const [, step, first, last] = /^#s(\d+):(\d+)(?:-(\d+))?$/.exec(hash ?? "") ?? [];
  return step && [Number(step), Number(first), Number(last ?? first)];
}

// Where the reader is: the line that was shown last while it is on the screen, otherwise the first on the screen.
function here() {
  const box = list().querySelector(".sel")?.getBoundingClientRect();
  if (box && box.bottom > 0 && box.top < innerHeight) return at;
  const row = [...rows()].find((row) => row.getBoundingClientRect().bottom > 100);
  return row ? lineOf(row) - 1 : 0;
}

const marks = (name) => (part("map").dataset[name] ?? "").split(" ").filter(Boolean).map((mark) => mark.split(":").map(Number));

// The next of the marks, or the one before, round and round.
function leap(all, back) {
  if (!all.length) return -1;
  const from = here();
  const next = back ? all.findLastIndex(([, line]) => line < from) : all.findIndex(([, line]) => line > from);
  const to = next < 0 ? (back ? all.length - 1 : 0) : next;
  visit(...all[to]);
  return to;
}

function errors() {
  const shown = [...list().querySelectorAll("li.e1[id]")].map((row) => row.id.slice(1).split(":").map(Number));
  const all = new Map([...marks("errors"), ...shown].map((mark) => [mark[1], mark]));
  return [...all.values()].sort((a, b) => a[1] - b[1]);
}

function hit(back) {
  const to = leap(marks("hits"), back);
  if (to >= 0) document.querySelector("#hit-at b").textContent = count(to + 1);
}

async function strip() {
  const answer = await fetch(`${list().dataset.path}/map`, { redirect: "error" });
  if (!answer.ok) return;
  const fresh = element(await answer.text());
  const { hits } = part("map").dataset;
  if (hits) fresh.dataset.hits = hits;
  part("map").replaceWith(fresh);
}

// Times since the step began, or as a clock shows them.
function clocks(root) {
  for (const e of root.querySelectorAll(".tm")) {
    e.dataset.into ??= e.textContent;
    e.textContent = absolute ? new Date(Number(e.dataset.at)).toLocaleTimeString([], { hour12: false }) : e.dataset.into;
  }
}

async function newest() {
  if (!whole()) await replace(`before=${total}`);
  toEnd();
}

function grown({ lines, ended }) {
  total = Math.max(total, lines);
  one(async () => {
    while (follows.checked && !whole() && (await after(true)));
    if (!ended) return;
    if (whole()) await after(follows.checked);
    delete list().dataset.live;
    part("follow-label").hidden = true;
    await strip();
  });
}

const plain = (event) => !(event.ctrlKey || event.metaKey || event.altKey || event.button);

function click(event) {
  // Who opens a group reads there.
  if (event.target.closest("summary")) follows.checked = false;
  const link = event.target.closest("a.n, .mini a");
  const to = anchor(/#.*/.exec(link?.getAttribute("href") ?? "")?.[0]);
  if (!plain(event) || event.target.closest("#hits")) return;
  const map = event.target.closest("#map");
  if (to) {
    event.preventDefault();
    const was = event.shiftKey && anchor(location.hash);
    const ends = [to[1], was ? was[1] : to[1]].sort((a, b) => a - b);
    visit(was ? was[0] : to[0], ...ends);
  } else if (map) {
    // A place of the strip between two marks.
    const { top, height } = map.getBoundingClientRect();
    const line = 1 + Math.floor(((event.clientY - top) / height) * total);
    one(async () => {
      await replace(`line=${line}`);
      list().querySelector(".sel")?.scrollIntoView({ block: "center", behavior: "instant" });
    });
  }
}

function begin() {
  onFresh((fresh) => {
    localise(fresh);
    clocks(fresh);
  });
  document.querySelector(".lgw").addEventListener("click", click);
  const on = (id, act) =>
    part(id)?.addEventListener("click", (event) => {
      if (!plain(event)) return;
      event.preventDefault();
      act();
    });
  on("next-error", () => leap(errors(), false));
  on("error-before", () => leap(errors(), true));
  on("hit-next", () => hit(false));
  on("hit-before", () => hit(true));
  on("below", () => {
    follows.checked = true;
    one(newest);
  });
  part("times").addEventListener("change", ({ target }) => {
    // Since the step began, by the clock, not at all.
    absolute = !target.checked && !absolute;
    if (absolute) target.checked = true;
    clocks(list());
  });
  let waits = 0;
  addEventListener("scroll", () => {
    waits ||= requestAnimationFrame(() => {
      waits = 0;
      if (wentUp()) follows.checked = false;
      if (whole() && atEnd() && list().dataset.live !== undefined) follows.checked = true;
      seen();
    });
  }, { passive: true });
  // What is drawn late has its height late.
  new ResizeObserver(() => follows.checked && toEnd()).observe(list().parentElement);
  addEventListener("hashchange", () => anchor(location.hash) && one(() => go(...anchor(location.hash))));
  if (part("hits")) part("hits").open = false;
  first();
}

// Where it opens: at what was asked for, at its error, or where it goes on.
function first() {
  const live = list().dataset.live !== undefined;
  const to = anchor(location.hash) ?? anchor(`#${list().dataset.focus ?? ""}`);
  if (live) {
    part("follow-label").hidden = false;
    follows.addEventListener("change", () => follows.checked && one(newest));
    document.addEventListener("log", ({ detail }) => grown(detail));
  }
  if (to && !scrollY) one(() => go(...to));
  else if (live && !location.search) {
    follows.checked = true;
    one(newest);
  } else shown();
  if (part("map").dataset.part !== undefined) one(strip);
}

if (list()) begin();
