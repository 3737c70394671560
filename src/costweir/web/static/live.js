// Costweir: pages that change by themselves. Once a second, in place; rows never move under the pointer.
(() => {
  "use strict";
  const $ = (s, r = document) => r.querySelector(s), $$ = (s, r = document) => [...r.querySelectorAll(s)];
  const busy = (part) => part.matches(":hover") || part.contains(document.activeElement) || $("details[open]", part);

  // Parts that are fetched again with their page; the server answers 304 while nothing has changed.
  let tag = "";
  const refresh = async () => {
    if (document.hidden || $("dialog[open]")) return;
    const reply = await fetch(location.href, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
    if (reply.status !== 200) return;
    tag = reply.headers.get("etag") || "";
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    $$("[data-refresh]").forEach((part) => {
      const next = fresh.getElementById(part.id);
      if (next && !busy(part) && next.innerHTML !== part.innerHTML) part.replaceChildren(...next.childNodes);
    });
    // A chart is drawn anew where its numbers have changed, and nobody reads it now.
    const changed = $$("script[data-spec]").filter((spec) => {
      const next = $(`script[data-spec="${spec.dataset.spec}"]`, fresh);
      if (!next || busy(spec.parentElement) || next.textContent === spec.textContent) return false;
      spec.textContent = next.textContent;
      const plot = $(".plot", spec.parentElement), told = $(".plot", next.parentElement);
      if (plot && told) plot.setAttribute("aria-label", told.getAttribute("aria-label"));
      return true;
    });
    if (changed.length) dispatchEvent(new Event("specs"));
  };
  const parts = $$("[data-refresh]");
  if (parts.length) {
    const every = Math.min(...parts.map((part) => Number(part.dataset.refresh))) * 1000;
    const again = () => refresh().catch(() => {}).finally(() => setTimeout(again, every));
    setTimeout(again, every);
  }

  const page = $("[data-stream]");
  if (!page || !window.EventSource) return;
  const pause = $("[data-live-pause]"), news = $("[data-live-new]"), state = $("[data-live=state]"), spoken = $("[data-live=spoken]");
  const feeds = Object.fromEntries($$("[data-feed]").map((feed) => [feed.dataset.feed, { box: feed, waiting: [] }]));
  let source = null, after = page.dataset.stream, paused = false, said = 0;

  const cell = (told, first) => {
    const made = document.createElement(first ? "th" : "td");
    if (first) made.scope = "row";
    if (told.kind) made.className = told.kind;
    let into = made;
    if (told.href || told.badge !== undefined || told.mono) {
      into = document.createElement(told.href ? "a" : "span");
      if (told.href) into.href = told.href;
      into.className = [told.badge !== undefined ? "badge " + (told.badge || "dashed") : "", told.mono || "", told.cut ? "cut" : ""].filter(Boolean).join(" ");
      made.append(into);
    }
    const text = told.text || "";
    if (told.title) into.title = told.title;
    if (told.cut) {
      const start = document.createElement("span");
      start.textContent = text.slice(0, -told.cut);
      into.append(start, text.slice(-told.cut));
    } else into.append(text);
    return made;
  };
  const show = (feed) => {
    const body = $("tbody", feed.box), most = Number(feed.box.dataset.most);
    feed.waiting.splice(most);
    feed.waiting.reverse().forEach((told) => {
      const row = document.createElement("tr");
      row.append(...told.map((one, place) => cell(one, place === 0)));
      body.prepend(row);
    });
    feed.waiting = [];
    while (body.rows.length > most) body.deleteRow(-1);
  };
  const settle = (all) => {
    Object.values(feeds).forEach((feed) => { if (all || (!paused && !busy(feed.box))) show(feed); });
    const count = feeds.calls ? feeds.calls.waiting.length : 0;
    news.hidden = !count;
    news.textContent = count ? `${count}${count >= 25 ? " or more" : ""} new` : "";
  };
  const hear = (event) => {
    const told = JSON.parse(event.data);
    after = `/live/stream?after=${event.lastEventId}`;
    Object.entries(told.figures).forEach(([name, text]) => $$(`[data-live="${name}"]`).forEach((x) => { if (x.textContent !== text) x.textContent = text; }));
    Object.entries(feeds).forEach(([name, feed]) => { feed.waiting = [...(told[name] || []), ...feed.waiting].slice(0, 25); });
    settle(false);
    if (spoken && Date.now() - said > 10000) { said = Date.now(); spoken.textContent = `Spend rate ${told.figures.rate}`; }
    mark("live", "ok");
  };
  const mark = (word, tone) => { state.hidden = false; state.className = `badge ${paused ? "warn" : tone}`; state.textContent = paused ? "paused" : word; };
  const listen = () => {
    if (source || document.hidden) return;
    source = new EventSource(after);
    source.onmessage = hear;
    source.onerror = () => {
      mark("not connected", "warn");
      if (source && source.readyState === EventSource.CLOSED) { hush(); setTimeout(listen, 5000); }
    };
  };
  const hush = () => { source?.close(); source = null; };
  document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
  addEventListener("pagehide", hush);
  Object.values(feeds).forEach((feed) => feed.box.addEventListener("pointerleave", () => settle(false)));
  news.addEventListener("click", () => settle(true));
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    mark("live", "ok");
    settle(false);
  });
  listen();
})();
