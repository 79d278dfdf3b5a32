/* The table: the plot's text. Sorted by any number of ours; what others published is shown and never ranked. */

const PAGE = 50; // rows at first; a button shows more
let shownRows = PAGE;
let onScreen = null; // on paper: what it changed
let lines = { of: "", made: new Map() }; // the rows drawn so far, while columns stay the same

const sortNow = () => {
  const best = objective(), can = state.sort && (!metric(state.sort.key) || known(state.sort.key));
  return can ? state.sort : { key: best, up: metric(best).better !== "higher" };
};
const sortedRows = (rows) => ranked(rows, sortNow().key, sortNow().up);

function tableColumns() {
  const facts = ["runtime", "precision", "input_size"].filter((name) => new Set(rowsHere().map((row) => fact(name, row))).size > 1)
    .map((name) => ({ key: name, title: name.replace("_size", ""), text: (row) => String(fact(name, row)), words: true }));
  const keys = current().columns.filter((key) => !["grade", "why", "weights", "published", "seed_count"].includes(key));
  const numbers = [...keys, objective(), ...limitsSet().map(([key]) => key), plot?.x, plot?.y].filter((key) => key && known(key, current().rows));
  const has = (key) => current().columns.includes(key);
  return [
    ...facts,
    ...(has("weights") ? [{ key: "weights", title: "weights", text: (row) => fact("weights", row), words: true }] : []),
    ...(has("seed_count") ? [{ key: "seed_count", title: "seeds", text: (row) => String(fact("seed_count", row) || "") }] : []),
    ...[...new Set(numbers)].map((key) => numberColumn(metric(key))),
    ...(has("published") ? [{ key: "published", title: "published mIoU %", fixed: true, text: (row) => current().published[placeOf(row)] }] : []),
    ...(has("grade") ? [{ key: "grade", title: "timing", words: true, text: (row) => fact("grade", row) ?? "", node: gradeBadge }] : []),
  ];
}

function numberColumn(one) {
  const best = one.key in current().best ? show(one, current().best[one.key]) : null, title = one.column || `${one.title} ${one.unit}`.trim();
  const said = (row) => [one.key === "class-loss" && fact("worst_class", row), shown(row, one.key)].filter(Boolean).join(" ");
  return {
    key: one.key, title,
    text: (row) => (valueOf(row, one.key) === null && own("baseline", row) ? "" : said(row)),
    node: (row) => {
      const ends = one.key === "miou" && endsOf(row, one.key);
      if (valueOf(row, one.key) === null) return h("span", { className: "none" }, own("baseline", row) ? "" : "n/a");
      const isBest = show(one, valueOf(row, one.key)) === best && !own("baseline", row);
      return [isBest ? h("b", { title: "best of its column" }, said(row)) : said(row), ends && h("span", { className: "ends" }, ` ${ends}`)];
    },
  };
}

function buildTable(rows) {
  const found = tableColumns(), sort = sortNow(), [x, y] = plot ? [plot.x, plot.y] : axes();
  const onFront = new Set(x && y ? frontOf(rows, x, y) : []);
  const ordered = sortedRows(rows), baseline = current().rows.filter((row) => own("baseline", row));
  const head = h("tr", {},
    h("th", { scope: "col", className: "check" }, h("span", { className: "unseen" }, "compare")),
    headCell({ key: "model", title: "model", words: true }, sort), found.map((one) => headCell(one, sort)));
  const columns_ = `${state.group} ${found.map((one) => one.key).join(" ")}`;
  if (lines.of !== columns_) lines = { of: columns_, made: new Map() };
  const line = (row) => {
    if (!lines.made.has(row)) lines.made.set(row, bodyLine(row, found));
    const made = lines.made.get(row), chosen = state.compare.includes(row);
    made.classList.toggle("chosen", chosen);
    made.querySelector(".on-front").hidden = !onFront.has(row);
    const box = made.querySelector("input");
    if (box) box.checked = chosen;
    return made;
  };
  const held = document.activeElement;
  const body = h("tbody", {}, ordered.slice(0, shownRows).map(line));
  const foot = baseline.length ? h("tbody", { className: "fixed-map" }, baseline.map(line)) : null;
  const made = h("table", { "aria-rowcount": ordered.length + 1 + baseline.length },
    h("caption", { className: "unseen" }, `${ordered.length} rows, ${current().title}, sorted by ${titleOf(sort.key)}`), h("thead", {}, head), body, foot);
  byId("table").replaceChildren(made);
  if (held?.dataset?.sort) byId("table").querySelector(`[data-sort="${CSS.escape(held.dataset.sort)}"]`)?.focus({ preventScroll: true });
  else if (held && made.contains(held)) held.focus({ preventScroll: true });
  const every = named(), older = every.length - newestVersions(every).length;
  byId("count").textContent = `${rows.length} of ${rowsHere().length} · ${current().title}`
    + (older ? ` · ${older} of older versions of their recipes left out` : "");
  const left = ordered.length - shownRows;
  byId("rest").replaceChildren(...(left > 0 ? [
    h("span", { className: "muted" }, `${shownRows} of ${ordered.length} rows shown`),
    h("button", { type: "button", onclick: () => more(PAGE) }, `${Math.min(PAGE, left)} more`),
    h("button", { type: "button", onclick: () => more(left) }, "all")] : []));
}

function more(count) {
  const first = shownRows;
  shownRows += count;
  update();
  byId("table").querySelectorAll("tbody:not(.fixed-map) th button")[first].focus(); // the button that was pressed is gone
}

const titleOf = (key) => metric(key)?.title ?? key.replace("_", " ");

function headCell({ key, title, words, fixed }, sort) {
  const on = sort.key === key;
  const made = h("th", { scope: "col", className: words ? "words" : "" });
  if (on) made.setAttribute("aria-sort", sort.up ? "ascending" : "descending");
  made.append(fixed || onScreen ? h("span", { className: "fixed" }, title) : h("button", { type: "button", "data-sort": key, onclick: () => sortBy(key, words) }, title, h("span", { className: "way", "aria-hidden": "true" }, on ? (sort.up ? "▲" : "▼") : "")));
  return made;
}

function sortBy(key, words) {
  const sort = sortNow(), first = words ? true : metric(key)?.better !== "higher";
  state.sort = { key, up: sort.key === key ? !sort.up : first };
  buildTable(rowsNow); // nothing else changes
  writeState();
}

function bodyLine(row, found) {
  const baseline = own("baseline", row), marks = marksOf(row).replace("◆", "");
  const name = fact("model", row) + (baseline ? " (baseline)" : "");
  return h("tr", { "data-row": row, onclick: (event) => { if (!event.target.closest("button, input, label")) openCard(row); } },
    h("td", { className: "check" }, baseline ? null : h("input", { type: "checkbox", "aria-label": `compare ${nameOf(row)}`, onchange: (event) => choose(row, event.target.checked) })),
    h("th", { scope: "row" },
      h("button", { type: "button", className: "link", onclick: () => openCard(row) }, name),
      h("span", { className: "mark on-front", hidden: true, role: "img", title: "on the Pareto front of the plot", "aria-label": "on the Pareto front" }, "◆"),
      [...marks].map((mark) => h("span", { className: "mark", role: "img", title: DATA.marks[mark], "aria-label": DATA.marks[mark] }, mark))),
    found.map((one) => h("td", { className: one.words ? "words" : "" }, one.node ? one.node(row) : one.text(row))));
}

function choose(row, on) {
  const others = state.compare.filter((one) => one !== row);
  if (on && others.length === 3) {
    toast("Three rows are compared at most; take one away first.");
    return update();
  }
  state.compare = on ? [...others, row] : others;
  update();
}

function buildCompareBar() {
  const bar = byId("compare"), held = bar.contains(document.activeElement);
  bar.hidden = !state.compare.length;
  bar.replaceChildren(
    ...state.compare.map((row) => h("span", { className: "chosen-row" }, nameOf(row), h("button", { type: "button", "aria-label": `take ${nameOf(row)} away`, onclick: () => choose(row, false) }, "×"))),
    h("button", { type: "button", className: "main", disabled: state.compare.length < 2, onclick: openCompare }, state.compare.length < 2 ? "Choose another to compare" : `Compare ${state.compare.length}`));
  if (held) (bar.querySelector(".chosen-row button") ?? byId("table")).focus({ preventScroll: true });
}

/* What the tables say beside their rows: what failed, and what is to be known. */
function buildSaid() {
  const { failed, notes } = current();
  byId("said").replaceChildren(
    ...(notes.length ? [h("details", { open: false }, h("summary", {}, `Notes (${notes.length})`), h("ul", {}, notes.map((note) => h("li", {}, note))))] : []),
    ...(failed.length ? [h("details", {}, h("summary", {}, `No numbers (${failed.reduce((sum, [names]) => sum + names.length, 0)})`),
      h("ul", {}, failed.map(([names, reason]) => h("li", {}, `${names.join(", ")}: ${reason}`))))] : []));
}

/* --- The table taken along: text with tabs as it is shown, or CSV in SI units, all columns; or on paper. */

function tableText(rows) {
  const found = tableColumns();
  const lines = sortedRows(rows).map((row) => [fact("model", row), ...found.map((one) => one.text(row))]);
  return [["model", ...found.map((one) => one.title)], ...lines].map((line) => line.join("\t")).join("\n") + "\n";
}

function tableCsv(rows) {
  const facts = Object.keys(DATA.facts), seen = tableColumns().map((one) => one.key).filter(metric);
  const numbers = [...new Set([...Object.keys(DATA.numbers), ...seen])];
  const head = [...facts, "device", ...numbers, "published_miou", "key", "file"];
  const lines = sortedRows(rows).map((row) => [...facts.map((name) => fact(name, row)), current().device, ...numbers.map((key) => valueOf(row, key)),
    pooled("published", own("published", row))?.miou ?? null, own("id", row), own("file", row)]);
  return [head, ...lines].map((line) => line.map(csvCell).join(",")).join("\n") + "\n";
}

function csvCell(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" && /^[=+\-@\t]/.test(value) ? `'${value}` : String(value); // a sheet would run it
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function saveCsv(rows) {
  const address = URL.createObjectURL(new Blob([tableCsv(rows)], { type: "text/csv" }));
  h("a", { href: address, download: "zoo-leaderboard.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
  toast(`${rows.length} rows as CSV`);
}

/* Paper has all rows, what is folded is open, and a head of words alone, since buttons stand on its first page only. */
function ontoPaper() {
  const folded = [...document.querySelectorAll("#said details:not([open])")];
  onScreen = { shownRows, folded };
  shownRows = Infinity;
  byId("asked").textContent = questionInWords();
  folded.forEach((one) => { one.open = true; });
  buildTable(rowsNow);
}

function offPaper() {
  shownRows = onScreen.shownRows;
  onScreen.folded.forEach((one) => { one.open = false; });
  onScreen = null;
  buildTable(rowsNow);
}
