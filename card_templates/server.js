// Who is asking, and the way to the server: the CRM's token, our session, one request at a time.
const meta = (name) => document.querySelector(`meta[name="${name}"]`);

// --- the CRM around the card -------------------------------------------------------------------------------
const origins = JSON.parse(meta("host-origins").content);
let [host, hear] = [null, () => {}]; // the origin that answered; who waits for its token
const [around, trusted] = meta("crm") ? [window, [location.origin]] : [window.parent, origins]; // or an adapter here

export function tell(message) {
  if (window.parent === window) return;
  const known = trusted.filter((origin) => origin === (host ?? location.ancestorOrigins?.[0]));
  for (const origin of known.length ? known : trusted) around.postMessage(message, origin);
}

window.addEventListener("message", ({ source, origin, data }) => {
  if (source !== around || !trusted.includes(origin) || data?.type !== "order-actions:token") return;
  host = origin;
  if (["light", "dark"].includes(data.theme)) document.documentElement.dataset.theme = data.theme;
  if (typeof data.token === "string") hear(data.token);
});

/** The request never left, or was turned away before anything was done. */
export class Unsent extends Error {
  constructor(screen, text = "") { super(text); this.screen = screen; }
}

async function hostToken(first) {
  for (let turn = 0; turn < 4; turn += 1) {
    tell({ type: first && turn === 0 ? "order-actions:ready" : "order-actions:token-please" });
    const token = await new Promise((resolve) => { hear = resolve; setTimeout(resolve, 2000); });
    hear = () => {};
    if (token) return token;
  }
  throw new Unsent("alone");
}

// --- the server --------------------------------------------------------------------------------------------
let [session, opening, renewal] = ["", null, 0];
const proofs = new Map(); // address of an order found by its number: what lets it be opened beside this customer
const proof = (url) => [...proofs].find(([order]) => url === order || url.startsWith(`${order}/`))?.[1] ?? "";

export const openSession = (first = false) => (opening ??= exchange(first).finally(() => { opening = null; }));

async function exchange(first) {
  const headers = { Authorization: `Bearer ${await hostToken(first)}` };
  const sent = fetch("/session", { method: "POST", headers, mode: "same-origin", credentials: "omit" });
  const answer = await sent.catch(() => null);
  const body = await answer?.json().catch(() => null);
  if (!body) throw new Unsent("offline");
  if (answer.status === 401) tell({ type: "order-actions:refused" });
  if (!answer.ok) throw new Unsent(answer.status === 401 ? "stranger" : "refused", String(body.message ?? ""));
  session = body.session;
  clearTimeout(renewal);
  renewal = setTimeout(() => openSession().catch(() => {}), Math.max(5, body.expires_in - 30) * 1000);
  return body;
}

async function reach(url, { body, signal } = {}, again = true) {
  const answer = await fetch(url, {
    method: body ? "POST" : "GET", body, signal,
    headers: { Authorization: `Bearer ${session}`, Accept: "text/html", "X-Order-Found": proof(url) },
    mode: "same-origin", credentials: "omit", redirect: "error", cache: "no-store",
  });
  if (answer.status !== 401 || !again) return answer;
  await openSession();
  return reach(url, { body, signal }, false);
}

export async function ask(url, given) {
  const answer = await reach(url, given);
  const box = document.createElement("template");
  box.innerHTML = await answer.text(); // a fragment of our own server, escaped there; the CSP runs nothing in it
  const fragment = box.content.firstElementChild;
  if (!fragment?.matches("[data-view]")) throw new Error("not a fragment");
  fragment.querySelectorAll("[data-found]").forEach(({ dataset }) => proofs.set(dataset.get, dataset.found));
  return Object.assign(fragment, { status: answer.status });
}

/** A file: the session goes in a header, so no link can fetch it. */
export async function save(url, name) {
  const answer = await reach(url);
  if (!answer.ok) throw new Error("no file");
  const link = document.createElement("a");
  Object.assign(link, { href: URL.createObjectURL(await answer.blob()), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
