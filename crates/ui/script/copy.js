// Commands and digests get a button that copies them.
function button(text, name, place) {
  const copy = document.createElement("button");
  copy.className = "btn copy";
  copy.type = "button";
  const said = document.createElement("span");
  said.textContent = "Copy";
  copy.append(shape(), said);
  copy.setAttribute("aria-label", `Copy ${name}`);
  copy.addEventListener("click", async () => {
    said.textContent = (await write(text())) ? "Copied" : "Not copied";
    setTimeout(() => (said.textContent = "Copy"), 2000);
  });
  place(copy);
}

function shape() {
  const make = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);
  const svg = make("svg");
  svg.setAttribute("class", "i");
  svg.setAttribute("aria-hidden", "true");
  const use = make("use");
  use.setAttribute("href", "#copy");
  svg.append(use);
  return svg;
}

// Without TLS a page gets no clipboard, but what is selected can be copied.
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "vh";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

function dress(root) {
  for (const commands of root.querySelectorAll(".cmds:not(:has(.copy)), pre.one:not(:has(.copy))")) {
    const text = (commands.querySelector("pre") ?? commands).textContent;
    button(() => text.trim(), "these commands", (copy) => commands.append(copy));
  }
  for (const value of root.querySelectorAll("[data-copy]:not(.dressed)")) {
    value.classList.add("dressed");
    button(() => value.dataset.copy, value.dataset.name ?? "it", (copy) => value.after(copy));
  }
}

dress(document);
document.addEventListener("patched", ({ detail }) => dress(detail.element.parentElement ?? document));
