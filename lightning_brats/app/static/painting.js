// What is drawn of one panel's volumes: the modality and its window, the regions and their colours.
"use strict";

const FAINT = 0.02; // opacity inside of an outline
const AGREEMENT = 1, MISSED = 2, FALSE = 3;

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
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
    panel.paint.opacity = state.contour ? (hidden ? 0 : FAINT) : share;
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
