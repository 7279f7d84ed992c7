// What the pages do beyond showing: sort and filter a board, compare methods, look at samples. The state of a page is in
// the hash of its address. Text from outside enters the page by textContent alone.
"use strict";

// --- the state in the hash -------------------------------------------------------------------------------------------
const state = () => new URLSearchParams(location.hash.slice(1));
function put(changes) {
  const p = state();
  for (const [key, value] of Object.entries(changes)) value ? p.set(key, value) : p.delete(key);
  const text = p.toString();
  history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
}
// Lists of words: "a~b". The mark itself is escaped within a word.
const join = (words) => words.map((word) => word.replace(/[%~]/g, (c) => (c === "%" ? "%25" : "%7E"))).join("~");
const split = (text) => (text ? text.split("~").map(decodeURIComponent) : []);

const $ = (id) => document.getElementById(id);
function make(tag, values = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(values)) {
    if (key === "class") node.className = value;
    else if (key === "on") for (const [event, what] of Object.entries(value)) node.addEventListener(event, what);
    else if (key in node && typeof value !== "string") node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// --- data: scripts call T2I.push, and whoever asked for a script gets what it pushed --------------------------------
const pushed = [];
const takers = {};
function take(content) {
  pushed.push(content);
  for (const taker of takers[content.kind] || []) taker(content);
}
const queue = window.T2I || [];
window.T2I = { push: take };
queue.forEach(take);
const held = (kind) => pushed.filter((content) => content.kind === kind);
const scripts = new Map();
// Load a script that the page knows to exist, once.
function load(address) {
  if (!scripts.has(address)) {
    scripts.set(address, new Promise((resolve, reject) => {
      const node = make("script", { src: address });
      node.onload = resolve;
      node.onerror = () => reject(new Error(address));
      document.head.append(node);
    }));
  }
  return scripts.get(address);
}

function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const node = make("a", { href: address, download: name });
  node.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
// A number stands as it is. Text that a spreadsheet would take for a formula gets a quote before it.
function field(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  let text = Array.isArray(value) ? value.join(" ") : String(value);
  if (/^[=+\-@\t\r]/.test(text)) text = "'" + text;
  return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}
const csv = (fields, rows) => [fields, ...rows.map((row) => fields.map((name) => row[name]))]
  .map((row) => row.map(field).join(",")).join("\n") + "\n";

// --- dark and light, menus -------------------------------------------------------------------------------------------
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const theme = root.classList.contains("dark") ? "light" : "dark";
  root.classList.remove("dark", "light");
  root.classList.add(theme);
  try { localStorage.setItem("t2ibench.theme", theme); } catch (error) { /* a reader may forbid it */ }
});
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
async function copyLink(button) {
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  } catch (error) {
    button.textContent = "Copy it from the address bar";
  }
  setTimeout(() => { button.textContent = said; }, 1600);
}

// --- the board -------------------------------------------------------------------------------------------------------
function board(element) {
  const headings = [...element.tHead.rows[0].cells];
  const ids = headings.map((cell) => cell.dataset.id || "pick");
  const place = new Map(ids.map((id, i) => [id, i]));
  const extra = new Set(headings.filter((cell) => "extra" in cell.dataset).map((cell) => cell.dataset.id));
  const facets = headings.filter((cell) => "facet" in cell.dataset).map((cell) => cell.dataset.id);
  const chosen = {}; // the words that each facet is filtered by
  const rows = [...element.tBodies[0].rows];
  const pins = new Set();
  const title = (id) => headings[place.get(id)].dataset.title;
  for (const cell of headings) cell.dataset.title = cell.textContent.trim();
  const words = (row, id) => (row.cells[place.get(id)].dataset.values || "").split("\n").filter(Boolean);
  const valuesOf = Object.fromEntries(facets.map((id) => [id, [...new Set(rows.flatMap((row) => words(row, id)))].sort()]));
  const wordsOf = new Map(rows.map((row) => [row, Object.fromEntries(facets.map((id) => [id, words(row, id)]))]));

  // What the link asks for is in the table from the start: columns that are taken out later cost a pass over all rows.
  const asked = state(), hides = new Set(split(asked.get("hide"))), adds = new Set(split(asked.get("show")));
  const starts = (id) => (extra.has(id) ? adds.has(id) : !hides.has(id));
  const sorted = (p) => split(p.get("sort")).map((word) => [place.get(word.slice(0, word.lastIndexOf("."))), word.slice(word.lastIndexOf(".") + 1)])
    .filter(([i, direction]) => i > 0 && (direction === "asc" || direction === "desc"));
  const table = new DataTable(element, {
    paging: rows.length > 200, pageLength: 100, lengthChange: false, autoWidth: false, info: false,
    layout: { topStart: null, topEnd: null, bottomStart: rows.length > 200 ? "paging" : null, bottomEnd: null },
    order: sorted(asked), search: { search: asked.get("q") || "" }, orderFixed: { pre: [[0, "asc"]] },
    columns: headings.map((cell, i) => {
      if (i === 0) return { orderable: false, searchable: false, type: "num" };
      const words = cell.dataset.kind === "name" || cell.classList.contains("words");
      const better = cell.dataset.better;
      return {
        type: words ? "string" : "num", searchable: cell.dataset.kind === "name", visible: i < 2 || starts(ids[i]),
        orderSequence: better === "higher" ? ["desc", "asc"] : ["asc", "desc"],
      };
    }),
  });
  headings.forEach((cell, i) => { // long names break behind underscores
    const parts = cell.dataset.title.split(/(?<=_)/), name = make("bdi");
    parts.forEach((part, k) => name.append(...(k ? [make("wbr")] : []), part));
    cell.querySelector(".dt-column-title").replaceChildren(name);
  });
  table.search.fixed("facets", (text, data, index) => {
    const of = wordsOf.get(table.row(index).node());
    return facets.every((id) => !chosen[id] || of[id].some((word) => chosen[id].has(word)));
  });

  const columnList = $("column-list"), filterList = $("filter-list"), boxes = {};
  const groups = [["value", "Values"], ["cost", "Costs"], ["fact", "About the method"]];
  columnList.append(make("div", { class: "row" },
    make("button", { type: "button", on: { click: () => show((id) => !extra.has(id)) } }, "Headline"),
    make("button", { type: "button", on: { click: () => show(() => true) } }, "All"),
    make("button", { type: "button", on: { click: () => show(() => false) } }, "None")));
  for (const [kind, label] of groups) {
    const set = make("fieldset", {}, make("legend", {}, label));
    for (const cell of headings.filter((cell) => cell.dataset.kind === kind)) {
      const id = cell.dataset.id;
      boxes[id] = make("input", { type: "checkbox", on: { change: () => { table.column(place.get(id)).visible(boxes[id].checked); keep(); } } });
      set.append(make("label", { title: cell.title }, boxes[id], make("bdi", {}, title(id))));
    }
    if (set.children.length > 1) columnList.append(set);
  }
  const choices = {};
  for (const id of facets.filter((id) => valuesOf[id].length > 1)) {
    const set = make("fieldset", {}, make("legend", {}, title(id)));
    choices[id] = new Map();
    for (const word of valuesOf[id]) {
      const box = make("input", { type: "checkbox", on: { change: () => {
        const on = [...choices[id]].filter(([, box]) => box.checked).map(([word]) => word);
        on.length ? chosen[id] = new Set(on) : delete chosen[id];
        table.draw();
      } } });
      choices[id].set(word, box);
      set.append(make("label", {}, box, make("bdi", {}, word)));
    }
    filterList.append(set);
  }
  if (!filterList.children.length) $("filters").hidden = true;

  function show(which) {
    for (const id of Object.keys(boxes)) table.column(place.get(id)).visible(which(id), false);
    table.columns.adjust();
    keep();
  }
  function pin(row, on) {
    on ? pins.add(row.dataset.method) : pins.delete(row.dataset.method);
    row.classList.toggle("pinned", on);
    row.cells[0].querySelector("input").checked = on;
    row.cells[0].dataset.order = on ? 0 : row.classList.contains("method") ? 1 : 2;
    table.row(row).invalidate("dom");
  }
  for (const row of rows) {
    row.cells[0].querySelector("input").addEventListener("change", (event) => { pin(row, event.target.checked); table.draw(); });
  }
  const visible = () => ids.filter((id, i) => i > 1 && table.column(i).visible());
  const shownRows = () => table.rows({ search: "applied", order: "applied" }).nodes().toArray().map((row) => row.dataset.method);

  // The order by groups comes first, so the table names it to screen readers; what the reader chose is named instead.
  function nameOrder() {
    const [first] = table.order().filter(([i]) => i > 0);
    headings.forEach((cell, i) => {
      if (first && first[0] === i) cell.setAttribute("aria-sort", first[1] === "asc" ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    });
  }
  let quiet = false;
  function keep() {
    if (quiet) return;
    nameOrder();
    const on = new Set(visible());
    const hidden = Object.keys(boxes).filter((id) => !on.has(id) && !extra.has(id));
    const added = [...extra].filter((id) => on.has(id));
    for (const id of Object.keys(boxes)) boxes[id].checked = on.has(id);
    const changes = {
      q: $("q").value, hide: join(hidden), show: join(added), pin: join([...pins]), dense: $("dense").checked ? "1" : "",
      sort: join(table.order().filter(([i]) => i > 0).map(([i, direction]) => `${ids[i]}.${direction}`)),
    };
    for (const id of facets) changes["f." + id] = chosen[id] ? join([...chosen[id]]) : "";
    put(changes);
    const count = shownRows().length, filters = Object.keys(chosen).length;
    $("status").textContent = count === rows.length ? "" : `${count} of ${rows.length} rows`;
    const badge = (id, number) => {
      const summary = $(id).querySelector("summary");
      summary.querySelector(".count")?.remove();
      if (number) summary.append(make("span", { class: "count" }, String(number)));
    };
    badge("filters", filters);
    badge("columns", hidden.length + added.length);
    const button = $("compare");
    button.disabled = pins.size < 2 || pins.size > 4;
    button.textContent = pins.size ? `Compare ${pins.size}` : "Compare";
    button.classList.toggle("primary", !button.disabled);
    button.title = "Pin two to four methods by the boxes before their names";
  }
  let drawn = true; // whether the table shows what its order, its search and its pins say
  function apply() {
    quiet = true;
    const p = state(), hide = new Set(split(p.get("hide"))), add = new Set(split(p.get("show"))), pinned = new Set(split(p.get("pin")));
    $("q").value = p.get("q") || "";
    $("dense").checked = p.get("dense") === "1";
    element.classList.toggle("dense", $("dense").checked);
    for (const id of facets) {
      const on = split(p.get("f." + id)).filter((word) => valuesOf[id].includes(word));
      on.length ? chosen[id] = new Set(on) : delete chosen[id];
      for (const [word, box] of choices[id] || []) box.checked = on.includes(word);
    }
    for (const row of rows) {
      if (pinned.has(row.dataset.method) === pins.has(row.dataset.method)) continue;
      pin(row, pinned.has(row.dataset.method));
      drawn = false;
    }
    for (const id of Object.keys(boxes)) {
      const on = extra.has(id) ? add.has(id) : !hide.has(id);
      if (table.column(place.get(id)).visible() !== on) table.column(place.get(id)).visible(on, false);
    }
    if (!drawn || Object.keys(chosen).length) table.order(sorted(p)).search($("q").value).draw();
    drawn = false;
    quiet = false;
    keep();
  }
  apply();
  element.classList.add("ready");
  table.on("order search column-visibility draw", keep);
  addEventListener("hashchange", apply);
  $("q").addEventListener("input", () => table.search($("q").value).draw());
  $("dense").addEventListener("change", () => { element.classList.toggle("dense", $("dense").checked); keep(); });
  $("reset").addEventListener("click", () => { history.replaceState(null, "", location.pathname + location.search); apply(); });
  $("link").addEventListener("click", () => copyLink($("link")));
  $("compare").addEventListener("click", () => { location.href = element.dataset.compare + "#" + new URLSearchParams({ m: join([...pins]) }); });
  // The values are a script of their own, which is not read before somebody asks for them.
  const read = async () => { await load(element.dataset.values); return held("board")[0]; };
  const chosenValues = (values) => {
    const columns = visible(), rank = new Map(shownRows().map((method, i) => [method, i])), at = new Map(columns.map((id, i) => [id, i]));
    return values.filter((value) => rank.has(value.method) && at.has(value.metric))
      .sort((a, b) => rank.get(a.method) - rank.get(b.method) || at.get(a.metric) - at.get(b.metric));
  };
  const costs = headings.filter((cell) => cell.dataset.kind === "cost").map((cell) => cell.dataset.id);
  const shownFields = (fields) => { const on = new Set(visible()); return fields.filter((name) => !costs.includes(name) || on.has(name)); };
  const name = element.dataset.name;
  $("csv").addEventListener("click", async () => {
    const { values, fields } = await read();
    download(`${name}.csv`, "text/csv", csv(shownFields(fields), chosenValues(values)));
  });
  $("json").addEventListener("click", async () => {
    const { values, fields } = await read(), names = shownFields(fields);
    const rows = chosenValues(values).map((value) => Object.fromEntries(names.map((key) => [key, value[key]])));
    download(`${name}.json`, "application/json", JSON.stringify(rows, null, 1) + "\n");
  });
}
if ($("leaderboard")) board($("leaderboard"));

// --- quality against cost: one method in all charts, and methods picked by dragging over them ------------------------
function costs(element) {
  const charts = [...element.querySelectorAll("svg.cost"), ...document.querySelectorAll("svg.ranks")];
  const groups = [...document.querySelectorAll("svg [data-method]")];
  const picked = new Set();
  function light(methods) {
    for (const chart of charts) chart.classList.toggle("asked", methods.size > 0);
    for (const group of groups) group.classList.toggle("hot", methods.has(group.dataset.method));
  }
  function say() {
    $("picked").hidden = !picked.size;
    $("picked-names").textContent = [...picked].join(", ");
    $("picked-compare").disabled = picked.size < 2 || picked.size > 4;
    $("picked-compare").textContent = picked.size > 4 ? "Compare takes up to four" : `Compare ${picked.size}`;
    put({ pick: join([...picked]) });
    light(picked);
  }
  for (const group of groups) {
    group.addEventListener("pointerenter", () => light(new Set([group.dataset.method, ...picked])));
    group.addEventListener("pointerleave", () => light(picked));
  }
  for (const chart of element.querySelectorAll("svg.cost")) {
    let start = null, box = null;
    const at = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    chart.addEventListener("pointerdown", (event) => {
      start = at(event);
      box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      box.setAttribute("class", "brush");
      chart.append(box);
      chart.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    const corners = (event) => {
      const end = at(event);
      return [Math.min(start.x, end.x), Math.min(start.y, end.y), Math.max(start.x, end.x), Math.max(start.y, end.y)];
    };
    chart.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [x, y, right, bottom] = corners(event);
      for (const [key, value] of Object.entries({ x, y, width: right - x, height: bottom - y })) box.setAttribute(key, value);
    });
    chart.addEventListener("pointerup", (event) => {
      if (!start) return;
      const [x, y, right, bottom] = corners(event), small = right - x < 4 && bottom - y < 4;
      const inside = [...chart.querySelectorAll(".point")].filter((point) => {
        const dot = point.querySelector("circle"), cx = +dot.getAttribute("cx"), cy = +dot.getAttribute("cy");
        return small ? Math.hypot(cx - x, cy - y) < 9 : cx >= x && cx <= right && cy >= y && cy <= bottom;
      }).map((point) => point.dataset.method);
      if (small) inside.forEach((method) => (picked.has(method) ? picked.delete(method) : picked.add(method)));
      else { picked.clear(); inside.forEach((method) => picked.add(method)); }
      box.remove();
      start = box = null;
      say();
    });
  }
  $("picked-none").addEventListener("click", () => { picked.clear(); say(); });
  $("picked-compare").addEventListener("click", () => { location.href = element.dataset.compare + "#" + new URLSearchParams({ m: join([...picked]) }); });
  const known = new Set(groups.map((group) => group.dataset.method));
  const apply = () => { picked.clear(); split(state().get("pick")).filter((name) => known.has(name)).forEach((name) => picked.add(name)); say(); };
  apply();
  addEventListener("hashchange", apply);
}
if ($("costs")) costs($("costs"));

// --- the methods of the first page -----------------------------------------------------------------------------------
function methods(table) {
  const rows = [...table.tBodies[0].rows], text = rows.map((row) => row.textContent.toLowerCase());
  const apply = () => {
    if (document.activeElement !== $("find")) $("find").value = state().get("q") || "";
    const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row, i) => { row.hidden = !words.every((word) => text[i].includes(word)); });
    const count = rows.filter((row) => !row.hidden).length;
    $("found").textContent = count === rows.length ? "" : `${count} of ${rows.length} methods`;
  };
  $("find").addEventListener("input", () => { put({ q: $("find").value }); apply(); });
  addEventListener("hashchange", apply);
  apply();
}
if ($("methods")) methods($("methods"));

// --- samples: what every value says about every sample ---------------------------------------------------------------
const OUTCOMES = { o: "usable", b: "black", n: "not a number", f: "failed" };
const cellsHeld = new Map(); // by file: what its script pushed, with numbers by sample
async function promptsOf(file) {
  await load(file);
  const digest = file.split(".").at(-2);
  return held("prompts").find((one) => one.digest === digest);
}
async function cellOf(entry, prompts) {
  if (!cellsHeld.has(entry.file)) {
    await load(entry.file);
    const cell = held("cell").find((one) => one.cell === entry.cell);
    cell.values = new Map(cell.scores.map((score) => [score.id, { ...score, at: spread(score, prompts) }]));
    cellsHeld.set(entry.file, cell);
  }
  return cellsHeld.get(entry.file);
}
// The number of every sample, NaN where a value says nothing about it.
function spread(score, prompts) {
  const numbers = new Float32Array(prompts.k.length).fill(NaN);
  const given = score.hits === undefined ? score.numbers : [...score.hits].map((c) => (c === "-" ? NaN : +c));
  const number = (i) => (given[i] === null || given[i] === undefined ? NaN : given[i]);
  if (score.of === "source") {
    for (let row = 0; row < numbers.length; row++) if (prompts.start[row] >= 0) numbers[row] = number(prompts.k[row]);
  } else {
    let i = 0;
    for (const [first, count] of score.rows) for (let row = first; row < first + count; row++) numbers[row] = number(i++);
  }
  return numbers;
}
const thumbnail = (entry, block, row) => `${entry.thumbnails}/${Math.floor(row / block)}/${row}.webp`;
const sampleId = (prompts, row) => prompts.ids.slice(row * prompts.letters, (row + 1) * prompts.letters);
const says = (score, number) => (Number.isNaN(number) ? "" : score.hits !== undefined ? (number ? "right" : "wrong") : String(+number.toPrecision(4)));
function options(select, choices, chosen) {
  select.replaceChildren(...choices.map(([value, label]) => make("option", { value, selected: value === chosen }, label)));
  select.value = choices.some(([value]) => value === chosen) ? chosen : choices[0][0];
}

async function browser(element) {
  const [{ cells, block, questions }] = held("samples");
  const byCell = new Map(cells.map((cell) => [cell.cell, cell]));
  const grid = $("grid"), space = $("space"), dialog = $("sample");
  const TILE = 140, TEXT = 40, GAP = 10;
  let prompts, a, b, rows = [], active = 0, columns = 1, tileWidth = TILE;
  const tiles = new Map(), free = [];
  const entryA = () => byCell.get($("cell").value), entryB = () => byCell.get($("beside").value);

  function listen() {
    const keep = { cell: "cell", beside: "b", value: "value", order: "order", "right-a": "ra", "right-b": "rb", group: "group", about: "about", outcome: "outcome" };
    for (const [id, key] of Object.entries(keep)) $(id).addEventListener("change", () => { put({ [key]: $(id).value, s: "" }); apply(); });
    $("text").addEventListener("input", () => { put({ q: $("text").value, s: "" }); apply(); });
    $("link").addEventListener("click", () => copyLink($("link")));
    $("reset").addEventListener("click", () => { history.replaceState(null, "", location.pathname + location.search); apply(); });
    grid.addEventListener("scroll", draw, { passive: true });
    addEventListener("resize", () => { lay(); draw(); });
    addEventListener("hashchange", apply);
    grid.addEventListener("keydown", keys);
    dialog.addEventListener("close", () => { put({ s: "" }); grid.focus(); });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowRight") step(1);
      else if (event.key === "ArrowLeft") step(-1);
      else return;
      event.preventDefault();
    });
  }
  let turn = 0;
  async function apply() {
    const p = state(), mine = ++turn;
    options($("cell"), cells.map((cell) => [cell.cell, cell.label]), p.get("cell") || cells[0].cell);
    const first = entryA();
    const same = cells.filter((cell) => cell.prompts === first.prompts && cell.cell !== first.cell);
    options($("beside"), [["", "nothing"], ...same.map((cell) => [cell.cell, cell.label])], p.get("b") || "");
    const loaded = await promptsOf(first.prompts);
    const cellA = await cellOf(first, loaded), cellB = entryB() ? await cellOf(entryB(), loaded) : null;
    if (mine !== turn) return;
    [prompts, a, b] = [loaded, cellA, cellB];
    const values = [...a.values.keys()].filter((id) => !b || b.values.has(id));
    options($("value"), [["", "none"], ...values.map((id) => [id, id])], p.get("value") || "");
    $("value").title = questions[$("value").value] || "";
    const score = a.values.get($("value").value), other = b && score ? b.values.get($("value").value) : null;
    const rights = [["", "right or wrong"], ["right", "right"], ["wrong", "wrong"]];
    options($("right-a"), rights, p.get("ra") || "");
    options($("right-b"), rights, p.get("rb") || "");
    $("right-a-label").hidden = !(score && score.hits !== undefined);
    $("right-b-label").hidden = !(other && other.hits !== undefined);
    const orders = [["", "as asked"]];
    if (score && score.hits === undefined) orders.push(["up", "lowest first"], ["down", "highest first"]);
    if (score && other && score.hits === undefined) orders.push(["apart", "most apart first"]);
    options($("order"), orders, p.get("order") || "");
    options($("group"), [["", "all"], ...prompts.groups.map((name) => [name, name])], p.get("group") || "");
    const group = prompts.groups.indexOf($("group").value);
    const about = [...new Set(prompts.subject.filter((name, i) => name >= 0 && (group < 0 || prompts.group[i] === group)))].map((i) => prompts.about[i]);
    options($("about"), [["", "all"], ...about.map((name) => [name, name.replaceAll("+", " + ")])], p.get("about") || "");
    options($("outcome"), [["", "all"], ...Object.entries(OUTCOMES)], p.get("outcome") || "");
    if (document.activeElement !== $("text")) $("text").value = p.get("q") || "";
    filter(score, other);
    lay();
    draw();
    const wanted = p.get("s");
    const row = wanted ? rowOf(wanted) : -1;
    if (row >= 0) open(row);
    else if (dialog.open) dialog.close();
  }
  const rowOf = (id) => {
    const at = prompts.ids.indexOf(id);
    return at >= 0 && at % prompts.letters === 0 ? at / prompts.letters : -1;
  };
  function filter(score, other) {
    const words = $("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    prompts.low ||= prompts.texts.map((text) => text.toLowerCase());
    const fits = prompts.low.map((text) => words.every((word) => text.includes(word)));
    const group = prompts.groups.indexOf($("group").value), about = prompts.about.indexOf($("about").value), outcome = $("outcome").value;
    const asks = (select) => ({ right: 1, wrong: 0 })[select.value];
    const wantA = $("right-a-label").hidden ? undefined : asks($("right-a")), wantB = $("right-b-label").hidden ? undefined : asks($("right-b"));
    rows = [];
    for (let row = 0; row < prompts.k.length; row++) {
      const prompt = prompts.prompt[row];
      if (!fits[prompt] || (group >= 0 && prompts.group[prompt] !== group) || (about >= 0 && prompts.subject[prompt] !== about)) continue;
      if (outcome && a.status[row] !== outcome && !(b && b.status[row] === outcome)) continue;
      if (score && Number.isNaN(score.at[row])) continue;
      if (wantA !== undefined && score.at[row] !== wantA) continue;
      if (wantB !== undefined && other.at[row] !== wantB) continue;
      rows.push(row);
    }
    const order = $("order").value;
    const key = order === "up" ? (row) => score.at[row] : order === "down" ? (row) => -score.at[row] : order === "apart" ? (row) => -Math.abs(score.at[row] - other.at[row]) : null;
    if (key) rows.sort((x, y) => key(x) - key(y) || x - y);
    active = Math.min(active, Math.max(rows.length - 1, 0));
    $("count").textContent = `${rows.length.toLocaleString("en")} of ${prompts.k.length.toLocaleString("en")} samples`;
  }
  function lay() {
    const wide = grid.clientWidth - 2 * GAP, width = b ? 2 * TILE - 20 : TILE;
    columns = Math.max(1, Math.floor((wide + GAP) / (width + GAP)));
    tileWidth = width;
    const side = b ? (width - 4) / 2 : width;
    grid.style.setProperty("--side", side + "px");
    grid.style.setProperty("--width", width + "px");
    lay.height = side + TEXT + GAP;
    space.style.height = Math.ceil(rows.length / columns) * lay.height + GAP + "px";
    for (const tile of tiles.values()) { tile.remove(); }
    tiles.clear();
    free.length = 0;
  }
  function draw() {
    const first = Math.max(0, Math.floor(grid.scrollTop / lay.height) - 2) * columns;
    const last = Math.min(rows.length, (Math.ceil((grid.scrollTop + grid.clientHeight) / lay.height) + 2) * columns);
    for (const [i, tile] of tiles) if (i < first || i >= last) { tiles.delete(i); tile.hidden = true; free.push(tile); }
    for (let i = first; i < last; i++) if (!tiles.has(i)) tiles.set(i, fill(free.pop() || blank(), i));
    mark();
  }
  function blank() {
    const tile = make("div", { class: "tile", role: "option" });
    for (let k = 0; k < (b ? 2 : 1); k++) {
      const image = make("img", { loading: "lazy", decoding: "async", alt: "" });
      tile.append(make("span", { class: "frame" }, image, make("b", { class: "said" })));
    }
    tile.append(make("span", { class: "text" }));
    tile.addEventListener("click", () => { active = +tile.dataset.i; put({ s: sampleId(prompts, rows[active]) }); open(rows[active]); });
    space.append(tile);
    return tile;
  }
  function fill(tile, i) {
    const row = rows[i], value = $("value").value, text = prompts.texts[prompts.prompt[row]];
    tile.dataset.i = i;
    tile.id = `sample-${i}`;
    tile.hidden = false;
    tile.setAttribute("aria-setsize", rows.length);
    tile.setAttribute("aria-posinset", i + 1);
    tile.style.transform = `translate(${GAP + (i % columns) * (tileWidth + GAP)}px, ${GAP + Math.floor(i / columns) * lay.height}px)`;
    [[entryA(), a], [entryB(), b]].forEach(([entry, cell], k) => {
      if (!entry || !cell) return;
      const frame = tile.children[k], image = frame.firstChild, said = frame.lastChild;
      const kept = cell.kept[row] === "1";
      frame.classList.toggle("gone", !kept);
      frame.dataset.outcome = OUTCOMES[cell.status[row]];
      image.hidden = !kept;
      if (kept) image.src = thumbnail(entry, block, row);
      else image.removeAttribute("src");
      const score = cell.values.get(value), word = score ? says(score, score.at[row]) : "";
      said.textContent = cell.status[row] === "o" ? word : OUTCOMES[cell.status[row]];
      said.className = "said " + (cell.status[row] === "o" ? word : "bad");
    });
    tile.lastChild.textContent = text;
    tile.title = text;
    return tile;
  }
  function mark() {
    for (const [i, tile] of tiles) {
      tile.classList.toggle("active", i === active);
      tile.setAttribute("aria-selected", i === active);
    }
    rows.length ? grid.setAttribute("aria-activedescendant", `sample-${active}`) : grid.removeAttribute("aria-activedescendant");
  }
  function show(i) {
    active = Math.max(0, Math.min(rows.length - 1, i));
    const top = Math.floor(active / columns) * lay.height;
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (top + lay.height > grid.scrollTop + grid.clientHeight) grid.scrollTop = top + lay.height - grid.clientHeight;
    draw();
  }
  function keys(event) {
    const page = Math.max(1, Math.floor(grid.clientHeight / lay.height)) * columns;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length };
    if (event.key === "Enter" && rows.length) { put({ s: sampleId(prompts, rows[active]) }); open(rows[active]); }
    else if (event.key in steps) show(active + steps[event.key]);
    else return;
    event.preventDefault();
  }
  function step(by) {
    const i = rows.indexOf(+dialog.dataset.row);
    const next = rows[i + by];
    if (i < 0 || next === undefined) return;
    show(i + by);
    put({ s: sampleId(prompts, next) });
    open(next);
  }
  async function open(row) {
    dialog.dataset.row = row;
    const first = entryA(), prompt = prompts.prompt[row], subject = prompts.subject[prompt];
    const facts = [
      ["sample", sampleId(prompts, row)], ["number", `${prompts.k[row]} of its prompt`], ["run seed", String(first.seed)],
      ["group", prompts.groups[prompts.group[prompt]]], ["about", subject >= 0 ? prompts.about[subject].replaceAll("+", " + ") : ""],
      ["outcome", OUTCOMES[a.status[row]]], ["reason", a.messages[row] || ""], ["made from", a.sources[row] || ""],
    ].filter(([, text]) => text);
    const said = [...a.values.values()].filter((score) => !Number.isNaN(score.at[row]));
    const strip = make("div", { class: "strip" });
    const close = make("button", { type: "button", class: "button", on: { click: () => dialog.close() } }, "Close");
    const before = make("button", { type: "button", class: "button", on: { click: () => step(-1) } }, "Previous");
    const after = make("button", { type: "button", class: "button", on: { click: () => step(1) } }, "Next");
    const original = a.originals && a.kept[row] === "1" ? make("a", { href: a.originals + sampleId(prompts, row) + ".png", target: "_blank", rel: "noreferrer" }, "the image as it was made") : null;
    const picture = a.kept[row] === "1" ? make("img", { class: "big", alt: `the image by ${first.label}`, src: thumbnail(first, block, row) }) : make("div", { class: "big gone" }, OUTCOMES[a.status[row]]);
    dialog.replaceChildren(
      make("header", {}, make("h2", {}, make("bdi", {}, first.label)), make("span", { class: "grow" }), before, after, close),
      make("p", { class: "prompt" }, make("bdi", {}, prompts.texts[prompt])),
      make("div", { class: "look" }, make("div", {}, picture, original),
        make("div", {}, make("dl", { class: "facts" }, ...facts.map(([key, text]) => make("div", {}, make("dt", {}, key), make("dd", {}, make("bdi", {}, text))))),
          said.length ? make("h3", {}, "What was said of it") : null,
          said.length ? make("dl", { class: "facts" }, ...said.map((score) => make("div", {},
            make("dt", { title: questions[score.id] || "" }, score.id),
            make("dd", { class: says(score, score.at[row]) }, says(score, score.at[row]), score.of === "source" ? " (over the images of its source)" : "")))) : null)),
      make("h3", {}, "The same sample by every cell"), strip);
    if (!dialog.open) dialog.showModal();
    const start = prompts.start.length ? prompts.start[row] : -1;
    for (const entry of cells.filter((one) => one.prompts === first.prompts)) {
      const cell = await cellOf(entry, prompts);
      if (+dialog.dataset.row !== row) return;
      const value = cell.values.get($("value").value), word = value ? says(value, value.at[row]) : "";
      const one = (at) => (cell.kept[at] === "1" ? make("img", { alt: "", src: thumbnail(entry, block, at) }) : make("div", { class: "gone" }, OUTCOMES[cell.status[at]]));
      strip.append(make("figure", { class: entry === first ? "active" : "" }, ...(start >= 0 ? [one(start)] : []), one(row),
        make("figcaption", {}, make("bdi", {}, entry.label), word ? make("b", { class: word }, " " + word) : null)));
    }
  }
  listen();
  await apply();
}
if ($("browser")) browser($("browser"));

// --- compare two to four methods -------------------------------------------------------------------------------------
async function comparison(element) {
  const [data] = held("comparison");
  const names = data.methods.map((method) => method.name), byName = new Map(data.methods.map((method) => [method.name, method]));
  const output = $("compared"), choose = $("choose");
  $("every").open = false; // what a reader without scripts sees at once
  let chosen = [], lines = [];
  const loaded = async (base) => { await load(byName.get(base).file); return held("compare").find((one) => one.base === base).others; };
  for (const method of data.methods) {
    choose.append(make("button", { type: "button", class: `choice-button ${method.kind}`, "data-method": method.name, on: { click: () => {
      const next = chosen.includes(method.name) ? chosen.filter((name) => name !== method.name) : [...chosen, method.name].slice(0, 4);
      put({ m: join(next) });
      apply();
    } } }, make("bdi", {}, method.name)));
  }
  const cell = (tag, values, ...children) => make(tag, values, ...children);
  function bar(low, high, value, scale) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS("http://www.w3.org/2000/svg", "path"), zero = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const at = (number) => 50 + 48 * (number / scale);
    node.setAttribute("viewBox", "0 0 100 8");
    node.setAttribute("preserveAspectRatio", "none");
    node.setAttribute("class", "bar gap");
    node.setAttribute("aria-hidden", "true");
    zero.setAttribute("class", "zero");
    zero.setAttribute("d", "M50 -2V10");
    path.setAttribute("d", `M${at(low)} 4H${at(high)}M${at(value)} 0V8`);
    node.append(zero, path);
    return node;
  }
  const table = (head, bodies, kind) => make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": kind },
    make("table", { class: kind }, make("thead", {}, head), ...bodies));

  function numbers(base, others, compared) {
    const all = $("all").checked;
    const known = new Map();
    for (const name of others) for (const line of compared[name].lines) if (all || line.headline) known.set(line.metric, line.better);
    lines = [];
    const head = make("tr", {}, cell("th", { scope: "col" }, "value"), cell("th", { scope: "col", class: "figure" }, make("bdi", {}, base)),
      ...others.flatMap((name) => [cell("th", { scope: "col", class: "figure" }, make("bdi", {}, name)), cell("th", { scope: "col", class: "figure" }, "difference"), cell("th", { scope: "col" }, "p, verdict")]));
    const body = make("tbody");
    for (const [metric, better] of known) {
      const found = others.map((name) => compared[name].lines.find((line) => line.metric === metric));
      const scale = Math.max(...found.filter(Boolean).flatMap((line) => [Math.abs(line.low), Math.abs(line.high)]), 1e-12);
      const first = found.find(Boolean), arrow = { higher: " ↑", lower: " ↓" }[better] || "";
      body.append(make("tr", {}, cell("th", { scope: "row", title: data.questions[metric] || "" }, metric + arrow), cell("td", { class: "figure" }, first.text[1]),
        ...found.flatMap((line, i) => {
          if (!line) return [cell("td", { colspan: "3", class: "faint" }, compared[others[i]].left_out[metric] || "not compared")];
          lines.push({ metric, first: others[i], second: base, value_first: line.a, value_second: line.b, difference: line.difference, low: line.low, high: line.high, p_holm: line.p, p_beyond_margin: line.p_beyond, margin: line.margin, effect: line.effect, paired: line.rule, verdict: line.verdict });
          const [gap, ends] = line.text[2].replace("]", "").split(" [");
          return [cell("td", { class: "figure" }, line.text[0]),
            cell("td", { class: "figure" }, gap, make("small", {}, ends.replace(", ", " … ")), bar(line.low, line.high, line.difference, scale)),
            cell("td", {}, make("span", { class: "verdict " + line.verdict.replaceAll(" ", "-") }, line.verdict), make("small", {}, `p = ${line.p_text}`.replace("= <", "< ") + (line.negligible && line.verdict !== "equivalent" ? ", within the margin" : "") + (line.notes.length ? `, ${line.notes.join(", ")}` : "")))];
        })));
    }
    return [table(head, [body], "numbers"),
      make("p", { class: "note" }, `Differences are of ${others.length > 1 ? "each method" : others[0]} minus ${base}. A “~” stands where no samples could be paired.`)];
  }
  function parts(base, others, compared) {
    const blocks = [];
    for (const group of data.parts.tables) {
      const of = [base, ...others].map((name) => group.methods.indexOf(name));
      if (of.filter((i) => i >= 0).length < 2) continue;
      const gaps = others.map((name) => new Map(compared[name].pairs.map(([value, pair, difference, low, high, p, shown]) => [pair, { difference, low, high, p, shown }])));
      const spread = (row) => { const known = of.map((i) => (i >= 0 && row.parts[i] ? row.parts[i][0] : NaN)).filter((x) => !Number.isNaN(x)); return known.length > 1 ? Math.max(...known) - Math.min(...known) : -1; };
      const paired = group.pairs && gaps.some((known) => known.size);
      const head = make("tr", {}, cell("th", { scope: "col" }, group.pairs ? "attribute pair" : "part"), cell("th", { scope: "col" }, group.pairs ? "list" : "of"),
        ...[base, ...others].map((name) => cell("th", { scope: "col" }, make("bdi", {}, name))),
        ...(paired ? others.map((name) => cell("th", { scope: "col", class: "figure" }, make("bdi", {}, `${name} − ${base}`))) : []));
      const body = make("tbody");
      for (const row of [...group.rows].sort((x, y) => spread(y) - spread(x))) {
        if (spread(row) < 0) continue;
        body.append(make("tr", {}, cell("th", { scope: "row" }, make("bdi", {}, group.pairs ? row.name.replaceAll("+", " + ") : row.name)), cell("td", { class: "faint words" }, row.heading.replaceAll("_", " ")),
          ...of.map((i) => {
            const part = i >= 0 ? row.parts[i] : null;
            if (!part) return cell("td", {}, "—");
            const [value, low, high, n, mark] = part;
            return cell("td", { class: row.shares ? `s${Math.max(0, Math.min(20, Math.round(20 * value)))}` : "", title: (low === null ? "" : `${low.toFixed(3)} … ${high.toFixed(3)}, `) + `n = ${n}` }, value.toFixed(2) + mark);
          }),
          ...(paired ? gaps.map((known) => {
            const gap = known.get(row.name);
            if (!gap) return cell("td", { class: "figure" }, "");
            return cell("td", { class: "figure", title: `p = ${gap.p}` }, make("span", { class: gap.shown ? `verdict ${gap.difference > 0 ? "better" : "worse"}` : "" }, signed(gap.difference)), make("small", {}, `${signed(gap.low)} … ${signed(gap.high)}`));
          }) : [])));
      }
      if (!body.rows.length) continue;
      blocks.push(make("h2", {}, group.pairs ? "Attribute pairs, where they differ most first" : `${group.group.replaceAll("_", " ")}, where they differ most first`));
      if (paired) blocks.push(make("p", { class: "faint" }, "Rates with the paired difference and its 95 % interval; coloured where p, Holm-adjusted over the pairs of a list, is at most 0.05. A ring (°): not freed of the judge's errors."));
      blocks.push(table(head, [body], "parts"));
    }
    return blocks;
  }
  const signed = (number) => number.toFixed(2).replace("-", "−").replace(/^−0\.00$/, "0.00");

  async function prompts(base, others) {
    const entries = [base, ...others].map((name) => data.cells.find((one) => one.method === name));
    if (!data.cells.length) return [make("h2", {}, "Same prompts"), make("p", { class: "faint" }, "No images kept.")];
    if (entries.some((entry) => !entry)) return [make("h2", {}, "Same prompts"), make("p", { class: "faint" }, "No images kept of one of them.")];
    for (const file of data.prompts) {
      const asked = await promptsOf(file);
      const cells = [];
      for (const entry of entries) cells.push(await cellOf(entry, asked));
      if (cells.some((one) => one.prompts !== asked.digest)) continue;
      const values = [...cells[0].values.keys()].filter((id) => cells.every((one) => one.values.has(id)));
      const select = make("select"), list = make("div", { class: "side-by-side" });
      options(select, values.map((id) => [id, id]).concat([["", "none: prompts at even distances"]]), state().get("by") ?? values[0] ?? "");
      const fill = () => {
        const at = cells.map((one) => one.values.get(select.value)?.at);
        let rows = [...asked.k.keys()].filter((row) => asked.start.length === 0 || asked.start[row] >= 0);
        if (select.value) {
          const gap = (row) => { const known = at.map((numbers) => numbers[row]); return Math.max(...known) - Math.min(...known); };
          rows = rows.filter((row) => gap(row) > 0).sort((x, y) => gap(y) - gap(x) || x - y);
          if (cells[0].values.get(select.value).of === "source") { // its samples have one number: the first stands for it
            const seen = new Set();
            rows = rows.filter((row) => !seen.has(asked.k[row]) && seen.add(asked.k[row]));
          }
          if (cells[0].values.get(select.value).hits !== undefined) { // ties by the hundred: take them at even distances
            const most = rows.filter((row) => gap(row) === 1), count = Math.min(24, most.length);
            rows = Array.from({ length: count }, (_, i) => most[Math.floor((i * most.length) / count)]);
          }
        } else rows = Array.from({ length: Math.min(24, rows.length) }, (_, i) => rows[Math.floor((i * rows.length) / Math.min(24, rows.length))]);
        list.replaceChildren(...rows.slice(0, 24).map((row) => make("article", {},
          make("div", { class: "images" }, ...entries.map((entry, i) => {
            const score = cells[i].values.get(select.value), word = score ? says(score, score.at[row]) : "";
            const link = data.samples + "#" + new URLSearchParams({ cell: entry.cell, s: sampleId(asked, row), ...(select.value ? { value: select.value } : {}) });
            return make("figure", {}, make("a", { href: link, title: entry.method }, cells[i].kept[row] === "1" ? make("img", { loading: "lazy", alt: `by ${entry.method}`, src: thumbnail(entry, data.block, row) }) : make("div", { class: "gone" }, OUTCOMES[cells[i].status[row]])),
              make("figcaption", {}, make("bdi", {}, entry.method), make("b", { class: word }, " " + word)));
          })), make("p", {}, make("bdi", {}, asked.texts[asked.prompt[row]])))));
        if (!rows.length) list.append(make("p", { class: "faint" }, "They do not differ in any sample."));
      };
      select.addEventListener("change", () => { put({ by: select.value }); fill(); });
      fill();
      return [make("h2", {}, "Same prompts, where they differ most"), make("div", { class: "tools" }, make("label", { class: "choice" }, "Value ", select)), list];
    }
    return [make("h2", {}, "Same prompts"), make("p", { class: "faint" }, "They were asked for different samples.")];
  }
  let turn = 0;
  async function apply() {
    const mine = ++turn, p = state();
    chosen = split(p.get("m")).filter((name) => byName.has(name)).slice(0, 4);
    if (!p.has("m")) chosen = names.slice(0, 2);
    $("all").checked = p.get("all") === "1";
    for (const button of choose.children) {
      const i = chosen.indexOf(button.dataset.method);
      button.setAttribute("aria-pressed", i >= 0);
      button.classList.toggle("base", i === 0);
      button.disabled = i < 0 && chosen.length >= 4;
    }
    if (chosen.length < 2) { lines = []; output.replaceChildren(make("p", { class: "faint" }, "Choose two methods or more.")); return; }
    const [base, ...others] = chosen, compared = await loaded(base);
    if (mine !== turn) return;
    output.replaceChildren(...numbers(base, others, compared), ...parts(base, others, compared));
    const images = await prompts(base, others);
    if (mine === turn) output.append(...images);
  }
  $("all").addEventListener("change", () => { put({ all: $("all").checked ? "1" : "" }); apply(); });
  $("link").addEventListener("click", () => copyLink($("link")));
  const name = `compare.${element.dataset.name}`;
  $("csv").addEventListener("click", () => { if (lines.length) download(`${name}.csv`, "text/csv", csv(Object.keys(lines[0]), lines)); });
  $("json").addEventListener("click", () => download(`${name}.json`, "application/json", JSON.stringify(lines, null, 1) + "\n"));
  addEventListener("hashchange", apply);
  await apply();
}
if ($("comparison")) comparison($("comparison"));

// --- the progress of a run, where `t2ibench view` serves the page ----------------------------------------------------
function progress(table) {
  const before = new Map();
  takers.progress = [({ cells, error, at }) => {
    const left = cells.filter((cell) => !cell.recorded).length;
    $("said").textContent = error || (left ? `${cells.length - left} cells are recorded, ${left} in work.` : cells.length ? `All ${cells.length} cells that have images are recorded.` : "No image has been made yet.");
    table.tBodies[0].replaceChildren(...cells.map((cell) => {
      const key = [cell.suite, cell.track, cell.method, cell.seed].join("/"), then = before.get(key);
      const speed = then && cell.done > then.done ? (cell.done - then.done) / (at - then.at) : 0;
      if (!then || cell.done > then.done) before.set(key, { done: cell.done, at });
      const share = cell.recorded ? 1 : cell.asked ? Math.min(1, cell.done / cell.asked) : null;
      return make("tr", {}, ...[cell.suite, cell.track.replaceAll("_", " "), cell.method].map((text) => make("td", {}, make("bdi", {}, text))),
        make("td", { class: "figure" }, cell.seed), make("td", { class: "figure" }, cell.done.toLocaleString("en") + (cell.asked && !cell.recorded ? ` of ${cell.asked.toLocaleString("en")}` : "")),
        make("td", {}, cell.recorded ? make("span", { class: "best" }, "recorded") : make("span", {}, share === null ? make("progress") : make("progress", { max: "1", value: String(share) }), speed ? ` ${speed.toFixed(1)} a second` : "")));
    }));
    pushed.length = 0;
  }];
  const look = () => {
    const node = make("script", { src: `progress.js?${Date.now()}` });
    node.onload = node.onerror = () => { node.remove(); setTimeout(look, 2000); };
    document.head.append(node);
  };
  look();
}
if ($("progress")) progress($("progress"));
