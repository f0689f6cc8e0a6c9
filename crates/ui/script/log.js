// A log that grows: asks for the lines that come next and adds them. Who reads the end stays at the end; who reads
// elsewhere is never moved, and is told how many lines came.
import { element } from "./live.js";
import { localise } from "./time.js";

const list = document.getElementById("lines");
const pill = document.getElementById("below");
const said = document.getElementById("said");
let follows = true;
let unseen = 0;
let failed = 0;

const atEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - 40;
const toEnd = () => scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

function seen() {
  follows = atEnd();
  if (follows) unseen = 0;
  pill.hidden = unseen === 0;
}

function add(more) {
  const end = atEnd();
  list.querySelector(":scope > .none")?.remove();
  let lines = 0;
  for (const row of [...more.children]) {
    // A line that is here already is not added twice.
    if (row.classList.contains("none") || (row.id && document.getElementById(row.id))) continue;
    if (/^s\d/.test(row.id)) lines += 1;
    list.append(row);
  }
  list.dataset.next = more.dataset.next;
  if (more.dataset.step) list.dataset.step = more.dataset.step;
  if (!lines) return;
  said.textContent = `${count(more.dataset.total)} lines`;
  if (follows && end) return toEnd();
  unseen += lines;
  pill.querySelector("span").textContent = `${count(unseen)} new ${unseen === 1 ? "line" : "lines"}`;
  pill.hidden = false;
}

async function follow(path) {
  for (;;) {
    const step = list.dataset.step ? `&step=${list.dataset.step}` : "";
    try {
      const answer = await fetch(`${path}?from=${list.dataset.next}${step}`, { redirect: "error" });
      if (answer.status === 404 || answer.status === 403) return;
      if (!answer.ok) throw new Error(answer.statusText);
      const more = element(await answer.text());
      localise(more);
      add(more);
      failed = 0;
      if (!("follow" in more.dataset)) return;
    } catch {
      failed += 1;
      await new Promise((later) => setTimeout(later, Math.min(10000, 200 * 2 ** failed)));
    }
  }
}

// A failed job's page opens at its error, unless a line was asked for or the reader comes back.
if (list?.dataset.error && !location.hash && !location.search && !scrollY) {
  document.getElementById(list.dataset.error)?.scrollIntoView({ block: "center", behavior: "instant" });
}

if (list?.dataset.follow) {
  if (!location.hash && !location.search) toEnd();
  addEventListener("scroll", seen, { passive: true });
  pill.addEventListener("click", toEnd);
  follow(list.dataset.follow);
}
