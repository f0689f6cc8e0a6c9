// Forms, which all work without this: the pressed button says that it is at work and is not pressed twice. One that
// says `data-live` is sent from here: the page stays, what it changes comes by events, a refusal is said with its
// reason, and what can be taken back (`data-undo`) can be at once.
const SHOWN_MS = 10000;

export function toast(words, action, act) {
  const note = document.createElement("div");
  note.className = "toast";
  note.append(words);
  if (action) {
    const button = document.createElement("button");
    button.className = "btn";
    button.type = "button";
    button.textContent = action;
    button.addEventListener("click", () => {
      note.remove();
      act();
    });
    note.append(button);
  }
  document.getElementById("toasts").append(note);
  const go = () => (note.matches(":hover, :focus-within") ? setTimeout(go, 1000) : note.remove());
  setTimeout(go, SHOWN_MS);
}

// Sends fields as a form does; tells where it leads, or why not.
async function send(action, fields) {
  const answer = await fetch(action, { method: "POST", body: fields, headers: { "x-form": "1" }, redirect: "error" });
  if (answer.status === 204) return { to: answer.headers.get("x-location") };
  const type = answer.headers.get("content-type") ?? "";
  return { fault: (type.includes("json") && (await answer.json()).detail) || "The server refused it." };
}

function busy(form, button, is) {
  form.toggleAttribute("data-busy", is);
  if (is) button?.setAttribute("aria-busy", "true");
  else button?.removeAttribute("aria-busy");
}

async function live(form, button) {
  const fields = new URLSearchParams(new FormData(form, button));
  const action = button?.getAttribute("formaction") ?? form.getAttribute("action");
  busy(form, button, true);
  const failed = (why) => {
    busy(form, button, false);
    toast(why, "Try again", () => live(form, button));
  };
  try {
    const { to, fault } = await send(action, fields);
    if (fault) return failed(fault);
    if (to?.startsWith("/login")) return location.assign(to);
    const { done, undo } = form.dataset;
    if (done) toast(done, undo && "Undo", async () => {
      const { fault } = await send(undo, fields).catch(() => ({ fault: "The server cannot be reached." }));
      if (fault) toast(fault);
    });
    // The patch that shows it may have come before.
    if (!undo) setTimeout(() => busy(form, button, false), 2000);
  } catch {
    failed("Not sent: the server cannot be reached.");
  }
}

addEventListener("submit", (event) => {
  const { target: form, submitter } = event;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.dataset.busy !== undefined) return event.preventDefault();
  if (form.dataset.live === undefined) return setTimeout(() => busy(form, submitter, true));
  event.preventDefault();
  live(form, submitter);
});

// Back in the history nothing is at work.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-busy]")) busy(form, form.querySelector("[aria-busy]"), false);
});
