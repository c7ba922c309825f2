(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const page = JSON.parse($("page").dataset.page);
  const words = page.words;
  const bar = $("progress");
  let rounds = 0;

  const say = (text) => { $("status").textContent = text; };

  function fail(text) {
    bar.hidden = true;
    $("widget").hidden = true;
    $("text").hidden = true;
    document.title = $("title").textContent = words.trouble;
    say("");
    $("fault").textContent = text;
    $("again").hidden = false;
  }

  $("again").addEventListener("click", () => location.reload());

  function done(to) {
    bar.value = bar.max;
    $("widget").hidden = true;
    $("text").hidden = true;
    document.title = $("title").textContent = words.done;
    const go = $("go");
    if (!to) return say(words.back);
    go.href = to;
    go.hidden = false;
    if (page.posted) {
      bar.hidden = true;
      say("");
      go.focus();
      return;
    }
    say(words.going);
    location.replace(to);
  }

  // Tells how far it is: half of all puzzles are solved when 0.69 of the
  // expected tries are done, and none has to be.
  function progress(tried, bits) {
    bar.hidden = false;
    bar.value = Math.round(100 * (1 - Math.exp(-1.5 * tried / 2 ** bits)));
  }

  function inSlices(text, bits, found) {
    const step = solver(text, bits);
    let tried = 0;
    const slice = () => {
      const until = performance.now() + 20;
      while (performance.now() < until) {
        const n = step(256);
        tried += 256;
        if (n) return found(n);
      }
      progress(tried, bits);
      setTimeout(slice);
    };
    slice();
  }

  function solve(challenge) {
    const bits = Number(challenge.split(".")[1]);
    if (!(bits >= 1 && bits <= 32)) return fail(words.broken);
    const text = challenge + ".";
    const found = (n) => send({ token: text + n });
    $("text").textContent = words.text;
    say(words.working);
    progress(0, bits);
    let worker;
    try {
      worker = new Worker("solve.js");
    } catch {
      return inSlices(text, bits, found);
    }
    worker.onmessage = (event) => {
      progress(event.data.tried, bits);
      if (!event.data.found) return;
      worker.terminate();
      found(event.data.found);
    };
    worker.onerror = () => {
      worker.terminate();
      worker.onmessage = worker.onerror = null;
      inSlices(text, bits, found);
    };
    worker.postMessage({ text, bits });
  }

  function widget() {
    const box = $("widget");
    let over = false;
    const broken = () => {
      if (over) return;
      over = true;
      box.hidden = true;
      send({ unreachable: true });
    };
    say(words.loading);
    const patience = setTimeout(broken, page.patience);
    const script = document.createElement("script");
    script.src = page.script;
    script.async = true;
    script.onerror = broken;
    script.onload = () => {
      const ready = () => {
        const service = window[page.global];
        if (over) return;
        if (!service || !service.render) return setTimeout(ready, 100);
        clearTimeout(patience);
        box.hidden = false;
        say(words.please);
        service.render(box, {
          sitekey: page.siteKey,
          theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
          callback: (token) => { over = true; send({ token }); },
          "error-callback": broken,
        });
      };
      ready();
    };
    document.head.append(script);
  }

  function meet(posed) {
    if (posed.provider === page.service) return widget();
    solve(posed.challenge);
  }

  async function send(what) {
    let res, answer;
    say(words.checking);
    try {
      res = await fetch("challenge", {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify({ ticket: page.ticket, ...what }),
        credentials: "same-origin",
        redirect: "error",
        cache: "no-store",
      });
      answer = await res.json();
    } catch {
      return fail(words.network);
    }
    if (res.ok) return done(answer.return);
    if (answer.posed && rounds++ < 3) {
      if (answer.posed.provider === page.service) return fail(words.refused);
      return meet(answer.posed);
    }
    fail(answer.message || words.broken);
  }

  // A page out of the browser's memory has been used.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  meet(page.posed);
})();
