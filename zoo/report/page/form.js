/* The question as a form: where, limits, kinds, and what is best. */

const FIRST_LIMITS = ["pipeline_p50_s", "miou", "peak_memory_bytes"];
const sliders = new Map(); // by key of a limit: its parts, and the values it steps through

function options(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
}

/* Metrics that can be chosen, and the chosen one, though it may be known of no row here. */
function grouped(select, chosen, can = known) {
  const one = (key) => h("option", { value: key, selected: key === chosen }, metric(key).title, can(key) ? "" : " (not known here)");
  const isOfClass = !DATA.metrics.some((one) => one.key === chosen);
  const classes = [...new Set([...classesHere().map((name) => `iou.${name}`).filter((key) => known(key)), ...(isOfClass ? [chosen] : [])])];
  select.replaceChildren(
    h("optgroup", { label: "Metrics" }, metricsHere((key) => can(key) || key === chosen).map((found) => one(found.key))),
    ...(classes.length ? [h("optgroup", { label: "IoU of a class" }, classes.map(one))] : []),
  );
}

function buildForm() {
  const devices = [...new Set(DATA.groups.map((group) => group.device))];
  options(byId("device"), devices.map((name) => [name, name]), current().device);
  const groups = DATA.groups.map((group, place) => [String(place), group.title]).filter(([place]) => DATA.groups[place].device === current().device);
  options(byId("group"), groups, String(state.group));
  byId("search").value = state.search;
  buildLimits();
  buildKinds();
  const [x, y] = axes();
  grouped(byId("objective"), objective());
  grouped(byId("x"), x);
  grouped(byId("y"), y, canBeUp);
}

function buildLimits() {
  const isSet = (key) => (state.limits[key] ?? null) !== null;
  const keys = [...new Set([...FIRST_LIMITS, ...Object.keys(state.limits)])].filter((key) => known(key) || isSet(key));
  sliders.clear();
  byId("limits").replaceChildren(...keys.map(buildLimit));
  const classes = classesHere();
  const option = (key) => h("option", { value: key }, metric(key).title);
  const left = (found) => found.filter((key) => !keys.includes(key) && known(key)).map(option);
  byId("more").replaceChildren(
    h("option", { value: "" }, "Add a limit …"),
    h("optgroup", { label: "Metrics" }, left(metricsHere().map((one) => one.key))),
    h("optgroup", { label: "IoU of a class" }, left(classes.map((name) => `iou.${name}`))),
    h("optgroup", { label: "IoU a class loses against fp32" }, left(classes.map((name) => `class-loss.${name}`))),
  );
}

/* A slider steps through limits that rows just keep, so each step leaves another row out; its end is no limit. Of what
   is known of no row here there are no steps: such a limit can be typed, or taken away. */
function buildLimit(key) {
  const one = metric(key), least = one.better === "higher";
  const values = [...new Set(rowsHere().map((row) => valueOf(row, key)).filter((value) => value !== null).map((value) => asLimit(key, value)))]
    .filter((value) => value !== null).sort((a, b) => a - b);
  const id = `limit-${key.replace(/[^a-z0-9]+/gi, "-")}`;
  const slider = h("input", {
    type: "range", min: 0, max: values.length, step: 1, disabled: !values.length, "aria-label": `${one.title}, ${least ? "at least" : "at most"}`,
    oninput: () => setLimit(key, values[least ? slider.valueAsNumber - 1 : slider.valueAsNumber] ?? null),
  });
  const number = h("input", {
    type: "number", id, step: "any", inputMode: "decimal", placeholder: "any",
    oninput: () => setLimit(key, number.value === "" || !Number.isFinite(number.valueAsNumber) ? null : asLimit(key, fromShown(one, number.valueAsNumber), true)),
  });
  const out = h("span", { className: "left" });
  sliders.set(key, { one, least, values, slider, number, out });
  return h("div", { className: "limit" },
    h("label", { htmlFor: id }, one.title, " ", h("span", { className: "sign" }, least ? "≥" : "≤")),
    h("span", { className: "typed" }, number, h("span", { className: "unit" }, one.unit)), slider, out);
}

function takeAway(key) {
  delete state.limits[key];
  buildLimits();
  update();
  byId("more").focus(); // the button that was pressed is gone
}

function setLimit(key, value) {
  state.limits[key] = value;
  update();
}

const bare = (value) => value.replace(/^measured on /, "");
const kindTitle = (name) => ({ rests_on: "measured on", input_size: "input" })[name] ?? name;

function buildKinds() {
  const parts = [];
  for (const name of KINDS) {
    const there = [...new Set(rowsHere().map((row) => String(fact(name, row))))], asked = state.kinds[name] ?? [];
    const values = [...new Set([...(there.length < 2 || there.length > 12 ? [] : there), ...asked])].sort();
    if (!values.length) continue;
    const word = kindTitle(name);
    parts.push(h("div", { className: "chips", role: "group", "aria-label": word }, h("span", { className: "chips-name" }, word),
      values.map((value) => h("label", { className: "chip" },
        h("input", { type: "checkbox", checked: asked.includes(value), onchange: (event) => setKind(name, value, event.target.checked) }), bare(value), there.includes(value) ? "" : " (none here)"))));
  }
  if (state.grade || rowsHere().some((row) => fact("grade", row))) {
    const select = h("select", { id: "grade", onchange: (event) => { state.grade = event.target.value; update(); } });
    options(select, [["", "any grade"], ["A", "A"], ["B", "B or better"], ["C", "C or better"]], state.grade);
    parts.push(h("div", { className: "chips" }, h("label", { className: "chips-name", htmlFor: "grade" }, "timing grade"), select));
  }
  const sale = rowsHere().filter((row) => own("for_sale", row)).length;
  parts.push(h("div", { className: "chips" }, h("span", { className: "chips-name" }, "licences"), h("label", { className: "chip", title: `code, weights and training data; ${DATA.advice}` },
    h("input", { type: "checkbox", id: "sale", checked: state.sale, onchange: (event) => { state.sale = event.target.checked; update(); } }), `may be sold (${sale} of ${rowsHere().length})`)));
  byId("kinds").replaceChildren(...parts);
}

function setKind(name, value, on) {
  const others = (state.kinds[name] ?? []).filter((one) => one !== value);
  state.kinds[name] = on ? [...others, value] : others;
  update();
}

/* Sliders and fields say what the state says; what is being typed is left alone. */
function syncForm() {
  const rows = meant();
  for (const [key, { one, least, values, slider, number, out }] of sliders) {
    const limit = state.limits[key] ?? null;
    const place = limit === null ? (least ? 0 : values.length)
      : least ? values.findIndex((value) => value >= limit) + 1 || values.length
        : values.findLastIndex((value) => value <= limit);
    slider.value = Math.max(place, 0);
    const said = limit === null ? "no limit" : `${least ? "at least" : "at most"} ${say(one, limit)}`;
    slider.setAttribute("aria-valuetext", said);
    slider.style.setProperty("--full", `${values.length ? (100 * slider.valueAsNumber) / values.length : 0}%`);
    slider.className = least ? "least" : "most";
    if (document.activeElement !== number) number.value = limit === null ? "" : limitShown(one, limit);
    const out_of = limit === null ? 0 : rows.filter((row) => miss(row, key, limit) > 0).length;
    out.replaceChildren(...(limit === null ? [] : known(key) ? [`leaves out ${out_of}`] : [
      "not known of any row here ", h("button", { type: "button", className: "link", "aria-label": `take the limit of ${one.title} away`, onclick: () => takeAway(key) }, "take away")]));
  }
}

/* The answer in words: the best of what qualifies, what is not told apart from it, else the nearest misses. */
function buildAnswer(rows) {
  const one = metric(objective()), limits = limitsSet();
  const found = rows.filter((row) => valueOf(row, objective()) !== null);
  if (!found.length) {
    const near = nearest();
    byId("best").replaceChildren(
      h("p", { className: "winner" }, "Nothing qualifies."),
      ...whyNothing().map((text) => h("p", {}, text)),
      ...(near.length ? [h("p", {}, "Nearest: ", joined(near.map(([row, misses]) => [opener(row), ` (${misses.map(([key]) => missed(row, key)).join("; ")})`])))] : []),
      asCommand(),
    );
    return null;
  }
  const { winner, steps } = decide(found);
  const ties = steps.length ? steps[0].left.filter((row) => row !== winner && steps[0].ties.has(row)) : [];
  const shown = [...new Set([objective(), ...DATA.shown])].filter((key) => valueOf(winner, key) !== null);
  const numbers = shown.map((key) => {
    const [text, ends] = sayWithEnds(winner, key);
    return h("span", { className: "number" }, h("span", { className: "muted" }, metric(key).title), " ", h("b", {}, text), ends && h("span", { className: "ends" }, ` ${ends}`));
  });
  const apart = isClass(objective()) ? one.title : known("miou") && !current().told && "mIoU";
  byId("best").replaceChildren(
    h("p", { className: "winner" }, opener(winner), gradeBadge(winner)),
    h("p", { className: "numbers" }, numbers),
    h("p", { className: "muted" },
      why(winner, steps, found.length), !DATA.whole ? " What follows from samples (mIoU on the same images, intervals of a class, tails) the command alone tells apart."
        : apart && ` ${apart} is told apart by intervals alone; the command tests pairs on the same images.`,
      ` ${capital(fact("rests_on", winner))}.`,
      ties.length ? [" Not told apart from it: ", joined(ties.slice(0, 4).map(opener)), ties.length > 4 ? ` and ${ties.length - 4} more.` : "."] : null),
    h("ul", { className: "cautions" }, cautions(winner, steps).map((text) => h("li", {}, `${capital(text)}.`))),
    asCommand(),
  );
  return winner;
}

/* What is asked for that no row here has, and where else on this page some have it. */
function whyNothing() {
  const rows = meant(), here = `${current().device}, ${current().title}`;
  const elsewhere = (has) => {
    const devices = [...new Set(DATA.groups.filter((group) => group !== current() && group.rows.some((row) => !own("baseline", row) && has(row))).map((group) => group.device))];
    return devices.length ? ` Other tables of this page have it: of ${devices.join(", ")}.` : "";
  };
  const kinds = Object.entries(state.kinds).filter(([name, values]) => values.length && !rowsHere().some((row) => values.includes(String(fact(name, row)))))
    .map(([name, values]) => `No row here ${name === "rests_on" ? "was" : "has"} ${kindTitle(name)} ${values.map(bare).join(" or ")}.${elsewhere((row) => values.includes(String(fact(name, row))))}`);
  const keys = [...new Set([...limitsSet().map(([key]) => key), objective()])].filter((key) => !known(key, rows)).map((key) => [key, metric(key).title]);
  const numbers = keys.map(([key, title]) => (known(key) ? rows.length && `${title} is not known of any of the rows that are asked for.`
    : `${title} is not known of any row here: it was not measured on ${here}.${elsewhere((row) => valueOf(row, key) !== null)}`));
  const best = metric(objective()), isTold = keys.some(([key]) => key === best.key);
  const asked = [...new Set([...limitsSet().map(([key]) => key), best.key])], isAnyWhole = rows.some((row) => asked.every((key) => valueOf(row, key) !== null));
  return [...kinds, ...numbers, rows.length && !keys.length && !isAnyWhole && `No row here has all of ${asked.map((key) => metric(key).title).join(", ")}.`, !rows.length && !kinds.length && "No row here is all that is asked for under “Only”.",
    rowsNow.length && !isTold && `Of the rows that keep all that is asked, ${best.title} is not known.`].filter(Boolean);
}

/* The three rows that miss the limits by least, with what they miss. */
function nearest() {
  const misses = (row) => limitsSet().map(([key, limit]) => [key, miss(row, key, limit)]).filter(([, by]) => by > 0).sort((a, b) => b[1] - a[1]);
  return meant().filter((row) => valueOf(row, objective()) !== null).map((row) => [row, misses(row)])
    .filter(([, found]) => found.length && Number.isFinite(found[0][1])).sort((a, b) => a[1][0][1] - b[1][0][1]).slice(0, 3);
}

/* How a row misses a limit, in the words of `zoo pick`. */
function missed(row, key) {
  const one = metric(key), limit = state.limits[key], by = miss(row, key, limit), [value, bound] = apart(one, valueOf(row, key), limit);
  const off = limit && by >= 5e-4 && by < 10 ? `, ${(100 * by).toFixed(by < 0.1 ? 1 : 0)} % off` : "";
  return `${one.title} ${value} ${one.better === "higher" ? "<" : ">"} ${bound}${off}`;
}

const asCommand = () => h("p", { className: "as-command" }, h("code", {}, pickCommand()),
  h("button", { type: "button", "aria-label": "copy the command", onclick: () => copyText(pickCommand(), "Copied.") }, "Copy"));

const superlative = (key) => `${metric(key).better === "higher" ? "highest" : "lowest"} ${metric(key).title}`;

/* Why it won, step by step, in the words of `zoo pick`. */
function why(winner, steps, count) {
  if (!steps.length) return "The only one that qualifies.";
  const said = steps.filter(({ before, left }, place) => !place || left.length < before.length).map(({ key, best, ties }, place) => {
    const among = place ? " of those that tie" : ` of ${count} that qualify`;
    return best === winner ? [superlative(key), among] : [ties.has(winner) ? "a tie with the " : "no worse than a tie with the ", superlative(key), among, ` (${say(metric(key), valueOf(best, key))}, `, opener(best), ")"];
  });
  const [[first, ...rest], ...others] = said;
  return [capital(first), rest, others.map((one) => ["; ", one]), "."];
}

/* What else is to be known of it: `notes` in zoo/picker/deciding.py, and what that says of those that were not chosen. */
function cautions(winner, steps) {
  const found = [];
  for (const [key, limit] of limitsSet()) {
    const one = metric(key), least = one.better === "higher", end = spanOf(winner, key)?.[least ? 0 : 1] ?? limit;
    if ((DATA.deciding.tails.includes(key) || isClass(key)) && !spanOf(winner, key)) found.push(`how sure its ${one.title} is, the command tells`);
    const span = spreadOf(winner, key) === null ? "the 95 % interval" : "the spread over seeds";
    if (better(one, limit, end)) found.push(`${span} of ${one.title} reaches ${least ? "down to " : ""}${say(one, end)}, ${least ? "under" : "over"} the limit`);
  }
  for (const { key, best, before, left } of steps) {
    const stay = new Set(left), others = before.filter((row) => !stay.has(row) && valueOf(row, key) !== null && alike(row, best, key) === null);
    if (others.length) found.push(`${superlative(key)}: whether by more than chance is not known, against ${others.slice(0, 4).map(nameOf).join(", ")}${others.length > 4 ? ` and ${others.length - 4} more` : ""}`);
  }
  return [...found, ...(pooled("cautions", own("cautions", winner)) ?? [])];
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

/* The same question for a terminal. */
function pickCommand() {
  const words = [], rows = named();
  const models = [...new Set(rows.map((row) => fact("model", row)))], parts = state.search.split(/\s+/).filter(Boolean), [part, ...more] = parts;
  const glob = (text) => text.replace(/[*?[]/g, "[$&]").replaceAll(",", "?"); // a comma parts names
  if (!part && current().asked_models) words.push("--models", current().asked_models);
  const isGlob = !models.length || (!more.length && models.every((name) => name.includes(part)));
  if (part) words.push("--models", isGlob ? `*${parts.map(glob).join("*")}*` : models.map(glob).join(","));
  for (const [key, value] of limitsSet()) {
    const one = metric(key), unit = ["points", "images", "images/s"].includes(one.unit) ? "" : one.unit;
    words.push(one.better === "higher" ? "--min" : "--max", `${one.name}=${limitShown(one, value)}${unit}`);
  }
  if (state.grade) words.push("--min", `grade=${state.grade}`);
  if (state.sale) words.push("--for", "sale");
  for (const [name, values] of Object.entries(state.kinds)) {
    if (!values.length) continue;
    const meant_ = rows.length ? rows : Object.keys(DATA.columns.id).filter((row) => values.includes(String(fact(name, row)))); // it says why none has it
    const there = (text) => [...new Set(meant_.map(text))].join(","); // it refuses a value that no row has
    if (name === "rests_on") words.push("--where", `machine_id=${there((row) => pooled("machine", own("machine", row)).machine)}`);
    else words.push(`--${name.replace("_", "-")}`, there((row) => fact(name, row)));
  }
  const one = metric(objective());
  words.push(one.better === "higher" ? "--maximize" : "--minimize", one.name);
  return ["zoo pick", ...current().flags, typed(words)].join(" ");
}

/* The same question in words, for paper. */
function questionInWords() {
  const limits = limitsSet().map(([key, value]) => [metric(key), value]);
  return [current().device, current().title, ...Object.values(state.kinds).filter((values) => values.length).map((values) => values.join(" or ")),
    state.search && `model names with ${state.search}`, state.grade && `timing grade ${state.grade} or better`, state.sale && "may be sold",
    ...limits.map(([one, value]) => `${one.title} ${one.better === "higher" ? "at least" : "at most"} ${limitShown(one, value)} ${one.unit}`.trim()),
    `best by ${metric(objective()).title}`].filter(Boolean).join(" · ");
}

const joined = (parts) => parts.flatMap((part, place) => (place ? [", ", part] : [part]));

function opener(row) {
  return h("button", { type: "button", className: "link", onclick: () => openCard(row) }, nameOf(row));
}

function gradeBadge(row) {
  const letter = fact("grade", row);
  if (!letter) return null;
  const why = pooled("doubts", own("doubts", row))?.map(([what]) => what);
  return h("span", { className: `grade grade-${letter}`, title: why ? why.join(", ") : "nothing stands against the timing" }, `timing ${letter}`);
}
