// A stand-in for Kustomer's card script: the documented calls, answered by the sandbox page around the card.
(() => {
  const waiting = new Map();
  const heard = [];
  let count = 0;
  let opened = () => {};
  const host = new URLSearchParams(location.search).get("parentUrl");
  const origin = host ? new URL(host).origin : document.location.ancestorOrigins?.[0];
  const send = (message) => window.parent.postMessage(message, origin);
  window.addEventListener("message", ({ source, origin: from, data }) => {
    if (source !== window.parent || from !== origin) return;
    if (data.type === "kustomer:context") opened(data.context, { userRoles: [] });
    if (data.type === "kustomer:changed") heard.forEach((one) => one(data.context));
    if (data.type === "kustomer:ran") waiting.get(data.id)?.(null, data.answer);
  });
  window.Kustomer = {
    initialize(callback) { opened = callback; send({ type: "kustomer:hello" }); },
    on(name, callback) { if (name === "context") heard.push(callback); },
    resize({ height }) { send({ type: "kustomer:height", height }); },
    command: { run(name, body, callback) { waiting.set(++count, callback); send({ type: "kustomer:run", id: count, name, body }); } },
  };
})();
