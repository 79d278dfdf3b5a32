"use strict";

/* What the page knows, and how it is written for a human. All text goes in as text nodes: a name is never markup. */

let DATA; // as `contents.py` made it
const columns = new Map(); // values of every row, by key of a metric, of a class (`iou.person`, `class-loss.person`)

async function unpack() {
  const packed = Uint8Array.from(atob(document.getElementById("data").textContent.trim()), (sign) => sign.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  DATA = JSON.parse(await new Response(stream).text());
  DATA.size = DATA.columns.id?.length ?? 0;
  DATA.place = new Map((DATA.columns.id ?? []).map((id, row) => [id, row]));
}

function h(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list" && name !== "form") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function svg(tag, given = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(given)) if (value !== null) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const byId = (id) => document.getElementById(id);
const fact = (name, row) => DATA.facts[name][row];
const own = (name, row) => DATA.columns[name][row];
const pooled = (pool, place) => (place === null ? null : DATA.pools[pool][place]);
const classesOf = (row) => pooled("classes", own("classes", row)) ?? [];

function metric(key) {
  const found = DATA.metrics.find((one) => one.key === key), [kind, ...name] = key.split(".");
  const share = { key, unit: "%", scale: 100, decimals: 1, least: 1e-3, exact: false, column: "", name: key };
  if (found) return found;
  if (kind === "iou") return { ...share, title: `IoU of ${name.join(".")}`, better: "higher" };
  if (kind === "class-loss" && name.length) return { ...share, title: `IoU lost of ${name.join(".")}`, unit: "points", better: "lower" };
  return undefined;
}

function column(key) {
  if (!columns.has(key)) columns.set(key, DATA.numbers[key] ?? classColumn(key));
  return columns.get(key);
}

function classColumn(key) {
  const [kind, ...words] = key.split(".");
  const name = words.join(".");
  return Array.from({ length: DATA.size }, (_, row) => {
    const place = classesOf(row).indexOf(name);
    const share = place < 0 ? null : pooled(kind === "iou" ? "iou" : "lost", own(kind === "iou" ? "iou" : "lost", row))?.[place];
    return share ?? null;
  });
}

const valueOf = (row, key) => column(key)[row] ?? null;
const isClass = (key) => key.startsWith("iou.");
const spanOf = (row, key) => (isClass(key) ? pooled("iou_span", own("iou_span", row))?.[classesOf(row).indexOf(key.slice("iou.".length))] : DATA.spans[key]?.[row]) ?? null;
const spreadOf = (row, key) => DATA.spreads[key]?.[row] ?? null;

function show(one, value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "n/a";
  const scaled = value * one.scale;
  return rounded(scaled, digitsOf(one, scaled));
}

function digitsOf(one, scaled) {
  const digits = scaled ? 2 - Math.floor(Math.log10(Math.abs(scaled))) : 2;
  return one.decimals ?? Math.min(Math.max(digits, 0), 6);
}

/* As Python rounds: what is exactly between two goes to the even one; and 0 has no sign. */
function rounded(value, digits) {
  const below = Math.floor(value * 10 ** digits), isBetween = Math.abs(value * 2 ** (digits + 1)) % 2 === 1;
  const text = (isBetween ? (below + Math.abs(below % 2)) / 10 ** digits : value).toFixed(digits);
  return Number(text) ? text : text.replace("-", "");
}

const say = (one, value) => (value === null ? "n/a" : `${show(one, value)} ${one.unit}`.trim());

/* A number with as many digits as it takes to tell it from a bound, and that as it was asked: `Metric.apart` in
   zoo/score/metrics.py. */
function apart(one, value, bound) {
  const off = Math.abs(value - bound) * one.scale, scaled = bound * one.scale;
  const least = off > 0 && Number.isFinite(off) ? Math.ceil(Number((-Math.log10(off)).toFixed(9))) : 0;
  const places = Array.from({ length: 9 }, (_, digits) => digits - Math.floor(Math.log10(Math.abs(scaled) || 1)));
  const asked = places.find((at) => Math.abs(Math.round(scaled * 10 ** at) / 10 ** at - scaled) <= 1e-12 * Math.abs(scaled)) ?? places[5];
  const to = (digits, number) => say({ ...one, decimals: Math.max(digits, least) }, number);
  return [to(digitsOf(one, value * one.scale), value), to(Math.max(digitsOf(one, scaled), asked), bound)];
}

/* A row's number as the leaderboard has it: `≥` before what is the least it may be. */
const shown = (row, key) => (pooled("may_be_more", own("may_be_more", row))?.includes(key) ? "≥" : "") + show(metric(key), valueOf(row, key));

/* What stands behind it: over several seeds their spread, else the interval. */
function endsOf(row, key) {
  const one = metric(key), span = spanOf(row, key), spread = spreadOf(row, key);
  return spread !== null ? `± ${show(one, spread)}` : span && `[${show(one, span[0])}, ${show(one, span[1])}]`;
}

const sayWithEnds = (row, key) => [valueOf(row, key) === null ? "n/a" : `${shown(row, key)} ${metric(key).unit}`.trim(), endsOf(row, key)];

/* A name that stands alone: the model and what tells its artifacts apart. */
function nameOf(row) {
  const place = placeOf(row);
  return place >= 0 ? current().names[place] : [fact("model", row), fact("runtime", row), fact("precision", row)].join(" ");
}

const better = (one, value, other) => (one.better === "higher" ? value > other : value < other);

/* Whether two rows are alike in a metric; null where that is not known. `Pairs.tie` in zoo/score/paired.py is the truth. */
function alike(row, other, key) {
  const one = metric(key), value = valueOf(row, key), others = valueOf(other, key);
  if (value === null || others === null) return null;
  const least = one.least ?? 0.01 * Math.max(Math.abs(value), Math.abs(others));
  if (value === others || Math.abs(value - others) < least) return true;
  if (one.exact) return false;
  const told = key === "miou" ? pairedTest(row, other) : undefined;
  if (told !== undefined) return told;
  const span = spanOf(row, key), theirs = spanOf(other, key);
  return span && theirs ? span[0] <= theirs[1] && theirs[0] <= span[1] : null;
}

/* Whether a test on the same images finds a tie, where two intervals do not tell the same; else undefined. */
function pairedTest(row, other) {
  const group = current(), name = (...two) => two.sort((a, b) => a - b).join(" ");
  group.tests ??= new Map((group.told ?? []).map(([one, two, tie]) => [name(one, two), Boolean(tie)]));
  return group.tests.get(name(row, other));
}

/* A command as a shell takes it, whatever its words hold. */
const typed = (words) => words.map((word) => (/^[\w=.,:%/@+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`)).join(" ");

let toasted;
function toast(text) {
  const status = document.querySelector("dialog[open] [role=status]") ?? byId("status"); // what is outside an open dialog is inert
  status.textContent = text;
  clearTimeout(toasted);
  toasted = setTimeout(() => { status.textContent = ""; }, 4000);
}

async function copyText(text, said) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // an older browser, or a page that may not
    const area = h("textarea", { value: text, className: "unseen" });
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(said);
}
