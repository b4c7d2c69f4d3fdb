// The card: moving between fragments, live totals, sending once, following a run.
// What people read comes from the server, or from the <template>s of shell.html where it is not reached.
import { Unsent, ask, openSession, save, tell } from "./server.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);
const [PREVIEW_AFTER, PROGRESS_AFTER, SLOW_AFTER] = [350, 300, 3000]; // ms of quiet, ms of patience, ms without a word
const RARELY = 10000; // ms between two questions after a form, at most
const STEADY = 300; // the button rests this long after it changed: such a press was meant for what it said before
const view = byId("view");
const at = { visit: 0, url: "", list: "", order: "", tab: "", follow: 0, lost: null }; // where the agent is; a form that was not answered
const UNKNOWN_TOTAL = "The total could not be worked out, and nothing has been sent.";
const TRY_AGAIN = "Press the button to try again.";
let form = null; // the live form: {element, touched, turn, timer, request, sending, explain}

// --- moving ------------------------------------------------------------------------------------------------
function announce(text) {
  byId("announce").replaceChildren();
  setTimeout(() => byId("announce").replaceChildren(text), 50);
}

function screen(name, url = at.url, text = "") {
  const copy = byId(name).content.firstElementChild.cloneNode(true);
  $("[data-get]", copy)?.setAttribute("data-get", url);
  if (text) $("[data-text]", copy)?.replaceChildren(text);
  $$("[data-lost]", copy).forEach((element) => element.toggleAttribute("hidden", !at.lost));
  return copy;
}

function busy(on) {
  clearTimeout(busy.timer);
  busy.timer = setTimeout(() => document.body.toggleAttribute("data-busy", on), on ? PROGRESS_AFTER : 0);
  clearTimeout(busy.slow);
  byId("slow").hidden = true;
  if (on) busy.slow = setTimeout(() => { byId("slow").hidden = false; }, SLOW_AFTER);
}

async function go(url, { body, focus = true, back = false } = {}) {
  const visit = (at.visit += 1);
  const { lost } = at;
  const from = { id: document.activeElement?.id, url: at.url };
  if (back && at.list) url = at.list;
  dropForm();
  at.lost = null;
  busy(true);
  const answer = await ask(url, { body }).catch((error) => error);
  if (visit !== at.visit) return;
  busy(false);
  if (!body) at.url = url;
  if (!(answer.status < 300)) at.lost = lost; // the order does not say either what became of the form
  const unheard = answer instanceof Error && (answer.screen ?? (lost ? "doubt" : "offline"));
  const fragment = unheard ? screen(unheard, at.url, answer.message) : answer;
  if (fragment.dataset.view === "orders") at.list = at.url;
  show(fragment);
  if (focus) place(from, back);
  if (at.lost) seek(at.lost);
}

/** A message that offers no way on gets one: to look at the order, or to try again. */
function show(fragment, wayOut = "again") {
  clearTimeout(at.follow);
  const { view: kind, state, order } = fragment.dataset;
  if (kind === "message" && !$("button, a", fragment)) fragment.append(screen(wayOut));
  view.replaceChildren(fragment);
  if (order && order !== at.order) Object.assign(at, { order, tab: "" });
  if (at.tab && byId(at.tab)) select(byId(at.tab), false);
  $$("[data-age]").forEach((element) => { element.bornAt = Date.now() - Number(element.dataset.age) * 1000; });
  if (kind === "form") adopt(fragment); else dropForm();
  if (fragment.dataset.follow) follow(fragment, 0);
  if (["done", "pending", "partly"].includes(state)) tell({ type: "order-actions:changed", order: at.order });
}

/** After a move the focus stays on the same control, returns to the row one came from, or starts at the heading. */
function place(from = {}, back = false) {
  const row = back && $$("[data-get]", view).find((element) => element.dataset.get === from.url);
  const target = (from.id && byId(from.id)) || row || $("[data-heading]", view);
  target?.focus();
  announce(view.firstElementChild.dataset.announce ?? "");
}

/** What is news: of an order only how its open run stands, as its ages and dates change all the time. */
const face = (fragment) => (fragment.dataset.view === "order" ? fragment.dataset.announce : fragment.outerHTML);

/** Look again until the run has ended; looking is harmless, so a failed look is only tried later. */
function follow(fragment, count) {
  const visit = at.visit;
  at.follow = setTimeout(async () => {
    const news = document.hidden ? null : await ask(fragment.dataset.follow).catch(() => null);
    if (visit !== at.visit) return;
    if (!news || news.dataset.view === "message" || face(news) === face(fragment)) { follow(fragment, count + 1); return; }
    const held = view.contains(document.activeElement);
    show(news);
    if (held) $("[data-heading]", view)?.focus();
    announce(news.dataset.announce ?? "");
  }, count < 10 ? 1000 : count < 25 ? 2000 : 5000);
}

// --- the form ----------------------------------------------------------------------------------------------
const submitter = () => $("[data-submitter]", form.element);
const suggested = () => $$("[data-suggested]", form.element);
const trouble = () => $("[data-trouble]", form.element);
const markTouched = () => suggested().forEach((input) => input.toggleAttribute("data-edited", form.touched.has(input.name)));

function adopt(element) { // a form that came back keeps what the agent touched
  const touched = form?.element.dataset.submit === element.dataset.submit ? form.touched : new Set();
  form = { element, touched, turn: 0, timer: 0, sending: false, explain: false };
  markTouched();
}
function dropForm() {
  form?.request?.abort();
  clearTimeout(form?.timer);
  form = null;
}

/** What is sent: all that is in the boxes; a suggested payment only once the agent has changed it. */
function values() {
  const body = new URLSearchParams();
  for (const input of form.element.elements) {
    if (!input.name || input.disabled || (input.matches("[data-suggested]") && !form.touched.has(input.name))) continue;
    if (input.type === "checkbox") body.append(input.name, String(input.checked));
    else if (input.type !== "radio" || input.checked) body.append(input.name, input.value);
  }
  return body;
}

function edited(input) {
  if (form.sending) return;
  form.touched.add(input.name);
  if (input.matches("[data-respread]")) suggested().forEach((other) => form.touched.delete(other.name));
  markTouched();
  refresh(PREVIEW_AFTER);
}

function refresh(after) {
  form.turn += 1; // an answer that is still on its way is now too old
  form.request?.abort();
  form.element.toggleAttribute("data-resting", false);
  form.element.toggleAttribute("data-stale", true);
  submitter().setAttribute("aria-disabled", "true");
  clearTimeout(form.timer);
  form.timer = setTimeout(preview, after);
}

async function preview() {
  const [mine, turn] = [form, form.turn];
  const late = () => form !== mine || turn !== mine.turn;
  mine.request = new AbortController();
  busy(true);
  const asked = ask(mine.element.dataset.preview, { body: values(), signal: mine.request.signal });
  const fragment = await asked.catch(() => null);
  if (late()) return;
  busy(false);
  if (!fragment || refusal(fragment)) trouble().textContent = `${UNKNOWN_TOTAL} ${fragment ? refusal(fragment) : TRY_AGAIN}`;
  else if (fragment.dataset.view === "form") swap(fragment);
  else { show(fragment, "look"); place(); }
}

function swap(fragment) {
  const button = submitter();
  const face = () => `${button.textContent} ${button.getBoundingClientRect().top}`;
  const before = face();
  const focused = document.activeElement?.id;
  $$("[data-reserve]", form.element).forEach((element) => { element.style.minHeight = `${element.offsetHeight}px`; });
  const old = new Map($$("[data-live]", form.element).map((element) => [element.dataset.live, element]));
  const known = $$("[data-live]", fragment).filter(({ dataset }) => old.has(dataset.live));
  known.forEach((fresh) => sync(old.get(fresh.dataset.live), fresh));
  if (focused && document.activeElement?.id !== focused) byId(focused)?.focus();
  markTouched();
  trouble().textContent = "";
  const ready = !button.hasAttribute("aria-disabled");
  button.setAttribute("aria-disabled", "true");
  form.element.toggleAttribute("data-stale", false);
  form.element.toggleAttribute("data-resting", true);
  form.timer = setTimeout(() => {
    form.element.toggleAttribute("data-resting", false);
    if (ready) button.removeAttribute("aria-disabled");
  }, face() === before ? 0 : STEADY);
  if (form.explain) explain(false);
}

/** Make `old` look like `fresh` without replacing it, so that focus, caret and what was typed survive. */
function sync(old, fresh, revealed = false) {
  revealed ||= old.hidden && !fresh.hidden;
  const names = new Set([...old.getAttributeNames(), ...fresh.getAttributeNames()].filter((name) => name !== "style"));
  for (const name of names) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    else if (old.getAttribute(name) !== fresh.getAttribute(name)) old.setAttribute(name, fresh.getAttribute(name));
  }
  const typed = form.touched.has(old.name) && !revealed; // what the agent typed stays; the rest is the server's
  if (old.matches("input, textarea") && !typed) [old.value, old.checked] = [fresh.value, fresh.checked];
  if (old.matches("textarea")) return;
  const chosen = typed ? old.value : fresh.value;
  const mine = [...old.childNodes];
  [...fresh.childNodes].forEach((node, index) => {
    const twin = mine[index];
    if (!twin) old.append(node.cloneNode(true));
    else if (["nodeName", "id", "name"].some((key) => twin[key] !== node[key])) twin.replaceWith(node.cloneNode(true));
    else if (twin.nodeType === Node.ELEMENT_NODE) sync(twin, node, revealed);
    else if (twin.data !== node.data) twin.data = node.data;
  });
  mine.slice(fresh.childNodes.length).forEach((node) => node.remove());
  if (old.matches("select")) old.value = chosen;
}

/** One press sends once, and only what the button says at that moment. */
function press() {
  if (form.sending || "resting" in form.element.dataset) return;
  if ("stale" in form.element.dataset) { refresh(0); announce("One moment, the amount is being worked out. Then press again."); }
  else if (submitter().getAttribute("aria-disabled") === "true") explain(true);
  else send();
}

/** Lead the agent to what is wrong or missing; when nothing on the page says it, ask the server. */
function explain(mayAsk) {
  const seen = (selector) => $$(selector, form.element).filter((element) => element.offsetParent);
  const empty = (field) => !(field.matches("[role=radiogroup]") ? $(":checked", field) : field.value);
  const missing = seen("[aria-required]").find(empty);
  missing?.closest(".field").setAttribute("data-missing", "");
  const wrong = seen("#errors")[0] ?? seen('[aria-invalid="true"]')[0] ?? missing;
  wrong?.focus();
  form.explain = mayAsk && !wrong;
  if (form.explain) refresh(0);
}

function setSending(sending) {
  busy(sending);
  form.sending = sending;
  form.element.inert = sending;
  form.element.toggleAttribute("data-sending", sending);
  submitter().disabled = sending;
}

/** Why a request was turned away at the door, before anything was done; empty for any other answer. */
function refusal(answer) {
  if (answer instanceof Unsent) return answer.message || "The CRM did not say who you are.";
  return [429, 503].includes(answer.status) && answer.dataset.view === "message" ? $("p", answer).textContent : "";
}

async function send() {
  const mine = form;
  at.visit += 1;
  at.lost = null;
  clearTimeout(at.follow);
  setSending(true);
  settle(mine, await ask(mine.element.dataset.submit, { body: values() }).catch((error) => error));
}

/** The answer to a form. One without an answer may have arrived: it is not sent again by itself, only asked after. */
function settle(mine, answer) {
  const why = refusal(answer);
  mine.lost ||= !why && answer instanceof Error;
  at.lost = mine.lost && mine.element.dataset.sent ? mine : null;
  if (why) keep(mine, `${mine.lost ? "This press sent nothing." : "Nothing was sent."} ${why}`);
  if (at.lost) seek(mine);
  else if (!why) arrive(mine, answer instanceof Error ? screen("doubt", mine.element.dataset.cancel) : answer);
}

/** Ask what became of a form until it is known, ever more rarely; asking sends nothing. */
async function seek(mine, count = 0) {
  const visit = at.visit;
  const told = document.hidden ? null : await inquire(mine.element);
  if (visit !== at.visit || at.lost !== mine) return;
  if (told) learn(mine, told);
  else if (form?.sending) arrive(mine, screen("doubt", mine.element.dataset.cancel));
  if (!at.lost) return;
  clearTimeout(at.follow);
  at.follow = setTimeout(seek, Math.min(1000 * 2 ** count, RARELY), mine, count + 1);
}

async function inquire({ dataset: { sent }, elements: { token } }) {
  const told = await ask(sent, { body: new URLSearchParams({ token: token.value }) }).catch(() => null);
  return told?.status < 300 ? told : null;
}

/** A form that did not arrive so far is shown again; as it may still be on its way, it is asked after all the same. */
function learn(mine, told) {
  if (told.dataset.view !== "message") { at.lost = null; arrive(mine, told); }
  else if (form !== mine || form.sending) keep(mine, $("p", told).textContent);
}

function arrive(mine, fragment) {
  busy(false);
  at.url = mine.element.dataset.cancel;
  show(fragment, "look");
  if (form) explain(false); else if (document.hasFocus()) place(); else announce(fragment.dataset.announce ?? "");
}

/** Nothing was done: the form with all that was typed, and why. */
function keep(mine, why) {
  if (form !== mine) { view.replaceChildren(mine.element); form = mine; }
  setSending(false);
  trouble().textContent = why;
}

// --- small controls ----------------------------------------------------------------------------------------
function select(tab, focus = true) {
  for (const other of $$("[role=tab]", view)) {
    other.setAttribute("aria-selected", String(other === tab));
    other.tabIndex = other === tab ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = other !== tab;
  }
  at.tab = tab.id;
  if (focus) tab.focus();
}

function openMenu(open) {
  const menu = $("[data-menu] > ul", view);
  if (!menu || menu.hidden !== open) return;
  menu.hidden = !open;
  menu.previousElementSibling.setAttribute("aria-expanded", String(open));
  measure();
}

function setQuantity(input, value) {
  if (!form || input.readOnly) return;
  input.value = Math.min(input.max, Math.max(0, value));
  edited(input);
}

const PRESSED = { // data attribute of a button: what pressing it does
  get: ({ dataset }) => (dataset.get ? go(dataset.get, { back: "back" in dataset }) : start()),
  post: ({ dataset }) => go(dataset.post, { body: new URLSearchParams() }),
  download: ({ dataset }) => {
    const told = (text) => $("[data-download-trouble]", view)?.replaceChildren(text);
    save(dataset.download, "runs.csv").then(() => told(""), () => told("The file could not be read. Try again."));
  },
  restart: () => start(),
  recall: async () => {
    busy(true);
    await seek(at.lost);
    busy(false);
    if (at.lost && !form) $("[data-trouble]", view).textContent = `Asked at ${new Date().toLocaleTimeString()}: still no answer.`;
  },
  toggle: (button) => openMenu(button.nextElementSibling.hidden),
  fold: (button) => button.setAttribute("aria-expanded", String(!(view.hidden = !view.hidden))),
  step: ({ dataset }) => setQuantity(byId(dataset.for), Number(byId(dataset.for).value) + Number(dataset.step)),
  fill: ({ dataset, parentElement }) => $$("input[type=number]", parentElement.closest("fieldset"))
    .forEach((input) => setQuantity(input, dataset.fill === "max" ? Number(input.max) : 0)),
  undo: ({ dataset: { undo } }) => {
    form.touched.delete(byId(undo).name);
    byId(undo).focus();
    refresh(0);
  },
};

const seekNow = () => { if (at.lost && !document.hidden) seek(at.lost); };
window.addEventListener("online", seekNow);
document.addEventListener("visibilitychange", seekNow);

const left = ({ target }) => { if (!target.closest("[data-menu]")) openMenu(false); };
document.addEventListener("focusin", left);
document.addEventListener("click", left);
document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button || button.matches("[data-submitter], [aria-disabled=true]")) return;
  if (button.matches("[role=tab]")) select(button);
  else PRESSED[Object.keys(PRESSED).find((name) => name in button.dataset)]?.(button);
});

document.addEventListener("submit", (event) => {
  const { target } = event;
  event.preventDefault();
  if (target.matches("[data-search]")) go(`${target.dataset.search}?${new URLSearchParams(new FormData(target))}`);
  else if (form?.element === target) press();
});

document.addEventListener("input", ({ target }) => { if (form?.element.contains(target) && target.name) edited(target); });

document.addEventListener("wheel", ({ target }) => { if (target.matches("input[type=number]:focus")) target.blur(); }); // turns no quantity

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (key === "Escape" && target.closest("[data-menu]")) { openMenu(false); $("[data-toggle]").focus(); }
  if (key === "Enter" && target.matches("[data-form] input")) event.preventDefault(); // only the button sends money
  const step = target.matches("[role=tab]") && { ArrowRight: 1, ArrowLeft: -1 }[key];
  if (!step) return;
  const tabs = $$("[role=tab]", view);
  select(tabs.at((tabs.indexOf(target) + step) % tabs.length));
});

function measure() {
  const menu = $("[data-menu] > ul:not([hidden])", view)?.getBoundingClientRect().bottom ?? 0;
  const now = Math.ceil(Math.max(byId("card").getBoundingClientRect().bottom, menu + 8) + window.scrollY);
  if (now !== measure.last) tell({ type: "order-actions:height", height: (measure.last = now) });
}
new ResizeObserver(measure).observe(byId("card"));

setInterval(() => $$("[data-age]").forEach((element) => { // the age of the data grows while one looks at it
  const minutes = Math.floor((Date.now() - element.bornAt) / 60000);
  if (minutes > 0 && minutes < 60) element.textContent = minutes === 1 ? "1 minute ago" : `${minutes} minutes ago`;
}), 15000);

async function start() {
  const { start_url: url, screen: wrong, message } = await openSession(true).catch((error) => error);
  if (!url) { show(screen(wrong ?? "offline", "", message)); return; }
  document.body.dataset.surface = url.startsWith("/orders") ? "list" : "order";
  go(document.body.dataset.start ?? url, { focus: false });
}
start();
