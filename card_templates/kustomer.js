// Kustomer around the card: turns what its card script tells into the card's own messages, and connects the agent.
// Its script is the only foreign one this page runs; nothing it says proves who somebody is.

const KEY = "order-actions:handle"; // in this frame's own storage, which the browser keeps apart for each CRM
const COMMAND = ".app.orders.open"; // the end of our command's name; Kustomer puts the app before it
const bar = document.querySelector("[data-connect]");
const send = (message) => window.postMessage(message, location.origin);
const stored = { // a browser may refuse storage to a frame: then the agent connects again each time
  get: () => { try { return localStorage.getItem(KEY); } catch { return null; } },
  set: (value) => { try { value ? localStorage.setItem(KEY, value) : localStorage.removeItem(KEY); } catch { memory = value; } },
};
let memory = null; // the handle where storage is refused
const handle = () => stored.get() ?? memory;

let known;
const context = new Promise((resolve) => { known = resolve; });
window.Kustomer?.initialize((told) => known(told));
window.Kustomer?.on?.("context", async (told) => { // another customer: nothing of the last one may stay
  if (told?.customer?.id && told.customer.id !== (await context)?.customer?.id) location.reload();
});

/** What the page says is shown. The server asks Kustomer whether it is true. */
function shown(told) {
  const [, order] = Object.entries(told ?? {}).find(([name]) => /^kobject\..*shopify-order/.test(name)) ?? [];
  const attributes = order?.attributes ?? {};
  return {
    customer: told?.customer?.id, conversation: told?.conversation?.id,
    order: attributes.externalId, store: attributes.custom?.shopDomainStr,
  };
}

/** A ticket by Kustomer's command proxy: enough to read, unless an admin chose more. */
function ticket() {
  const app = document.querySelector('meta[name="crm"]').dataset.app;
  return new Promise((resolve) => {
    setTimeout(resolve, 5000);
    const heard = (error, answer) => {
      const body = error ? null : answer?.responseBody ?? answer?.data?.attributes?.responseBody ?? answer;
      try { resolve((typeof body === "string" ? JSON.parse(body) : body)?.ticket); } catch { resolve(); }
    };
    window.Kustomer?.command?.run(`${app}${COMMAND}`, { body: {} }, heard);
  });
}

async function answer() {
  const found = shown(await context);
  const own = handle();
  bar.hidden = Boolean(own);
  const proof = own ? { handle: own } : { ticket: (await ticket()) ?? "" };
  const bytes = new TextEncoder().encode(JSON.stringify({ ...found, ...proof }));
  const token = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  send({ type: "order-actions:token", token });
}

window.addEventListener("message", ({ source, origin, data }) => {
  if (source !== window || origin !== location.origin) return;
  if (["order-actions:ready", "order-actions:token-please"].includes(data?.type)) answer();
  if (data?.type === "order-actions:height") window.Kustomer?.resize?.({ height: data.height });
  if (data?.type === "order-actions:refused") {
    stored.set(null);
    memory = null;
    bar.hidden = false;
  }
});

document.getElementById("connect").addEventListener("click", () => {
  const popup = window.open("/kustomer/connect", "order-actions-connect", "popup,width=520,height=700");
  window.addEventListener("message", ({ source, origin, data }) => {
    if (!popup || source !== popup || origin !== location.origin || typeof data?.handle !== "string") return;
    stored.set(data.handle);
    if (handle() === data.handle) location.reload();
  });
});
