/* A model's card, and two or three beside each other: the same parts, for one row or several. */

const STAGES = { copy_in: "copy in", preprocess: "resize and normalise", network: "network", upsample_argmax: "upsample + argmax", copy_out: "copy out" };

function openCard(row) {
  open_({ card: row, open: "" });
}

function openCompare() {
  open_({ card: null, open: "compare" });
}

function open_(what) {
  writeAddress(); // of what Back comes back to
  const asEntry = !isOpen();
  Object.assign(state, what);
  syncDialog();
  writeAddress(asEntry);
  asOpened = question(state);
}

/* Closed by a person: the entry that was added is left, so that Back does not close nothing, nor open it again. */
function closed() {
  if (!isOpen()) return; // by Back
  isChanged = question(state) !== asOpened;
  Object.assign(state, { card: null, open: "" });
  opened = "";
  isLeaving = Boolean(history.state?.isOpened);
  if (isLeaving) history.back();
  else writeState();
}

/* The address is another one: by Back or Forward, or since a person wrote it. The same question with another card open
   leaves the page as it is scrolled and unfolded. */
function moved() {
  const isLeft = isLeaving;
  isLeaving = false;
  if (isLeft && isChanged) return void writeState();
  clearTimeout(writing);
  const before = state;
  readState();
  asOpened = question(state);
  if (unread.length || question(before) !== question(state)) return void rebuild();
  state = { ...before, card: state.card, open: state.open };
  syncDialog();
}

let opened = ""; // what the dialog holds
let isLeaving = false; // the entry of what was closed
let asOpened = ""; // what was asked when it was opened, and
let isChanged = false; // whether something else was, when it was closed
const question = (asked) => addressOf({ ...asked, card: null, open: "" });

function syncDialog() {
  const dialog = byId("card"), rows = state.open === "compare" ? state.compare : state.card === null ? [] : [state.card];
  const wanted = `${state.group} ${rows.join(" ")}`;
  if (!rows.length) {
    opened = "";
    if (dialog.open) dialog.close();
    return;
  }
  if (wanted !== opened) dialog.replaceChildren(...cardParts(rows));
  opened = wanted;
  dialog.className = rows.length > 1 ? "several" : "one";
  if (!dialog.open) dialog.showModal();
}

function cardParts(rows) {
  const [row] = rows, one = rows.length === 1;
  const title = one ? nameOf(row) : "Compared";
  const parts = [
    h("header", {}, h("h2", { id: "card-title" }, title, one ? gradeBadge(row) : null),
      h("form", { method: "dialog" }, h("button", { "aria-label": "close", className: "close" }, "×"))),
    part("Numbers", numbersOf(rows)),
    part("Against the timing", against(rows)),
    part("Where the time of a frame goes", waterfall(rows)),
    part("Latency of every call", distributions(rows)),
    part("IoU of each class", classTable(rows)),
    one ? part("Confusion", confusion(row)) : null,
    part("How it was fed", feeding(rows)),
    part("Weights and licences", weightsOf(rows)),
    one && own("published", row) !== null ? part("Published for Cityscapes val", publishedOf(row)) : null,
    part("Where the numbers come from", provenance(rows)),
    DATA.whole ? null : h("p", { className: "muted" }, "This page has many rows: how calls were spread, confusion matrices, software and weights stand in the records alone."),
    part("Commands", commands(rows)),
    h("p", { className: "toast", role: "status" }),
  ];
  return parts.filter(Boolean);
}

const part = (title, content) => (content ? h("section", {}, h("h3", {}, title), content) : null);

/* --- Tables of facts: a column a row; what all share is said quietly. */

function factTable(rows, facts) {
  const found = facts.filter(([, cells]) => cells.some((cell) => cell !== null && cell !== undefined && cell !== ""));
  if (!found.length) return null;
  const text = (cell) => (cell instanceof Node ? cell.textContent : String(cell ?? ""));
  const many = rows.length > 1;
  return h("div", { className: "scroll", tabindex: many ? 0 : null, role: many ? "group" : null, "aria-label": many ? "compared facts" : null },
    h("table", { className: "facts" },
      many ? h("thead", {}, h("tr", {}, h("td", {}), rows.map((row) => h("th", { scope: "col" }, nameOf(row))))) : null,
      h("tbody", {}, found.map(([name, cells]) => h("tr", { className: many && new Set(cells.map(text)).size > 1 ? "differs" : "" },
        h("th", { scope: "row" }, name), cells.map((cell) => h("td", {}, cell ?? "not known")))))));
}

function numbersOf(rows) {
  const [first] = rows;
  const facts = DATA.metrics.filter((one) => !(one.key.replace(/_s$/, "") in STAGES)).map((one) => [one.title, rows.map((row) => {
    const value = valueOf(row, one.key);
    if (value === null) return rows.length > 1 && valueOf(first, one.key) !== null ? "n/a" : null;
    const [text, ends] = sayWithEnds(row, one.key);
    return h("span", {}, h("b", {}, text), ends && h("span", { className: "ends" }, ` ${ends}`), row === first ? null : difference(one, row, first));
  })]);
  return factTable(rows, facts);
}

/* What speaks against a row's clock, each with what to do about it. */
function against(rows) {
  const found = rows.map((row) => pooled("doubts", own("doubts", row)));
  if (!found.some(Boolean)) return null;
  const said = (doubts) => doubts.map(([what, remedy]) => h("p", {}, what, h("span", { className: "muted" }, ` → ${remedy}`)));
  return factTable(rows, [["why not A, and what to do", found.map((doubts, place) => (doubts ? h("div", { className: "doubts" }, said(doubts)) : fact("grade", rows[place]) && "nothing"))]]);
}

function difference(one, row, first) {
  const value = valueOf(row, one.key), reference = valueOf(first, one.key);
  if (value === null || reference === null || !one.better) return null;
  const same = alike(row, first, one.key);
  if (same) return h("span", { className: "same", title: "a tie: they differ by less than matters, or than can be told" }, " ≈");
  const text = one.unit === "%" || one.unit === "points" ? `${value > reference ? "+" : "−"}${show(one, Math.abs(value - reference))} points`
    : reference > 0 && value > 0 ? `${(value / reference).toFixed(2)}×` : "";
  if (same === null) return h("span", { className: "same", title: "whether by more than chance is not known" }, ` ${text} ?`);
  return h("span", { className: better(one, value, reference) ? "gain" : "loss" }, ` ${text}`);
}

/* --- Time. */

function waterfall(rows) {
  const total = metric("pipeline_p50_s");
  const known_ = rows.map((row) => [row, Object.keys(STAGES).map((name) => [name, valueOf(row, `${name}_s`)]).filter(([, value]) => value !== null)]);
  if (!known_.some(([, stages]) => stages.length)) return null;
  const longest = Math.max(...known_.map(([row, stages]) => Math.max(valueOf(row, "pipeline_p50_s") ?? 0, stages.reduce((sum, [, value]) => sum + value, 0))));
  const bars = known_.map(([row, stages]) => {
    const said = stages.map(([name, value]) => `${STAGES[name]} ${say(total, value)}`).join(", ") || "one graph, its stages cannot be told apart";
    const bar = h("div", { className: "stack", role: "img", "aria-label": `${nameOf(row)}: ${said}` });
    for (const [name, value] of stages.length ? stages : [["whole", valueOf(row, "pipeline_p50_s") ?? 0]]) {
      const piece = h("span", { className: `stage ${name}`, title: `${STAGES[name] ?? "one graph"} ${say(total, value)}` });
      piece.style.width = `${(100 * value) / longest}%`;
      bar.append(piece);
    }
    return h("div", { className: "stack-line" }, rows.length > 1 ? h("span", { className: "stack-name" }, nameOf(row)) : null, bar, h("b", {}, say(total, valueOf(row, "pipeline_p50_s"))));
  });
  const keys = Object.keys(STAGES).map((name) => [name, rows.map((row) => valueOf(row, `${name}_s`))]).filter(([, values]) => values.some((value) => value !== null));
  return h("div", {}, bars, factTable(rows, keys.map(([name, values]) => [h("span", { className: "key" }, h("i", { className: `stage ${name}` }), STAGES[name]), values.map((value) => (value === null ? null : say(total, value)))])));
}

/* Calls by their latency: where samples are known as bars, else as a line through the percentiles. */
function distributions(rows) {
  const drawn = [];
  for (const scope of ["pipeline", "network"]) {
    const found = rows.map((row) => [row, own("latency", row)?.[scope]]).filter(([, latency]) => latency);
    if (!found.length) continue;
    const from = Math.min(...found.map(([, latency]) => latency.of[0])), to = Math.max(...found.map(([, latency]) => latency.end ?? latency.of[6] ?? latency.of[5] ?? latency.of[8]));
    for (const [row, latency] of found) drawn.push(distribution(row, scope, latency, from, to, rows.length > 1));
  }
  return drawn.length ? h("div", { className: "distributions" }, drawn) : null;
}

function distribution(row, scope, { n, of, bins, end }, from, to, several) {
  const [least, , middle, , p90, , p99, , most] = of, one = metric("pipeline_p50_s");
  const width = 420, height = 64, low = from - (to - from) * 0.02, high = to + (to - from) * 0.04 || to + 1;
  const place = (value) => ((value - low) / (high - low)) * width;
  const said = [`p50 ${say(one, middle / 1e6)}`, `p90 ${say(one, p90 / 1e6)}`, p99 && `p99 ${say(one, p99 / 1e6)}`, `slowest ${say(one, most / 1e6)}`].filter(Boolean).join(" · ");
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height + 16}`, role: "img", "aria-label": `${scope} latency of ${n} calls: ${said}` });
  if (bins?.length > 1) {
    const counts = bins.slice(0, -1), step = (end - least) / counts.length, top = Math.max(...counts);
    counts.forEach((count, at) => { if (count) drawn.append(svg("rect", { class: "call", x: place(least + at * step), width: Math.max(place(least + step) - place(least) - 0.6, 0.8), y: height - (count / top) * (height - 8), height: (count / top) * (height - 8) })); });
  } else {
    drawn.append(svg("rect", { class: "call box", x: place(of[1]), width: Math.max(place(of[3]) - place(of[1]), 1), y: height - 26, height: 20 }), svg("line", { class: "whisker", x1: place(least), x2: place(Math.min(p99 ?? of[5], to)), y1: height - 16, y2: height - 16 }));
  }
  drawn.append(svg("line", { class: "ground", x1: 0, x2: width, y1: height, y2: height }));
  for (const [name, value] of [["p50", middle], ["p90", p90], ["p99", p99]]) if (value) drawn.append(svg("line", { class: `at ${name}`, x1: place(value), x2: place(value), y1: 4, y2: height }));
  for (const tick of evenTicks(low / 1e3, high / 1e3).filter((value) => place(value * 1e3) > 8 && place(value * 1e3) < width - 12)) drawn.append(svg("text", { x: place(tick * 1e3), y: height + 13, "text-anchor": "middle" }, String(Number(tick.toPrecision(4)))));
  return h("figure", {}, h("figcaption", {}, several ? `${nameOf(row)}, ${scope}` : scope, h("span", { className: "muted" }, ` ${n} calls, ms · ${said}`)), drawn);
}

/* --- Classes. */

function classTable(rows) {
  const scored = rows.filter((row) => own("iou", row) !== null);
  if (!scored.length) return null;
  const names = classesOf(scored[0]), one = metric("miou"), single = rows.length === 1;
  const [row] = scored, held = own("lost", row) !== null && !own("reference", row), pixels = pooled("pixels", own("pixels", row));
  const recall = (place) => pooled("confusion", own("confusion", row))?.[place * (names.length + 1) + place];
  const body = names.map((name, place) => {
    const values = scored.map((found) => valueOf(found, `iou.${name}`)), share = pixels?.[place] ?? null;
    if (values.every((value) => value === null)) return null;
    const best = Math.max(...values.filter((value) => value !== null)), lost = single && held ? valueOf(row, `class-loss.${name}`) : null;
    const marked = lost !== null && lost > DATA.hurt.lost && share >= DATA.hurt.pixels;
    return h("tr", { className: marked ? "lost" : "" }, h("th", { scope: "row" }, name),
      values.map((value) => h("td", { className: "bar-cell" }, fill(value), h("span", {}, !single && show(one, value) === show(one, best) ? h("b", {}, show(one, value)) : show(one, value)))),
      single && held ? h("td", {}, lost === null ? "" : signed(-100 * lost), marked ? h("span", { title: DATA.marks["†"] }, " †") : null) : null,
      single ? h("td", {}, recall(place) === undefined ? "" : (recall(place) / 10).toFixed(1)) : null,
      h("td", {}, share === null ? "" : (100 * share).toFixed(share < 0.01 ? 2 : 1)));
  });
  return h("div", { className: "scroll", tabindex: 0, role: "group", "aria-label": "IoU of each class" }, h("table", { className: "classes" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "class"), scored.map((found) => h("th", { scope: "col" }, single ? "IoU %" : nameOf(found))),
      single && held ? h("th", { scope: "col", title: "IoU here minus that of the same weights in fp32, eager where there is such a row" }, "Δ fp32") : null,
      single ? h("th", { scope: "col" }, "recall %") : null, h("th", { scope: "col" }, "pixels %"))),
    h("tbody", {}, body)));
}

function signed(points) {
  const text = Math.abs(points).toFixed(1);
  return text === "0.0" ? text : `${points < 0 ? "−" : "+"}${text}`;
}

function fill(value) {
  const made = h("i", { className: "fill", "aria-hidden": "true" });
  made.style.width = `calc((100% - 54px) * ${value ?? 0})`;
  return made;
}

/* Truth down, what it was taken for across; a cell is its share of the true pixels. */
function confusion(row) {
  const flat = pooled("confusion", own("confusion", row)), names = classesOf(row);
  if (!flat || !names.length) return null;
  const width = names.length + 1, has = names.map((_, truth) => flat.slice(truth * width, (truth + 1) * width).some(Boolean));
  const shown = names.map((_, place) => place).filter((place) => has[place] || names.some((_, truth) => flat[truth * width + place]));
  const none = names.some((_, truth) => flat[truth * width + names.length]) ? [names.length] : [];
  const worst = shown.flatMap((truth) => shown.filter((taken) => taken !== truth).map((taken) => [flat[truth * width + taken], truth, taken])).sort((a, b) => b[0] - a[0]).slice(0, 4).filter(([share]) => share);
  const cell = (truth, taken) => {
    const share = flat[truth * width + taken] / (truth === taken ? 10 : 1);
    const made = h("td", { title: `${names[truth]} taken for ${names[taken] ?? "no class"}: ${share} %`, className: truth === taken ? "right" : "" }, Math.round(share) || "");
    made.style.setProperty("--share", share / 100);
    if (share > 55) made.classList.add("full");
    return made;
  };
  return h("div", {},
    worst.length ? h("p", {}, "Most often: ", worst.map(([share, truth, taken]) => `${names[truth]} taken for ${names[taken]} ${share} %`).join(", "), ".") : null,
    h("div", { className: "scroll", tabindex: 0, role: "group", "aria-label": "confusion matrix" }, h("table", { className: "confusion" },
      h("caption", {}, "Per cent of a true class's pixels; truth down, taken for across"),
      h("thead", {}, h("tr", {}, h("td", {}), [...shown, ...none].map((place) => h("th", { scope: "col" }, h("span", {}, names[place] ?? "no class"))))),
      h("tbody", {}, shown.map((truth) => h("tr", {}, h("th", { scope: "row" }, names[truth]), [...shown, ...none].map((taken) => cell(truth, taken))))))));
}

/* --- Facts. */

function feeding(rows) {
  const facts = { "input, height x width": "input_size", "label map": "output_size", resize: "resize", read: "mode", batch: "batch_size", threads: "thread_count", "memory layout": "memory_format", "torch.compile mode": "compile_mode" };
  const fed = (name) => rows.map((row) => pooled("weights", own("weights_of", row))?.[name] ?? null);
  return factTable(rows, [...Object.entries(facts).map(([title, name]) => [title, rows.map((row) => fact(name, row))]),
    ...["mean", "std", "channels"].map((name) => [name, fed(name)])]);
}

const FED = ["mean", "std", "channels"];

function weightsOf(rows) {
  const found = rows.map((row) => pooled("weights", own("weights_of", row)) ?? {});
  const names = [...new Set(found.flatMap(Object.keys))].filter((name) => !FED.includes(name));
  const terms = rows.map((row) => pooled("licences", own("licences", row)));
  const stated = (parts) => (parts.length ? parts.map(([value, source], place) => [place ? " + " : "", value, source && source !== "LICENSE" ? [" (", linked(source), ")"] : ""]) : null);
  return h("div", {}, factTable(rows, [
    ...names.map((name) => [name, found.map((facts) => linked(facts[name] ?? null))]),
    ...["code", "weights", "training data"].map((what) => [`licence: ${what}`, terms.map((one) => h("span", {}, stated(one.facts[what]) ?? "nothing to license"))]),
    ["may be sold", terms.map((one) => (one.against.length ? h("span", {}, "against it, or not known: ", one.against.join("; ")) : "nothing stated speaks against it"))]]),
    h("p", { className: "muted" }, `Licences: ${DATA.advice}.`));
}

/* An address is a link only a person follows, and only one of the web. */
function linked(text) {
  return /^https?:\/\/\S+$/.test(text ?? "") ? h("a", { href: text, rel: "noopener noreferrer", target: "_blank" }, text) : text;
}

function publishedOf(row) {
  const { miou, protocol, weights, source, difference: off, why } = pooled("published", own("published", row));
  const one = metric("miou");
  return factTable([row], [
    ["mIoU, as its authors state it", [say(one, miou)]], ["counted", [protocol]], ["of", [weights]], ["source", [linked(source)]],
    ["here minus it", [off === null ? null : `${show(one, off)} points`]], ["why they differ", [why.join("; ")]]]);
}

function provenance(rows) {
  const found = rows.map((row) => ({ measured: own("at", row), "seen from its writer": fact("rests_on", row), ...pooled("machine", own("machine", row)), ...pooled("provenance", own("provenance", row)), "record": own("file", row), key: own("id", row) }));
  return factTable(rows, [...new Set(found.flatMap(Object.keys))].map((name) => [name, found.map((facts) => facts[name] ?? null)]));
}

function commands(rows) {
  const files = rows.map((row) => own("file", row));
  const pair = rows.length > 1 && files.every(Boolean) ? [["compare them, with significance", typed(["zoo", "compare", ...files])]] : [];
  const lines = rows.length > 1 ? pair : pooled("commands", own("commands", rows[0])) ?? [];
  if (!lines.length) return null;
  return h("dl", { className: "commands" }, lines.flatMap(([what, command]) => [h("dt", {}, what),
    h("dd", {}, h("code", {}, command), h("button", { type: "button", "aria-label": `copy: ${what}`, onclick: () => copyText(command, "Copied.") }, "Copy"))]));
}
