// Chooses what a view shows, draws its chart, and goes through the cases.

const drawn = new Set();

function plot(source, width) {
  const figure = JSON.parse(source.textContent);
  const layout = { ...themed(figure.layout), autosize: !width };
  if (width) layout.width = width;
  const target = document.getElementById(source.dataset.plot);
  // Ticks that lie on lines are read before a plain ground.
  for (const note of layout.annotations ?? []) note.bgcolor = colour("--card");
  if ((width ?? target.clientWidth) < 560) makeNarrow(figure.data, layout);
  Plotly.react(target, figure.data, layout, { responsive: !width, displayModeBar: false });
  if (!drawn.has(target)) {
    drawn.add(target);
    if (target.closest("#spread")) followCase(target);
    if (target.closest("#runs-plot")) singleOut(target);
  }
}

// The last trace of a distribution is empty; the case that is pointed at goes there.
function followCase(target) {
  target.on("plotly_hover", (event) => {
    const name = event.points[0].text;
    if (!name) return;
    const line = { x: [], y: [] };
    for (const trace of target.data) {
      const place = (trace.text ?? []).indexOf(name);
      if (place >= 0) { line.x.push(trace.x[place]); line.y.push(trace.y[place]); }
    }
    Plotly.restyle(target, { x: [line.x], y: [line.y], "line.color": colour("--ink"), "marker.color": colour("--ink") },
                   [target.data.length - 1]);
  });
  target.on("plotly_unhover", () => Plotly.restyle(target, { x: [[]], y: [[]] }, [target.data.length - 1]));
}

function singleOut(target) {
  const show = (chosen) => Plotly.restyle(target, { opacity: target.data.map((_, place) => (chosen < 0 || place === chosen ? 1 : 0.12)) });
  target.on("plotly_hover", (event) => show(event.points[0].curveNumber));
  target.on("plotly_unhover", () => show(-1));
}

// Where there is little room, names beside symbols would be cut off, and those below them overlap.
function makeNarrow(traces, layout) {
  if (layout.xaxis.ticktext && layout.xaxis.side !== "top") layout.xaxis.tickangle = -35;
  for (const trace of traces) {
    if (trace.mode !== "markers+text") continue;
    trace.mode = "markers";
    layout.showlegend = true;
  }
}

function drawSeen(width) {
  for (const source of document.querySelectorAll("[data-plot]")) {
    if (!source.closest("[data-view][hidden]")) plot(source, width);
  }
}

function chosenOf(views) {
  const chosen = {};
  for (const picker of views.querySelectorAll(".picker")) {
    chosen[picker.dataset.axis] = picker.querySelector("[aria-pressed=true]").dataset.value;
  }
  return chosen;
}

function showChosen(views) {
  const chosen = chosenOf(views);
  for (const view of views.querySelectorAll("[data-view]")) {
    view.hidden = Object.entries(chosen).some(([axis, value]) => view.dataset[axis] !== value);
    const source = view.hidden ? null : view.querySelector("[data-plot]");
    if (source) plot(source);
  }
}

function press(button) {
  for (const other of button.parentElement.querySelectorAll("button")) {
    other.setAttribute("aria-pressed", other === button);
  }
}

for (const views of document.querySelectorAll(".views")) {
  showChosen(views);
  for (const button of views.querySelectorAll(".picker button")) {
    button.addEventListener("click", () => { press(button); showChosen(views); });
  }
}
for (const source of document.querySelectorAll("[data-plot]")) {
  if (!source.closest("[data-view]")) plot(source);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawSeen());
addEventListener("beforeprint", () => {
  for (const more of document.querySelectorAll("details.printed")) more.open = true;
  document.documentElement.classList.add("printing");
  drawSeen(660);
});
addEventListener("afterprint", () => { document.documentElement.classList.remove("printing"); drawSeen(); });

const cases = JSON.parse(document.getElementById("case-scores").textContent);
const select = document.querySelector("#explorer select");
const lookPicker = document.getElementById("look");

function element(tag, text, kind) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function caseTable(name) {
  const head = document.createElement("tr");
  head.append(element("th", "Choice"), ...cases.columns.map(([metric, region]) => element("th", `${region} ${metric}`, "num")));
  const rows = cases.choices.map((choice, number) => {
    const row = document.createElement("tr");
    const title = element("th", "");
    const label = element("span", "", "choice");
    const mark = element("i", choice.mark, "mark");
    mark.style.setProperty("--c", choice.colour);
    label.append(mark, choice.name);
    title.append(label);
    row.append(title, ...cases.values[name][number].map((text, column) => {
      const cell = element("td", "", "num");
      cell.append(element("span", text, cases.best[name][column] === number ? "lead-cell" : ""));
      return cell;
    }));
    return row;
  });
  const top = document.createElement("thead"), body = document.createElement("tbody");
  top.append(head);
  body.append(...rows);
  document.getElementById("case-table").replaceChildren(top, body);
}

function showCase(name) {
  select.value = name;
  caseTable(name);
  let pictured = false;
  for (const figure of document.querySelectorAll("[data-pictured]")) {
    figure.classList.toggle("away", figure.dataset.pictured !== name);
    pictured ||= figure.dataset.pictured === name;
  }
  for (const button of document.querySelectorAll(".quick button")) {
    button.setAttribute("aria-pressed", button.dataset.case === name);
  }
  const missing = document.querySelector(".no-picture");
  if (missing) missing.hidden = pictured;
  if (lookPicker) showLook();
}

// A case may lack a region, and so the view of its errors: then its first view is shown.
function showLook() {
  const key = lookPicker.querySelector("[aria-pressed=true]").dataset.value;
  for (const figure of document.querySelectorAll("[data-pictured]")) {
    const rows = [...figure.querySelectorAll("[data-look]")];
    const found = rows.find((row) => row.dataset.look === key) ?? rows[0];
    for (const row of rows) row.classList.toggle("away", row !== found);
  }
}

select.addEventListener("change", () => showCase(select.value));
for (const button of document.querySelectorAll("[data-step]")) {
  button.addEventListener("click", () => {
    const count = select.options.length;
    showCase(select.options[(select.selectedIndex + Number(button.dataset.step) + count) % count].value);
  });
}
for (const button of document.querySelectorAll("[data-case]")) {
  button.addEventListener("click", () => showCase(button.dataset.case));
}
for (const button of lookPicker?.querySelectorAll("button") ?? []) {
  button.addEventListener("click", () => { press(button); showLook(); });
}
showCase(document.querySelector("[data-pictured]")?.dataset.pictured ?? select.value);
