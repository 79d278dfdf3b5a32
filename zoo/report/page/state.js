/* What is asked and what is open: all of it stands in the address, after the #. */

const FRESH = { group: null, limits: {}, search: "", kinds: {}, grade: "", sale: false, objective: null, sort: null, x: null, y: null,
  logX: null, logY: null, intervals: true, card: null, compare: [], open: "" };
let state = structuredClone(FRESH);

const current = () => DATA.groups[state.group];
const KINDS = ["runtime", "precision", "input_size", "weights", "rests_on"]; // facts a row may be chosen by, where they vary

let unread = []; // words of the address that this page does not know, or cannot read
let writing;

/* Soon, not at once: browsers take only so many changes of an address a second. */
function writeState() {
  clearTimeout(writing);
  writing = setTimeout(writeAddress, 120);
}

const isOpen = () => state.card !== null || state.open !== "";

function addressOf(asked) {
  const words = new URLSearchParams();
  const put = (name, value) => { if (value !== null && value !== "" && value !== undefined) words.set(name, value); };
  put("group", DATA.groups[asked.group].id);
  for (const [key, value] of Object.entries(asked.limits)) if (value !== null) put(`limit.${key}`, value);
  for (const [name, values] of Object.entries(asked.kinds)) if (values.length) put(name, values.join("|"));
  put("model", asked.search);
  put("grade", asked.grade);
  put("sale", asked.sale ? 1 : null);
  put("best", asked.objective ?? defaultObjective());
  if (asked.sort) put("sort", `${asked.sort.key}:${asked.sort.up ? "up" : "down"}`);
  put("x", asked.x);
  put("y", asked.y);
  for (const axis of ["logX", "logY"]) if (asked[axis] !== null) put(axis, Number(asked[axis]));
  if (!asked.intervals) put("intervals", 0);
  put("compare", asked.compare.map((row) => own("id", row)).join("|"));
  put("row", asked.card === null ? null : own("id", asked.card));
  put("open", asked.open);
  return words.toString();
}

/* What was opened is an entry of the history by itself: Back closes it. */
function writeAddress(asEntry = false) {
  clearTimeout(writing);
  const text = addressOf(state);
  if (asEntry) history.pushState({ isOpened: true }, "", `#${text}`);
  else if (text !== location.hash.slice(1)) history.replaceState(history.state, "", `#${text}`);
}

/* What the address says, in its own words; what this page does not know, or cannot read, is left out and said. */
function readState() {
  state = { ...structuredClone(FRESH), group: DATA.first };
  const words = [...new URLSearchParams(location.hash.slice(1))].sort(([one], [other]) => (one === "open") - (other === "open")), taken = new Set();
  unread = words.flatMap(([name, text]) => readWord(name, text, taken).map((value) => `${name}=${value}`));
  if (!isAsked(null) && state.objective === defaultObjective()) state.objective = null;
}

/* A word of the address goes into the state, once; returned are those of its values that do not. */
function readWord(name, text, taken) {
  const [field, read] = WORDS.get(name) ?? [], key = name.startsWith("limit.") ? keyOf(name.slice("limit.".length)) : undefined;
  const values = [...new Set(text.split("|"))], without = (found) => values.filter((one) => !found.includes(one)), asked = key ?? name;
  if (taken.has(asked)) return [text];
  taken.add(asked);
  if (KINDS.includes(name)) {
    const there = new Set(DATA.facts[name].map(String));
    state.kinds[name] = values.filter((one) => there.has(one));
    return without(state.kinds[name]);
  }
  if (name === "compare") {
    const found = values.filter((id) => DATA.place.has(id)).slice(0, 3);
    state.compare = found.map((id) => DATA.place.get(id));
    return without(found);
  }
  const value = key ? limitOf(key, text) : read?.(text);
  if (value === undefined) return [text];
  if (key) state.limits[key] = value;
  else state[field] = value;
  return [];
}

/* A limit as it is written; nothing where it can be none: below 0, no number, too large. */
function limitOf(key, text) {
  const asked = text.trim() ? Number(text) : NaN, limit = asLimit(key, asked, true);
  return asked >= 0 && Number.isFinite(limit) ? limit : undefined;
}

const oneOf = (...values) => (text) => values.find((value) => value === text);
const truth = (text) => ({ 0: false, 1: true })[oneOf("0", "1")(text)];
/* Words of the address: the part of the state that each is, and what it says; nothing where that is not known here. */
const WORDS = new Map(Object.entries({
  group: ["group", (id) => Object.keys(DATA.groups).map(Number).find((place) => DATA.groups[place].id === id)],
  model: ["search", (text) => text],
  grade: ["grade", oneOf("A", "B", "C")],
  sale: ["sale", truth],
  best: ["objective", (text) => keyOf(text)],
  sort: ["sort", (text) => sortOf(...text.split(":"))],
  x: ["x", (text) => keyOf(text)],
  y: ["y", (text) => keyOf(text)],
  logX: ["logX", truth],
  logY: ["logY", truth],
  intervals: ["intervals", truth],
  row: ["card", (id) => DATA.place.get(id)],
  open: ["open", (text) => (state.compare.length > 1 ? oneOf("compare")(text) : undefined)],
}));
function sortOf(text, way) {
  const key = DATA.metrics.some((one) => one.key === text) || Object.hasOwn(DATA.facts, text) ? text : keyOf(text);
  return key && oneOf("up", "down")(way) ? { key, up: way === "up" } : undefined;
}

/* The key of a metric that ranks, by its key or by what `zoo pick` takes for it: `metric_named` in zoo/score/metrics.py. */
function keyOf(text) {
  const typed_ = (words) => words.trim().toLowerCase().replace(/[\s_]+/g, "-"), [kind, ...name] = text.trim().split(".");
  if (["iou", "class-loss"].includes(typed_(kind)) && classNames().includes(name.join(".").trim())) return `${typed_(kind)}.${name.join(".").trim()}`;
  return DATA.metrics.find((one) => one.better && [one.name, typed_(one.title), typed_(one.key)].includes(typed_(text)))?.key;
}

/* Whether a person asked for anything: `best` is part of a question, though alone it may be what a page begins with. */
const isAsked = (best = state.objective) => best !== null || limitsSet().length > 0 || Object.values(state.kinds).some((values) => values.length)
  || Boolean(state.search || state.grade || state.sale);

/* What is made best: what was asked for, else what rows here have. */
const objective = () => state.objective ?? defaultObjective();

const rowsHere = () => (current().models ??= current().rows.filter((row) => !own("baseline", row)));
const known = (key, rows = rowsHere()) => rows.some((row) => valueOf(row, key) !== null);
const metricsHere = (can = known) => DATA.metrics.filter((one) => one.better && can(one.key));
const classNames = () => [...new Set((DATA.pools.classes ?? []).flat())];
const classesHere = () => [...new Set(current().rows.flatMap((row) => classesOf(row)))];

function defaultObjective() {
  for (const key of [DATA.sort, "miou", "pipeline_p50_s", "latency_p50_s", "peak_memory_bytes"]) if (known(key)) return key;
  return metricsHere()[0]?.key ?? "miou";
}

/* Where a row stands in its group's lists. */
function placeOf(row) {
  const group = current();
  group.places ??= new Map(group.rows.map((one, place) => [one, place]));
  return group.places.get(row) ?? -1;
}

const marksOf = (row) => current().marks[placeOf(row)];

/* How far a row is off a limit, as a share of it, or of 0 by itself; 0: it keeps it; infinite: its number is not known. */
function miss(row, key, limit) {
  const value = valueOf(row, key);
  if (value === null) return Infinity;
  const one = metric(key), away = Math.abs(value - limit);
  return better(one, limit, value) && !(one.unit === "points" && away < DATA.deciding.no_points) ? away / (Math.abs(limit) || 1) : 0;
}

const CAN_BE_0 = ["points", "%", "images", ""]; // units of which `zoo pick` takes a limit of 0

/* A limit to few digits, rounded so that the row at it keeps it: here, where values are cut, as in `zoo pick`, which has
   all their digits. At least nothing is no limit. Of one that is typed, or in an address, seven digits are kept. */
function asLimit(key, value, typed = false) {
  const one = metric(key), least = one.better === "higher", scaled = Number((value * one.scale).toPrecision(12));
  const digits = typed ? 6 : 3, ten = 10 ** ((typed ? null : one.decimals) ?? digits - Math.floor(Math.log10(Math.abs(scaled) || 1)));
  const rounded = (least ? Math.floor : Math.ceil)(Number((scaled * ten).toPrecision(12))) / ten;
  if (least) return rounded > 0 ? fromShown(one, rounded) : null;
  return fromShown(one, Math.max(rounded, CAN_BE_0.includes(one.unit) ? 0 : 10 ** -(one.decimals ?? 3)));
}

/* In the steps in which `zoo.units` reads it: others may end in another last digit, which is more than a limit that is met. */
const fromShown = (one, shown) => (one.unit === "ms" ? shown * 1e-3 : one.scale < 1 ? shown * Math.round(1 / one.scale) : shown / one.scale);
const limitShown = (one, limit) => Number((limit * one.scale).toPrecision(9));

const limitsSet = () => Object.entries(state.limits).filter(([, value]) => value !== null);

/* Which rows are named: by model and kinds. */
function named() {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const kinds = Object.entries(state.kinds).filter(([, values]) => values.length);
  return rowsHere().filter((row) => {
    if (!words.every((word) => fact("model", row).toLowerCase().includes(word))) return false;
    return kinds.every(([name, values]) => values.includes(String(fact(name, row))));
  });
}

/* Of rows whose recipe is here in several versions those of the one that was measured last, of rows with all numbers that
   are asked for: `newest_versions` in zoo/score/filtering.py is the truth. */
function newestVersions(rows) {
  const asked = [objective(), ...limitsSet().map(([key]) => key)], last = new Map();
  const recipe = (row) => pooled("recipes", own("recipe", row)) ?? [];
  const whole = new Set(rows.filter((row) => asked.every((key) => valueOf(row, key) !== null) && (!state.grade || fact("grade", row))));
  for (const row of whole) {
    const [name] = recipe(row);
    if (!last.has(name) || own("order", row) > own("order", last.get(name))) last.set(name, row);
  }
  return rows.filter((row) => !whole.has(row) || recipe(last.get(recipe(row)[0]))[1] === recipe(row)[1]);
}

/* Which rows are meant at all: limits apart. */
function meant() {
  const sold = (row) => !state.sale || own("for_sale", row);
  return newestVersions(named()).filter((row) => sold(row) && (!state.grade || (fact("grade", row) ?? "Z") <= state.grade));
}

function qualifying() {
  const limits = limitsSet();
  return meant().filter((row) => limits.every(([key, value]) => miss(row, key, value) === 0));
}

/* The rows that no other beats in both, in order of x. A fixed map takes no time: what is under it stands apart; and
   nobody chooses by a smoke test. */
function frontOf(rows, x, y) {
  if (current().is_smoke_test) return [];
  const seen = (row, key) => Number(show(metric(key), valueOf(row, key))) * (metric(key).better === "higher" ? 1 : -1);
  const points = rows.filter((row) => valueOf(row, x) !== null && valueOf(row, y) !== null && !marksOf(row).includes("▼"))
    .map((row) => [seen(row, x), seen(row, y), row])
    .sort((a, b) => b[0] - a[0] || b[1] - a[1]);
  const front = [];
  for (const point of points) {
    const last = front.at(-1);
    if (!last || point[1] > last[1] || (point[0] === last[0] && point[1] === last[1])) front.push(point);
  }
  return front.map((point) => point[2]).sort((a, b) => valueOf(a, x) - valueOf(b, x));
}

const lower = (row, key) => (valueOf(row, key) === null ? Infinity : metric(key).better === "higher" ? -valueOf(row, key) : valueOf(row, key));

/* What decides, in order: what is made best, and among rows that tie in it the others. */
function deciding() {
  const { latencies, latency, tail } = DATA.deciding, named = [objective(), ...limitsSet().map(([key]) => key)];
  const timed = named.find((key) => latencies.includes(key)) ?? (named.includes("missed_share") ? tail : latency);
  return [...new Set([objective(), "miou", timed, "peak_memory_bytes"])];
}

/* The winner of what qualifies, and how it came about, as `zoo pick` finds it: `decide` in zoo/picker/deciding.py is the
   truth, and tests/report/page/test_answers.py holds this to it. */
function decide(fit) {
  const keys = deciding(), models = DATA.facts.model, steps = [];
  const order = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
  const by = (a, b) => keys.reduce((found, key) => found || order(lower(a, key), lower(b, key)), 0) || order(models[a], models[b]) || order(own("id", a), own("id", b));
  let pool = [...fit].sort(by);
  for (const key of keys) {
    if (pool.length < 2 || !known(key, pool)) continue;
    const best = pool.reduce((least, row) => (lower(row, key) < lower(least, key) ? row : least));
    const ties = new Set(pool.filter((row) => alike(row, best, key)));
    const worst = Math.max(...[...ties].map((row) => lower(row, key)));
    const left = pool.filter((row) => lower(row, key) <= worst);
    steps.push({ key, best, ties, before: pool, left });
    pool = left;
  }
  return { winner: pool[0], steps };
}

/* Best first, as it is shown; what has no number last, then by latency and name. */
function ranked(rows, key, up = null) {
  const measure = metric(key), seen = (value) => (measure && typeof value === "number" ? Number(show(measure, value)) : value);
  const from = key in DATA.facts ? DATA.facts[key] : column(key), values = Object.fromEntries(rows.map((row) => [row, seen(from[row])]));
  const rising = up ?? metric(key)?.better !== "higher";
  const latency = column("pipeline_p50_s"), models = DATA.facts.model;
  const order = (a, b) => {
    const one = values[a] ?? null, other = values[b] ?? null;
    if (one === null || other === null) return (one === null) - (other === null);
    const by = typeof one === "string" ? (one < other ? -1 : one > other ? 1 : 0) : one - other;
    return rising ? by : -by;
  };
  return [...rows].sort((a, b) => order(a, b) || (latency[a] ?? Infinity) - (latency[b] ?? Infinity)
    || (models[a] < models[b] ? -1 : models[a] > models[b] ? 1 : a - b));
}
