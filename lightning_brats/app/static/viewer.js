// Slices and surfaces of one case, one panel a segmentation. Everything happens in the browser.
//
// What is shown comes as `spec` (names, colours, which bytes are what; see layers.py) and, beside it,
// the bytes. The page is told nothing but its height, and whether WebGL failed.
"use strict";

const CROSSHAIR = 0.7;
const $ = (id) => document.getElementById(id);
const tell = (type, data) => window.parent.postMessage({ isStreamlitMessage: true, type, ...data }, "*");

const state = {
  spec: null, data: null, panels: [], modality: 0, shown: "", errorRegion: "", regions: new Set(),
  contour: false, opacity: 0.55, map: "", view: "multi", crosshair: true, radiological: true, failed: false,
  software: false, everything: false, coarse: false,
};

function arrange() {
  for (const { nv } of state.panels) {
    nv.opts.crosshairWidth = state.crosshair ? CROSSHAIR : 0;
    nv.opts.show3Dcrosshair = state.crosshair;
    if (nv.opts.isRadiologicalConvention !== state.radiological) nv.setRadiologicalConvention(state.radiological);
    nv.setSliceType(state.view === "multi" ? niivue.SLICE_TYPE.MULTIPLANAR : Number(state.view));
  }
  $("crosshair").checked = state.crosshair;
  $("radiological").checked = state.radiological;
}

// Where the cross-hair is (right, anterior, superior of the scanner's origin), grey value and tissue of each mask.
function locate(panel, place) {
  const [x, y, z] = place.mm;
  const voxel = place.vox.map(Math.round);
  const grey = panel.back.getValue(...voxel);
  const tissues = Object.entries(panel.masks).map(([name, labels]) => `${name}: ${tissue(panel, labels, voxel)}`);
  const name = state.spec.modalities[state.modality].title;
  const millimetres = `x ${x.toFixed(0)}, y ${y.toFixed(0)}, z ${z.toFixed(0)} mm`.replaceAll("-", "−");
  $("place").textContent = [millimetres, `${name} ${grey.toPrecision(4)}`, ...tissues].join("   ");
}

// Volumes come in right, anterior, superior order, which is the one that NiiVue counts voxels in.
function tissue(panel, labels, [x, y, z]) {
  const [nx, ny] = panel.paint.hdr.dims.slice(1);
  return state.spec.tissues[labels[x + nx * (y + ny * z)]] ?? "–";
}

function choices(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value, false, value === chosen)));
  select.parentElement.hidden = entries.length < 2;
}

function button(text, pressed, colour, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-pressed", String(pressed));
  if (colour) made.style.setProperty("--c", colour);
  made.addEventListener("click", () => act(made));
  return made;
}

function build() {
  const { spec } = state;
  $("modalities").replaceChildren(
    ...spec.modalities.map(({ title }, at) => button(title, at === 0, null, () => showModality(at))));
  $("regions").replaceChildren(...spec.regions.map(({ name, title, colour }) => {
    const made = button(name, true, colour, (self) => {
      state.regions.has(name) ? state.regions.delete(name) : state.regions.add(name);
      self.setAttribute("aria-pressed", String(state.regions.has(name)));
      paint();
    });
    made.title = title;
    return made;
  }));
  const masks = Object.keys(spec.panels[0].masks);
  const shown = masks.map((name) => [name, name]);
  if (masks.length > 1) shown.push(["errors", "missed and false"]);
  choices($("shown"), [...shown, ["nothing", "nothing"]], masks[0]);
  choices($("error-region"), spec.regions.map(({ name, title }) => [name, `${name} ${title}`]), spec.regions[0].name);
  choices($("map"), [["", "off"], ...Object.keys(spec.panels[0].maps).map((name) => [name, name])], "");
  $("error-choice").hidden = true;
}

function connect() {
  const on = (id, kind, act) => $(id).addEventListener(kind, (event) => act(event.target));
  on("level", "input", writeWindow);
  on("width", "input", writeWindow);
  on("opacity", "input", (input) => { state.opacity = input.value / 100; paint(); });
  on("shown", "change", (select) => {
    state.shown = select.value;
    $("error-choice").hidden = select.value !== "errors";
    paint();
    resize();
  });
  on("error-region", "change", (select) => { state.errorRegion = select.value; paint(); });
  on("map", "change", (select) => { state.map = select.value; paint(); });
  on("view", "change", (select) => { state.view = select.value; arrange(); });
  on("crosshair", "change", (box) => { state.crosshair = box.checked; arrange(); });
  on("radiological", "change", (box) => { state.radiological = box.checked; arrange(); });
  on("fill", "click", () => style(false));
  on("contour", "click", () => style(true));
  on("everything", "click", () => {
    state.everything = true;
    attempt(state.spec, state.data);
  });
  document.addEventListener("keydown", keys);
  new ResizeObserver(resize).observe(document.body);
}

function style(contour) {
  state.contour = contour;
  $("fill").setAttribute("aria-pressed", String(!contour));
  $("contour").setAttribute("aria-pressed", String(contour));
  paint();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
  const place = "1234".indexOf(event.key);
  if (place >= 0 && place < state.spec.modalities.length) showModality(place);
  else if (event.code === "KeyF") style(!state.contour);
  else if (event.code === "KeyX") { state.crosshair = !state.crosshair; arrange(); }
  else if (event.code === "KeyR") { state.radiological = !state.radiological; arrange(); }
}

function resize() {
  tell("streamlit:setFrameHeight", { height: Math.ceil(document.body.getBoundingClientRect().height) });
}

// Whoever is under the pointer leads: the other panel follows its cross-hair, zoom and turns.
function link() {
  for (const { nv, canvas } of state.panels) {
    const others = state.panels.map((other) => other.nv).filter((other) => other !== nv);
    nv.broadcastTo(others, { "2d": true, "3d": true, zoomPan: true, crosshair: true, sliceType: true });
    canvas.tabIndex = 0;
    canvas.addEventListener("pointerenter", () => canvas.focus({ preventScroll: true }));
  }
}

// What was shown before may not have started.
function restart() {
  for (const id of ["controls", "panels", "place", "hint"]) $(id).hidden = false;
  $("failure").hidden = true;
  if (state.failed) tell("streamlit:setComponentValue", { value: null, dataType: "json" });
  state.failed = false;
}

async function show(spec, data) {
  Object.assign(state, { spec, data, modality: 0, shown: Object.keys(spec.panels[0].masks)[0], map: "" });
  state.regions = new Set(spec.regions.map(({ name }) => name));
  state.errorRegion = spec.regions[0].name;
  $("panels").className = spec.panels.length > 1 ? "two" : "";
  build();
  state.coarse = state.software && !state.everything && (await drawnVoxels(spec)) > COARSE_ABOVE;
  $("coarse").hidden = !state.coarse;
  state.panels = [];
  const canvases = spec.panels.map((panel) => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = panel.title;
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-label", "Slices and surfaces");
    figure.append(caption, canvas);
    return [figure, canvas];
  });
  $("panels").replaceChildren(...canvases.map(([figure]) => figure));
  for (const [at, [, canvas]] of canvases.entries()) {
    state.panels.push({ ...(await open(spec.panels[at], canvas)), canvas });
  }
  link();
  arrange();
  paint();
  const focus = spec.focus;
  for (const { nv } of state.panels) {
    nv.scene.crosshairPos = nv.mm2frac(focus);
    nv.drawScene();
  }
  showModality(0);
  state.panels[0].nv.createOnLocationChange();
  if (!state.coarse) state.data = null;
  resize();
  document.body.dataset.ready = spec.id;
}

function fail(reason) {
  state.failed = true;
  for (const id of ["controls", "panels", "place", "hint", "coarse"]) $(id).hidden = true;
  $("failure").hidden = false;
  $("failure").textContent = `The interactive viewer cannot start: ${reason}. Still slices are shown below instead.`;
  resize();
  tell("streamlit:setComponentValue", { value: { failed: reason }, dataType: "json" });
}

async function render({ args }) {
  const { spec, ...data } = args;
  if (state.spec?.id === spec.id) return;
  await attempt(spec, data);
}

async function attempt(spec, data) {
  state.spec = spec;
  restart();
  try {
    const gl = document.createElement("canvas").getContext("webgl2");
    if (!gl) throw new Error("this browser has no WebGL 2");
    state.software = drawnBySoftware(gl);
    await show(spec, data);
  } catch (error) {
    fail(error.message ?? String(error));
  }
}

connect();
window.addEventListener("message", (event) => {
  if (event.data.type === "streamlit:render") render(event.data);
});
tell("streamlit:componentReady", { apiVersion: 1 });
