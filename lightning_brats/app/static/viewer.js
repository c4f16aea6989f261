// Slices and surfaces of one case, one panel a segmentation. Everything happens in the browser.
//
// What is shown comes as `spec` (names, colours, which bytes are what; see layers.py) and, beside it,
// the bytes. The page is told nothing but its height, and whether WebGL failed.
"use strict";

const CROSSHAIR = 0.7;
const STYLES = { outline: 1, opacity: 0.02 };
const AGREEMENT = 1, MISSED = 2, FALSE = 3;
const $ = (id) => document.getElementById(id);
const tell = (type, data) => window.parent.postMessage({ isStreamlitMessage: true, type, ...data }, "*");

const state = {
  spec: null, data: null, panels: [], modality: 0, shown: "", errorRegion: "", regions: new Set(),
  contour: false, opacity: 0.55, map: "", view: "multi", crosshair: true, radiological: true, failed: false,
};

function bytes(key) {
  const found = state.data[key];
  return found instanceof Uint8Array ? found : new Uint8Array(found.buffer ?? found);
}

async function image(key, options) {
  const file = new File([bytes(key)], `${key}.nii.gz`);
  return niivue.NVImage.loadFromFile({ file, name: `${key}.nii.gz`, ...options });
}

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

// Volumes are read once for each panel; what is drawn of them is painted over afterwards.
async function open(panelSpec, canvas) {
  const nv = new niivue.Niivue({
    backColor: [0, 0, 0, 1], crosshairColor: [1, 1, 1, 0.7], crosshairWidth: CROSSHAIR, crosshairWidthUnit: "mm", show3Dcrosshair: true,
    isRadiologicalConvention: state.radiological, sagittalNoseLeft: true, dragAndDropEnabled: false,
    multiplanarShowRender: niivue.SHOW_RENDER.ALWAYS, meshThicknessOn2D: 0, isColorbar: false,
    loadingText: "", isResizeCanvas: true, dragMode: niivue.DRAG_MODE.contrast, logLevel: "error", showAllOrientationMarkers: true,
    viewModeHotKey: "KeyV", clipPlaneHotKey: "", meshXRay: 0,
  });
  await nv.attachToCanvas(canvas);
  nv.setMultiplanarLayout(niivue.MULTIPLANAR_TYPE.GRID);
  nv.drawImage3D = () => {}; // the 3-D view is of surfaces; the brain as a volume would hide them
  const panel = { nv, spec: panelSpec, images: [], masks: {}, maps: {} };
  for (const { key, limits } of state.spec.modalities) {
    panel.images.push(await image(key, { cal_min: limits[0], cal_max: limits[1] }));
  }
  panel.back = await image(state.spec.modalities[0].key, { colormap: "gray" });
  for (const [name, key] of Object.entries(panelSpec.masks)) panel.masks[name] = (await image(key)).img;
  for (const [name, key] of Object.entries(panelSpec.maps)) {
    panel.maps[name] = await image(key, { colormap: "viridis", cal_min: 0.05, cal_max: 1, opacity: 0 });
  }
  panel.paint = await image(Object.values(panelSpec.masks)[0], { opacity: state.opacity });
  for (const volume of [panel.back, panel.paint, ...Object.values(panel.maps)]) nv.addVolume(volume);
  await surfaces(panel);
  nv.onLocationChange = (place) => locate(panel, place);
  nv.onIntensityChange = () => readWindow(panel);
  nv.updateGLVolume();
  return panel;
}

async function surfaces({ nv, spec }) {
  const last = spec.surfaces.length - 1;
  // From the narrowest, which is solid, to the widest: what is seen through is drawn later.
  const wanted = spec.surfaces.map(({ region, key }, at) => ({ key, region, colour: colourOf(region),
    opacity: last ? 0.35 + (0.65 * at) / last : 1 })).reverse();
  if (state.spec.brain) wanted.push({ key: state.spec.brain, region: null, colour: "#B9BEC7", opacity: 0.22 });
  for (const { key, region, colour, opacity } of wanted) {
    const rgba255 = [...rgb(colour), 255];
    const file = new File([bytes(key)], `${key}.mz3`);
    const mesh = await niivue.NVMesh.loadFromFile({ file, gl: nv.gl, name: `${key}.mz3`, opacity, rgba255 });
    mesh.region = region;
    nv.addMesh(mesh);
  }
}

function colourOf(region) {
  return state.spec.regions.find(({ name }) => name === region).colour;
}

// Label of a voxel → number of the colour it is painted with: the narrowest region that is switched on.
function paintTable() {
  const table = new Uint8Array(8);
  state.spec.regions.forEach(({ name, labels }, place) => {
    if (state.regions.has(name)) for (const label of labels) table[label] = place + 1;
  });
  return table;
}

function painted(panel) {
  const out = panel.paint.img;
  const names = Object.keys(panel.masks);
  const source = panel.masks[state.shown] ?? panel.masks[names[0]];
  if (state.shown === "errors" && names.length > 1) {
    const region = state.spec.regions.find(({ name }) => name === state.errorRegion);
    const inside = new Uint8Array(8);
    for (const label of region.labels) inside[label] = 1;
    const [prediction, reference] = names.map((name) => panel.masks[name]);
    for (let at = 0; at < out.length; at++) {
      const first = inside[prediction[at]], second = inside[reference[at]];
      out[at] = first && second ? AGREEMENT : second ? MISSED : first ? FALSE : 0;
    }
    return [state.spec.errors.agreement, state.spec.errors.missed, state.spec.errors.false];
  }
  const table = paintTable();
  for (let at = 0; at < out.length; at++) out[at] = table[source[at]];
  return state.spec.regions.map(({ colour }) => colour);
}

// Only the layers that changed are computed anew: on a browser without a graphics card each takes a while.
function redrawImage({ nv, back }) {
  nv.refreshLayers(back, 0);
  nv.drawScene();
}

function redrawMasks({ nv, paint, maps }) {
  [paint, ...Object.values(maps)].forEach((volume, place) => nv.refreshLayers(volume, 1 + place));
  nv.drawScene();
}

function paint() {
  for (const panel of state.panels) {
    const colours = painted(panel).map(rgb);
    const channel = (at) => [0, ...colours.map((colour) => colour[at])];
    panel.paint.setColormapLabel({
      R: channel(0), G: channel(1), B: channel(2), A: [0, ...colours.map(() => 255)],
      I: [0, ...colours.map((_, place) => place + 1)],
    });
    const hidden = state.shown === "nothing";
    const share = hidden ? 0 : state.opacity;
    panel.paint.opacity = state.contour ? (hidden ? 0 : STYLES.opacity) : share;
    panel.nv.opts.atlasOutline = state.contour && !hidden ? Math.max(share, 0.3) : 0;
    for (const [name, map] of Object.entries(panel.maps)) map.opacity = name === state.map ? 0.7 : 0;
    for (const mesh of panel.nv.meshes) mesh.visible = mesh.region === null || state.regions.has(mesh.region);
    redrawMasks(panel);
  }
}

// All modalities lie on one grid: the volume that is drawn takes the voxels of the one that is wanted.
function showModality(place) {
  state.modality = place;
  for (const panel of state.panels) {
    const { back, images } = panel;
    back.img = images[place].img;
    back.hdr.scl_slope = images[place].hdr.scl_slope;
    back.hdr.scl_inter = images[place].hdr.scl_inter;
    for (const name of ["cal_min", "cal_max", "global_min", "global_max"]) back[name] = images[place][name];
    redrawImage(panel);
  }
  press("modalities", place);
  readWindow(state.panels[0]);
}

function press(group, place) {
  [...$(group).children].forEach((button, at) => button.setAttribute("aria-pressed", String(at === place)));
}

function range(volume) {
  return [volume.global_min ?? volume.cal_min, volume.global_max ?? volume.cal_max];
}

function readWindow({ back }) {
  const [low, high] = range(back);
  const span = high - low || 1;
  $("level").value = String((1000 * ((back.cal_min + back.cal_max) / 2 - low)) / span);
  $("width").value = String((1000 * (back.cal_max - back.cal_min)) / span);
  applyWindow(back.cal_min, back.cal_max);
}

function writeWindow() {
  const [low, high] = range(state.panels[0].back);
  const level = low + ($("level").value / 1000) * (high - low);
  const half = (($("width").value / 1000) * (high - low)) / 2;
  applyWindow(level - half, level + half);
}

// In every panel, and for the next time that this modality is shown.
function applyWindow(low, high) {
  for (const panel of state.panels) {
    const { back, images } = panel;
    Object.assign(images[state.modality], { cal_min: low, cal_max: high });
    if (back.cal_min === low && back.cal_max === high) continue;
    Object.assign(back, { cal_min: low, cal_max: high });
    redrawImage(panel);
  }
}

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
  state.data = null;
  resize();
  document.body.dataset.ready = spec.id;
}

function fail(reason) {
  state.failed = true;
  for (const id of ["controls", "panels", "place", "hint"]) $(id).hidden = true;
  $("failure").hidden = false;
  $("failure").textContent = `The interactive viewer cannot start: ${reason}. Still slices are shown below instead.`;
  resize();
  tell("streamlit:setComponentValue", { value: { failed: reason }, dataType: "json" });
}

async function render({ args }) {
  const { spec, ...data } = args;
  if (state.spec?.id === spec.id) return;
  state.spec = spec;
  restart();
  try {
    if (!document.createElement("canvas").getContext("webgl2")) throw new Error("this browser has no WebGL 2");
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
