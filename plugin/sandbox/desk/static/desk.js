// The CRM's part of the bargain: put cards into the page, vouch for the agent, take the height a card asks for.

const { card, agent, customer } = document.body.dataset;
const origin = new URL(card).origin;
const frames = new Map(); // window of a card: {frame, order}
const byId = (id) => document.getElementById(id);
const theme = () => document.documentElement.dataset.theme
  ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

function place(box, order) {
  const frame = document.createElement("iframe");
  frame.title = order ? `Shopify order ${order}` : "Shopify orders";
  frame.src = card;
  box.replaceChildren(frame);
  frames.set(frame.contentWindow, { frame, order });
}

async function vouch(target, order) {
  const asked = new URLSearchParams({ customer, agent, ...(order ? { order } : {}) });
  const answer = await fetch(`/api/token?${asked}`);
  if (!answer.ok) return;
  const { token } = await answer.json();
  target.postMessage({ type: "order-actions:token", token, theme: theme() }, origin);
}

window.addEventListener("message", ({ source, origin: from, data }) => {
  const known = frames.get(source);
  if (from !== origin || !known) return;
  if (data?.type === "order-actions:ready" || data?.type === "order-actions:token-please") vouch(source, known.order);
  if (data?.type === "order-actions:height") {
    known.frame.style.height = `${Math.min(4000, Math.max(60, Number(data.height) || 0))}px`;
  }
  if (data?.type === "order-actions:changed") Promise.all([showNotes(), showOrders()]);
});

function read(what) {
  return fetch(`/api/${what}?${new URLSearchParams({ customer })}`).then((answer) => answer.json()).catch(() => []);
}

async function showOrders() {
  for (const order of await read("orders")) {
    const item = byId(`order-${order.id}`);
    item?.classList.toggle("flagged", order.flagged);
    item?.querySelector(".what .muted").replaceChildren(order.status);
  }
}

async function showNotes() {
  const notes = await read("notes");
  const list = byId("notes");
  if (!notes.length || list.dataset.count === String(notes.length)) return;
  list.dataset.count = String(notes.length);
  list.replaceChildren(...notes.map(noteItem));
}

function noteItem(note) {
  const item = document.createElement("li");
  item.className = "note";
  const head = document.createElement("span");
  head.className = "label";
  head.textContent = `${note.author_name} · ${new Date(note.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
  item.append(head, `${note.body.trim()}\n`);
  if (note.url.startsWith("https://admin.shopify.com/")) {
    const link = document.createElement("a");
    Object.assign(link, { href: note.url, target: "_blank", rel: "noopener noreferrer", textContent: `Open ${note.order} in Shopify` });
    item.append(link);
  }
  return item;
}

function remember(name, value) {
  try { localStorage.setItem(name, value); } catch { /* a browser without storage forgets */ }
}

function recall(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

function setTheme(value) {
  document.documentElement.dataset.theme = value;
  byId("theme").setAttribute("aria-pressed", String(value === "dark"));
  for (const target of frames.keys()) target.postMessage({ type: "order-actions:token", theme: value }, origin);
}

function setWidth(wide) {
  document.documentElement.style.setProperty("--card", wide ? "600px" : "320px");
  byId("width").setAttribute("aria-pressed", String(wide));
}

byId("theme").addEventListener("click", () => {
  setTheme(theme() === "dark" ? "light" : "dark");
  remember("theme", theme());
});
byId("width").addEventListener("click", ({ target }) => {
  setWidth(target.getAttribute("aria-pressed") !== "true");
  remember("width", target.getAttribute("aria-pressed"));
});
byId("agent").addEventListener("change", ({ target }) => target.form.submit());

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-order]");
  if (!button) return;
  const box = byId(button.getAttribute("aria-controls"));
  box.hidden = !box.hidden;
  button.setAttribute("aria-expanded", String(!box.hidden));
  if (!box.hidden && !box.firstChild) place(box, button.dataset.order);
});

if (recall("theme")) setTheme(recall("theme") === "dark" ? "dark" : "light");
setWidth(recall("width") === "true");
if (customer) {
  place(byId("insight"));
  showNotes();
  setInterval(showNotes, 3000);
}
