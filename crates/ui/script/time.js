// Ages and durations go on counting, and times are written in the reader's own zone. One timer for the page.
const pad = (n, width = 2) => String(n).padStart(width, "0");
const clock = (d) => `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 5) return "now";
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

export function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m ${pad(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${pad(Math.floor((s % 3600) / 60))} m`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tick() {
  const now = Date.now();
  for (const e of document.querySelectorAll("time[data-age]")) set(e, age(now - e.dataset.age));
  for (const e of document.querySelectorAll("[data-since]")) set(e, duration(now - e.dataset.since));
  for (const e of document.querySelectorAll("time[data-until]")) set(e, duration(e.dataset.until - now));
}

// Also called for what arrives later.
export function localise(root) {
  const each = (name, text) => {
    for (const e of root.querySelectorAll(`time[data-${name}]`)) {
      const d = new Date(Number(e.getAttribute(`data-${name}`)));
      set(e, text(d));
      e.title = d.toLocaleString();
    }
  };
  each("clock", clock);
  each("minute", (d) => clock(d).slice(0, 5));
  each("clock-ms", (d) => `${clock(d)}.${pad(d.getMilliseconds(), 3)}`);
  const moment = (d) => `${d.getDate()} ${months[d.getMonth()]} ${clock(d)}`;
  each("moment", moment);
  each("date", (d) => moment(d).slice(0, -3));
}

localise(document);
tick();
setInterval(() => document.hidden || tick(), 1000);
document.addEventListener("visibilitychange", tick);
