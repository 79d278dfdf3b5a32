/* One state, one way to show it: whatever is touched changes the state and calls `update`. */

let rowsNow = [];

function update() {
  rowsNow = qualifying();
  syncForm();
  const winner = buildAnswer(rowsNow);
  drawPlot(rowsNow, winner);
  buildTable(rowsNow);
  buildCompareBar();
  syncDialog();
  writeState();
}

function rebuild() {
  byId("unread").hidden = !unread.length;
  const said = unread.slice(0, 5).map((word) => (word.length > 60 ? `${word.slice(0, 60)}…` : word)).join(", "), more = unread.length - 5;
  byId("unread").textContent = `The address names what is not on this page, or cannot be read: ${said}${more > 0 ? ` and ${more} more` : ""}. The rest is asked of the table shown here.`;
  byId("caution").hidden = !current().caution;
  byId("caution").textContent = current().caution;
  shownRows = PAGE;
  buildForm();
  buildSaid();
  update();
}

const lastShown = new Map(); // by device: which of its groups

/* The group of another device to go on with: the one that was shown last, else of those that know most of what is asked,
   smoke tests last, the one that is most like this. */
function groupOf(device) {
  if (lastShown.has(device)) return lastShown.get(device);
  const here = current().alike.map(String), asked = isAsked() ? [...limitsSet().map(([key]) => key), objective()] : [];
  const alike_ = (group) => group.alike.filter((value, place) => String(value) === here[place]).length;
  const fit = (group) => 100 * asked.filter((key) => known(key, group.rows)).length - 50 * group.is_smoke_test + alike_(group);
  const found = DATA.groups.map((group, place) => [place, fit(group)]).filter(([place]) => DATA.groups[place].device === device);
  return found.reduce((best, one) => (one[1] > best[1] ? one : best))[0];
}

/* What was asked stays asked, though of no row there it may be known. */
function showGroup(place) {
  unread = [];
  lastShown.set(current().device, state.group);
  if (isAsked()) state.objective = objective();
  Object.assign(state, { group: place, card: null, open: "", compare: [] });
  rebuild();
}

function wire() {
  const on = (id, event, act) => byId(id).addEventListener(event, act);
  on("question", "submit", (event) => event.preventDefault());
  on("device", "change", (event) => showGroup(groupOf(event.target.value)));
  on("group", "change", (event) => showGroup(Number(event.target.value)));
  on("search", "input", (event) => { state.search = event.target.value; update(); });
  on("objective", "change", (event) => { Object.assign(state, { objective: event.target.value, sort: null }); update(); });
  on("more", "change", (event) => {
    const key = event.target.value;
    if (!key) return;
    state.limits[key] = null;
    buildLimits();
    update();
    sliders.get(key).number.focus();
  });
  on("reset", "click", () => { state = { ...structuredClone(FRESH), group: state.group }; unread = []; rebuild(); });
  for (const axis of ["x", "y"]) on(axis, "change", (event) => { Object.assign(state, { [axis]: event.target.value, [`log${axis.toUpperCase()}`]: null }); update(); });
  for (const axis of ["x", "y"]) on(`log-${axis}`, "change", (event) => { state[`log${axis.toUpperCase()}`] = event.target.checked; update(); });
  on("intervals", "change", (event) => { state.intervals = event.target.checked; update(); });
  on("copy", "click", () => copyText(tableText(rowsNow), `${rowsNow.length} rows copied`));
  on("csv", "click", () => saveCsv(rowsNow));
  on("card", "close", closed);
  on("card", "click", (event) => { if (event.target === byId("card")) byId("card").close(); });
  addEventListener("beforeprint", ontoPaper);
  addEventListener("afterprint", offPaper);
  addEventListener("popstate", moved);
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.round(contentRect.width);
    if (width === plotBox.width) return;
    plotBox.width = width;
    update();
  }).observe(byId("plot"));
}

async function start() {
  if (!("DecompressionStream" in window)) return void document.body.append(h("p", { className: "caution" }, "This page needs a browser of 2023 or later."));
  await unpack();
  byId("main").hidden = false;
  plotBox.width = byId("plot").clientWidth;
  byId("origin").textContent = `${DATA.size} rows · zoo ${DATA.version} · written on ${DATA.writer} · this page loads nothing and sends nothing`;
  readState();
  wire();
  rebuild();
  document.documentElement.dataset.ready = "yes";
}

start();
