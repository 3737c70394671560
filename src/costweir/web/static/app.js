// Costweir: charts, keyboard, palette, theme, copy. No dependency, no inline style, no sum of money.
(() => {
  "use strict";
  const $ = (s, r = document) => r.querySelector(s), $$ = (s, r = document) => [...r.querySelectorAll(s)];
  const root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => root.dataset.theme || (system.matches ? "dark" : "light");
  const toast = $(".toast");
  const say = (text) => { toast.textContent = text; setTimeout(() => { toast.textContent = ""; }, 2600); };

  // Charts. The spec names colours by token and the theme supplies them; "ast" keeps eval out (strict CSP).
  const views = new Map();
  let themes = null;
  const segment = (spec, view, event, row) => {
    // Which series of the stacked bar lies under the pointer: pixels only.
    const keys = spec.usermeta.series, box = event.target.ownerSVGElement || event.target;
    let value = view.scale("y").invert(event.clientY - box.getBoundingClientRect().top - view.origin()[1]);
    if (spec.usermeta.mark === "share") value *= row.t;
    let sum = 0;
    return keys.find(({ key }) => { sum += Math.max(row[key], 0); return value <= sum; });
  };
  let drawing = Promise.resolve();
  const draw = () => { drawing = drawing.then(drawAll, drawAll); return drawing; };
  const drawAll = async () => {
    const plots = $$(".plot");
    if (!plots.length) { root.dataset.charts = "none"; return; }
    if (!window.vegaEmbed) { $$("details.twin").forEach((d) => { d.open = true; }); plots.forEach((x) => { x.hidden = true; }); root.dataset.charts = "none"; return; }
    themes = themes || await (await fetch(document.body.dataset.themes)).json();
    for (const plot of plots) {
      const wanted = plot.dataset.show ? `[data-spec="${plot.dataset.show}"]` : "[data-spec]";
      const spec = JSON.parse($(`:scope > ${wanted}`, plot.parentElement).textContent);
      views.get(plot)?.finalize();
      const made = await vegaEmbed(plot, spec, { renderer: "svg", actions: false, ast: true, defaultStyle: false, config: themes[theme()], tooltip: { disableDefaultStyle: true } });
      views.set(plot, made);
      $("svg", plot).setAttribute("aria-hidden", "true");
      if (spec.usermeta && spec.usermeta.mark !== "lines") {
        made.view.addEventListener("click", (event, item) => {
          const hit = item && item.datum && item.datum.t !== undefined && segment(spec, made.view, event, item.datum);
          if (hit && hit.href) location.href = hit.href;
        });
      }
    }
    root.dataset.charts = "ready";
  };
  addEventListener("DOMContentLoaded", draw);
  addEventListener("specs", draw);
  // On a phone the current tab may lie beyond the edge.
  const tab = $(".tabs [aria-current]");
  if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - 32;
  system.addEventListener("change", draw);

  const flip = () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
    draw();
  };
  const copy = async (text, done) => {
    try { await navigator.clipboard.writeText(text); say(done); } catch { say("The browser refused the clipboard"); }
  };

  document.addEventListener("click", async (event) => {
    const t = event.target.closest("button,[data-open],[data-close],[data-copy]");
    $$("details.menu[open]").forEach((d) => { if (!d.contains(event.target)) d.open = false; });
    if (!t) return;
    if (t.dataset.open) { event.preventDefault(); open(t.dataset.open); }
    if (t.dataset.close) { event.preventDefault(); $("#" + t.dataset.close).close(); }
    if (t.matches("[data-theme-toggle]")) flip();
    if (t.dataset.view) {
      $$("[data-view]", t.parentElement).forEach((b) => b.setAttribute("aria-pressed", b === t));
      $("#" + t.dataset.plot).dataset.show = t.dataset.view;
      draw();
    }
    if (t.dataset.copy === "link") copy(location.href, "Link copied");
    if (t.dataset.copy === "text") copy($("#" + t.dataset.from).innerText, "Copied");
    if (t.dataset.copy === "md") {
      event.preventDefault();
      copy(await (await fetch(t.href)).text(), "Markdown copied");
    }
  });

  // Keys without a modifier can be switched off (WCAG 2.1.4); the server writes the choice into the page.
  addEventListener("change", (event) => {
    if (!event.target.matches("[data-keys-toggle]")) return;
    const on = event.target.checked;
    root.dataset.keys = on ? "on" : "off";
    $$("[data-keys-toggle]").forEach((box) => { box.checked = on; });
    document.cookie = `keys=${root.dataset.keys}; path=/; max-age=31536000; samesite=lax`;
    say(on ? "Keys are on" : "Keys are off; Ctrl K and Esc still work");
  });

  // Palette: pages, actions, customers, models and views are fetched when it opens.
  const palette = $("#palette"), field = $("input", palette), list = $("ul", palette), none = $(".none", palette);
  let known = null;
  const open = async (id) => {
    const dialog = $("#" + id);
    if (!dialog.open) dialog.showModal();
    if (id !== "palette") return;
    field.value = "";
    if (!known) {
      known = [];
      try { known = (await (await fetch("/palette.json")).json()).rows; } catch { known = null; }
    }
    filter();
  };
  const make = (name, text, to) => { const made = document.createElement(name); made.textContent = text; to.append(made); return made; };
  const entry = (row) => {
    const li = make("li", "", list), a = make("a", "", li);
    a.href = row.href;
    if (row.icon) {
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), use = document.createElementNS("http://www.w3.org/2000/svg", "use");
      svg.setAttribute("class", "i"); svg.setAttribute("aria-hidden", "true"); use.setAttribute("href", "#i-" + row.icon);
      svg.append(use); a.append(svg);
    } else li.className = "found";
    a.append(row.title + " ");
    if (row.key) make("kbd", row.key, a);
    else if (!row.icon) make("span", row.kind, a).className = "muted";
  };
  const filter = () => {
    const words = field.value.trim().toLowerCase();
    const hits = (known || []).filter((row) => (words ? `${row.title} ${row.words || ""}`.toLowerCase().includes(words) : row.icon));
    // A pasted request id goes to its call, or to why it was blocked: the page is the same.
    const id = field.value.trim();
    if (/^req_\w{8,}$/.test(id)) hits.unshift({ title: `Request ${id}`, kind: "call", href: `/why/${id}`, icon: "live" });
    list.replaceChildren();
    hits.slice(0, 30).forEach(entry);
    none.hidden = hits.length > 0;
  };
  field.addEventListener("input", filter);
  palette.addEventListener("keydown", (event) => {
    const links = $$("a", list), at = links.indexOf(document.activeElement);
    if (event.key === "ArrowDown") { event.preventDefault(); (links[at + 1] || links[0])?.focus(); }
    if (event.key === "ArrowUp") { event.preventDefault(); (at > 0 ? links[at - 1] : field).focus(); }
    if (event.key === "Enter" && document.activeElement === field && links[0]) { event.preventDefault(); links[0].click(); }
  });

  // Keys. Dead inside fields and dialogs, and with a modifier.
  const pages = JSON.parse(document.body.dataset.go);
  const rows = () => $$("table[data-rows] tbody tr").filter((r) => $("a", r));
  const step = (by) => {
    const all = rows(), at = all.findIndex((r) => r.contains(document.activeElement));
    const next = all[Math.min(Math.max(at + by, 0), all.length - 1)];
    if (next) { $("a", next).focus(); next.scrollIntoView({ block: "nearest" }); }
  };
  let before = "";
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); open("palette"); return; }
    if (event.key === "Escape") $$("details.menu[open]").forEach((d) => { d.open = false; $("summary", d).focus(); });
    if (root.dataset.keys === "off" || event.target.closest("input,select,textarea,dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key, was = before;
    before = key;
    if (was === "g" && pages[key]) { location.href = pages[key]; return; }
    if (was === "g") return;
    if (key === "/") { event.preventDefault(); const first = $(".filters input[type=search], .filters summary, .filters a"); if (first) first.focus(); else open("palette"); }
    if (key === "?") open("keys");
    if (key === "d") flip();
    if (key === "y") copy(location.href, "Link copied");
    if (key === "c") { const a = $("[data-key=compare]"); if (a) location.href = a.href; }
    if (key === "j") step(1);
    if (key === "k") step(-1);
    if (key === "x") { const d = $("details.twin"); if (d) d.open = !d.open; }
  });
})();
