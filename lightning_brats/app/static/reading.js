// Volumes and surfaces of one panel: from the bytes that the page was given to what NiiVue draws.
"use strict";

const COARSE_ABOVE = 1.5e6; // voxels; what a processor draws anew at once
const HEADER = { dims: 40, bits: 72, spacing: 76, affine: 280, voxels: 108 }; // offsets in a NIfTI-1 file
const SOFTWARE = /swiftshader|llvmpipe|softpipe|basic render|software/i;

function bytes(key) {
  const found = state.data[key];
  return found instanceof Uint8Array ? found : new Uint8Array(found.buffer ?? found);
}

// Where there is no graphics card the processor draws, and every voxel takes its time.
function drawnBySoftware(gl) {
  const known = gl.getExtension("WEBGL_debug_renderer_info");
  return SOFTWARE.test(gl.getParameter(known ? known.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
}

async function unpacked(key) {
  const stream = new Blob([bytes(key)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

function sizeOf(file) {
  const view = new DataView(file);
  return [1, 2, 3].map((axis) => view.getInt16(HEADER.dims + 2 * axis, true));
}

async function drawnVoxels(spec) {
  return sizeOf(await unpacked(spec.modalities[0].key)).reduce((all, count) => all * count);
}

// Every second voxel along each axis; the first stays where it is, so that nothing moves.
function everySecond(file) {
  const view = new DataView(file);
  const [nx, ny, nz] = sizeOf(file);
  const [mx, my, mz] = [nx, ny, nz].map((count) => Math.ceil(count / 2));
  const start = view.getFloat32(HEADER.voxels, true);
  const Voxels = view.getInt16(HEADER.bits, true) === 16 ? Int16Array : Uint8Array;
  const head = file.slice(0, start);
  const from = new Voxels(file, start), to = new Voxels(mx * my * mz);
  for (let z = 0, at = 0; z < nz; z += 2) {
    for (let y = 0; y < ny; y += 2) {
      for (let x = 0, row = nx * (y + ny * z); x < nx; x += 2) to[at++] = from[row + x];
    }
  }
  const changed = new DataView(head);
  [mx, my, mz].forEach((count, axis) => {
    changed.setInt16(HEADER.dims + 2 * (axis + 1), count, true);
    const spacing = HEADER.spacing + 4 * (axis + 1);
    changed.setFloat32(spacing, 2 * changed.getFloat32(spacing, true), true);
    for (let row = 0; row < 3; row++) {
      const entry = HEADER.affine + 16 * row + 4 * axis;
      changed.setFloat32(entry, 2 * changed.getFloat32(entry, true), true);
    }
  });
  return [head, to];
}

async function image(key, options) {
  const whole = await unpacked(key);
  const parts = state.coarse ? everySecond(whole) : [whole];
  const name = `${key}.nii`;
  return niivue.NVImage.loadFromFile({ file: new File(parts, name), name, ...options });
}

// Volumes are read once for each panel; what is drawn of them is painted over afterwards.
async function open(panelSpec, canvas) {
  const nv = new niivue.Niivue({
    backColor: [0, 0, 0, 1], crosshairColor: [1, 1, 1, 0.7], crosshairWidth: CROSSHAIR, crosshairWidthUnit: "mm", show3Dcrosshair: true,
    isRadiologicalConvention: state.radiological, sagittalNoseLeft: true, dragAndDropEnabled: false,
    multiplanarShowRender: niivue.SHOW_RENDER.ALWAYS, multiplanarPadPixels: 12, meshThicknessOn2D: 0, isColorbar: false,
    loadingText: "", isResizeCanvas: true, dragMode: niivue.DRAG_MODE.contrast, logLevel: "error", showAllOrientationMarkers: true,
    viewModeHotKey: "KeyV", clipPlaneHotKey: "", meshXRay: 0,
  });
  await nv.attachToCanvas(canvas);
  nv.setMultiplanarLayout(niivue.MULTIPLANAR_TYPE.GRID);
  nv.drawImage3D = () => {}; // the 3-D view is of surfaces; the brain as a volume would hide them
  skipGradients(nv);
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

// They serve the rendering of volumes, which is off, and would take most of the time of a change.
function skipGradients(nv) {
  const refresh = nv.refreshLayers.bind(nv);
  const nothing = { uniforms: {}, use: (gl) => { gl.enable(gl.SCISSOR_TEST); gl.scissor(0, 0, 0, 0); } };
  for (const name of ["blurShader", "sobelBlurShader", "sobelFirstOrderShader", "sobelSecondOrderShader"]) nv[name] = nothing;
  nv.refreshLayers = (volume, layer) => {
    refresh(volume, layer);
    nv.gl.disable(nv.gl.SCISSOR_TEST);
  };
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
