/* The scatter: marks by runtime, intervals, the Pareto front, names that cover nothing. */

const MARKS = {
  eager: "M-4.2,0a4.2,4.2 0 1,0 8.4,0a4.2,4.2 0 1,0 -8.4,0z",
  compile: "M-3.8,-3.8h7.6v7.6h-7.6z",
  aoti: "M0,-5.2l5.2,5.2l-5.2,5.2l-5.2,-5.2z",
  onnxruntime: "M0,-5l4.8,8.6h-9.6z",
  openvino: "M0,5l4.8,-8.6h-9.6z",
  tensorrt: "M-1.7,-5h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z",
};
const OTHER_MARK = "M-4.5,-2.5l2,-2l2.5,2.5l2.5,-2.5l2,2l-2.5,2.5l2.5,2.5l-2,2l-2.5,-2.5l-2.5,2.5l-2,-2l2.5,-2.5z";
const CLAIM_MARK = "M-5.5,0l9,-5v10z";
const DOT = "M-1.8,0a1.8,1.8 0 1,0 3.6,0a1.8,1.8 0 1,0 -3.6,0z";
const EDGE = { left: 56, right: 16, top: 12, bottom: 44 };
let plot = null; // of the last drawing: where every point stands
let focused = null;

const canBeUp = (key) => known(key) || (key === "miou" && current().claims.length > 0);
/* Those chosen, else mIoU, or what is made best, against latency or memory: what rows have. */
const axes = () => {
  const latency = DATA.deciding.latencies.includes(objective()) ? objective() : DATA.deciding.latency;
  const y = state.y && canBeUp(state.y) ? state.y : ["miou", objective(), "peak_memory_bytes", "param_count"].find((key) => known(key) && key !== latency);
  const x = [state.x, latency, "latency_p50_s", "peak_memory_bytes", "mac_count", "param_count"].find((key) => key && known(key) && (key === state.x || key !== y));
  return [x ?? y, y];
};

function makeScale(values, log, from, to) {
  let low = Math.min(...values), high = Math.max(...values);
  if (log) {
    const pad = (Math.log(high / low) || 1) * 0.07;
    [low, high] = [Math.log(low) - pad, Math.log(high) + pad];
    const place = (value) => from + ((Math.log(value) - low) / (high - low)) * (to - from);
    return { place, ticks: logTicks(Math.exp(low), Math.exp(high)) };
  }
  const pad = (high - low || Math.abs(high) || 1) * 0.08;
  [low, high] = [low >= 0 && low - pad < 0.25 * (high - low) ? 0 : low - pad, high + pad];
  return { place: (value) => from + ((value - low) / (high - low)) * (to - from), ticks: evenTicks(low, high) };
}

function evenTicks(low, high) {
  const rough = (high - low) / 6, ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * ten).find((one) => one >= rough);
  return Array.from({ length: Math.floor(high / step) - Math.ceil(low / step) + 1 }, (_, place) => (Math.ceil(low / step) + place) * step);
}

function logTicks(low, high) {
  const found = (steps) => {
    const ticks = [];
    for (let ten = 10 ** Math.floor(Math.log10(low)); ten <= high; ten *= 10) ticks.push(...steps.map((one) => one * ten));
    return ticks.filter((tick) => tick >= low && tick <= high);
  };
  return [[1, 2, 5], [1, 3], [1], [1, 2, 3, 4, 5, 6, 7, 8, 9]].map(found).find((ticks) => ticks.length <= 9 && ticks.length > 1) ?? evenTicks(low, high);
}

let laid = { of: "" }; // where points stand: the same while axes and width are

function layOut(x, y, width) {
  const of = [state.group, x, y, state.logX, state.logY, width].join(" ");
  if (laid.of === of) return laid;
  const [across, up] = [metric(x), metric(y)], height = Math.round(Math.min(Math.max(width * 0.56, 280), 470));
  const known_ = (point) => point.x !== null && point.y !== null;
  const points = rowsHere().map((row) => ({ row, x: valueOf(row, x), y: valueOf(row, y) })).filter(known_);
  const claims = y !== "miou" ? [] : current().claims.map((row) => ({ row, x: valueOf(row, x), y: pooled("published", own("published", row)).miou, claim: true })).filter(known_);
  const all = [...points, ...claims];
  const [xs, ys] = [all.map((point) => point.x * across.scale), all.map((point) => point.y * up.scale)];
  const can = (values) => Math.min(...values) > 0, wide = (values) => can(values) && Math.max(...values) > 4 * Math.min(...values);
  const logX = can(xs) && (state.logX ?? wide(xs)), logY = can(ys) && (state.logY ?? (wide(ys) && up.unit !== "%"));
  const spot = { x: makeScale(xs, logX, EDGE.left, width - EDGE.right), y: makeScale(ys, logY, height - EDGE.bottom, EDGE.top) };
  for (const point of all) {
    point.left = spot.x.place(point.x * across.scale);
    point.top = spot.y.place(point.y * up.scale);
    const drawn = (shape) => shape.replace("M", `M${point.left.toFixed(1)},${point.top.toFixed(1)}m`);
    [point.mark, point.dot] = [drawn(point.claim ? CLAIM_MARK : MARKS[fact("runtime", point.row)] ?? OTHER_MARK), drawn(DOT)];
  }
  const covered = new Set(all.flatMap((point) => cellsOf(point.left - 4, point.top - 4, point.left + 4, point.top + 4)));
  const where = new Map(points.map((point) => [point.row, point]));
  laid = { of, width, height, spot, across, up, points, claims, all, where, covered, logX, logY, canX: can(xs), canY: can(ys) };
  return laid;
}

const plotWidth = () => Math.max(plotBox.width, 280);
const plotBox = { width: 0 }; // kept by an observer: reading it from the page would lay all of it out once more

function drawPlot(rows, winner) {
  const [x, y] = axes(), box = byId("plot");
  const frame = x && y ? layOut(x, y, plotWidth()) : { all: [] };
  if (!frame.all.length) {
    plot = null;
    byId("legend").replaceChildren();
    return void box.replaceChildren(h("p", { className: "muted" }, "No row has two numbers to draw."));
  }
  const { width, height, across, up, points, where } = frame;
  syncAxes(x, y, frame);
  const inside = new Set(rows), front = frontOf(rows, x, y), onFront = new Set(front);
  const claims = frame.claims.filter((point) => inside.has(point.row));
  const kept = points.filter((point) => inside.has(point.row)), out = points.filter((point) => !inside.has(point.row));
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "application", tabindex: 0,
    class: rows.length > 300 ? "many" : "", "aria-roledescription": "scatter plot",
    "aria-label": `${up.title} over ${across.title}, ${points.length} rows, ${front.length} on the Pareto front. Arrow keys go from point to point, Enter opens its card. The table below says the same.` });
  drawn.append(grid(frame), limitsDrawn(frame), baselineDrawn(frame, y), frontDrawn(front.map((row) => where.get(row)), across));
  drawn.append(svg("path", { class: "outside", d: out.map((point) => point.dot).join("") }));
  const shown = !state.intervals ? [] : kept.length > 150 ? kept.filter((point) => onFront.has(point.row)) : kept;
  drawn.append(svg("path", { class: "spans", d: shown.map((point) => spans(point, x, y, frame)).join("") }));
  const marks = (found) => found.map((point) => point.mark).join("");
  for (const [name, found] of byKind(kept)) {
    const series = `series-${seriesOf(name)}`;
    drawn.append(svg("path", { class: `${series} behind`, d: marks(found.filter((point) => !onFront.has(point.row))) }));
    drawn.append(svg("path", { class: `${series} front`, d: marks(found.filter((point) => onFront.has(point.row))) }));
  }
  drawn.append(svg("path", { class: "claim", d: marks(claims) }));
  drawn.append(names(kept, claims, front, winner, frame));
  drawn.append(svg("circle", { class: "halo", r: 9, cx: -99, cy: -99 }));
  const tip = h("div", { className: "tip", hidden: true });
  box.replaceChildren(drawn, tip);
  plot = { points: [...kept, ...claims, ...out].sort((a, b) => a.left - b.left || a.top - b.top), drawn, tip, x, y, width };
  listen(drawn);
  legend(kept, claims, [x, y], rowsHere().length - rows.length, front.length);
}

const seriesOf = (name) => (name in MARKS ? name : "other");

function byKind(points) {
  const found = new Map();
  for (const point of points) {
    const name = fact("runtime", point.row);
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(point);
  }
  return [...found].sort(([one], [other]) => (one < other ? -1 : 1));
}

function grid({ width, height, spot, across, up }) {
  const [bottom, right] = [height - EDGE.bottom, width - EDGE.right];
  const said = (value) => String(Number(value.toPrecision(6)));
  const crowded = Math.ceil((spot.x.ticks.length * 46) / width);
  return svg("g", { class: "grid" },
    ...spot.x.ticks.filter((_, place) => place % crowded === 0).flatMap((tick) => [
      svg("line", { x1: spot.x.place(tick), x2: spot.x.place(tick), y1: EDGE.top, y2: bottom }),
      svg("text", { x: spot.x.place(tick), y: bottom + 17, "text-anchor": "middle" }, said(tick))]),
    ...spot.y.ticks.flatMap((tick) => [
      svg("line", { x1: EDGE.left, x2: right, y1: spot.y.place(tick), y2: spot.y.place(tick) }),
      svg("text", { x: EDGE.left - 8, y: spot.y.place(tick) + 4, "text-anchor": "end" }, said(tick))]),
    svg("text", { class: "axis", x: right, y: height - 6, "text-anchor": "end" }, `${across.title}${across.unit && `, ${across.unit}`} ${across.better === "lower" ? "← better" : "better →"}`),
    svg("text", { class: "axis", transform: `translate(13 ${EDGE.top}) rotate(-90)`, "text-anchor": "end" }, `${up.title}${up.unit && `, ${up.unit}`} ${up.better === "higher" ? "better →" : "← better"}`));
}

/* The side of a limit that is left out, shaded. */
function limitsDrawn({ width, height, spot, across, up }) {
  const made = svg("g", { class: "limits" }), [bottom, right] = [height - EDGE.bottom, width - EDGE.right];
  for (const [key, limit] of limitsSet()) {
    for (const one of [across, up]) {
      if (one.key !== key) continue;
      const on = one === across, low = on ? EDGE.left : EDGE.top, high = on ? right : bottom;
      const at = Math.min(Math.max((on ? spot.x : spot.y).place(limit * one.scale), low), high);
      if (!Number.isFinite(at)) continue;
      const far = (one.better === "lower") === on;
      const [start, end] = far ? [at, high] : [low, at];
      made.append(on ? svg("rect", { x: start, y: EDGE.top, width: end - start, height: bottom - EDGE.top })
        : svg("rect", { x: EDGE.left, y: start, width: right - EDGE.left, height: end - start }));
      made.append(on ? svg("line", { x1: at, x2: at, y1: EDGE.top, y2: bottom }) : svg("line", { x1: EDGE.left, x2: right, y1: at, y2: at }));
    }
  }
  return made;
}

function baselineDrawn({ width, height, spot, up }, y) {
  const made = svg("g", { class: "baseline" });
  for (const row of current().rows.filter((one) => own("baseline", one) && valueOf(one, y) !== null)) {
    const at = spot.y.place(valueOf(row, y) * up.scale);
    if (y !== "miou" || at > height - EDGE.bottom || at < EDGE.top) continue;
    made.append(svg("line", { x1: EDGE.left, x2: width - EDGE.right, y1: at, y2: at }),
      svg("text", { x: width - EDGE.right - 4, y: at - 5, "text-anchor": "end" }, "same map for every image"));
  }
  return made;
}

function frontDrawn(points, across) {
  const steps = points.map(({ left, top }, place) => {
    const before = points[place - 1];
    return before ? (across.better === "lower" ? `H${left.toFixed(1)}V${top.toFixed(1)}` : `V${top.toFixed(1)}H${left.toFixed(1)}`) : `M${left.toFixed(1)},${top.toFixed(1)}`;
  });
  return svg("path", { class: "pareto", d: steps.join("") });
}

function spans(point, x, y, { spot, across, up }) {
  const line = (key, one, scale, across_) => {
    const span = spanOf(point.row, key);
    if (!span || span.some((end) => end === null)) return "";
    const [from, to] = span.map((end) => scale.place(end * one.scale));
    if (!Number.isFinite(from) || !Number.isFinite(to)) return "";
    return across_ ? `M${from.toFixed(1)},${point.top.toFixed(1)}H${to.toFixed(1)}` : `M${point.left.toFixed(1)},${from.toFixed(1)}V${to.toFixed(1)}`;
  };
  return line(x, across, spot.x, true) + line(y, up, spot.y, false);
}

/* Names at the nearest free place; one that finds none is left out, its point still answers. */
const CELL = 4; // pixels: what names cover is kept on a grid of these
let pen = null;

function cellsOf(left, top, right, bottom) {
  const found = [];
  for (let column = Math.floor(left / CELL); column <= Math.floor(right / CELL); column++)
    for (let line = Math.floor(top / CELL); line <= Math.floor(bottom / CELL); line++) found.push(column * 4096 + line);
  return found;
}

function names(kept, claims, front, winner, { width, height, across, all, where, covered }) {
  const made = svg("g", { class: "names" }), taken = new Set();
  if (!pen) {
    pen = document.createElement("canvas").getContext("2d");
    pen.font = `600 11.5px ${getComputedStyle(document.body).fontFamily}`;
  }
  const take = (...box) => cellsOf(...box).forEach((one) => taken.add(one));
  const few = kept.length <= 14, onFront = new Set(front);
  for (const point of few ? all : [...kept, ...claims]) take(point.left - 5, point.top - 5, point.left + 5, point.top + 5);
  front.map((row) => where.get(row)).forEach((point, place, points) => { // the front's own steps
    const before = points[place - 1];
    if (!before) return;
    const [corner, level] = across.better === "lower" ? [point.left, before.top] : [before.left, point.top];
    take(Math.min(before.left, point.left), level - 1, Math.max(before.left, point.left), level + 1);
    take(corner - 1, Math.min(before.top, point.top), corner + 1, Math.max(before.top, point.top));
  });
  const first = (point) => (point.row === winner ? 0 : onFront.has(point.row) ? 1 : 2);
  const shown = kept.length ? kept : claims;
  const asked = shown.filter((point) => few || onFront.has(point.row) || point.row === winner || state.compare.includes(point.row));
  const seen = new Set(shown.map((point) => fact("runtime", point.row)));
  for (const point of asked.sort((a, b) => first(a) - first(b) || a.left - b.left).slice(0, 40)) {
    const name = seen.size > 1 ? nameOf(point.row).replace(` ${fact("runtime", point.row)}`, "") : nameOf(point.row);
    const text = name.length > 34 ? `${name.slice(0, 33)}…` : name, wide = pen.measureText(text).width + 2;
    const places = [8, 16, 28].flatMap((far) => [[far, 4], [-far - wide, 4], [-wide / 2, -far], [-wide / 2, far + 9],
      [far * 0.7, -far * 0.7], [far * 0.7, far * 0.7 + 9], [-far * 0.7 - wide, -far * 0.7], [-far * 0.7 - wide, far * 0.7 + 9]]);
    let best = null, least = Infinity;
    for (const [at, [right, down]] of places.entries()) {
      const [left, base] = [point.left + right, point.top + down];
      const box = [left - 1, base - 10, left + wide + 1, base + 3];
      if (box[0] < EDGE.left || box[2] > width - 4 || box[1] < 2 || box[3] > height - EDGE.bottom) continue;
      const cells = cellsOf(...box);
      if (cells.some((one) => taken.has(one))) continue;
      const cost = cells.filter((one) => covered.has(one)).length + at;
      if (cost < least) [best, least] = [{ left, base, box }, cost];
    }
    if (!best) continue;
    take(...best.box);
    made.append(svg("text", { x: best.left.toFixed(1), y: best.base.toFixed(1), class: onFront.has(point.row) ? "on-front" : "" }, text));
  }
  return made;
}

function legend(kept, claims, keys, outside, front) {
  const kinds = byKind(kept).map(([name]) => name);
  const mark = (shape, kind) => svg("svg", { viewBox: "-7 -7 14 14", width: 14, height: 14, "aria-hidden": "true" }, svg("path", { d: shape, class: kind }));
  const item = (shape, kind, text) => h("span", {}, mark(shape, kind), text);
  byId("legend").replaceChildren(
    ...kinds.map((name) => item(MARKS[name] ?? OTHER_MARK, `series-${seriesOf(name)} front`, name)),
    ...(front ? [item("M-6,3H0V-3H6", "pareto", "Pareto front, its marks full")] : []),
    ...(claims.length ? [item(CLAIM_MARK, "claim", "published for Cityscapes val, not measured here and not ranked")] : []),
    ...(outside ? [item(DOT, "outside", `${outside} left out`)] : []),
    ...[...new Set(keys)].map((key) => [metric(key).title, rowsHere().filter((row) => valueOf(row, key) === null).length])
      .filter(([, count]) => count).map(([title, count]) => h("span", {}, `not drawn: ${count} of ${rowsHere().length}, without ${title}`)));
}

function syncAxes(x, y, { logX, logY, canX, canY }) {
  Object.assign(byId("x"), { value: x });
  Object.assign(byId("y"), { value: y });
  Object.assign(byId("log-x"), { checked: logX, disabled: !canX });
  Object.assign(byId("log-y"), { checked: logY, disabled: !canY });
  byId("intervals").checked = state.intervals;
}

function listen(drawn) {
  const nearest = (event) => {
    const box = drawn.getBoundingClientRect(), left = event.clientX - box.left, top = event.clientY - box.top;
    let best = null, least = 22 ** 2;
    for (const point of plot.points) {
      const far = (point.left - left) ** 2 + (point.top - top) ** 2;
      if (far < least) [best, least] = [point, far];
    }
    return best;
  };
  drawn.addEventListener("pointermove", (event) => point_at(nearest(event)));
  drawn.addEventListener("pointerleave", () => point_at(null));
  drawn.addEventListener("click", (event) => { const found = nearest(event); if (found) openCard(found.row); });
  drawn.addEventListener("blur", () => { focused = null; point_at(null); });
  drawn.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const ends = { Home: 0, End: plot.points.length - 1 }[event.key];
    if (event.key === "Enter" && focused !== null) {
      event.preventDefault(); // else the same key presses the card's first button
      openCard(plot.points[focused].row);
    }
    if (step === undefined && ends === undefined) return;
    event.preventDefault();
    focused = ends ?? (focused === null ? 0 : (focused + step + plot.points.length) % plot.points.length);
    point_at(plot.points[focused], true);
  });
}

/* Marks a point and says what it is; its row in the table is marked too. */
function point_at(point, aloud = false) {
  if (!plot) return;
  const halo = plot.drawn.querySelector(".halo");
  halo.setAttribute("cx", point ? point.left : -99);
  halo.setAttribute("cy", point ? point.top : -99);
  plot.tip.hidden = !point;
  document.querySelectorAll("tr.pointed").forEach((line) => line.classList.remove("pointed"));
  if (!point) return;
  document.querySelector(`tr[data-row="${point.row}"]`)?.classList.add("pointed");
  const said = (key) => `${metric(key).title} ${point.claim && key === plot.y ? `${say(metric(key), point.y)}, as published` : sayWithEnds(point.row, key).filter(Boolean).join(" ")}`;
  plot.tip.replaceChildren(h("b", {}, nameOf(point.row)), h("span", {}, said(plot.y)), h("span", {}, said(plot.x)));
  const right = point.left > plot.width / 2;
  Object.assign(plot.tip.style, { left: right ? "" : `${point.left + 14}px`, right: right ? `${plot.width - point.left + 14}px` : "", top: `${Math.max(point.top - 30, 0)}px` });
  if (aloud) byId("status").textContent = `${nameOf(point.row)}: ${said(plot.y)}, ${said(plot.x)}`;
}
